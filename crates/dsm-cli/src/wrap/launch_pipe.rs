use super::find::failure;
use super::stage::READY;
use crate::nonblocking::{Arrival, read};
use dsm_net::launch::{StartFailure, StartStep};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// Where the stage says how executing the program went.
#[derive(Debug)]
pub(super) struct LaunchPipe {
    reader: OwnedFd,
    /// Open until the stage has opened its own, or the reader would see an end at once.
    writer: Option<OwnedFd>,
    said: Vec<u8>,
}

/// How executing the program went.
#[derive(Debug)]
pub(super) enum Launch {
    Pending,
    Running,
    Refused(StartFailure),
}

impl LaunchPipe {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok(Self { reader, writer: Some(writer), said: Vec::new() })
    }

    /// The number of the writing end in this process.
    pub(super) fn number(&self) -> RawFd {
        self.writer.as_ref().expect("the stage has not been started").as_raw_fd()
    }

    /// Reads on. `program` is what to call it in a failure.
    pub(super) fn serve(&mut self, program: &Path) -> Launch {
        let mut buffer = [0; 16];
        loop {
            match read(&self.reader, &mut buffer) {
                Arrival::Bytes(bytes) => {
                    self.said.extend_from_slice(bytes);
                    self.writer = None;
                }
                Arrival::NotYet => return Launch::Pending,
                Arrival::End => break,
            }
        }
        match self.said[..] {
            [READY] => Launch::Running,
            [READY, a, b, c, d] => {
                let error = io::Error::from_raw_os_error(i32::from_le_bytes([a, b, c, d]));
                Launch::Refused(failure(StartStep::Execute, program, &error))
            }
            _ => Launch::Refused(StartFailure {
                step: StartStep::Resources,
                subject: program.display().to_string(),
                cause: "dsmwrap's stage before the program ended early".into(),
                errno: None,
            }),
        }
    }

    /// The stage, or the program it became, has exited: nothing more will be said.
    pub(super) fn settle(&mut self, program: &Path) -> Launch {
        self.writer = None;
        self.serve(program)
    }
}

impl AsFd for LaunchPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
