//! Who gets standard input, and how fast.

use crate::harness::{Place, Running};

#[test]
fn standard_input_goes_to_one_rank_and_the_others_have_none() {
    let check = |options: &[&str], expected: [&str; 2]| {
        let place = Place::local(2);
        let mut running = place.start(options, &["sh", "-c", "echo $DSM_NODE_ID: $(cat)"]);
        running.feed(b"some words".to_vec());
        assert_eq!(running.wait().assert_code(0).lines(), expected);
    };
    check(&["--tag=none"], ["0: some words", "1:"]);
    check(&["--tag=none", "--stdin=1"], ["0:", "1: some words"]);
    check(&["--tag=none", "--stdin=none"], ["0:", "1:"]);
}

#[test]
fn much_input_arrives_whole_at_a_slow_reader() {
    let place = Place::local(1);
    let bytes: Vec<u8> =
        (0..5_000_000u32).flat_map(|n| (n % 251).to_le_bytes()).take(5_000_001).collect();
    let script = "head -c 1000 >got; dd bs=1000 count=500 >>got 2>/dev/null; cat >>got";
    let mut running = place.start(&[], &["sh", "-c", script]);
    running.feed(bytes.clone());
    running.wait().assert_code(0);
    assert!(std::fs::read(place.path("got")).unwrap() == bytes, "the bytes differ");
}

#[test]
fn a_program_that_stops_reading_does_not_hold_the_job() {
    let place = Place::local(2);
    let script = "yes | \"$@\"";
    let mut command = std::process::Command::new("sh");
    let dsmexec = env!("CARGO_BIN_EXE_dsmexec");
    command.args(["-c", script, "sh", dsmexec, "--tag=none", "machines", "head", "-n", "1"]);
    command.current_dir(place.path(""));
    let ended = Running::start(command).wait();
    assert_eq!(ended.assert_code(0).stdout, "y\n");
}

#[test]
fn an_open_terminal_or_pipe_does_not_hold_the_job() {
    let place = Place::local(2);
    let mut running = place.start(&["--tag=none"], &["sh", "-c", "exec <&-; echo done"]);
    let stdin = running.hold_stdin();
    assert_eq!(running.wait().assert_code(0).lines(), ["done", "done"]);
    drop(stdin);
}
