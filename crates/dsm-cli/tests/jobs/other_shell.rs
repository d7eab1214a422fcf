//! The way through ssh, with scripts in its place: they drop what ssh understands and run the command
//! with a shell, as sshd does.

use crate::harness::{Ended, Place, Running, Watched, text};
use rustix::process::Signal;
use std::fs;
use std::time::Duration;

/// Runs `program` on two ranks of host `other` through a shell of this text; `$1` is the host and `$2`
/// the command.
fn through(shell: &str, options: &[&str], program: &[&str]) -> (Place, Ended) {
    let place = Place::new("other address=127.0.0.1\nother address=127.0.0.1\n");
    let script = place.script("shell", shell);
    let command = format!("'{}'", text(&script));
    let mut all = vec!["--ssh-command", &command];
    all.extend(options);
    let ended = place.run(&all, program);
    (place, ended)
}

#[test]
fn a_program_runs_through_a_shell_and_noise_before_it_is_skipped() {
    let (_place, ended) =
        through("echo Welcome to $1; echo note >&2; exec sh -c \"$2\"", &[], &["echo", "hi"]);
    ended.assert_code(0);
    assert_eq!(ended.lines(), ["[Proc 0 : other : stdout] hi", "[Proc 1 : other : stdout] hi"]);
    assert_eq!(ended.stderr, "", "a banner is no error");
}

#[test]
fn the_command_may_come_from_the_environment() {
    let place = Place::new("other address=127.0.0.1\n");
    place.script("mine", "echo \"$1\" >>hosts; exec sh -c \"$2\"");
    place.script("theirs", "exit 255");
    let mut command = place.command(&[], &["true"]);
    command.env("DSM_SSH", "./mine");
    Running::start(command).wait().assert_code(0);
    let mut command = place.command(&["--ssh-command=./mine"], &["true"]);
    command.env("DSM_SSH", "./theirs");
    Running::start(command).wait().assert_code(0);
    assert_eq!(place.read("hosts"), "other\nother\n");
}

#[test]
fn at_most_eight_hosts_are_logged_in_to_at_once() {
    let place = Place::new(&"other address=127.0.0.1\n".repeat(20));
    // A slow login counts those that have begun and not greeted.
    let shell =
        "mkdir -p under; : >under/$$; ls under | wc -l >>counts; timeout 0.3 tail -f /dev/null
        rm under/$$; exec sh -c \"$2\"";
    let shell = place.script("shell", shell);
    let ended = place.run(&["--ssh-command", &format!("'{}'", text(&shell))], &["true"]);
    ended.assert_code(0);
    let counts = place.read("counts");
    let most = counts.lines().map(|count| count.trim().parse::<u32>().unwrap()).max();
    assert!(most.is_some_and(|most| (2..=8).contains(&most)), "{counts}");
    assert_eq!(counts.lines().count(), 20);
}

#[test]
fn another_version_of_dsmwrap_is_told_by_its_number() {
    let hello = "\\0dsmwrap\\013\\000\\000\\000\\000\\143\\0039.9\\001x\\001\\000\\000";
    let shell = format!("printf '{hello}'; exec tail -f /dev/null");
    let (_place, ended) = through(&shell, &[], &["true"]);
    ended.assert_code(78).assert_stderr(&[
        "dsmexec: rank 0 (other): dsmwrap 9.9 there speaks launch protocol 99, dsmexec ",
        &format!(" speaks {} (and 1 more rank there)", dsm_net::launch::VERSION),
    ]);
}

#[test]
fn ctrl_c_ends_the_waiting_for_a_host() {
    let place = Place::new("other\n");
    let shell = place.script("shell", "echo $$ >pid; mv pid there; exec tail -f /dev/null");
    let options = ["-v", "--ssh-command", &format!("'{}'", text(&shell))];
    let mut running = place.start(&options, &["true"]);
    running.await_stderr("starting ssh", 1);
    running.signal(Signal::INT);
    let ended = running.wait();
    ended.assert_code(130).assert_stderr(&[
        "failed with exit code 130: interrupted by signal 2 (SIGINT) before any rank was started",
    ]);
    assert!(ended.took < Duration::from_secs(5), "{ended}");
}

#[test]
fn ssh_gets_its_options_and_the_host_before_the_command() {
    let place = Place::new("me@other address=127.0.0.1\n");
    place.script("ssh", "printf '%s\\n' \"$@\" >arguments; while [ \"$1\" != me@other ]; do shift; done; exec sh -c \"$2\"");
    let ended = place.run(&["--ssh-command", "./ssh -p 2222 -o 'A B'"], &["true"]);
    ended.assert_code(0);
    let arguments = place.read("arguments");
    let expected = "-p\n2222\n-o\nA B\n-T\n-x\n-o\nBatchMode=yes\n-o\nConnectTimeout=10\nme@other\nexec sh -c ";
    assert!(arguments.starts_with(expected), "{arguments}");
}

#[test]
fn a_failure_of_ssh_is_told_once_per_host_and_starts_nothing() {
    let check = |shell: &str, code: i32, what: &str| {
        let (place, ended) = through(shell, &["--connect-timeout=2"], &["touch", "started"]);
        ended
            .assert_code(code)
            .assert_stderr(&["dsmexec: rank 0 (other): ", what, " (and 1 more rank there)"])
            .assert_stderr(&["dsmexec: job ", "no rank was started"]);
        assert_eq!(ended.stderr.lines().count(), 2, "{ended}");
        assert!(!place.path("started").exists());
        assert!(ended.took < Duration::from_secs(10), "{ended}");
    };
    let denied = "me@other: Permission denied (publickey).";
    check(&format!("echo '{denied}' >&2; exit 255"), 69, denied);
    let unknown = "ssh: Could not resolve hostname other: Name or service not known";
    check(&format!("echo '{unknown}' >&2; exit 255"), 68, unknown);
    check("exit 255", 69, "ssh failed");
    check("exec sh -c no-such-dsmwrap", 69, "dsmwrap is not found there: ");
    check(
        "echo 'This account is closed.'; exit 1",
        69,
        "ended with code 1 before it began: This account is closed.",
    );
    check("kill -9 $$", 69, "killed by signal 9 (SIGKILL) before it began");
    check("exec tail -f /dev/null", 69, "not reached within 2 s: no answer");
    check("exec yes", 69, "over 64 KiB of other text came where dsmwrap greets: y");
    check(
        "printf '\\0dsmwrap\\005\\000\\000\\000hello'; exec tail -f /dev/null",
        78,
        "dsmwrap there is of another version",
    );
}

#[test]
fn a_command_that_is_not_there_is_told() {
    let place = Place::new("other address=127.0.0.1\n");
    let ended = place.run(&["--ssh-command=./no-such-ssh"], &["true"]);
    ended
        .assert_code(69)
        .assert_stderr(&["dsmexec: rank 0 (other): cannot start ssh: no such file"]);
}

#[test]
fn dsm_bin_is_where_dsmwrap_must_be() {
    let place = Place::new("other address=127.0.0.1\n");
    let shell = place.script("shell", "exec sh -c \"$2\"");
    let shell = format!("'{}'", text(&shell));
    let run = |bin: &str| {
        let mut command =
            place.command(&["--ssh-command", &shell, "--tag=none"], &["sh", "-c", "echo $DSM_BIN"]);
        command.env("DSM_BIN", bin);
        Running::start(command).wait()
    };
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_dsmwrap")).parent().unwrap();
    assert_eq!(run(text(bin)).assert_code(0).stdout, format!("{}\n", bin.display()));
    run("/nowhere")
        .assert_code(69)
        .assert_stderr(&["dsmwrap is not found there: ", "/nowhere/dsmwrap"]);
}

#[test]
fn the_address_of_another_machine_must_be_known() {
    let place = Place::new("localhost\nother\n");
    let shell = place.script("shell", "exec sh -c \"$2\"");
    let ended = place.run(&["--ssh-command", &format!("'{}'", text(&shell))], &["true"]);
    ended
        .assert_code(78)
        .assert_stderr(&["dsmexec: rank 1 (other): no address is known", "address=IP"]);
}

#[test]
fn what_ssh_says_later_is_shown_with_the_rank() {
    let (_place, ended) =
        through("(exec sh -c \"$2\"); echo Connection closed >&2", &[], &["true"]);
    ended.assert_code(0);
    ended.assert_stderr(&["dsmexec: rank 1 (other): Connection closed"]);
}

#[test]
fn killing_ssh_loses_the_rank_and_ends_it_by_itself() {
    let place = Place::new("other address=127.0.0.1\nother address=127.0.0.1\n");
    // Like ssh, it is between dsmexec and dsmwrap, and the pipes end with it.
    let shell = place.script("shell", "echo $$ >>shells; cat | (exec sh -c \"$2\") | cat");
    let mut running = place.start(
        &["--ssh-command", &format!("'{}'", text(&shell))],
        &["sh", "-c", "echo program $$; exec tail -f /dev/null"],
    );
    let programs = Watched::last_words(&running.await_stdout("program", 2));
    let shells: Vec<_> =
        fs::read_to_string(place.path("shells")).unwrap().lines().map(str::to_owned).collect();
    let group = shells[0].parse().unwrap();
    let group = rustix::process::Pid::from_raw(group).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    let ended = running.wait();
    ended
        .assert_code(75)
        .assert_stderr(&["dsmexec: rank ", " is lost: its ssh was killed by signal 9 (SIGKILL)"]);
    Watched::assert_gone_within(&programs, Duration::from_secs(3));
}
