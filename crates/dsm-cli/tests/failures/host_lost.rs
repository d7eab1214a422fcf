//! Row: a host is frozen, or loses its power without a word; the network is partitioned, of one host or of halves, or one way
//! only: the lost host is named, the job ends, and the other side ends by its lease.

use crate::TOOLS;
use crate::case::{ENGINES, GONE};
use dsm_lab::{Conditions, Lab, Running, Stream, User};
use std::fs::{self, DirEntry};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[test]
fn is_frozen() {
    let Some(lab) = hosts() else { return };
    let jobs = Jobs::at_work(&lab);
    signal_all_on(&lab, 1, "STOP");
    jobs.expect_told("host frozen", Lost::OneOf(&[1]));
    let frozen = namespace_of(&lab, 1);
    let others = processes(&lab).into_iter().filter(|(_, namespace)| *namespace != frozen);
    assert_eq!(others.collect::<Vec<_>>(), [], "left on the other hosts");
    // Thawed later, its dsmwraps find that they are alone.
    signal_all_on(&lab, 1, "CONT");
    let thawed = Instant::now();
    lab.expect_no_processes(GONE);
    let gone = thawed.elapsed().as_secs_f64();
    expect_nothing_in_shm(&lab, 4);
    println!("host frozen: all gone {gone:.3} s after it is thawed");
}

#[test]
fn loses_its_power() {
    let Some(mut lab) = hosts() else { return };
    let jobs = Jobs::at_work(&lab);
    // Its last words, too, are lost.
    lab.network().set_around(1, &Conditions::cut());
    lab.lose_host(1);
    jobs.expect_told("host without power", Lost::OneOf(&[1]));
    lab.expect_no_processes(Duration::ZERO);
    expect_nothing_in_shm(&lab, 3);
}

#[test]
fn is_cut_off_alone() {
    check("one host cut off", &[1], |from, to| (from == 1) != (to == 1));
}

#[test]
fn is_in_the_other_half() {
    check("halves", &[2, 3], |from, to| (from < 2) != (to < 2));
}

#[test]
fn hears_but_is_not_heard() {
    check("one way, from it", &[1], |from, _| from == 1);
}

#[test]
fn is_heard_but_hears_nothing() {
    check("one way, to it", &[1], |_, to| to == 1);
}

/// Only two ranks are cut from each other, and dsmexec hears both: it asks them, names both, and ends the job.
#[test]
fn is_cut_off_from_another_only() {
    check_pair("two of four cut from each other", &[(1, 2), (2, 1)]);
}

#[test]
fn does_not_reach_another_only() {
    check_pair("one of four does not reach another", &[(2, 1)]);
}

/// Cuts these lines between the hosts of ranks 1 and 2.
fn check_pair(what: &str, lines: &[(usize, usize)]) {
    let Some(lab) = hosts() else { return };
    let jobs = Jobs::at_work(&lab);
    lab.network().set_where(&Conditions::cut(), |from, to| lines.contains(&(from, to)));
    jobs.expect_told(what, Lost::EachOther(&[1, 2]));
    lab.expect_no_processes(GONE);
    expect_nothing_in_shm(&lab, 4);
}

/// Cuts the lines for whose ends `is_cut` holds. One of the hosts `lost` is named then, and both sides end.
fn check(what: &str, lost: &[usize], is_cut: impl Fn(usize, usize) -> bool) {
    let Some(lab) = hosts() else { return };
    let jobs = Jobs::at_work(&lab);
    let cut_at = Instant::now();
    lab.network().set_where(&Conditions::cut(), &is_cut);
    jobs.expect_told(what, Lost::OneOf(lost));
    // Who is out of reach ends by the lease, which is counted from the cut.
    lab.expect_no_processes(LEASE.saturating_sub(cut_at.elapsed()));
    let gone = cut_at.elapsed().as_secs_f64();
    expect_nothing_in_shm(&lab, 4);
    println!("{what}: both sides gone {gone:.3} s after the cut");
}

/// Four; dsmexec is on the first.
fn hosts() -> Option<Lab> {
    Lab::on_hosts(4, 1, TOOLS)
}

/// Whom the first line has to name.
#[derive(Clone, Copy, Debug)]
enum Lost<'a> {
    OneOf(&'a [usize]),
    EachOther(&'a [usize]),
}

/// A job with each engine, with a rank on each host, all at work.
struct Jobs {
    jobs: Vec<Fated>,
}

struct Fated {
    engine: &'static str,
    job: Running,
    pids: Vec<String>,
    /// When it was at work, soon before what befalls it.
    at: Duration,
}

impl Jobs {
    fn at_work(lab: &Lab) -> Self {
        let start = |engine| {
            let job = lab.job(User::Ordinary, &lab.machines(4)).options(&["--fault", engine]);
            (engine, job.start("fail_work", &["endless"]))
        };
        let started = ENGINES.map(start).into_iter();
        let mut jobs: Vec<_> = started
            .map(|(engine, mut job)| {
                let line = |rank| job.wait_for_output(&format!("[Proc {rank} : "));
                let lines: Vec<_> = (0..4).map(line).collect();
                let pid = |text: String| text.rsplit(' ').next().unwrap().to_owned();
                let pids = lines.into_iter().map(|line| pid(line.text)).collect();
                Fated { engine, job, pids, at: Duration::ZERO }
            })
            .collect();
        jobs.iter_mut().for_each(|fated| fated.at = fated.job.elapsed());
        Self { jobs }
    }

    /// The jobs end with 75, their first lines come in time and name these hosts, with rank and process.
    fn expect_told(self, what: &str, lost: Lost<'_>) {
        for Fated { engine, job, pids, at } in self.jobs {
            let ended = job.finish(Duration::from_secs(30));
            ended.expect_code(75);
            let mut errors = ended.lines.iter().filter(|line| line.stream == Stream::Stderr);
            let line = errors.find(|line| line.text.starts_with("dsmexec: "));
            let line = line.unwrap_or_else(|| panic!("nothing is told\n{}", ended.report()));
            let names = |host: usize| {
                let rank = format!("rank {host} (node{}) pid {} ", host + 1, pids[host]);
                line.text.contains(&rank)
            };
            let is_named = match lost {
                Lost::OneOf(hosts) => hosts.iter().any(|host| names(*host)),
                Lost::EachOther(hosts) => hosts.iter().all(|host| names(*host)),
            };
            assert!(is_named, "not {lost:?}, {pids:?} in {line:?}\n{}", ended.report());
            let told = line.at.saturating_sub(at);
            assert!(told <= WITHIN, "told after {told:?}\n{}", ended.report());
            let over = ended.took.saturating_sub(line.at);
            assert!(over <= GONE, "ended {over:?} after that\n{}", ended.report());
            let (told, over) = (told.as_secs_f64(), over.as_secs_f64());
            println!(
                "{what}: {engine:8} told after {told:.3} s, over {over:.3} s later: {}",
                line.text
            );
        }
    }
}

/// The processes of jobs on all hosts, each with its process namespace.
fn processes(lab: &Lab) -> Vec<(String, PathBuf)> {
    let (dir, ..) = lab.traces();
    let of_job = |entry: DirEntry| {
        let exe = fs::read_link(entry.path().join("exe")).ok()?;
        let namespace = fs::read_link(entry.path().join("ns/pid")).ok()?;
        let name = format!("{} {}", entry.file_name().display(), exe.display());
        exe.starts_with(&dir).then_some((name, namespace))
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| of_job(entry.ok()?)).collect()
}

/// Each host has a `/dev/shm` of its own.
fn expect_nothing_in_shm(lab: &Lab, hosts: usize) {
    for host in 0..hosts {
        let mut command = lab.on_host(host);
        command.args(["ls", "-A", "/dev/shm"]);
        let listed = lab.run(command);
        assert_eq!(listed.lines.len(), 0, "left on host {host}\n{}", listed.report());
    }
}

fn namespace_of(lab: &Lab, host: usize) -> PathBuf {
    let (_, pids, _) = lab.traces();
    fs::read_link(format!("/proc/{}/ns/pid_for_children", pids[host])).unwrap()
}

fn signal_all_on(lab: &Lab, host: usize, signal: &str) {
    let mut command = lab.on_host(host);
    command.args(["sh", "-c", &format!("kill -{signal} -1")]);
    lab.run(command);
}

const WITHIN: Duration = Duration::from_secs(5);
/// From the cut until nothing is left on the other side of it.
const LEASE: Duration = Duration::from_secs(10);
