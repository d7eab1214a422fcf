//! `dsm doctor`.

use std::process::Command;

#[test]
fn the_doctor_runs_a_job_and_tells_what_it_found() {
    let output = Command::new(env!("CARGO_BIN_EXE_dsm")).arg("doctor").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in
        ["ok  kernel ", "ok  dsmwrap ", "ok  a job                  two ranks on this machine"]
    {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    assert!(text.ends_with("\njobs can run here\n"), "{text}");
}

#[test]
fn the_doctor_says_when_no_job_can_run() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dsm"));
    // A region that cannot be.
    let output = command.arg("doctor").env("DSM_SIZE", "9999999T").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--  a job "), "{text}");
    assert!(text.ends_with("\nno job can run here\n"), "{text}");
}

#[test]
fn the_tool_knows_its_commands() {
    let run =
        |argument: &str| Command::new(env!("CARGO_BIN_EXE_dsm")).arg(argument).output().unwrap();
    assert_eq!(run("--help").status.code(), Some(0));
    assert_eq!(
        run("--version").stdout,
        concat!("dsm ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()
    );
    assert_eq!(run("no-such-command").status.code(), Some(64));
}
