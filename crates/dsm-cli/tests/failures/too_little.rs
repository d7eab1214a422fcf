//! Row: too few descriptors, no memory, the limit of a cgroup, too few mappings: told with the number that is needed.

use crate::case::{ENGINES, Failure, Over, Place, program, side_by_side};
use dsm_lab::cannot_run;
use std::fs;
use std::path::{Path, PathBuf};
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
    let words = ["Cannot allocate memory"];
    side_by_side(&ENGINES, |engine| at_start(engine, "ulimit -d 10000", &words));
}

/// The ranks share a group that has no room for the pages that they write.
#[test]
fn memory_of_a_cgroup() {
    for engine in ENGINES {
        let Some(group) = MemoryGroup::new(24 << 20) else { return };
        let place = Place::local(2);
        let join = format!("echo $$ >'{}'", group.0.join("cgroup.procs").display());
        let script = format!("{join} && exec \"$0\" \"$@\"");
        let program = ["sh", "-c", &script, &program("rotation"), "64", "2"];
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

/// A memory cgroup that is removed when it is dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("dsm-failures-{}", std::process::id());
        for (root, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let group = Self(Path::new(root).join(&name));
            if fs::create_dir(&group.0).is_err() {
                continue;
            }
            if fs::write(group.0.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        cannot_run("there is no memory cgroup that can be made")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A group whose last process is still being reaped stays; it holds nothing.
        let _ = fs::remove_dir(&self.0);
    }
}
