//! How jobs end, and that nothing is left of them.

use crate::harness::{Place, Running, Watched};
use rustix::process::Signal;
use std::time::Duration;

/// Everything is to be gone this long after the end began.
const GONE: Duration = Duration::from_secs(3);

/// Starts a job whose ranks, and children of theirs, run for ever; gives all their processes and the
/// dsmwraps above them.
fn endless(
    place: &Place,
    options: &[&str],
    prelude: &str,
) -> (Running, Vec<Watched>, Vec<Watched>) {
    let script = format!(
        "{prelude} tail -f /dev/null & echo program $$; echo child $!; echo wrapper $PPID; wait; wait"
    );
    let mut running = place.start(options, &["sh", "-c", &script]);
    let ranks = place.read("machines").lines().count();
    let mut programs = running.await_stdout("program", ranks);
    programs.extend(running.await_stdout("child", ranks));
    let wrappers = running.await_stdout("wrapper", ranks);
    (running, Watched::last_words(&programs), Watched::last_words(&wrappers))
}

/// The child of a program whose dsmwrap was killed is nobody's any more.
fn end_orphans(children: &[Watched]) {
    let left = children.iter().filter(|child| !child.is_gone_within(Duration::from_secs(1)));
    left.for_each(|child| child.kill(Signal::KILL));
}

#[test]
fn the_first_failing_rank_gives_the_exit_code_and_is_named() {
    let place = Place::local(3);
    let script = "test $DSM_NODE_ID = 1 && exit 3; tail -f /dev/null";
    let ended = place.sh(&[], script);
    ended
        .assert_code(3)
        .assert_stderr(&[
            "dsmexec: rank 1 (localhost) pid ",
            " exited with code 3; ending the other ranks",
        ])
        .assert_stderr(&[
            "dsmexec: job ",
            " failed with exit code 3: rank 1 (localhost) exited with code 3",
        ]);
    assert_eq!(ended.stderr.lines().count(), 2, "{ended}");
    assert!(place.read("logs/dsm_output.log").contains("failed with exit code 3"));
}

#[test]
fn a_rank_killed_by_a_signal_is_named_with_it() {
    let place = Place::local(2);
    let (running, programs, wrappers) = endless(&place, &[], "");
    programs[1].kill(Signal::KILL);
    let ended = running.wait();
    ended
        .assert_code(137)
        .assert_stderr(&["dsmexec: rank ", " was killed by signal 9 (SIGKILL); ending"]);
    Watched::assert_gone_within(&programs, GONE);
    Watched::assert_gone_within(&wrappers, GONE);
}

#[test]
fn output_written_before_a_failure_is_delivered() {
    let place = Place::local(2);
    let script =
        "test $DSM_NODE_ID = 1 && exec tail -f /dev/null; seq 1000; printf last; kill -SEGV $$";
    let ended = place.sh(&["--tag=none"], script);
    ended.assert_code(139);
    assert_eq!(ended.stdout.lines().count(), 1001, "{ended}");
    assert!(ended.stdout.ends_with("\nlast\n"), "{ended}");
}

#[test]
fn a_mebibyte_written_just_before_an_abort_is_delivered() {
    let script = "head -c 1048575 /dev/zero | tr '\\0' x; echo; kill -ABRT $$";
    let ended = Place::local(1).sh(&["--tag=none"], script);
    assert_eq!(ended.assert_code(134).stdout.len(), 1 << 20);
}

#[test]
fn ctrl_c_ends_everything() {
    let check = |signal: Signal, code: i32, name: &str| {
        let place = Place::local(2);
        let (running, programs, wrappers) = endless(&place, &[], "");
        running.signal(signal);
        let ended = running.wait();
        ended.assert_code(code).assert_stderr(&["dsmexec: interrupted by signal ", name]);
        assert!(ended.took < GONE, "{ended}");
        Watched::assert_gone_within(&programs, GONE);
        Watched::assert_gone_within(&wrappers, GONE);
    };
    check(Signal::INT, 130, "2 (SIGINT); ending all ranks");
    check(Signal::TERM, 143, "15 (SIGTERM); ending all ranks");
    check(Signal::HUP, 129, "1 (SIGHUP); ending all ranks");
}

#[test]
fn a_program_that_ignores_sigterm_is_killed() {
    let place = Place::local(2);
    let (running, programs, wrappers) = endless(&place, &[], "trap '' TERM;");
    running.signal(Signal::INT);
    let ended = running.wait();
    ended.assert_code(130);
    assert!(ended.took > Duration::from_secs(1) && ended.took < Duration::from_secs(4), "{ended}");
    Watched::assert_gone_within(&programs, GONE);
    Watched::assert_gone_within(&wrappers, GONE);
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let place = Place::local(2);
    let (mut running, programs, wrappers) = endless(&place, &[], "trap '' TERM;");
    running.signal(Signal::INT);
    running.await_stderr("ending all ranks", 1);
    // Sooner, it would be taken for an echo of the first.
    assert!(!wrappers[0].is_gone_within(Duration::from_millis(300)));
    running.signal(Signal::INT);
    let ended = running.wait();
    ended.assert_code(130).assert_stderr(&["dsmexec: killing what is left"]);
    assert!(ended.took < Duration::from_millis(1500), "{ended}");
    Watched::assert_gone_within(&programs, GONE);
}

#[test]
fn ctrl_z_does_not_stop_the_job() {
    let place = Place::local(1);
    let mut running = place.start(&["--tag=none"], &["sh", "-c", "echo ready; cat"]);
    let stdin = running.hold_stdin();
    running.await_stdout("ready", 1);
    running.signal(Signal::TSTP);
    running.await_stderr("dsmexec: the job goes on", 1);
    drop(stdin);
    running.wait().assert_code(0);
}

#[test]
fn nothing_outlives_dsmexec() {
    let place = Place::local(3);
    let (running, programs, wrappers) = endless(&place, &[], "");
    running.signal(Signal::KILL);
    Watched::assert_gone_within(&programs, GONE);
    Watched::assert_gone_within(&wrappers, GONE);
    drop(running);
}

#[test]
fn nothing_outlives_dsmexec_even_if_it_ignores_sigterm() {
    let place = Place::local(1);
    let (running, programs, wrappers) = endless(&place, &[], "trap '' TERM HUP;");
    running.signal(Signal::KILL);
    Watched::assert_gone_within(&programs, GONE);
    Watched::assert_gone_within(&wrappers, GONE);
    drop(running);
}

#[test]
fn a_program_does_not_outlive_its_dsmwrap_and_the_job_ends() {
    let place = Place::local(2);
    let (running, programs, wrappers) = endless(&place, &[], "");
    wrappers[0].kill(Signal::KILL);
    let ended = running.wait();
    ended.assert_code(75).assert_stderr(&[
        "dsmexec: rank ",
        " is lost: its dsmwrap was killed by signal 9 (SIGKILL); ending the other ranks",
    ]);
    Watched::assert_gone_within(&programs[..2], GONE);
    end_orphans(&programs[2..]);
}

#[test]
fn a_silent_dsmwrap_is_a_lost_host() {
    let place = Place::local(2);
    let (running, programs, wrappers) = endless(&place, &[], "");
    wrappers[0].kill(Signal::STOP);
    let ended = running.wait();
    ended
        .assert_code(75)
        .assert_stderr(&["dsmexec: rank ", " is lost: its host was silent for 4 s; ending"]);
    Watched::assert_gone_within(&programs[..2], GONE);
    Watched::assert_gone_within(&wrappers, GONE);
    end_orphans(&programs[2..]);
}

#[test]
fn a_stopped_program_is_ended_too() {
    let place = Place::local(2);
    let (running, programs, _) = endless(&place, &[], "");
    programs[0].kill(Signal::STOP);
    running.signal(Signal::INT);
    let ended = running.wait();
    ended.assert_code(130);
    assert!(ended.took < GONE, "{ended}");
    Watched::assert_gone_within(&programs, GONE);
}

#[test]
fn a_child_that_keeps_the_output_open_does_not_hold_the_job_and_is_killed() {
    let place = Place::local(2);
    let script = "tail -f /dev/null & echo child $!; exit 0";
    let mut running = place.start(&[], &["sh", "-c", script]);
    let children = Watched::last_words(&running.await_stdout("child", 2));
    let ended = running.wait();
    ended.assert_code(0);
    assert!(ended.took < Duration::from_secs(3), "{ended}");
    Watched::assert_gone_within(&children, GONE);
}

#[test]
fn a_child_that_left_the_group_does_not_hold_the_job() {
    let place = Place::local(1);
    let script = "setsid tail -f /dev/null & echo child $!; exit 0";
    let mut running = place.start(&[], &["sh", "-c", script]);
    let children = Watched::last_words(&running.await_stdout("child", 1));
    let ended = running.wait();
    ended.assert_code(0);
    assert!(ended.took < Duration::from_secs(3), "{ended}");
    children[0].kill(Signal::KILL);
}

#[test]
fn a_job_ends_well_where_the_ends_of_children_are_ignored() {
    let place = Place::local(2);
    let mut command = std::process::Command::new("env");
    let dsmexec = env!("CARGO_BIN_EXE_dsmexec");
    command.args(["--ignore-signal=CHLD", dsmexec, "machines", "sh", "-c", "exit 3"]);
    command.current_dir(place.path(""));
    Running::start(command).wait().assert_code(3).assert_stderr(&["exited with code 3"]);
}

#[test]
fn what_is_started_to_ignore_a_hangup_ignores_it() {
    let place = Place::local(1);
    let mut command = std::process::Command::new("sh");
    let dsmexec = env!("CARGO_BIN_EXE_dsmexec");
    let script = "trap '' HUP; exec \"$@\"";
    command.args(["-c", script, "sh", dsmexec, "--tag=none", "machines"]);
    command.args(["sh", "-c", "echo ready; cat"]).current_dir(place.path(""));
    let mut running = Running::start(command);
    let stdin = running.hold_stdin();
    running.await_stdout("ready", 1);
    running.signal(Signal::HUP);
    drop(stdin);
    running.wait().assert_code(0);
}
