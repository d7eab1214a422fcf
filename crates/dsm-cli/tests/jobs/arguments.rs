//! What a program finds when it starts.

use crate::harness::{Place, text};
use std::fs;

const TRICKY: [&str; 9] =
    ["", " a  b ", "it's", "\"q\"", "$HOME `x`", "a;b|c&d", "line\nline", "*", "\\n\t\u{e9}"];

/// Every tricky word arrives as argument and in the environment, and the directory may be one too.
fn check_data_arrives(options: &[&str]) {
    let place = Place::new("localhost\nlocalhost address=127.0.0.1\n");
    let directory = place.path("a dir; with 'all' \"of\" $it\nreally");
    fs::create_dir(&directory).unwrap();
    let script =
        r#"{ printf '<%s>' "$@"; printf '[%s]' "$TRICKY" "$MINE"; pwd; } > "out $DSM_NODE_ID""#;
    let mine = TRICKY.concat();
    let export = format!("TRICKY={mine}");
    let mut all = options.to_vec();
    all.extend(["--wdir", text(&directory), "-x", &export, "-x", "MINE"]);
    let program = [&["sh", "-c", script, "sh"][..], &TRICKY].concat();
    let mut command = place.command(&all, &program);
    command.env("MINE", &mine);
    crate::harness::Running::start(command).wait().assert_code(0);
    let arguments: String = TRICKY.map(|word| format!("<{word}>")).concat();
    let expected = format!("{arguments}[{mine}][{mine}]{}\n", directory.display());
    for rank in 0..2 {
        assert_eq!(fs::read_to_string(directory.join(format!("out {rank}"))).unwrap(), expected);
    }
}

#[test]
fn data_arrives_unchanged() {
    check_data_arrives(&[]);
}

#[test]
fn data_arrives_unchanged_through_another_shell() {
    let place = Place::local(1);
    let shell = place.script("shell", "shift; exec sh -c \"$1\"");
    check_data_arrives(&["--ssh=always", "--ssh-command", &format!("'{}'", text(&shell))]);
}

#[test]
fn a_rank_knows_its_number() {
    let place = Place::local(3);
    let ended = place.sh(&["--tag=none"], "echo $DSM_NODE_ID of $DSM_NODE_NUM");
    assert_eq!(ended.assert_code(0).lines(), ["0 of 3", "1 of 3", "2 of 3"]);
}

#[test]
fn a_program_is_found_in_dsm_bin_first_then_on_path_and_runs_under_the_name_given() {
    let place = Place::local(1);
    fs::create_dir(place.path("bin")).unwrap();
    place.script("bin/hostname", "echo mine; exec true");
    let mut command = place.command(&["--tag=none"], &["hostname"]);
    command.env("DSM_BIN", place.path("bin"));
    let ended = crate::harness::Running::start(command).wait();
    // dsmwrap beside dsmexec starts it; DSM_BIN need not hold one for ranks on this machine.
    assert_eq!(ended.assert_code(0).stdout, "mine\n");
    let ended = place.run(&["--tag=none"], &["cat", "/proc/self/cmdline"]);
    assert_eq!(ended.assert_code(0).stdout, "cat\0/proc/self/cmdline\0\n");
    let ended = place.run(&["--tag=none"], &["./bin/../bin/hostname"]);
    assert_eq!(ended.assert_code(0).stdout, "mine\n");
}

#[test]
fn a_script_without_interpreter_line_is_refused_as_the_kernel_refuses_it() {
    let place = Place::local(2);
    let path = place.script("script", "true");
    fs::write(&path, "no program\n").unwrap();
    let ended = place.run(&[], &["./script"]);
    assert!(ended.status.code().is_some_and(|code| code != 0), "{ended}");
}

#[test]
fn signals_and_descriptors_are_as_a_shell_leaves_them() {
    let place = Place::local(2);
    let ended = place.sh(
        &["--tag=none"],
        "grep -E 'Sig(Blk|Ign)' /proc/self/status; for f in /proc/$$/fd/*; do readlink $f; done",
    );
    ended.assert_code(0);
    let signals = ended.lines().into_iter().filter_map(|line| line.strip_prefix("Sig"));
    let sets = signals.map(|set| u64::from_str_radix(set[4..].trim(), 16).unwrap());
    // posix_spawn of the C library leaves its own signals 32 and 33 ignored.
    assert!(sets.fold(0, |all, set| all | set) & !0x1_8000_0000 == 0, "{ended}");
    // What this test itself was given, its programs have too.
    let own: Vec<_> =
        fs::read_dir("/proc/self/fd").unwrap().flatten().map(|fd| fd.path()).collect();
    let own: Vec<_> = own.iter().flat_map(fs::read_link).collect();
    let count = |start: &str| {
        let new = |line: &&&str| {
            line.starts_with(start) && !own.iter().any(|it| it.as_os_str() == **line)
        };
        ended.lines().iter().filter(new).count()
    };
    // Standard output and error, twice; rank 0's input; and one listening and one job socket each.
    assert_eq!((count("pipe:"), count("socket:")), (5, 4), "{ended}");
}

#[test]
fn the_process_list_tells_who_is_who() {
    let place = Place::local(2);
    let script = "tr '\\0' ' ' </proc/$PPID/cmdline; echo; read line || true";
    let mut running = place.start(&["--tag=rank", "--stdin=1"], &["sh", "-c", script]);
    let stdin = running.hold_stdin();
    let lines = running.await_stdout("job=", 2);
    drop(stdin);
    for rank in 0..2 {
        let shown = |line: &String| {
            line.starts_with(&format!("[{rank}] dsmwrap job="))
                && line.trim_end().ends_with(&format!(" rank={rank}"))
        };
        assert!(lines.iter().any(shown), "{lines:?}");
    }
    running.wait().assert_code(0);
}
