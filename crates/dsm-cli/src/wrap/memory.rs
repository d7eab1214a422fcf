use std::fs;
use std::path::{Path, PathBuf};

/// The memory cgroup of a process, to tell whether the kernel has killed in it for lack of memory.
#[derive(Debug)]
pub(super) struct MemoryGroup {
    directory: PathBuf,
    /// How often the kernel had killed there when the process was first seen in it.
    kills_before: u64,
}

impl MemoryGroup {
    /// The group of a process; none if there are no memory cgroups, or they cannot be read.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let directory = directory_of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)?;
        let kills_before = kills(&directory)?;
        Some(Self { directory, kills_before })
    }

    /// What was known before, as long as the process is in the same group.
    pub(super) fn follow(before: Option<Self>, pid: u32) -> Option<Self> {
        match (before, Self::of(pid)) {
            (Some(before), Some(found)) if before.directory == found.directory => Some(before),
            (before, None) => before,
            (_, found) => found,
        }
    }

    /// Whether the kernel has killed there since, and within which limit, in words.
    pub(super) fn told(&self) -> Option<String> {
        if kills(&self.directory)? <= self.kills_before {
            return None;
        }
        Some(match limit(&self.directory) {
            Some(bytes) => {
                format!("by the kernel for lack of memory (cgroup limit {bytes} bytes)")
            }
            None => "by the kernel for lack of memory".to_owned(),
        })
    }
}

/// Where the group is, by the lines of `/proc/PID/cgroup`: version 1 with its own hierarchy, else version 2.
fn directory_of(lines: &str) -> Option<PathBuf> {
    let path_in = |is_it: &dyn Fn(&str) -> bool| {
        lines.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            is_it(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let first = path_in(&|controllers| controllers.split(',').any(|it| it == "memory"));
    let (root, path) = match first {
        Some(path) => (Path::new("/sys/fs/cgroup/memory"), path),
        None => (Path::new("/sys/fs/cgroup"), path_in(&|controllers| controllers.is_empty())?),
    };
    Some(root.join(path))
}

fn kills(directory: &Path) -> Option<u64> {
    let events = ["memory.events", "memory.oom_control"];
    let events = events.iter().find_map(|name| fs::read_to_string(directory.join(name)).ok())?;
    let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
}

/// The limit of the group, or of the nearest one above that has one.
fn limit(directory: &Path) -> Option<u64> {
    directory.ancestors().take_while(|it| it.starts_with("/sys/fs/cgroup")).find_map(|directory| {
        let limits = ["memory.max", "memory.limit_in_bytes"];
        let text = limits.iter().find_map(|name| fs::read_to_string(directory.join(name)).ok())?;
        text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED)
    })
}

/// Version 1 has no word for it, but a number of pages that no machine has.
const UNLIMITED: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_in_both_versions() {
        let found = |lines| directory_of(lines).map(|it| it.display().to_string());
        let first = "5:cpu:/a\n4:memory:/job/1\n0::/x\n";
        assert_eq!(found(first).as_deref(), Some("/sys/fs/cgroup/memory/job/1"));
        assert_eq!(found("0::/user.slice/x:y\n").as_deref(), Some("/sys/fs/cgroup/user.slice/x:y"));
        assert_eq!(found("0::/\n").as_deref(), Some("/sys/fs/cgroup/"));
        assert_eq!(found("3:cpu:/\nnonsense\n"), None);
    }

    #[test]
    fn kills_and_limits_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kills(dir.path()), None);
        fs::write(dir.path().join("memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        assert_eq!(kills(dir.path()), Some(2));
        let group = MemoryGroup { directory: dir.path().to_owned(), kills_before: 2 };
        assert_eq!(group.told(), None);
        fs::write(dir.path().join("memory.events"), "oom_kill 3\n").unwrap();
        assert_eq!(group.told().as_deref(), Some("by the kernel for lack of memory"));
    }
}
