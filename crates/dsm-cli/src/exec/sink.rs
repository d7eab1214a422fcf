use rustix::event::PollFlags;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::nonblocking::{Wanted, wait};

/// Where lines go. What cannot be written is counted, and the job goes on.
#[derive(Debug)]
pub(crate) struct Sink {
    name: String,
    /// `None` if it could not be made.
    file: Option<File>,
    failed: Option<Errno>,
    lost: u64,
}

impl Sink {
    pub(crate) fn new(name: impl Into<String>, file: File) -> Self {
        Self { name: name.into(), file: Some(file), failed: None, lost: 0 }
    }

    /// One that loses every line, for this reason.
    pub(crate) fn lost(name: impl Into<String>, cause: Errno) -> Self {
        Self { name: name.into(), file: None, failed: Some(cause), lost: 0 }
    }

    /// Writes a line that ends with its newline, in one write where the receiver takes it whole.
    pub(crate) fn write_line(&mut self, mut line: &[u8]) {
        let Some(file) = &self.file else {
            self.lost += 1;
            return;
        };
        while !line.is_empty() {
            match rustix::io::write(file, line) {
                Ok(count) => line = &line[count..],
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => wait_for(file),
                Err(errno) => {
                    self.failed.get_or_insert(errno);
                    self.lost += 1;
                    return;
                }
            }
        }
    }

    /// One warning if anything was lost.
    pub(crate) fn complaint(&self) -> Option<String> {
        let cause = std::io::Error::from(self.failed?);
        let cause = crate::words::of_error(&cause);
        let (lost, name) = (self.lost, &self.name);
        let lines = if lost == 1 { "line was" } else { "lines were" };
        Some(format!("warning: {lost} {lines} not written to {name}: {cause}"))
    }
}

/// Somebody else made the descriptor nonblocking, as ssh does to a terminal.
fn wait_for(file: &File) {
    // Whatever poll says, the next write says it again.
    let wanted = [Wanted((), file.as_fd(), PollFlags::OUT)];
    let _ = wait(&wanted, Instant::now() + Duration::from_secs(60));
}
