//! Whether the limits on this process leave room for the runtime: found out before anything is reserved, so that it
//! can be told how much is enough.

use crate::node::JoinError;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};

/// Looks at the limits on data, on processes and threads, and on memory. The runtime will have regions of so many bytes.
pub(crate) fn check(region_bytes: usize) -> Result<(), JoinError> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let there = field(&status, "VmData:").unwrap_or(0) * 1024;
    let needed = there.saturating_add(data_for(region_bytes));
    within("bytes of data", needed, getrlimit(Resource::Data).current, "ulimit -d")?;
    for_threads()?;
    let limits = ["memory.max", "memory.limit_in_bytes"];
    let limit = groups("memory").iter().filter_map(|it| number(it, &limits)).min();
    within("bytes of memory", MEMORY, limit, "of the cgroup")
}

/// The same for the threads of the runtime alone.
pub(crate) fn for_threads() -> Result<(), JoinError> {
    let what = "processes and threads";
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !is_exempt(&status) {
        let limit = getrlimit(Resource::Nproc).current;
        let by = "of the user, ulimit -u";
        // To look at every process takes long where there are many, and their number alone nearly always says enough.
        if within(what, all_threads().saturating_add(THREADS), limit, by).is_err() {
            within(what, threads_of(field(&status, "Uid:")) + THREADS, limit, by)?;
        }
    }
    for group in groups("pids") {
        let there = number(&group, &["pids.current"]).unwrap_or(0);
        within(what, there + THREADS, number(&group, &["pids.max"]), "pids.max of the cgroup")?;
    }
    Ok(())
}

fn within(
    what: &'static str,
    needed: u64,
    limit: Option<u64>,
    by: &'static str,
) -> Result<(), JoinError> {
    match limit {
        Some(limit) if limit < needed => Err(JoinError::Room { what, needed, limit, by }),
        _ => Ok(()),
    }
}

/// Private memory that can be written: a byte for each page of the region, stacks, and what else is allocated.
fn data_for(region_bytes: usize) -> u64 {
    (region_bytes / rustix::param::page_size()) as u64 + OTHER_DATA
}

/// Whether the limit on processes of a user does not hold for this one.
fn is_exempt(status: &str) -> bool {
    let capabilities = line(status, "CapEff:").and_then(|it| u64::from_str_radix(it, 16).ok());
    field(status, "Uid:") == Some(0) || capabilities.is_some_and(|it| it & EXEMPT != 0)
}

/// How many threads there are on the machine; very many if that cannot be told.
fn all_threads() -> u64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running_and_all = load.split_whitespace().nth(3).and_then(|it| it.split_once('/'));
    running_and_all.and_then(|(_, all)| all.parse().ok()).unwrap_or(u64::MAX)
}

/// How many threads a user has, of those that can be seen.
fn threads_of(user: Option<u64>) -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_one = |entry: fs::DirEntry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        (field(&status, "Uid:") == user).then(|| field(&status, "Threads:"))?
    };
    entries.filter_map(of_one).sum()
}

/// The cgroups of this process that `controller` may limit, from its own up to the root.
fn groups(controller: &str) -> Vec<PathBuf> {
    let lines = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = directory_of(controller, &lines) else { return Vec::new() };
    let below_root = |it: &&Path| it.starts_with(ROOT) && *it != Path::new(ROOT);
    own.ancestors().take_while(below_root).map(Path::to_owned).collect()
}

/// By the lines of `/proc/self/cgroup`: version 1 with its own hierarchy, else version 2.
fn directory_of(controller: &str, lines: &str) -> Option<PathBuf> {
    let mut second = None;
    for line in lines.lines() {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|it| it == controller) {
            return Some(Path::new(ROOT).join(controller).join(path));
        }
        if controllers.is_empty() {
            second = Some(Path::new(ROOT).join(path));
        }
    }
    second
}

/// What the first of these files says that is there; none if that is no number, which is no limit.
fn number(group: &Path, names: &[&str]) -> Option<u64> {
    let text = names.iter().find_map(|name| fs::read_to_string(group.join(name)).ok())?;
    text.trim().parse().ok()
}

/// The first number of a line of `/proc/PID/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    line(status, name)?.split_whitespace().next()?.parse().ok()
}

fn line<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

const ROOT: &str = "/sys/fs/cgroup";
/// `CAP_SYS_ADMIN` and `CAP_SYS_RESOURCE`.
const EXEMPT: u64 = 1 << 21 | 1 << 24;
/// The driver's, the one that watches for faults, and the one that meets ranks again.
const THREADS: u64 = 3;
/// Measured are 3.7 MB, of which most are the stacks.
const OTHER_DATA: u64 = 8 << 20;
/// What a rank that shares nothing has of its own, and what the kernel keeps for it; measured is about half of it.
const MEMORY: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_here() {
        assert!(check(1 << 30).is_ok());
    }

    #[test]
    fn too_little_is_told_with_the_number_needed() {
        let error = within("bytes of data", 9, Some(8), "ulimit -d").unwrap_err();
        assert_eq!(error.exit_code(), 71);
        let text = error.to_string();
        assert!(text.contains("needs 9 bytes of data") && text.contains("8 (ulimit -d)"), "{text}");
        assert!(within("", 9, Some(9), "").is_ok() && within("", u64::MAX, None, "").is_ok());
    }

    #[test]
    fn groups_are_found_in_both_versions() {
        let found = |lines| directory_of("pids", lines).map(|it| it.display().to_string());
        assert_eq!(found("4:cpu,pids:/a/b\n0::/x\n").as_deref(), Some("/sys/fs/cgroup/pids/a/b"));
        assert_eq!(found("0::/user.slice/x:y\n").as_deref(), Some("/sys/fs/cgroup/user.slice/x:y"));
        assert_eq!(found("3:cpu:/\n"), None);
    }

    #[test]
    fn what_the_kernel_says_of_a_process_is_read() {
        let status = "Name:\tx\nUid:\t1000\t0\t0\t0\nThreads:\t7\nCapEff:\t0000000000200000\n";
        assert_eq!((field(status, "Uid:"), field(status, "Threads:")), (Some(1000), Some(7)));
        assert!(is_exempt(status) && !is_exempt("Uid:\t1000\nCapEff:\t0000000000000400\n"));
        assert!(is_exempt("Uid:\t0\t0\n") && field("", "Uid:").is_none());
        assert!(threads_of(field(&fs::read_to_string("/proc/self/status").unwrap(), "Uid:")) > 0);
    }
}
