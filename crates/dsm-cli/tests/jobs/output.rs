//! What comes out, where, and how whole.

use crate::harness::{Place, Running};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn lines_are_tagged_with_rank_host_and_stream() {
    let place = Place::new("localhost\n127.0.0.1 # the same\n");
    let ended = place.sh(&[], "echo Hello World !; echo oops >&2");
    ended.assert_code(0);
    assert_eq!(
        ended.lines(),
        [
            "[Proc 0 : localhost : stdout] Hello World !",
            "[Proc 1 : 127.0.0.1 : stdout] Hello World !"
        ]
    );
    let mut errors: Vec<_> = ended.stderr.lines().collect();
    errors.sort_unstable();
    assert_eq!(
        errors,
        ["[Proc 0 : localhost : stderr] oops", "[Proc 1 : 127.0.0.1 : stderr] oops"]
    );
}

#[test]
fn tags_and_filters_choose_what_is_shown_and_the_log_has_all() {
    let check = |options: &[&str], stdout: &[&str], stderr: &[&str]| {
        let place = Place::local(4);
        let ended = place.sh(options, "echo out; echo err >&2");
        assert_eq!(ended.assert_code(0).lines(), stdout, "{ended}");
        let mut errors: Vec<_> = ended.stderr.lines().collect();
        errors.sort_unstable();
        assert_eq!(errors, stderr, "{ended}");
        let log = place.read("logs/dsm_output.log");
        let mut lines: Vec<_> = log.lines().filter(|line| line.starts_with('[')).collect();
        lines.sort_unstable();
        let all: Vec<_> = (0..4)
            .flat_map(|rank| {
                [("stderr", "err"), ("stdout", "out")]
                    .map(|(stream, text)| format!("[Proc {rank} : localhost : {stream}] {text}"))
            })
            .collect();
        assert_eq!(lines, all, "{log}");
    };
    check(&["--tag=none"], &["out"; 4], &["err"; 4]);
    check(
        &["--tag=rank", "--only", "0,2-3", "--stream=stdout"],
        &["[0] out", "[2] out", "[3] out"],
        &[],
    );
    check(&["--tag=rank", "--only=1", "--stream=stderr"], &[], &["[1] err"]);
}

#[test]
fn many_lines_of_many_ranks_stay_whole_and_in_order() {
    let place = Place::local(8);
    let lines = 4000;
    // Each line says who wrote it at both ends; printf writes whatever fits its buffer.
    let script = format!(
        "seq -f \"$DSM_NODE_ID %g xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx $DSM_NODE_ID\" {lines}"
    );
    let ended = place.sh(&[], &script);
    ended.assert_code(0);
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    for line in ended.stdout.lines() {
        let (tag, text) = line.split_once("] ").unwrap_or_else(|| panic!("no tag: {line:?}"));
        let words: Vec<_> = text.split(' ').collect();
        let rank: usize = words[0].parse().unwrap();
        assert_eq!(tag, format!("[Proc {rank} : localhost : stdout"), "{line:?}");
        let number = next.entry(rank).or_insert(1);
        assert_eq!(words[1].parse(), Ok(*number), "{line:?}");
        assert_eq!((words.len(), words[2].len(), words[3]), (4, 47, words[0]), "{line:?}");
        *number += 1;
    }
    assert_eq!(next, (0..8).map(|rank| (rank, lines + 1)).collect(), "lines are missing");
    let log = place.read("logs/dsm_output.log");
    assert_eq!(log.lines().filter(|line| line.starts_with('[')).count(), 8 * lines);
}

#[test]
fn a_line_of_8_mib_and_a_last_line_without_newline_survive() {
    let place = Place::local(2);
    let script = "head -c 8388608 /dev/zero | tr '\\0' $DSM_NODE_ID; echo; printf end";
    let ended = place.sh(&["--tag=rank"], script);
    ended.assert_code(0);
    let long = |rank: usize| format!("[{rank}] {}", rank.to_string().repeat(8 << 20));
    // Compared without printing them.
    let lines = ended.lines();
    assert_eq!(lines.len(), 4, "{ended}");
    assert!(lines[0] == long(0), "rank 0's line is not whole");
    assert!(lines[2] == long(1), "rank 1's line is not whole");
    assert_eq!((lines[1], lines[3]), ("[0] end", "[1] end"));
    assert!(ended.stdout.ends_with('\n'));
}

#[test]
fn bytes_that_are_no_text_pass_unchanged() {
    let place = Place::local(1);
    let mut command = place.command(&["--tag=none"], &["printf", "a\\377\\000\\033b\\r\\n"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.stdout, b"a\xff\0\x1bb\r\n");
}

#[test]
fn there_are_no_colours_where_there_is_no_terminal() {
    let place = Place::local(2);
    let ended = place.sh(&[], "echo plain; echo plain >&2");
    assert!(!ended.stdout.contains('\x1b') && !ended.stderr.contains('\x1b'), "{ended}");
}

#[test]
fn the_log_is_made_with_its_directory_and_is_of_one_job() {
    let place = Place::local(1);
    let log = || {
        let text = place.read("deep/er/log");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        assert!(lines[0].starts_with("dsmexec: job "), "{text}");
        lines[1..].to_vec()
    };
    place.sh(&["--log=deep/er/log", "--tag=none"], "echo one").assert_code(0);
    assert_eq!(log(), ["[Proc 0 : localhost : stdout] one"]);
    place.sh(&["--log=deep/er/log", "--tag=none"], "echo two").assert_code(0);
    assert_eq!(log(), ["[Proc 0 : localhost : stdout] two"]);
    assert!(!place.path("logs").exists());
    let other = Place::local(1);
    other.sh(&["--log=none"], "echo three").assert_code(0);
    assert!(!other.path("logs").exists());
}

#[test]
fn the_log_can_be_followed_while_the_job_runs() {
    let place = Place::local(1);
    let mut running = place.start(&[], &["sh", "-c", "echo early; read line; echo late"]);
    let stdin = running.hold_stdin();
    running.await_stdout("early", 1);
    assert!(place.read("logs/dsm_output.log").ends_with("[Proc 0 : localhost : stdout] early\n"));
    drop(stdin);
    running.wait().assert_code(0);
    assert!(place.read("logs/dsm_output.log").ends_with("[Proc 0 : localhost : stdout] late\n"));
}

#[test]
fn without_its_log_no_job_starts() {
    let place = Place::local(1);
    fs::write(place.path("logs"), "not a directory").unwrap();
    let ended = place.sh(&[], "touch started");
    ended
        .assert_code(74)
        .assert_stderr(&["dsmexec: cannot open log logs/dsm_output.log: ", "--log"]);
    assert!(!place.path("started").exists());
}

#[test]
fn a_full_disk_costs_the_log_its_lines_and_nothing_else() {
    let place = Place::local(1);
    let ended = place.sh(&["--log=/dev/full", "--tag=none"], "seq 5");
    assert_eq!(ended.assert_code(0).stdout, "1\n2\n3\n4\n5\n");
    let warning =
        "dsmexec: warning: 6 lines were not written to log /dev/full: no space left on device\n";
    assert_eq!(ended.stderr, warning);
}

#[test]
fn a_closed_reader_costs_lines_and_nothing_else() {
    let place = Place::local(2);
    let script = "\"$@\" | head -n 1; echo over";
    let mut command = Command::new("sh");
    let program = "seq 20000; echo $DSM_NODE_ID >>finished";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_dsmexec"), "--tag=none", "machines"]);
    command.args(["sh", "-c", program]).current_dir(place.path(""));
    let ended = Running::start(command).wait();
    ended.assert_code(0);
    assert!(ended.stdout.ends_with("over\n"), "{ended}");
    assert_eq!(place.read("finished").lines().count(), 2, "a rank did not finish: {ended}");
    ended.assert_stderr(&[
        "dsmexec: warning: ",
        " lines were not written to standard output: broken pipe",
    ]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
}

#[test]
fn a_reader_that_pauses_only_pauses_the_job() {
    let place = Place::local(2);
    // The reader waits until a rank has written far more than all buffers hold, or cannot write on.
    let script = "\"$@\" | { timeout 7 cat go 2>/dev/null; wc -l; }";
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path("go"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_dsmexec"), "--log=none", "machines"]);
    command.args(["seq", "-f", "%060.0f", "600000"]).current_dir(place.path(""));
    let ended = Running::start(command).wait();
    assert_eq!(ended.assert_code(0).stdout.trim(), "1200000");
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_dry_run_shows_the_plan_and_starts_nothing() {
    let place = Place::new("localhost\nme@host.invalid\n");
    let ended = place.run(&["--dry-run", "-x", "A=b c"], &["touch", "a file"]);
    ended.assert_code(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("job ") && lines[0].ends_with(": 2 ranks"), "{ended}");
    assert_eq!(lines[1], "program: touch 'a file'");
    assert_eq!(lines[3], "environment: A='b c'");
    assert!(lines[4].starts_with("rank 0 (localhost), direct: dsmwrap "), "{ended}");
    let ssh = "rank 1 (me@host.invalid), ssh: ssh -T -x -o 'BatchMode=yes' -o 'ConnectTimeout=10' me@host.invalid ";
    assert!(lines[5].starts_with(ssh), "{ended}");
    assert!(!place.path("a file").exists() && !place.path("logs").exists());
}

#[test]
fn each_step_is_told_on_demand() {
    let place = Place::local(2);
    let ended = place.run(&["-v"], &["true"]);
    ended.assert_code(0);
    for words in [
        ["dsmexec: ", " s: rank 1 (localhost): starting dsmwrap"],
        ["dsmexec: ", " s: rank 1 (localhost): listens at 127.0.0.1:"],
        ["dsmexec: ", " s: rank 1 (localhost): program runs as pid "],
        ["dsmexec: ", " s: rank 1 (localhost): program exited with code 0"],
    ] {
        ended.assert_stderr(&words);
    }
}
