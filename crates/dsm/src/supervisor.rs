use crate::launch::{Found, JobError, Told, number_of, take_over};
use dsm_core::Rank;
use dsm_net::frame::{self, Decoder};
use dsm_net::launch::{JOB_FD, Job, LISTEN_FD, Question, Status};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The dsmwrap that started this rank.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: UnixStream,
    /// Of what is said after the job.
    questions: Mutex<Decoder>,
}

/// What was to be heard of a dsmwrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    Asked(Vec<Question>),
    /// It is gone, or cannot be understood.
    Gone,
}

impl Supervisor {
    /// What our dsmwrap has left for this process; `None` if it was not started by one.
    pub(crate) fn find() -> Result<Option<Found>, JobError> {
        let Some(socket) = descriptor(JOB_FD)? else { return Ok(None) };
        let supervisor = Self { socket: UnixStream::from(socket), questions: Mutex::default() };
        let Job { id, key, rank, nodes } = supervisor.read_job()?;
        let ranks = 1..=usize::from(u16::MAX);
        if !ranks.contains(&nodes.len()) || usize::from(rank) >= nodes.len() {
            return Err(JobError::Rank { nodes: nodes.len(), rank });
        }
        let Some(listener) = descriptor(LISTEN_FD)? else {
            return Err(JobError::Unset { present: JOB_FD, missing: LISTEN_FD });
        };
        let listener = TcpListener::from(listener);
        let (told, rank, supervisor) = (Told::Native, Rank(rank), Some(Arc::new(supervisor)));
        Ok(Some(Found { told, job: id, rank, nodes, listener, key, supervisor }))
    }

    fn read_job(&self) -> Result<Job, JobError> {
        self.socket.set_nonblocking(false)?;
        self.socket.set_read_timeout(Some(JOB_TIMEOUT))?;
        self.socket.set_write_timeout(Some(STATUS_TIMEOUT))?;
        let mut decoder = Decoder::default();
        let mut bytes = [0; 4096];
        loop {
            let count = (&self.socket).read(&mut bytes)?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            decoder.push(&bytes[..count]);
            if let Some(job) = decoder.next_message()? {
                return Ok(job);
            }
        }
    }

    /// Tells the launcher something. A launcher that is gone or does not listen is found out otherwise.
    pub(crate) fn tell(&self, status: &Status) {
        let _ = (&self.socket).write_all(&frame::encode(status));
    }

    /// Tells the launcher something that it can do without: not if it does not listen at the moment.
    pub(crate) fn mention(&self, status: &Status) {
        let frame = frame::encode(status);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if let Ok(count @ 1..) = rustix::net::send(&self.socket, &frame, flags) {
            // A frame that has begun must end.
            let _ = (&self.socket).write_all(&frame[count..]);
        }
    }

    /// Takes what the launcher has said meanwhile, without waiting.
    pub(crate) fn hear(&self) -> Heard {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; 1024];
        loop {
            match rustix::net::recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Heard::Gone,
                Ok((count, _)) => questions.push(&bytes[..count]),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => break,
                Err(_) => return Heard::Gone,
            }
        }
        let mut asked = Vec::new();
        loop {
            match questions.next_message() {
                Ok(Some(question)) => asked.push(question),
                Ok(None) if asked.is_empty() => return Heard::Nothing,
                Ok(None) => return Heard::Asked(asked),
                Err(_) => return Heard::Gone,
            }
        }
    }

    /// Waits until the launcher is gone, at most so long. It ends ranks by signals, not through here.
    pub(crate) fn wait_for_end(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("a few seconds are in range");
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Err(Errno::INTR) => (),
                Ok(1..) if self.hear() != Heard::Gone => (),
                _ => return,
            }
        }
    }
}

impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn descriptor(variable: &'static str) -> Result<Option<OwnedFd>, JobError> {
    number_of(variable)?.map(|number| take_over(variable, number)).transpose()
}

/// dsmwrap writes the job when it starts the program.
const JOB_TIMEOUT: Duration = Duration::from_secs(10);
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
