//! Row: too few descriptors, no memory, the limit of a cgroup, too few mappings: told with the number that is needed.

use crate::case::{ENGINES, Failure, Over, Place, program, side_by_side};
use dsm_lab::cannot_run;
use rustix::process::geteuid;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn descriptors_of_dsmexec() {
    let place = Place::local(3);
    let before = ["sh", "-c", "ulimit -n 40 && exec \"$@\"", "sh"];
    let over = place.start_command(place.command(&before, &[], &[&program("fail_work")])).finish();
    over.expect_code(71).expect_nothing_left();
    let line = over.expect_error(&["3 ranks need ", " descriptors, and the limit is 40"]);
    assert!(line.text.contains("raise it with ulimit -n"), "{}", over.report());
    assert_eq!(over.lines.len(), 1, "nothing is started\n{}", over.report());
    println!("{}", line.text);
}

#[test]
fn descriptors_of_a_rank() {
    let words = ["descriptors", "its limit is 12", "ulimit -n"];
    side_by_side(&ENGINES, |engine| at_start(engine, "ulimit -n 12", &words));
}

#[test]
fn address_space() {
    let words = ["limit on address space is 1024000000 bytes", "ulimit -v"];
    side_by_side(&ENGINES, |engine| at_start(engine, "ulimit -v 1000000", &words));
}

#[test]
fn file_size() {
    let words = ["limit on file size is 512000", "ulimit -f"];
    side_by_side(&ENGINES, |engine| at_start(engine, "ulimit -f 1000", &words));
}

#[test]
fn data() {
    let words = ["the runtime needs ", " bytes of data ", "the limit is 10240000 (ulimit -d)"];
    side_by_side(&ENGINES, |engine| {
        let told = at_start(engine, "ulimit -d 10000", &words);
        // As many as that are enough. The program has some of its own.
        let (_, needed) = told.split_once("the runtime needs ").unwrap();
        let needed: u64 = needed.split(' ').next().unwrap().parse().unwrap();
        let script = format!("ulimit -d {} && exec \"$0\" 1 1", needed.div_ceil(1024));
        let place = Place::local(2);
        let program = ["sh", "-c", &script, &program("rotation")];
        place.start(&["--fault", engine], &program).finish().expect_success();
        told
    });
}

/// Of a user who is not privileged: for root there is no such limit.
#[test]
fn processes_of_a_user() {
    let words = ["the runtime needs ", " processes and threads ", "(of the user, ulimit -u)"];
    side_by_side(&ENGINES, |engine| {
        let unprivileged = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
        let unprivileged = if geteuid().is_root() { &unprivileged[..] } else { &[] };
        let work = program("fail_work");
        let program = [unprivileged, &["prlimit", "--nproc=2", &work]].concat();
        let place = Place::local(2);
        let over = place.start(&["--fault", engine], &program).finish();
        let times = over.expect_failure(told(71, &words));
        format!("ulimit -u {engine:8} {times}: {}", first_of(&over))
    });
}

/// Both are looked at before the region is made.
#[test]
fn limits_of_a_cgroup_that_leave_no_room() {
    let pids = (PIDS, "3", "processes and threads ", "3 (pids.max of the cgroup)");
    let memory = (MEMORY, "3145728", "4194304 bytes of memory ", "3145728 (of the cgroup)");
    for (limits, limit, what, by) in [pids, memory] {
        for engine in ENGINES {
            let Some(group) = Group::new(limits, limit) else { return };
            let place = Place::local(2);
            let program = group.around(&program("fail_work"));
            let program: Vec<_> = program.iter().map(String::as_str).collect();
            let over = place.start(&["--fault", engine], &program).finish();
            let words = [" (localhost) pid ", "the runtime needs ", what, "the limit is ", by];
            let times = over.expect_failure(told(71, &words));
            println!("{engine:8} {times}: {}", first_of(&over));
        }
    }
}

/// The ranks share a group that has no room for the pages that they write.
#[test]
fn memory_of_a_cgroup() {
    for engine in ENGINES {
        let Some(group) = Group::new(MEMORY, "25165824") else { return };
        let place = Place::local(2);
        let mut program = group.around(&program("rotation"));
        program.extend(["64", "2"].map(String::from));
        let program: Vec<_> = program.iter().map(String::as_str).collect();
        let over = place.start(&["--fault", engine], &program).finish();
        let cause = "by the kernel for lack of memory (cgroup limit 25165824 bytes)";
        let words = [" (localhost) pid ", " was killed by signal 9 (SIGKILL), ", cause];
        println!("cgroup of 24 MiB {engine:8} {}", over.expect_failure(told(137, &words)));
    }
}

/// The ranks leave a thousand mappings, and the program needs four thousand with mprotect and none with userfaultfd.
#[test]
fn mappings() {
    let [uffd, sigsegv] = ENGINES;
    let place = Place::local(2);
    let over = place.start(&["--fault", uffd], &[&program("maps"), "1000"]).finish();
    over.expect_success().expect_from_all(2, "maps: right");

    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let limit: u64 = limit.trim().parse().unwrap();
    let place = Place::local(2);
    let options = ["--fault", sigsegv, "--size", "64M"];
    let mut job = place.start(&options, &[&program("maps"), "1000"]);
    let at = job.wait_for(" pages apart").at;
    let over = job.finish();
    let has = format!("the process is at the limit of {limit} mappings");
    let needs = format!("sysctl vm.max_map_count={} is enough", limit + 64 * 256);
    let words = ["rank ", " (localhost) pid ", "cannot give page ", &has, &needs];
    let failure = Failure { at, ..told(71, &words) };
    println!("mappings {sigsegv:8} {}", over.expect_failure(failure));
}

/// A job under a limit of a shell, which ends before it begins.
fn at_start(engine: &str, limit: &str, words: &[&str]) -> String {
    let place = Place::local(2);
    let script = format!("{limit} && exec \"$0\"");
    let over = place.start(&["--fault", engine], &["sh", "-c", &script, &program("fail_work")]);
    let over = over.finish();
    let words = [&["rank ", " (localhost) pid "], words].concat();
    let times = over.expect_failure(told(71, &words));
    format!("{limit:18} {engine:8} {times}: {}", first_of(&over))
}

fn first_of(over: &Over) -> &str {
    &over.expect_error(&["dsmexec: rank "]).text
}

/// Within this time since the beginning of the job.
fn told<'a>(code: i32, words: &'a [&'a str]) -> Failure<'a> {
    Failure { at: Duration::ZERO, told_within: Duration::from_secs(5), code, words }
}

/// A cgroup that is removed when it is dropped.
struct Group(PathBuf);

impl Group {
    /// `limits` are where such groups are in the two versions, and what the limit is called.
    fn new(limits: [(&str, &str); 2], limit: &str) -> Option<Self> {
        let (pid, number) = (std::process::id(), GROUPS.fetch_add(1, Ordering::Relaxed));
        for (root, name) in limits {
            let group = Self(Path::new(root).join(format!("dsm-failures-{pid}-{number}")));
            if fs::create_dir(&group.0).is_err() {
                continue;
            }
            if fs::write(group.0.join(name), limit).is_ok() {
                return Some(group);
            }
        }
        cannot_run(&format!("there is no cgroup that can be made with {limits:?}"))
    }

    /// A program that a shell starts in the group.
    fn around(&self, program: &str) -> Vec<String> {
        let join = format!("echo $$ >'{}'", self.0.join("cgroup.procs").display());
        let script = format!("{join} && exec \"$0\" \"$@\"");
        vec!["sh".to_owned(), "-c".to_owned(), script, program.to_owned()]
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group whose last process is still being reaped stays; it holds nothing.
        let _ = fs::remove_dir(&self.0);
    }
}

static GROUPS: AtomicUsize = AtomicUsize::new(0);
const MEMORY: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
const PIDS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/pids", "pids.max"), ("/sys/fs/cgroup", "pids.max")];
