//! dsmexec under valgrind.

use crate::TOOLS;
use dsm_lab::{Lab, Stream, User, has};
use std::time::Duration;

#[test]
fn valgrind_finds_no_error_and_no_leak_in_dsmexec() {
    if !has("valgrind") {
        return;
    }
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    let valgrind = [
        "valgrind",
        "--leak-check=full",
        "--trace-children=no",
        "--child-silent-after-fork=yes",
        "--error-exitcode=99",
        "--log-file=valgrind.log",
    ];
    for program in ["truc", "exemple"] {
        for ssh in ["always", "never"] {
            let job =
                lab.job(User::Ordinary, &["localhost", "localhost"]).ssh(ssh).under(&valgrind);
            let directory = job.directory();
            let ended = job.start(program, &[]).finish(Duration::from_secs(60));
            let log = std::fs::read_to_string(directory.join("valgrind.log")).unwrap_or_default();
            assert!(ended.code == 0, "{}\n{log}", ended.report());
            assert!(log.contains("ERROR SUMMARY: 0 errors"), "{log}");
            for kind in ["definitely lost: ", "indirectly lost: ", "possibly lost: "] {
                let lost = log.split(kind).nth(1).unwrap_or("0 bytes");
                assert!(lost.starts_with("0 bytes"), "{log}");
            }
            assert!(ended.texts(Stream::Stdout).count() >= 2, "{}", ended.report());
        }
    }
}
