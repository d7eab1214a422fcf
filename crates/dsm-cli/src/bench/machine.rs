//! What is said of this machine beside the figures.

use std::fs;
use std::thread::available_parallelism;
use std::time::Instant;

/// What this machine's processors had to do since a moment.
#[derive(Debug)]
pub(crate) struct Load {
    since: Instant,
    machine: Option<Ticks>,
    own: Option<f64>,
}

/// Times of all processors together, in the kernel's ticks.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: f64,
    idle: f64,
    stolen: f64,
}

impl Load {
    pub(crate) fn from_now_on() -> Self {
        Self { since: Instant::now(), machine: ticks(), own: own_ticks() }
    }

    /// How many processors there are, and how many of them others used, of this machine and of its host.
    pub(crate) fn describe(&self) -> String {
        let cpus = cpus();
        let Some((others, stolen)) = self.used_by_others() else { return format!("{cpus} CPUs") };
        let free = (cpus as f64 - others).max(0.0);
        let seconds = self.since.elapsed().as_secs_f64();
        format!("{cpus} CPUs, {free:.1} of them free, {stolen:.1} stolen (means of {seconds:.0} s)")
    }

    fn used_by_others(&self) -> Option<(f64, f64)> {
        let (before, now) = (self.machine?, ticks()?);
        let all = now.all - before.all;
        let own = own_ticks()? - self.own?;
        let idle = now.idle - before.idle;
        let stolen = now.stolen - before.stolen;
        // The ticks of all processors are those of one times their number.
        let part = |ticks: f64| (ticks / all).clamp(0.0, 1.0) * cpus() as f64;
        (all > 0.0).then(|| (part(all - idle - own), part(stolen)))
    }
}

pub(crate) fn cpus() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Linux and its version.
pub(crate) fn kernel() -> String {
    let name = rustix::system::uname();
    format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy())
}

/// The settings of dsm that the environment has.
pub(crate) fn settings() -> String {
    let set = dsm::SETTINGS.iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(format!("{name}={value}"))
    });
    let set: Vec<String> = set.collect();
    if set.is_empty() { "no DSM settings".to_owned() } else { set.join(" ") }
}

fn ticks() -> Option<Ticks> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let numbers: Vec<f64> = numbers.map_while(|number| number.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are in user and nice already.
    let times = numbers.get(..8)?;
    Some(Ticks { all: times.iter().sum(), idle: times[3] + times[4], stolen: times[7] })
}

/// Of this process and of those children that have ended and were waited for.
fn own_ticks() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold spaces, but nothing behind its last bracket does.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    let times = fields.get(11..15)?.iter();
    times.map(|ticks| ticks.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_processors_and_a_kernel() {
        let load = Load::from_now_on();
        assert!(load.describe().contains(" CPUs"));
        assert!(kernel().starts_with("Linux "), "{}", kernel());
        assert!(own_ticks().is_some());
        assert!(ticks().is_some());
    }
}
