//! What `--report` writes, and that the last line says what it says.

use crate::harness::{Ended, Place, text};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The report of a job that has ended; checked against what the job showed.
#[track_caller]
fn report(place: &Place, ended: &Ended) -> Value {
    let report: Value = serde_json::from_str(&place.read("report.json")).unwrap();
    let mode = fs::metadata(place.path("report.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{ended}");
    assert_eq!(report["exit_code"], json!(ended.status.code()), "{report:#} {ended}");
    let last = ended.stderr.lines().next_back().and_then(|line| line.strip_prefix("dsmexec: "));
    assert_eq!(report["reason"], json!(last), "{report:#} {ended}");
    let [started, over] = ["started_at", "ended_at"].map(|name| report[name].as_str().unwrap());
    assert!(started <= over && over.ends_with('Z') && over.len() == 24, "{report:#}");
    let beside = fs::read_dir(place.dir()).unwrap();
    let drafts = beside.filter(|it| {
        let name = it.as_ref().unwrap().file_name();
        name.to_str().unwrap().contains(".report.json")
    });
    assert_eq!(drafts.count(), 0, "a draft is left");
    report
}

#[track_caller]
fn check_field(report: &Value, field: &str, expected: &[Value]) {
    let seen: Vec<_> =
        report["ranks"].as_array().unwrap().iter().map(|rank| rank[field].clone()).collect();
    assert_eq!(seen, expected, "{field}: {report:#}");
}

const OPTIONS: [&str; 2] = ["--report", "report.json"];

#[test]
fn a_job_that_succeeds_is_reported_with_what_its_ranks_did() {
    let place = Place::local(3);
    let ended = place.run(&[&OPTIONS[..], &["--fault", "sigsegv"]].concat(), &[built("counts")]);
    ended.assert_code(0);
    let report = report(&place, &ended);
    check_field(&report, "end", &[json!("exited"), json!("exited"), json!("exited")]);
    check_field(&report, "exit_code", &[json!(0), json!(0), json!(0)]);
    check_field(&report, "host", &[json!("localhost"), json!("localhost"), json!("localhost")]);
    for rank in report["ranks"].as_array().unwrap() {
        assert!(rank["pid"].as_u64() > Some(1), "{rank:#}");
        assert!(rank["started_ms"].as_u64() <= rank["ended_ms"].as_u64(), "{rank:#}");
        assert!(rank["fault_engine"].as_str().unwrap().contains("sigsegv"), "{rank:#}");
        assert_eq!(rank["stats"]["barriers"], json!(4), "{rank:#}");
    }
    assert!(report["job"].as_str().is_some_and(|job| job.len() == 12), "{report:#}");
}

#[test]
fn each_way_to_end_is_told_apart_in_report_and_last_line() {
    let check = |deed: &str, code: i32, last: &str, end: &str, signal: Value| {
        let place = Place::local(2);
        // Both are known to run before one of them does anything.
        let wait = "echo ready; test $DSM_NODE_ID = 0 && exec tail -f /dev/null; read line;";
        let options = [&OPTIONS[..], &["--stdin", "1"]].concat();
        let mut running = place.start(&options, &["sh", "-c", &format!("{wait} {deed}")]);
        running.await_stdout("ready", 2);
        running.feed(b"go\n".to_vec());
        let ended = running.wait();
        ended.assert_code(code);
        let report = report(&place, &ended);
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.ends_with(last), "{reason}: {ended}");
        check_field(&report, "end", &[json!("ended_by_dsmexec"), json!(end)]);
        check_field(&report, "signal", &[json!("SIGTERM"), signal]);
    };
    check("exit 3", 3, "rank 1 (localhost) exited with code 3", "exited", Value::Null);
    check(
        "kill -SEGV $$",
        139,
        "rank 1 (localhost) was killed by signal 11 (SIGSEGV)",
        "killed",
        json!("SIGSEGV"),
    );
    check(
        "kill -KILL $PPID; exec tail -f /dev/null",
        75,
        "rank 1 (localhost) is lost: its dsmwrap was killed by signal 9 (SIGKILL)",
        "lost",
        Value::Null,
    );
}

#[test]
fn a_job_that_is_interrupted_is_reported() {
    let place = Place::local(2);
    let script = "echo ready; exec tail -f /dev/null";
    let mut running = place.start(&OPTIONS, &["sh", "-c", script]);
    running.await_stdout("ready", 2);
    running.signal(Signal::INT);
    let ended = running.wait();
    let report = report(&place, ended.assert_code(130));
    assert!(report["reason"].as_str().unwrap().ends_with("interrupted by signal 2 (SIGINT)"));
    check_field(&report, "signal", &[json!("SIGTERM"), json!("SIGTERM")]);
}

#[test]
fn a_job_that_cannot_start_is_reported_and_the_last_line_names_the_rank() {
    let place = Place::local(2);
    let ended = place.run(&OPTIONS, &["./nowhere"]);
    let report = report(&place, ended.assert_code(78));
    check_field(&report, "end", &[json!("not_started"), json!("not_started")]);
    check_field(&report, "pid", &[Value::Null, Value::Null]);
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains("no rank was started: rank 0 (localhost): cannot find program"));
}

#[test]
fn without_a_plan_there_is_a_report_too() {
    let place = Place::new("a b\n");
    let ended = place.run(&OPTIONS, &["true"]);
    let report = report(&place, ended.assert_code(78));
    assert_eq!((&report["job"], &report["ranks"]), (&Value::Null, &json!([])));
}

#[test]
fn a_report_that_cannot_be_created_stops_the_job_before_it_starts() {
    for path in ["/nowhere/report.json", "/dev/null", "."] {
        let place = Place::local(1);
        let ended = place.run(&["--report", path], &["touch", "started"]);
        ended
            .assert_code(74)
            .assert_stderr(&["dsmexec: cannot write report", "nothing was started"]);
        assert!(!place.path("started").exists(), "{ended}");
    }
}

#[test]
fn a_report_that_cannot_be_written_in_the_end_is_a_warning() {
    let place = Place::local(1);
    fs::create_dir(place.path("there")).unwrap();
    let options = ["--report", "there/report.json"];
    let ended = place.run(&options, &["rmdir", "there"]);
    ended.assert_code(0).assert_stderr(&["dsmexec: warning: cannot write the report: "]);
}

#[test]
fn a_dry_run_writes_no_report() {
    let place = Place::local(1);
    let ended = place.run(&[&OPTIONS[..], &["--dry-run"]].concat(), &["true"]);
    ended.assert_code(0);
    assert!(!place.path("report.json").exists(), "{ended}");
}

fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test").join(name);
    assert!(path.is_file(), "there is no {}: run `make test-programs` first", text(&path));
    path
}
