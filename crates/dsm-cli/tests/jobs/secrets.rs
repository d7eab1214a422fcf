//! Where a job's key is, and where it is no longer, once all ranks have joined.

use crate::harness::text;
use crate::strangers::{Siege, processes_in};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_key_is_in_no_memory_once_the_ranks_have_joined() {
    for engine in ["uffd", "sigsegv"] {
        let before = format!("DSM_FAULT={engine} exec \"$0\" \"$@\"");
        let mut siege = Siege::lay_under(2, &["endless"], &before);
        siege.running.feed(b"go\n".to_vec());
        siege.running.await_stdout("fighting", 2);
        let keys: Vec<_> = siege.keys().collect();
        let mut count = BTreeMap::new();
        for (name, found) in search(siege.place.dir(), &keys) {
            println!("{engine}: {name} has {found}");
            *count.entry(name.clone()).or_insert(0) += 1;
            let (holds, _) = found.split_once("in ").unwrap();
            // The search finds what is there: ranks keep the keys of pairs, to connect again.
            let expected = if name == "endless" { "1 " } else { "" };
            assert_eq!(holds, expected, "{name}; 0 is the job's key, 1 that of the two ranks");
        }
        let expected = [("dsmexec", 1), ("dsmwrap", 2), ("endless", 2)];
        assert_eq!(count, expected.map(|(name, count)| (name.to_owned(), count)).into());
        siege.running.signal(Signal::INT);
        siege.running.wait().assert_code(130);
    }
}

/// What each process that was started in this directory is called, and what the search says of it.
fn search(dir: &Path, keys: &[[u8; 32]]) -> Vec<(String, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/search_memory.py");
    let mut command = Command::new("python3");
    let mut child =
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = String::new();
    for key in keys {
        key.iter().for_each(|byte| write!(input, "{byte:02x}").unwrap());
        input.push(' ');
    }
    let names: BTreeMap<_, _> = processes_in(dir).into_iter().collect();
    names.keys().for_each(|pid| write!(input, "\n{pid}").unwrap());
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let said = output.lines().map(|line| {
        let (pid, found) = line.split_once(" has ").unwrap_or_else(|| panic!("{line}"));
        let name = names[&pid.parse().unwrap()].file_name().unwrap();
        (text(Path::new(name)).to_owned(), found.to_owned())
    });
    said.collect()
}
