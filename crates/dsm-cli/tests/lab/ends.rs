//! How jobs end when something goes wrong: at once, with the one who did it named, and with nothing left.

use crate::TOOLS;
use crate::over_ssh::ENGINES;
use dsm_lab::{Ended, Lab, Running, User};
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn a_rank_killed_in_the_middle_of_faults_ends_the_job() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        for engine in ENGINES {
            let ended = fight(&lab, engine, "kill");
            ended.expect_code(137);
            expect_verdict(&lab, &ended, "was killed by signal 9 (SIGKILL)");
        }
    }
}

#[test]
fn a_rank_killed_from_outside_ends_the_job() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        let mut job = start_fight(&lab, "uffd", "");
        let line = job.wait_for_output("[Proc 1 : ").text;
        let pid = line.rsplit(' ').next().expect("the line ends with the process").to_owned();
        let mut kill = lab.on_host(lab.host_of(1));
        kill.args(["kill", "-KILL", &pid]);
        lab.run(kill);
        let ended = job.finish(LIMIT);
        ended.expect_code(137);
        expect_verdict(&lab, &ended, "was killed by signal 9 (SIGKILL)");
        let words = format!("pid {pid} ");
        ended.expect_error(&[&words]);
    }
}

#[test]
fn a_rank_that_exits_in_the_middle_ends_the_job() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    for engine in ENGINES {
        let ended = fight(&lab, engine, "exit");
        ended.expect_code(3);
        expect_verdict(&lab, &ended, "exited with code 3");
    }
}

#[test]
fn a_rank_that_leaves_without_finalize_ends_the_job() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    let ended = fight(&lab, "uffd", "return");
    ended.expect_code(76);
    expect_verdict(&lab, &ended, "without dsm_finalize");
}

#[test]
fn interrupting_dsmexec_ends_all_ranks() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        for engine in ENGINES {
            let mut job = start_fight(&lab, engine, "");
            for rank in 0..RANKS {
                job.wait_for_output(&format!("[Proc {rank} : "));
            }
            job.signal_dsmexec(Signal::INT);
            job.finish(LIMIT).expect_code(130);
            lab.expect_no_processes(Duration::ZERO);
        }
    }
}

#[test]
fn killing_dsmexec_ends_all_ranks_on_all_hosts() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        let mut job = start_fight(&lab, "uffd", "");
        for rank in 0..RANKS {
            job.wait_for_output(&format!("[Proc {rank} : "));
        }
        job.signal_dsmexec(Signal::KILL);
        lab.expect_no_processes(Duration::from_secs(3));
    }
}

#[test]
fn ranks_with_different_sizes_are_refused() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    let job = lab.job(User::Ordinary, &lab.machines(3));
    let program = lab.program("exemple");
    // The first to make the directory is the odd one.
    let script = "mkdir odd 2>/dev/null && export DSM_SIZE=2G; exec \"$0\"";
    let ended = job.start_any(&["sh", "-c", script, &program]).finish(LIMIT);
    ended.expect_code(78);
    ended.expect_error(&["2147483648", "1073741824"]);
    lab.expect_no_processes(Duration::ZERO);
}

fn start_fight(lab: &Lab, engine: &str, how: &str) -> Running {
    lab.job(User::Ordinary, &lab.machines(RANKS))
        .options(&["--fault", engine])
        .start("endless", &[how])
}

/// A job that ends itself, and how that went.
fn fight(lab: &Lab, engine: &str, how: &str) -> Ended {
    start_fight(lab, engine, how).finish(LIMIT)
}

/// dsmexec has said within 5 s what rank 1 did, and nothing was left 3 s after that line.
fn expect_verdict(lab: &Lab, ended: &Ended, verdict: &str) {
    let rank = format!("rank 1 ({})", lab.machines(2)[1]);
    let line = ended.expect_error(&[&rank, verdict]);
    let fought = ended
        .lines
        .iter()
        .find(|line| line.text.contains("[Proc 1 : "))
        .expect("rank 1 has fought");
    let after = line.at.saturating_sub(fought.at);
    assert!(after < Duration::from_secs(5), "told after {after:?}\n{}", ended.report());
    let gone = ended.took.saturating_sub(line.at);
    assert!(gone < Duration::from_secs(3), "ended {gone:?} after that\n{}", ended.report());
    lab.expect_no_processes(Duration::ZERO);
    println!("{}: {verdict}: told after {after:.2?}, over {gone:.2?} later", lab.describe());
}

const RANKS: usize = 4;
const LIMIT: Duration = Duration::from_secs(30);
