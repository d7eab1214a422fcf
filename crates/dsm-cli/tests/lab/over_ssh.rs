//! The examples over a real sshd: both fault engines, every user, one machine and three.

use crate::TOOLS;
use dsm_lab::{Lab, Stream, User};
use std::time::Duration;

#[test]
fn exemple_and_token_over_ssh_on_this_machine() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    check_examples(&lab);
}

#[test]
fn exemple_and_token_over_ssh_on_three_hosts() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    check_examples(&lab);
}

fn check_examples(lab: &Lab) {
    for user in User::all() {
        for engine in ENGINES {
            check_exemple(lab, *user, engine);
            check_token(lab, *user, engine, 3);
        }
    }
}

fn check_exemple(lab: &Lab, user: User, engine: &str) {
    let machines = lab.machines(3);
    let ended = lab.job(user, &machines).options(&["--fault", engine]).run("exemple", &[]);
    ended.expect_code(0);
    assert_eq!(ended.texts(Stream::Stderr).count(), 0, "success is silent\n{}", ended.report());
    let mut bases = Vec::new();
    for (rank, host) in machines.iter().enumerate() {
        let lines = ended.rank(rank);
        let begin = format!("[{rank}] Coucou, mon adresse de base est : 0x");
        bases.push(
            lines[0]
                .strip_prefix(&begin)
                .unwrap_or_else(|| panic!("{}", ended.report()))
                .to_owned(),
        );
        let values =
            if rank < 2 { vec![format!("[{rank}] valeur de l'entier : 0")] } else { vec![] };
        assert_eq!(lines[1..], values, "{}", ended.report());
        let tag = format!("[Proc {rank} : {host} : stdout] ");
        assert!(
            ended.texts(Stream::Stdout).any(|text| text.starts_with(&tag)),
            "{}",
            ended.report()
        );
    }
    assert!(bases.iter().all(|base| *base == bases[0]), "{}", ended.report());
}

fn check_token(lab: &Lab, user: User, engine: &str, ranks: u64) {
    let machines = lab.machines(usize::try_from(ranks).unwrap());
    let ended = lab.job(user, &machines).options(&["--fault", engine]).run("token", &["5"]);
    ended.expect_code(0);
    let turns = 5 * ranks;
    for rank in 0..ranks {
        let line = format!(
            "rank {rank}: token passed {turns} times, sum {} is right",
            turns * (turns - 1) / 2
        );
        assert_eq!(ended.rank(usize::try_from(rank).unwrap()), [line], "{}", ended.report());
    }
}

#[test]
fn ranks_here_and_ranks_elsewhere_make_one_job() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    // dsmexec runs on node1: its ranks are started directly, and the others reach them from outside.
    for machines in [
        ["node1", "node2", "node3"],
        ["localhost", "node2", "localhost"],
        ["node3", "127.0.0.1", "node2"],
    ] {
        let job = || lab.job(User::Ordinary, &machines).ssh("auto");
        let ended = job().run("token", &[]);
        ended.expect_code(0);
        assert!((0..3).all(|rank| !ended.rank(rank).is_empty()), "{}", ended.report());
        let ended = job().run("jacobi", &[]);
        ended.expect_code(0);
        assert!(ended.rank(0)[0].starts_with("jacobi: 3 ranks, "), "{}", ended.report());
    }
}

#[test]
fn the_engine_asked_for_is_the_engine_in_use() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    for user in User::all() {
        for engine in ENGINES {
            let job = lab.job(*user, &lab.machines(2)).options(&["-v", "--fault", engine]);
            let ended = job.run("exemple", &[]);
            ended.expect_code(0).expect_error(&["rank 1 (localhost)", "joined", engine]);
        }
    }
}

#[test]
fn jobs_of_2_3_4_and_8_ranks_compute_what_one_rank_computes() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        for ranks in [2, 3, 4, 8] {
            for engine in ENGINES {
                check_token(&lab, User::Ordinary, engine, ranks);
            }
            let machines = lab.machines(usize::try_from(ranks).unwrap());
            let ended = lab.job(User::Ordinary, &machines).run("jacobi", &["256", "20"]);
            ended.expect_code(0);
            assert!(ended.rank(0)[0].contains(" sweeps: ok, "), "{}", ended.report());
        }
    }
}

#[test]
fn the_first_line_comes_soon() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        for ranks in [2, 8] {
            let machines = lab.machines(ranks);
            for program in ["truc", "exemple"] {
                let ended = lab.job(User::Ordinary, &machines).run(program, &[]);
                ended.expect_code(0);
                let first = ended.lines[0].at;
                println!(
                    "time to first line: {program}, {ranks} ranks over ssh to {}: {:.3} s (job {:.3} s)",
                    lab.describe(),
                    first.as_secs_f64(),
                    ended.took.as_secs_f64()
                );
                assert!(first < Duration::from_secs(10), "{}", ended.report());
            }
        }
    }
}

#[test]
fn any_program_is_started_with_its_arguments_and_directory() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    for user in User::all() {
        let job = lab.job(*user, &["node2", "node3"]);
        let directory = job.directory();
        let strange = "two  words; $HOME 'single' \"double\" \\ *\nnext line";
        let ended =
            job.start_any(&["sh", "-c", "hostname; pwd; id -un; printf %s \"$1\"", "sh", strange]);
        let ended = ended.finish(Duration::from_secs(30));
        ended.expect_code(0);
        let (before, after) = strange.split_once('\n').unwrap();
        for (rank, host) in ["node2", "node3"].into_iter().enumerate() {
            let expected = [host, directory.to_str().unwrap(), user.name(), before, after];
            assert_eq!(ended.rank(rank), expected, "{}", ended.report());
        }
    }
}

#[test]
fn a_read_fault_is_measured_beside_a_round_trip() {
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        let machines = [lab.machines(2)[0], lab.machines(2)[1]];
        let ended = lab.job(User::Ordinary, &machines).run("dsm", &["bench-rank", SPEC]);
        ended.expect_code(0);
        for line in ended.rank(0) {
            println!("{}: {line}", lab.describe());
        }
        assert!(
            ended.rank(0).iter().any(|line| line.contains(r#""line":"read_fault""#)),
            "{}",
            ended.report()
        );
    }
}

/// What `dsm bench` tells its ranks to measure.
const SPEC: &str = r#"{"suite":"latency","lines":["read_fault"],"rounds":300,"pinning":"free"}"#;
pub(crate) const ENGINES: [&str; 2] = ["uffd", "sigsegv"];
