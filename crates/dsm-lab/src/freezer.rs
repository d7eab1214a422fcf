use crate::crew::inhabitants;
use crate::lab::{Lab, cannot_run};
use rustix::process::Pid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A host of which no process runs, as a machine that is suspended: its kernel still answers. Dropping it lets them go on.
#[derive(Debug)]
pub(crate) struct Frozen {
    group: PathBuf,
    home: PathBuf,
}

impl Frozen {
    /// Stops a host. `None`, after saying why, where the kernel has no freezer.
    pub(crate) fn new(lab: &Lab, host: usize) -> Option<Self> {
        let Some(home) = own_group() else {
            return cannot_run("freezing a host needs the cgroup freezer");
        };
        let group = home.join(format!("dsm-lab-{}", lab.pid_of(host)));
        if let Err(e) = fs::create_dir(&group) {
            return cannot_run(&format!("cannot create {}: {e}", group.display()));
        }
        let frozen = Self { group, home };
        // Until nobody is found who was born meanwhile.
        loop {
            let inside = members(&frozen.group);
            let outside: Vec<Pid> = inhabitants(lab, host)
                .into_iter()
                .filter(|pid| !inside.contains(&pid.as_raw_nonzero().to_string()))
                .filter(|pid| enter(&frozen.group, &pid.as_raw_nonzero().to_string()).is_ok())
                .collect();
            if outside.is_empty() {
                break;
            }
        }
        fs::write(frozen.group.join("freezer.state"), "FROZEN").unwrap();
        Some(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // What fails here fails because it is gone already; dropping must not panic.
        let _ = fs::write(self.group.join("freezer.state"), "THAWED");
        let deadline = Instant::now() + DEATH;
        while Instant::now() < deadline {
            // Processes may be born while others are moved, and who is dying cannot be moved.
            for pid in members(&self.group) {
                let _ = enter(&self.home, &pid);
            }
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            thread::yield_now();
        }
        eprintln!("{} cannot be removed", self.group.display());
    }
}

fn members(group: &Path) -> Vec<String> {
    let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.lines().map(str::to_owned).collect()
}

fn enter(group: &Path, pid: &str) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), pid)
}

/// Where this process is in the freezer's hierarchy.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path =
        groups.lines().find_map(|line| line.split_once(":freezer:")).map(|(_, path)| path)?;
    let group = Path::new("/sys/fs/cgroup/freezer").join(path.trim_start_matches('/'));
    group.join("cgroup.procs").exists().then_some(group)
}

/// How long it may take until those who are dying when they are let go on are dead.
const DEATH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, kill_process};
    use std::io::Read;
    use std::process::{Child, Stdio};

    /// A process with much memory takes a while to die.
    #[test]
    fn nothing_is_left_where_somebody_died_in_the_cold() {
        let Some(lab) = Lab::on_hosts(1, 1, &[]) else { return };
        let mut large = lab.on_host(0);
        large.args(["dd", "if=/dev/zero", "bs=512M", "count=1", "status=none"]);
        let mut large = large.stdout(Stdio::piped()).spawn().unwrap();
        // It has read everything.
        large.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let frozen = Frozen::new(&lab, 0);
        kill_process(child(&large), Signal::KILL).unwrap();
        let group = frozen.map(|frozen| frozen.group.clone());
        large.wait().unwrap();
        let Some(group) = group else { return };
        assert!(!group.exists(), "{} is left", group.display());
    }

    fn child(parent: &Child) -> Pid {
        let pid = parent.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }
}
