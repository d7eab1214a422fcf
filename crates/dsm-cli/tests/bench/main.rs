//! `dsm bench`: how many messages and bytes operations take, exactly, and what its output looks like. How long
//! anything takes is measured there and asserted nowhere.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::process::{Command, Output};

/// Messages of all ranks for one operation, and bytes of them.
const COUNTS: [(&str, f64, f64); 15] = [
    ("read_fault", 2.0, 2.0 * HEADER + PAGE),
    ("read_fault_three_parties", 3.0, 3.0 * HEADER + PAGE),
    ("write_fault", 2.0, 2.0 * HEADER + PAGE),
    ("upgrade_0", 0.0, 0.0),
    ("upgrade_1", 2.0, 2.0 * HEADER),
    ("upgrade_2", 4.0, 4.0 * HEADER),
    ("upgrade_3", 6.0, 6.0 * HEADER),
    ("lock", 2.0, 2.0 * HEADER),
    ("lock_cached", 0.0, 0.0),
    ("lock_with_page", 4.0, 4.0 * HEADER + PAGE),
    ("hand_over", 4.0, 4.0 * HEADER + PAGE),
    ("fetch_add", 2.0, 2.0 * HEADER),
    ("barrier_2", 2.0, 2.0 * HEADER),
    ("barrier_4", 6.0, 6.0 * HEADER),
    ("barrier_8", 14.0, 14.0 * HEADER),
];
const HEADER: f64 = 40.0;
const PAGE: f64 = 4096.0;

#[test]
fn every_operation_takes_exactly_so_many_messages_and_bytes() {
    for engine in ["uffd", "sigsegv"] {
        let names: Vec<&str> = COUNTS.iter().map(|(name, ..)| *name).collect();
        let document = measure(&["--only", &names.join(","), "--fault", engine]);
        for (name, messages, bytes) in COUNTS {
            let line = line(&document, name);
            let found = (&line["messages"], &line["bytes"]);
            assert_eq!(found, (&messages.into(), &bytes.into()), "{engine}: {line:#}");
        }
    }
}

#[test]
fn the_document_has_the_documented_fields() {
    let only = "read_fault,lock_cached,read_fault_busy_but_one,scan,random,\
                one_rank_matmul,start_1m,start_1g,memory_1g";
    let document = measure(&["--only", only]);
    assert_eq!(document["format"], 1);
    assert!(document["about"].as_array().unwrap().iter().all(Value::is_string), "{document:#}");
    assert!(document["left_out"].is_array(), "{document:#}");
    for name in only.split(',') {
        let line = line(&document, name);
        let fields = line.as_object().unwrap();
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, FIELDS, "{line:#}");
        assert!(line["value"].as_f64().unwrap() > 0.0, "{line:#}");
        assert!(line["unit"].is_string() && line["pinning"].is_string(), "{line:#}");
        for field in ["p99", "ratio_to_r", "reference", "ratio", "messages", "bytes"] {
            assert!(line[field].is_number() || line[field].is_null(), "{field}: {line:#}");
        }
        assert!(line["target"].is_string() || line["target"].is_null(), "{line:#}");
        // What is compared with something that was not measured is neither met nor missed.
        assert!(line["ok"].is_null() || line["ok"].is_boolean() && line["target"].is_string());
    }
    assert!(line(&document, "round_trip")["value"].as_f64().unwrap() > 0.0);
}

const FIELDS: [&str; 13] = [
    "bytes",
    "messages",
    "name",
    "ok",
    "p99",
    "pinning",
    "ranks",
    "ratio",
    "ratio_to_r",
    "reference",
    "target",
    "unit",
    "value",
];

#[test]
fn all_pinnings_are_measured_beside_their_own_round_trip() {
    let document = measure(&["--only", "fetch_add", "--pinning", "all"]);
    let lines = document["lines"].as_array().unwrap();
    let found: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["pinning"].as_str().unwrap(), line["name"].as_str().unwrap()))
        .collect();
    let cpus = std::thread::available_parallelism().unwrap().get();
    let pinnings = ["free", "each", "one"].into_iter().filter(|it| cpus > 1 || *it != "each");
    let expected: Vec<_> =
        pinnings.flat_map(|it| [(it, "round_trip"), (it, "fetch_add")]).collect();
    assert_eq!(found, expected, "{document:#}");
}

#[test]
fn a_machine_file_with_too_few_ranks_is_told() {
    let place = tempfile::TempDir::new().unwrap();
    let machines = place.path().join("machines");
    std::fs::write(&machines, "localhost\nlocalhost\n").unwrap();
    let output = bench(&["--only", "lock,barrier_4", machines.to_str().unwrap()]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    assert!(table.contains("\nlock at the other rank "), "{table}");
    assert!(table.contains("not measured: 4 ranks: the machine file has 2\n"), "{table}");
}

#[test]
fn what_cannot_be_measured_fails_with_a_line() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dsm"));
    command.args(["bench", "--quick", "--only", "lock"]);
    // A heap that cannot be.
    let output = command.env("DSM_HEAP", "9999999T").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("dsm: cannot measure: a job of 2 ranks failed: "), "{said}");
    assert!(said.contains("DSM_HEAP"), "{said}");
    let output = bench(&["--only", "no_such_line"]);
    assert_eq!(output.status.code(), Some(64));
}

fn measure(options: &[&str]) -> Value {
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("figures.json");
    let output = bench(&[options, &["--json", file.to_str().unwrap()]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?}: {said}");
    serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap()
}

fn bench(options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dsm"));
    command.args(["bench", "--rounds", "20"]).args(options);
    for name in dsm::SETTINGS {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn line<'a>(document: &'a Value, name: &str) -> &'a Value {
    let lines = document["lines"].as_array().unwrap();
    lines.iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("{name}: {document:#}"))
}
