//! Jobs in bad weather end well and with the right result, and nobody raises a false alarm.

use crate::TOOLS;
use crate::over_ssh::ENGINES;
use dsm_lab::{Conditions, Corruption, Ended, Lab, Stream, User};
use std::time::{Duration, Instant};

#[test]
fn jobs_go_on_while_packets_are_lost_duplicated_and_overtaken() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    for (loss_ppm, steps) in [(10_000, 100), (100_000, 20)] {
        let loss = Conditions { loss_ppm, ..Conditions::default() };
        check(&lab, &format!("{} % loss", loss_ppm / 10_000), &loss, steps);
    }
    let duplicates = Conditions { duplicate_ppm: 100_000, ..Conditions::default() };
    check(&lab, "10 % duplicated", &duplicates, 300);
    let reorder_by = Duration::from_millis(3);
    let overtaken = Conditions { reorder_ppm: 100_000, reorder_by, ..Conditions::default() };
    check(&lab, "10 % overtaken", &overtaken, 200);
    let corruption = Corruption::Caught;
    let corrupt = Conditions { corrupt_ppm: 20_000, corruption, ..Conditions::default() };
    check(&lab, "2 % corrupt", &corrupt, 100);
}

#[test]
fn jobs_go_on_over_long_and_narrow_lines() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let delay = Duration::from_millis(50);
    let far = Conditions { delay, jitter: delay / 5, ..Conditions::default() };
    check(&lab, "50 ms delay", &far, 5);
    let narrow = Conditions { bits_per_second: Some(10_000_000), ..Conditions::default() };
    check(&lab, "10 Mbit/s", &narrow, 300);
    lab.network().set_all(&narrow);
    // 4 MiB, each of its pages to two other ranks: supervision shares a full line with the pages.
    let began = Instant::now();
    let ended = lab.job(User::Ordinary, &lab.machines(3)).run("rotation", &["4", "1"]);
    ended.expect_code(0);
    assert_eq!(ended.texts(Stream::Stderr).count(), 0, "no alarm\n{}", ended.report());
    println!("10 Mbit/s, full: {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn jobs_go_on_after_nothing_arrived_for_a_moment() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    for (n, ms) in [100, 300, 700, 1_200, 2_000].into_iter().enumerate() {
        let name = WORKLOADS[n % WORKLOADS.len()];
        let engine = ENGINES[n % ENGINES.len()];
        let job = lab.job(User::Ordinary, &lab.machines(3)).options(&["--fault", engine]);
        let mut job = job.start(name, &["1500"]);
        for rank in 0..3 {
            job.wait_for_output(&format!("[Proc {rank} : "));
        }
        let dark = Duration::from_millis(ms);
        lab.network().darken_where(dark, |from, to| from == n % 3 || to == n % 3);
        let ended = job.finish(LIMIT);
        expect_right(&ended, name, &format!("{ms} ms of silence"));
        println!("{ms} ms of silence, {name}, {engine}: {:.1} s", ended.took.as_secs_f64());
    }
}

/// All workloads at once, with both engines, on lines like these, do so many steps.
fn check(lab: &Lab, what: &str, conditions: &Conditions, steps: u32) {
    lab.network().set_all(conditions);
    for shift in 0..ENGINES.len() {
        let jobs = WORKLOADS.iter().enumerate().map(|(n, name)| {
            let engine = ENGINES[(n + shift) % ENGINES.len()];
            // Where one packet in ten is lost, a login alone takes more than 10 s now and then, and in one of thousands 30.
            let options = ["--fault", engine, "--connect-timeout", "60"];
            let job = lab.job(User::Ordinary, &lab.machines(3)).options(&options);
            (name, engine, job.start(name, &[&steps.to_string()]))
        });
        let jobs: Vec<_> = jobs.collect();
        for (name, engine, job) in jobs {
            let ended = job.finish(LIMIT);
            expect_right(&ended, name, what);
            println!("{what}, {name}, {engine}: {:.1} s", ended.took.as_secs_f64());
        }
    }
    lab.network().set_all(&Conditions::default());
    lab.expect_no_processes(Duration::ZERO);
}

fn expect_right(ended: &Ended, name: &str, what: &str) {
    assert!(ended.code == 0, "{what}\n{}", ended.report());
    assert_eq!(ended.texts(Stream::Stderr).count(), 0, "{what}: no alarm\n{}", ended.report());
    for rank in 0..3 {
        let line = format!("{name}: right");
        assert_eq!(ended.rank(rank).last(), Some(&&*line), "{what}\n{}", ended.report());
    }
}

const WORKLOADS: [&str; 3] = ["bank", "counter", "queue"];
const LIMIT: Duration = Duration::from_secs(90);
