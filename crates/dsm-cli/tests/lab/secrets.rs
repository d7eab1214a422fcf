//! Where a job's key is, once all ranks on other hosts have joined.

use crate::TOOLS;
use dsm_core::Rank;
use dsm_lab::{Lab, Process, Stream, User};
use dsm_net::frame::Decoder;
use dsm_net::keys::{KEY_BYTES, PairKeys};
use dsm_net::launch::Job;
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What ssh and its server have had in memory is theirs; it is told here, and nothing of dsm may have it.
#[test]
fn the_key_is_in_no_command_line_and_no_memory_of_dsm_on_any_host() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let job = lab.job(User::Ordinary, &["node1", "node2"]);
    let (directory, program) = (job.directory(), lab.program("fail_work"));
    let mut running = job.start_any(&["python3", "-c", PEEK, &program, "endless"]);
    for _ in 0..2 {
        running.wait_for("rank", LIMIT, |line| line.text.contains("working "));
    }
    let mut decoder = Decoder::default();
    decoder.push(&fs::read(directory.join("frame.0")).unwrap());
    let job = decoder.next_message::<Job>().unwrap().unwrap();
    let store = vec![0; 2 * KEY_BYTES];
    let pair = PairKeys::derive(job.id, job.key.as_ref(), Rank(0), 2, store);
    let hex = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let keys = [hex(job.key.as_ref().unwrap().bytes()), hex(pair.with(Rank(1)))];
    let (built, ..) = lab.traces();
    let (mut pids, mut names) = (String::new(), Vec::new());
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(exe) = fs::read_link(entry.path().join("exe")) else { continue };
        let name = exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !(exe.starts_with(&built) || name.starts_with("ssh")) {
            continue;
        }
        let pid = entry.file_name().into_string().unwrap();
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            assert!(!keys.iter().any(|key| text.contains(key)), "a key is in {file} of {name}");
        }
        pids = pids + "\n" + &pid;
        names.push((pid, name));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/search_memory.py");
    let mut command = Command::new("python3");
    command.arg(script);
    let mut search = Process::start(command);
    search.input(Some(format!("{}{pids}\n", keys.join(" ")).as_bytes()));
    search.input(None);
    let searched = search.finish(LIMIT);
    let mut seen = Vec::new();
    for line in searched.texts(Stream::Stdout) {
        // Who has ended meanwhile shows nothing.
        let Some((pid, found)) = line.split_once(" has ") else { continue };
        let (_, name) = names.iter().find(|(it, _)| it == pid).unwrap();
        println!("{name} has {found}");
        let (holds, _) = found.split_once("in ").unwrap();
        match name.as_str() {
            "fail_work" => assert_eq!(holds, "1 ", "a rank keeps the keys of pairs"),
            "dsmexec" | "dsmwrap" => assert_eq!(holds, "", "{name} has a key"),
            _ => (),
        }
        seen.push(name.as_str());
    }
    for (name, least) in [("dsmexec", 1), ("dsmwrap", 2), ("fail_work", 2), ("ssh", 1)] {
        assert!(seen.iter().filter(|it| **it == name).count() >= least, "{name}: {seen:?}");
    }
    running.signal_dsmexec(Signal::INT);
    running.finish(LIMIT).expect_code(130);
    lab.expect_no_processes(Duration::ZERO);
}

/// Looks at what dsmwrap has said to rank 0 without taking it, and becomes the program. Arguments: the program, its arguments.
const PEEK: &str = r#"
import os, socket, sys
if os.environ["DSM_NODE_ID"] == "0":
    line = socket.socket(fileno=int(os.environ["DSM_JOB_FD"]))
    line.recv(1, socket.MSG_PEEK)
    with open("frame.0", "wb") as frame:
        frame.write(line.recv(1 << 16, socket.MSG_PEEK))
    line.detach()
os.execv(sys.argv[1], sys.argv[1:])
"#;
const LIMIT: Duration = Duration::from_secs(40);
