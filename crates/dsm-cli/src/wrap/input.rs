use crate::nonblocking::{Outbox, Wanted};
use rustix::event::PollFlags;
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

    /// The pipe is ready or broken.
    pub(crate) fn on_ready(&mut self) -> Taken {
        if self.pending.is_empty() {
            self.pipe = None;
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
