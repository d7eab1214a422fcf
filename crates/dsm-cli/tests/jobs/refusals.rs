//! What is refused before anything is started, and how it is said.

use crate::harness::{Place, Running};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[track_caller]
fn check(machines: &str, options: &[&str], program: &[&str], code: i32, words: &[&str]) {
    let place = Place::new(machines);
    fs::write(place.path("plain"), "").unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    let ended = place.run(options, program);
    ended.assert_code(code).assert_stderr(words);
    assert_eq!(ended.stdout, "", "{ended}");
}

#[test]
fn a_machine_file_error_names_file_line_and_expectation() {
    let host = ["dsmexec: machines:2: host ", ", expected "];
    check("localhost\n-oProxyCommand=touch x\n", &[], &["true"], 78, &host);
    check("localhost\na:22\n", &[], &["true"], 78, &host);
    check(
        "localhost slots=0\n",
        &[],
        &["true"],
        78,
        &["dsmexec: machines:1: slots=\"0\", expected "],
    );
    check("# nobody\n", &[], &["true"], 78, &["dsmexec: machines: no host in it, expected "]);
    let few = ["dsmexec: machines: it has 2 ranks, expected at least the 3 asked for"];
    check("localhost\nlocalhost\n", &["-n", "3"], &["true"], 78, &few);
}

#[test]
fn a_missing_machine_file_is_named() {
    let place = Place::local(1);
    fs::remove_file(place.path("machines")).unwrap();
    let words = ["dsmexec: cannot read machine file machines: no such file or directory"];
    place.run(&[], &["true"]).assert_code(78).assert_stderr(&words);
}

#[test]
fn a_program_that_cannot_be_started_is_told_once_per_host() {
    let two = "localhost\nlocalhost\n";
    let more = " (and 1 more rank there)";
    let rank = "dsmexec: rank 0 (localhost): ";
    let check = |options: &[&str], program: &str, code: i32, what: &str| {
        check(two, options, &[program], code, &[rank, what, more]);
        check(two, options, &[program], code, &["dsmexec: job ", "no rank was started"]);
    };
    check(&[], "./none", 78, "cannot find program ./none: no such file or directory");
    check(&[], "no-such-program", 78, "cannot find program no-such-program: not found on PATH (");
    check(&[], "./plain", 77, "cannot execute ./plain: permission denied");
    check(&[], "./dir", 78, "cannot find program ./dir: is a directory");
    check(&["--wdir=/nowhere"], "true", 78, "cannot enter directory /nowhere: no such file");
    check(&["--wdir=plain"], "true", 78, "plain: not a directory");
}

#[test]
fn a_program_missing_on_one_host_starts_nowhere() {
    let place = Place::new("localhost\nother address=127.0.0.1\n");
    // The other host's dsmwrap is in another root of the file system, as far as PATH goes.
    let shell = place.script("shell", "shift; PATH=/nowhere; export PATH; exec /bin/sh -c \"$1\"");
    fs::create_dir(place.path("bin")).unwrap();
    place.script("bin/program", "touch started");
    let shell = shell.to_str().unwrap().replace(' ', "\\ ");
    let mut command = place.command(&["--ssh-command", &shell], &["program"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", place.path("bin").display()));
    let ended = Running::start(command).wait();
    ended.assert_code(69).assert_stderr(&["dsmexec: rank 1 (other): dsmwrap is not found there"]);
    assert!(!place.path("started").exists());
}

#[test]
fn what_the_kernel_cannot_execute_is_told_by_the_host() {
    let place = Place::local(2);
    fs::write(place.path("broken"), b"\x7fELF but not really").unwrap();
    fs::set_permissions(place.path("broken"), fs::Permissions::from_mode(0o755)).unwrap();
    place.run(&[], &["./broken"]).assert_code(78).assert_stderr(&[
        "dsmexec: rank ",
        " (localhost): cannot execute ",
        "broken: exec format error",
    ]);
}

#[test]
fn usage_errors_say_what_was_expected() {
    let one = "localhost\n";
    check(one, &["--only=x"], &["true"], 64, &["expected ranks such as 0,2-3"]);
    check(one, &["--size=1X"], &["true"], 64, &["expected bytes, or a number with K, M, G or T"]);
    check(one, &["--stdin=1"], &["true"], 64, &["dsmexec: --stdin 1: the job has ranks 0 to 0"]);
    check(one, &["--no-such-option"], &["true"], 64, &["--no-such-option"]);
    check(one, &[], &[], 64, &["PROGRAM"]);
    check(
        one,
        &["--ssh-command", "'"],
        &["true"],
        78,
        &["dsmexec: cannot use the command for ssh: "],
    );
}

#[test]
fn settings_of_the_environment_are_checked_as_flags_are() {
    let place = Place::local(1);
    let mut command = place.command(&[], &["true"]);
    command.env("DSM_SIZE", "many");
    let words = ["dsmexec: DSM_SIZE is \"many\": expected bytes, or a number with K, M, G or T"];
    Running::start(command).wait().assert_code(78).assert_stderr(&words);
    let mut command = place.command(&["--size=1M"], &["true"]);
    command.env("DSM_SIZE", "many");
    Running::start(command).wait().assert_code(0);
}

#[test]
fn a_host_that_is_not_this_machine_needs_ssh() {
    let words = ["dsmexec: rank 0 (192.0.2.1) is not on this machine, and --ssh=never forbids"];
    check("192.0.2.1\n", &["--ssh=never"], &["true"], 78, &words);
}

#[test]
fn a_variable_that_is_not_set_is_a_warning() {
    let place = Place::local(1);
    let ended = place.run(&["-x", "NO_SUCH_VARIABLE"], &["true"]);
    ended
        .assert_code(0)
        .assert_stderr(&["dsmexec: warning: -x NO_SUCH_VARIABLE: it is not set here"]);
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::local(1);
    let help = place.run(&["--help"], &["x"]);
    help.assert_code(0);
    for words in
        ["Usage: dsmexec [OPTIONS] MACHINE_FILE PROGRAM [ARGS]...", "Examples:", "Exit codes:"]
    {
        assert!(help.stdout.contains(words), "{help}");
    }
    let version = place.run(&["--version"], &["x"]);
    assert_eq!(version.assert_code(0).stdout, concat!("dsmexec ", env!("CARGO_PKG_VERSION"), "\n"));
}
