use crate::nonblocking::{Outbox, Wanted};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// The program's standard input.
#[derive(Debug)]
pub(crate) struct Input {
    pipe: Option<OwnedFd>,
    pending: Outbox,
    ending: Ending,
}

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    AfterPending,
}

/// What became of bytes for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The program's pipe took so many.
    Bytes(usize),
    /// The program reads no more.
    Closed,
}

impl Input {
    /// `pipe` is nonblocking.
    pub(crate) fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe, pending: Outbox::default(), ending: Ending::Open }
    }

    pub(crate) fn wanted<T>(&self, who: T) -> Option<Wanted<'_, T>> {
        let pipe = self.pipe.as_ref()?.as_fd();
        // Without interest, poll still tells when the last reader goes.
        let flags = if self.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        Some(Wanted(who, pipe, flags))
    }

    pub(crate) fn push(&mut self, bytes: Vec<u8>) -> Taken {
        self.pending.push(bytes);
        self.flush()
    }

    /// Closes the pipe behind what is pending.
    pub(crate) fn end(&mut self) {
        self.ending = Ending::AfterPending;
        self.flush();
    }

    /// The pipe is ready or broken. It may have been ready for what has been written meanwhile.
    pub(crate) fn on_ready(&mut self) -> Taken {
        if self.pending.is_empty() {
            self.pipe.take_if(|pipe| is_broken(pipe));
        }
        self.flush()
    }

    fn flush(&mut self) -> Taken {
        let taken = self.pipe.as_ref().map(|pipe| self.pending.flush(pipe));
        let Some(Ok(taken)) = taken else {
            self.pipe = None;
            self.pending.clear();
            return Taken::Closed;
        };
        if self.pending.is_empty() && self.ending == Ending::AfterPending {
            self.pipe = None;
        }
        Taken::Bytes(taken)
    }
}

/// Whether nobody reads any more.
fn is_broken(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::empty())];
    // What cannot be polled cannot be written to.
    !matches!(rustix::event::poll(&mut fds, Some(&AT_ONCE)), Ok(0) | Err(Errno::INTR))
}

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    /// Ready for what was written meanwhile was once taken for broken, and the rest of the input was lost.
    #[test]
    fn a_pipe_that_was_ready_for_what_is_written_already_stays_open() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut input = Input::new(Some(writer));
        assert_eq!(input.push(vec![1, 2]), Taken::Bytes(2));
        assert_eq!(input.on_ready(), Taken::Bytes(0));
        assert_eq!(input.push(vec![3]), Taken::Bytes(1));
        drop(reader);
        assert_eq!(input.on_ready(), Taken::Closed);
    }
}
