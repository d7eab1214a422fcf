//! Much memory, many threads, system calls: the programs check themselves.

use crate::TOOLS;
use crate::over_ssh::ENGINES;
use dsm_lab::{Lab, Stream, User, cannot_run};

#[test]
fn every_page_of_64_mib_goes_round_all_ranks_with_uffd() {
    check_rotations("uffd");
}

#[test]
fn every_page_of_64_mib_goes_round_all_ranks_with_sigsegv() {
    check_rotations("sigsegv");
}

/// In every round each page is written by one rank and read by all others. As many rounds as ranks make every rank
/// the writer of every page once.
fn check_rotations(engine: &str) {
    if let Some(lab) = Lab::loopback(TOOLS) {
        for (ranks, rounds) in [(2, 2), (3, 3), (4, 4), (8, 1)] {
            check_rotation(&lab, engine, ranks, rounds);
        }
    }
    if let Some(lab) = Lab::three_hosts(TOOLS) {
        check_rotation(&lab, engine, 3, 3);
    }
}

fn check_rotation(lab: &Lab, engine: &str, ranks: usize, rounds: u32) {
    let job = lab.job(User::Ordinary, &lab.machines(ranks)).options(&["--fault", engine]);
    let ended = job.run("rotation", &["64", &rounds.to_string()]);
    ended.expect_code(0);
    let begin = format!("16384 pages, {rounds} rounds, 0 wrong, ");
    for rank in 0..ranks {
        assert!(ended.rank(rank)[0].starts_with(&begin), "{}", ended.report());
    }
    let (place, took) = (lab.describe(), ended.took.as_secs_f64());
    println!("64 MiB, {ranks} ranks, {rounds} rounds on {place}, {engine}: {took:.2} s");
}

#[test]
fn sixty_four_threads_of_each_rank_fault_on_one_page() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    for user in User::all() {
        for (engine, ranks) in ENGINES.into_iter().flat_map(|engine| [(engine, 2), (engine, 4)]) {
            let job = lab.job(*user, &lab.machines(ranks)).options(&["--fault", engine]);
            let ended = job.run("threads", &["64", "20"]);
            ended.expect_code(0);
            for rank in 0..ranks {
                assert_eq!(
                    ended.rank(rank),
                    ["64 threads, 20 rounds, right"],
                    "{}",
                    ended.report()
                );
            }
        }
    }
}

#[test]
fn system_calls_take_pages_that_are_elsewhere() {
    if !User::all().contains(&User::Root) {
        let _: Option<()> = cannot_run("serving faults inside system calls needs root");
        return;
    }
    for lab in [Lab::loopback(TOOLS), Lab::three_hosts(TOOLS)].into_iter().flatten() {
        let job = lab.job(User::Root, &lab.machines(2)).options(&["--fault", "uffd"]);
        let ended = job.run("syscalls", &[]);
        ended.expect_code(0);
        for rank in 0..2 {
            assert_eq!(ended.rank(rank), ["system calls are right"], "{}", ended.report());
        }
    }
}

#[test]
fn system_calls_say_so_where_faults_inside_them_cannot_be_served() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    for user in User::all() {
        let engines = if *user == User::Root { &["sigsegv"][..] } else { &ENGINES };
        for engine in engines {
            let job = lab.job(*user, &lab.machines(2)).options(&["--fault", engine]);
            let ended = job.run("syscalls", &[]);
            ended.expect_code(2);
            let mut errors = ended.texts(Stream::Stderr);
            assert!(
                errors.any(|text| text.contains("write from pages of rank 0")
                    && text.contains("Bad address"))
            );
        }
    }
}

#[test]
fn a_tebibyte_that_nobody_touches_costs_nothing() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    for engine in ENGINES {
        let mut first_lines = Vec::new();
        for size in ["1M", "1T"] {
            let job = lab
                .job(User::Ordinary, &lab.machines(2))
                .options(&["--fault", engine, "--size", size]);
            let ended = job.run("exemple", &[]);
            ended.expect_code(0);
            first_lines.push(ended.lines[0].at.as_secs_f64());
        }
        println!(
            "time to first line, {engine}: {:.3} s with 1 MiB, {:.3} s with 1 TiB",
            first_lines[0], first_lines[1]
        );
    }
}

#[test]
fn instructions_on_two_pages_retire_while_eight_ranks_fight_for_both() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    for engine in ENGINES {
        let job = lab.job(User::Ordinary, &lab.machines(8)).options(&["--fault", engine]);
        let ended = job.run("straddle", &["500"]);
        ended.expect_code(0);
        for rank in 0..8 {
            let line = format!("rank {rank}: 500 stores across two pages");
            assert_eq!(ended.rank(rank), [line], "{}", ended.report());
        }
    }
}
