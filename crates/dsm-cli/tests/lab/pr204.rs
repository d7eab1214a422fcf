//! Jobs in the words of the PR204 family over a real sshd, on three hosts.

use crate::TOOLS;
use dsm_lab::{Lab, Stream, User};
use std::time::Duration;

const JOB: Duration = Duration::from_secs(60);

#[test]
fn foreign_wrappers_here_and_elsewhere_make_one_job() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let wrapper = format!("--wrap-command={}", lab.program("dsmwrap"));
    for wrap in ["--wrap=ref", "--wrap=seed", "--wrap=rank"] {
        // dsmexec runs on node1.
        for machines in [["node1", "node2", "node3"], ["node3", "node2", "node3"]] {
            for program in ["exemple", "truc"] {
                let job = lab.job(User::Ordinary, &machines).ssh("auto").options(&[wrap, &wrapper]);
                let ended = job.run(program, &[]);
                ended.expect_code(0);
                assert!((0..3).all(|rank| !ended.rank(rank).is_empty()), "{}", ended.report());
            }
        }
    }
}

#[test]
fn the_block_has_addresses_that_every_host_reaches() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let wrapper = format!("--wrap-command={}", lab.program("dsmwrap"));
    let machines = ["node1", "node2", "node3"];
    let script = "dd bs=1040 skip=8 iflag=skip_bytes,fullblock count=3 status=none <&3 | tr -cs '0-9.' '\\n' | grep '[.].*[.]'";
    for options in [&["--launch=pr204"][..], &["--wrap=seed", &wrapper]] {
        let job = lab.job(User::Ordinary, &machines).ssh("auto").options(options);
        let ended = job.start_any(&["sh", "-c", script]).finish(JOB);
        ended.expect_code(0);
        let addresses: Vec<_> = (0..3).map(|host| lab.address(host)).collect();
        for rank in 0..3 {
            assert_eq!(ended.rank(rank), addresses, "{}", ended.report());
        }
    }
}

#[test]
fn programs_of_2025_reach_dsmexec_from_every_host() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let script = r#"
import os, socket, struct
rank = int(os.environ["DSMEXEC_RANKID"])
server = socket.create_connection((os.environ["DSMEXEC_HOSTNAME"], int(os.environ["DSMEXEC_PORTNUM"])))
server.sendall(struct.pack("<iQ", rank, 1) + bytes([65 + rank]))
print(server.makefile("rb").read().decode(), server.getpeername()[0])
"#;
    let job = lab.job(User::Ordinary, &["node2", "node1", "node3"]).ssh("auto");
    let ended = job.options(&["--launch=ete7"]).start_any(&["python3", "-c", script]).finish(JOB);
    ended.expect_code(0);
    for rank in 0..3 {
        assert_eq!(ended.rank(rank), [format!("ABC {}", lab.address(0))], "{}", ended.report());
    }
}

#[test]
fn a_foreign_rank_elsewhere_that_fails_ends_the_job_with_its_code() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let wrapper = format!("--wrap-command={}", lab.program("dsmwrap"));
    let job = || lab.job(User::Ordinary, &["node2", "node3"]).options(&["--wrap=rank", &wrapper]);
    // The others learn of it by what they write.
    let script = "test $(hostname) = node3 && exit 7; while echo; do :; done";
    let ended = job().start_any(&["sh", "-c", script]).finish(JOB);
    ended.expect_code(7).expect_error(&["rank 1 (node3)", "exited with code 7"]);
    let ended = job().start_any(&["./nothing"]).finish(JOB);
    ended.expect_code(69).expect_error(&["rank 0 (node2)", "cannot find program ./nothing"]);
    assert_eq!(ended.texts(Stream::Stdout).count(), 0, "{}", ended.report());
    lab.expect_no_processes(JOB);
}

#[test]
fn a_host_with_a_foreign_rank_that_is_gone_without_a_word_ends_the_job() {
    let Some(mut lab) = Lab::three_hosts(TOOLS) else { return };
    let wrapper = format!("--wrap-command={}", lab.program("dsmwrap"));
    let job = lab.job(User::Ordinary, &["node3", "node2"]).options(&["--wrap=ref", &wrapper]);
    let mut job = job.start_any(&["sh", "-c", "while sleep 0.1; do echo runs; done"]);
    for rank in 0..2 {
        job.wait_for_output(&format!("[Proc {rank} : "));
    }
    let cut = job.elapsed();
    lab.lose_host(1);
    let ended = job.finish(JOB);
    ended.expect_code(75);
    let line = ended.expect_error(&["dsmexec: ", "rank 1 (node2)", "is lost: its ssh exited"]);
    let told = line.at.saturating_sub(cut);
    assert!(told < Duration::from_secs(6), "told after {told:?}\n{}", ended.report());
    println!("host of a foreign rank gone: told after {told:.2?}: {}", line.text);
    lab.expect_no_processes(Duration::from_secs(5));
}
