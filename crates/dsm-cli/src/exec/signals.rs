use super::event::Event;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

/// Turns signals to dsmexec into events.
#[derive(Debug)]
pub(crate) struct SignalThread {
    handle: Handle,
    thread: JoinHandle<()>,
}

impl SignalThread {
    /// Catches what asks for the end or for what the ranks wait for, and what would stop dsmexec: stopped, it would be taken for
    /// dead. What dsmexec was started to ignore, as by nohup, it goes on ignoring.
    ///
    /// # Errors
    /// If there is no thread or descriptor to be had.
    pub(crate) fn start(events: Sender<Event>) -> io::Result<Self> {
        let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        if is_in(ignored, SIGCHLD) {
            // Somebody's strange legacy: while it is ignored, nobody learns how a child ended. Programs
            // started from here find it at its default.
            signal_hook::flag::register(SIGCHLD, Arc::default())?;
        }
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGUSR1];
        let wanted = wanted.into_iter().filter(|signal| !is_in(ignored, *signal));
        let mut signals = Signals::new(wanted)?;
        let handle = signals.handle();
        let thread = thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                // Who no longer listens has ended the job.
                let _ = events.send(Event::Signal(signal));
            }
        })?;
        Ok(Self { handle, thread })
    }

    pub(crate) fn finish(self) {
        self.handle.close();
        self.thread.join().expect("the signal thread does not panic");
    }
}

fn is_in(set: u64, signal: i32) -> bool {
    set >> (signal - 1) & 1 == 1
}

/// The set of ignored signals, bit 0 being signal 1, from `/proc/self/status`.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"), 0x1001);
        assert_eq!(ignored(""), 0);
        assert_eq!(ignored("SigIgn:\tx\n"), 0);
    }
}
