//! Row: the disk of the log is full or read-only, standard output is closed or slow: the job is unaffected, and one warning
//! counts the lost lines.

use crate::case::{ENGINES, Over, Place, program, side_by_side};
use dsm_lab::Stream;

#[test]
fn the_disk_is_full() {
    // There is room for the log's file, and none in it.
    let full = "dd if=/dev/zero of=logs/full bs=4k count=1 status=none";
    check_log(&format!("mkdir logs && mount -t tmpfs -o size=4k tmpfs logs && {full}"), NO_SPACE);
    // There is no room for a file.
    check_log("mkdir logs && mount -t tmpfs -o nr_inodes=1 tmpfs logs", NO_SPACE);
}

#[test]
fn the_disk_is_read_only() {
    check_log("mkdir logs && mount -t tmpfs -o ro tmpfs logs", READ_ONLY);
    // There is no directory for the log, either.
    check_log("mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\"", READ_ONLY);
}

#[test]
fn the_disk_fills_up() {
    side_by_side(&ENGINES, |engine| {
        let prelude = "mkdir logs && mount -t tmpfs -o size=16k tmpfs logs";
        let Some(place) = Place::local(3).prepared(prelude) else { return String::new() };
        let over = place.start(&["--fault", engine], &[&program("fail_output"), "400"]).finish();
        let lost = expect_warned(&over, "log logs/dsm_output.log", NO_SPACE);
        expect_all_shown(&over);
        assert!(lost < 3 * LINES, "some lines had room\n{}", over.report());
        format!("log of 16 KiB {engine:8} {lost} lines lost")
    });
}

#[test]
fn standard_output_is_closed() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        // The reader has gone before anything is written.
        let script = "mkfifo gone; { read -r line <gone; \"$@\"; echo $? >code; } | echo >gone; read -r code <code; exit $code";
        let command = place.command(
            &["sh", "-c", script, "sh"],
            &["--fault", engine, "--log=log"],
            &[&program("fail_output"), "400"],
        );
        let over = place.start_command(command).finish();
        let lost = expect_warned(&over, "standard output", "broken pipe");
        assert_eq!(lost, 3 * (LINES + 1), "{}", over.report());
        let log = place.read("log");
        assert_eq!(log.matches(": stdout] fail_output: right\n").count(), 3, "{log}");
        format!("no reader {engine:8} {lost} lines lost")
    });
}

/// The reader begins when the program has ended.
#[test]
fn standard_output_is_slow() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let script = "mkfifo over; { \"$@\"; echo $? >code; } | { read -r line <over; cat; }; read -r code <code; exit $code";
        let last = "\"$0\" \"$1\" || exit; test $DSM_NODE_ID != 0 || echo >over";
        let command = place.command(
            &["sh", "-c", script, "sh"],
            &["--fault", engine, "--log=none"],
            &["sh", "-c", last, &program("fail_output"), "400"],
        );
        let over = place.start_command(command).finish();
        over.expect_success();
        expect_all_shown(&over);
        assert_eq!(over.texts(Stream::Stderr).count(), 0, "{}", over.report());
        format!("slow reader {engine:8} no line lost")
    });
}

/// A job with a log that has no room for a line.
fn check_log(prelude: &str, cause: &str) {
    side_by_side(&ENGINES, |engine| {
        let Some(place) = Place::local(3).prepared(prelude) else { return String::new() };
        let over = place.start(&["--fault", engine], &[&program("fail_output"), "400"]).finish();
        let lost = expect_warned(&over, "log logs/dsm_output.log", cause);
        expect_all_shown(&over);
        assert!(lost >= 3 * (LINES + 1), "no line had room\n{}", over.report());
        format!("log: {cause} {engine:8} {lost} lines lost")
    });
}

/// The job did well, and standard error has one line: how many were not written there. Gives the number.
#[track_caller]
fn expect_warned(over: &Over, to: &str, cause: &str) -> usize {
    over.expect_success();
    let errors: Vec<_> = over.texts(Stream::Stderr).collect();
    let [warning] = errors[..] else { panic!("not one warning\n{}", over.report()) };
    let lost = warning.strip_prefix("dsmexec: warning: ").and_then(|rest| rest.split_once(' '));
    let (lost, rest) = lost.unwrap_or_else(|| panic!("no warning\n{}", over.report()));
    assert_eq!(rest, format!("lines were not written to {to}: {cause}"), "{}", over.report());
    lost.parse().unwrap()
}

#[track_caller]
fn expect_all_shown(over: &Over) {
    for rank in 0..3 {
        let lines = (1..=LINES).map(|n| format!("line {n}"));
        let expected: Vec<_> = lines.chain(["fail_output: right".to_owned()]).collect();
        assert_eq!(over.rank(rank), expected, "{}", over.report());
    }
}

const LINES: usize = 400;
const NO_SPACE: &str = "no space left on device";
const READ_ONLY: &str = "read-only file system";
