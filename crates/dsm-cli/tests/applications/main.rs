//! `bench/applications`: that all versions of all kernels run and give the same result, and what it writes. How long anything
//! takes is measured there and asserted nowhere.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what a test takes for granted fails the test")]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

#[test]
fn all_kernels_are_right_and_the_document_has_the_documented_fields() {
    let (document, table) = measure(&[]);
    assert_eq!(document["format"], 1);
    assert_eq!(document["size"], "tiny");
    assert_eq!(document["rounds"], 1);
    assert!(document["about"].as_array().unwrap().iter().all(Value::is_string), "{document:#}");
    let kernels = document["kernels"].as_array().unwrap();
    let names: Vec<_> = kernels.iter().map(|kernel| kernel["kernel"].as_str().unwrap()).collect();
    assert_eq!(names, KERNELS);
    for kernel in kernels {
        check_fields(kernel, document["mpi"].as_bool().unwrap());
        assert!(table.contains(kernel["kernel"].as_str().unwrap()), "{table}");
    }
}

/// The JSON has exactly these fields, for each way to run the kernel its times, and counts where they are counted.
#[track_caller]
fn check_fields(kernel: &Value, has_mpi: bool) {
    let mut fields: Vec<&str> = kernel.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, FIELDS, "{kernel:#}");
    for way in ["plain", "dsm_1", "dsm_2", "tcp_2", "mpi_2"] {
        let is_there = way != "mpi_2" || has_mpi;
        for figure in ["s", "processor_s"] {
            assert_eq!(
                kernel[format!("{way}_{figure}")].is_number(),
                is_there,
                "{way}: {kernel:#}"
            );
        }
        let runs = kernel[format!("{way}_runs_s")].as_array().unwrap();
        assert_eq!(runs.len(), usize::from(is_there), "{way}: {kernel:#}");
    }
    for ratio in ["one_rank_ratio", "speed_up", "messages_ratio", "messages_processor_ratio"] {
        assert!(kernel[ratio].is_number(), "{ratio}: {kernel:#}");
    }
    for count in ["faults", "pages_in", "messages", "bytes", "tcp_messages", "tcp_bytes"] {
        assert!(kernel[count].as_u64().unwrap() > 0, "{count}: {kernel:#}");
    }
    for none in ["tcp_faults", "tcp_pages_in"] {
        assert_eq!(kernel[none], 0, "{kernel:#}");
    }
    assert_eq!(kernel["ok"].is_null(), kernel["promise"] == "none", "{kernel:#}");
}

#[test]
fn only_takes_some_of_the_programs() {
    let (document, _) = measure(&["--only", "ep,lu"]);
    let kernels = document["kernels"].as_array().unwrap();
    let programs: Vec<_> = kernels.iter().map(|kernel| &kernel["program"]).collect();
    assert_eq!(programs, ["ep", "lu", "lu"]);
}

#[test]
fn mistakes_are_told() {
    for (arguments, words) in [
        (&["--only", "chess"][..], "--only takes some of barnes,ep,isort,jacobi,lu,matmul"),
        (&["--rounds", "0"], "--rounds takes a number from 1 up"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
}

/// The document and the table of a run with tiny kernels.
fn measure(arguments: &[&str]) -> (Value, String) {
    let place = TempDir::with_prefix("dsm applications ").unwrap();
    let file = place.path().join("figures.json");
    let mut words = vec!["--tiny", "--json", file.to_str().unwrap()];
    words.extend(arguments);
    let output = run(&words);
    assert!(output.status.success(), "{output:?}");
    let document = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    (document, String::from_utf8(output.stdout).unwrap())
}

/// `bench/applications`, which ends each program that it starts after two minutes.
fn run(arguments: &[&str]) -> Output {
    let built = root().join("bin/bench/tcp/jacobi");
    assert!(built.is_file(), "there is no {}: run `make test-programs`", built.display());
    Command::new(root().join("bench/applications")).args(arguments).output().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

const KERNELS: [&str; 9] = [
    "jacobi",
    "matrix product",
    "integer sort",
    "EP",
    "LU, contiguous",
    "n-body",
    "LU by rows",
    "sort, scattered",
    "jacobi by columns",
];

const FIELDS: [&str; 33] = [
    "arguments",
    "bytes",
    "dsm_1_processor_s",
    "dsm_1_runs_s",
    "dsm_1_s",
    "dsm_2_processor_s",
    "dsm_2_runs_s",
    "dsm_2_s",
    "faults",
    "kernel",
    "messages",
    "messages_processor_ratio",
    "messages_ratio",
    "mpi_2_processor_s",
    "mpi_2_runs_s",
    "mpi_2_s",
    "ok",
    "one_rank_ratio",
    "pages_in",
    "plain_processor_s",
    "plain_runs_s",
    "plain_s",
    "program",
    "promise",
    "result",
    "speed_up",
    "tcp_2_processor_s",
    "tcp_2_runs_s",
    "tcp_2_s",
    "tcp_bytes",
    "tcp_faults",
    "tcp_messages",
    "tcp_pages_in",
];
