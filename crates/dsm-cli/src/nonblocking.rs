//! Reading, writing and waiting without ever being stuck on one descriptor.

use dsm_net::wipe;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Bytes on their way to a descriptor that may not take them yet. It leaves none behind in memory: a job's key
/// may be among them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Vec<u8>>,
    sent_of_first: usize,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.chunks.push_back(bytes);
        }
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes until nothing waits or the descriptor takes no more; says how many bytes it took.
    ///
    /// # Errors
    /// What the kernel says, except that the descriptor is full.
    pub(crate) fn flush(&mut self, to: impl AsFd) -> io::Result<usize> {
        let before = self.bytes;
        while let Some(first) = self.chunks.front() {
            match rustix::io::write(&to, &first[self.sent_of_first..]) {
                Ok(count) => self.advance(count),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(before - self.bytes)
    }

    fn advance(&mut self, count: usize) {
        self.bytes -= count;
        self.sent_of_first += count;
        let sent = self.sent_of_first;
        if let Some(mut first) = self.chunks.pop_front_if(|first| first.len() == sent) {
            wipe::bytes(&mut first);
            self.sent_of_first = 0;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.chunks.iter_mut().for_each(|chunk| wipe::bytes(chunk));
    }
}

/// What a read from a nonblocking descriptor gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<'a> {
    Bytes(&'a [u8]),
    /// No writer is left, or the descriptor is broken, which comes to the same.
    End,
    NotYet,
}

pub(crate) fn read(from: impl AsFd, buffer: &mut [u8]) -> Arrival<'_> {
    match rustix::io::read(from, &mut *buffer) {
        Ok(0) => Arrival::End,
        Ok(count) => Arrival::Bytes(&buffer[..count]),
        Err(Errno::AGAIN | Errno::INTR) => Arrival::NotYet,
        Err(_) => Arrival::End,
    }
}

/// A descriptor to wait for: who it is, and what is wanted of it. Errors are always reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a, T>(pub(crate) T, pub(crate) BorrowedFd<'a>, pub(crate) PollFlags);

/// Waits until one of the descriptors is ready or the time has come; gives those that are ready.
///
/// # Errors
/// What poll says; an interruption is an empty answer.
pub(crate) fn wait<T: Copy>(wanted: &[Wanted<'_, T>], until: Instant) -> io::Result<Vec<T>> {
    let mut fds: Vec<_> =
        wanted.iter().map(|Wanted(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).expect("deadlines are at most days away");
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) => Ok(fds
            .iter()
            .zip(wanted)
            .filter(|(fd, _)| !fd.revents().is_empty())
            .map(|(_, Wanted(who, ..))| *who)
            .collect()),
        Err(Errno::INTR) => Ok(Vec::new()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::time::Duration;

    #[test]
    fn everything_arrives_through_a_pipe_that_takes_little_at_a_time() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let sent: Vec<u8> = (0..1_000_000u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut outbox = Outbox::default();
        sent.chunks(777).for_each(|chunk| outbox.push(chunk.to_vec()));
        let mut received = Vec::new();
        let mut buffer = vec![0; 10_000];
        while received.len() < sent.len() {
            outbox.flush(&writer).unwrap();
            if let Arrival::Bytes(bytes) = read(&reader, &mut buffer) {
                received.extend_from_slice(bytes);
            }
        }
        assert_eq!(received, sent);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn waiting_ends_with_the_descriptor_or_with_the_time() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let wanted = [Wanted('r', reader.as_fd(), PollFlags::IN)];
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(wait(&wanted, soon).unwrap().is_empty());
        assert!(Instant::now() >= soon);
        drop(writer);
        assert_eq!(wait(&wanted, Instant::now() + Duration::from_secs(60)).unwrap(), ['r']);
        assert_eq!(read(&reader, &mut [0; 8]), Arrival::End);
    }
}
