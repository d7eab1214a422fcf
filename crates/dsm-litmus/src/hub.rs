//! Rendezvous and collection of a test's ranks, over TCP connections of its own.

use dsm::{CallError, Node, WordsError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::rand::{GetRandomFlags, getrandom};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use thiserror::Error;

/// This rank's end of a star of connections with rank 0 in the middle.
#[derive(Debug)]
pub struct Hub {
    links: Links,
}

#[derive(Debug)]
enum Links {
    /// Rank 0: one connection to each other rank, in rank order.
    Middle(Vec<TcpStream>),
    /// Any other rank: to rank 0.
    Leaf(TcpStream),
}

/// Why a rank cannot go on with a test.
#[derive(Debug, Error)]
pub enum HubError {
    /// A connection failed, or nothing came in time.
    #[error("cannot {operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A peer sent what it should not have.
    #[error("cannot read from another rank: {what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// The words at the beginning of the area cannot be used.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// The barrier cannot be used.
    #[error(transparent)]
    Barrier(#[from] CallError),
}

impl Hub {
    /// Connects all ranks; every rank must call it. Rank 0 listens at `address`, which the others must be
    /// able to reach. Uses the first two words of the shared area, and leaves them as it likes.
    ///
    /// # Errors
    /// If a connection cannot be made within [`DEADLINE`].
    pub fn meet(node: &Node, address: IpAddr) -> Result<Self, HubError> {
        let words = node.words::<AtomicU64>(0, 2)?;
        if node.rank() != 0 {
            node.barrier()?;
            let (port, token) = (words[0].load(SeqCst), words[1].load(SeqCst));
            return Self::join(node.rank(), address, port, token);
        }
        let listener = TcpListener::bind((address, 0)).map_err(io_error("listen"))?;
        let mut token = [0; 8];
        getrandom(&mut token, GetRandomFlags::empty())
            .map_err(|errno| io_error("draw a token")(errno.into()))?;
        let token = u64::from_le_bytes(token);
        let port = listener.local_addr().map_err(io_error("learn the port"))?.port();
        words[0].store(port.into(), SeqCst);
        words[1].store(token, SeqCst);
        node.barrier()?;
        Self::accept(&listener, node.nodes(), token)
    }

    fn join(rank: u16, address: IpAddr, port: u64, token: u64) -> Result<Self, HubError> {
        let port = u16::try_from(port)
            .map_err(|_| HubError::Malformed { what: format!("port {port} of rank 0") })?;
        let stream = TcpStream::connect((address, port)).map_err(io_error("connect to rank 0"))?;
        let mut stream = prepared(stream)?;
        let hello = [&token.to_le_bytes()[..], &rank.to_le_bytes()].concat();
        stream.write_all(&hello).map_err(io_error("write to rank 0"))?;
        Ok(Self { links: Links::Leaf(stream) })
    }

    fn accept(listener: &TcpListener, nodes: u16, token: u64) -> Result<Self, HubError> {
        let mut streams: Vec<Option<TcpStream>> = (1..nodes).map(|_| None).collect();
        while streams.iter().any(Option::is_none) {
            await_connection(listener)?;
            let (stream, _) = listener.accept().map_err(io_error("accept a connection"))?;
            let mut stream = prepared(stream)?;
            let mut hello = [0; 10];
            stream.read_exact(&mut hello).map_err(io_error("read who connects"))?;
            let (theirs, rank) = hello.split_at(8);
            let rank = usize::from(u16::from_le_bytes([rank[0], rank[1]]));
            // Whoever does not know the token is a stranger on this host.
            let place = rank.checked_sub(1).and_then(|place| streams.get_mut(place));
            if let Some(place @ None) = place
                && theirs == token.to_le_bytes()
            {
                *place = Some(stream);
            }
        }
        Ok(Self { links: Links::Middle(streams.into_iter().flatten().collect()) })
    }

    /// Brings what every rank has to rank 0, in rank order; the others get nothing. Waits at rank 0 for all.
    ///
    /// # Errors
    /// If a rank is gone or says nothing for [`DEADLINE`].
    pub fn gather(&mut self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, HubError> {
        match &mut self.links {
            Links::Leaf(stream) => {
                send(stream, &own)?;
                Ok(Vec::new())
            }
            Links::Middle(streams) => {
                let mut all = vec![own];
                for stream in streams {
                    all.push(receive(stream)?);
                }
                Ok(all)
            }
        }
    }

    /// Brings what rank 0 has to every rank; what others pass is ignored.
    ///
    /// # Errors
    /// If a rank is gone, or rank 0 says nothing for [`DEADLINE`].
    pub fn spread(&mut self, from_0: Vec<u8>) -> Result<Vec<u8>, HubError> {
        match &mut self.links {
            Links::Leaf(stream) => receive(stream),
            Links::Middle(streams) => {
                for stream in streams {
                    send(stream, &from_0)?;
                }
                Ok(from_0)
            }
        }
    }

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// As [`gather`](Self::gather) and [`spread`](Self::spread).
    pub fn meet_again(&mut self) -> Result<(), HubError> {
        self.gather(Vec::new())?;
        self.spread(Vec::new())?;
        Ok(())
    }
}

fn await_connection(listener: &TcpListener) -> Result<(), HubError> {
    let deadline = Timespec::try_from(DEADLINE).expect("a minute is a time");
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    match poll(&mut fds, Some(&deadline)) {
        Ok(0) => Err(io_error("meet all ranks")(io::ErrorKind::TimedOut.into())),
        // After an interruption the wait begins anew: accept would wait without a deadline.
        Err(rustix::io::Errno::INTR) => await_connection(listener),
        Err(errno) => Err(io_error("meet all ranks")(errno.into())),
        Ok(_) => Ok(()),
    }
}

fn prepared(stream: TcpStream) -> Result<TcpStream, HubError> {
    let set = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(DEADLINE)))
        .and_then(|()| stream.set_write_timeout(Some(DEADLINE)));
    set.map_err(io_error("set up a connection"))?;
    Ok(stream)
}

fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), HubError> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_BYTES);
    let length = length.expect("tests send less than the limit");
    // One write: a second one would wait for its own wake-up.
    let frame = [&length.to_le_bytes(), bytes].concat();
    stream.write_all(&frame).map_err(io_error("write to another rank"))
}

fn receive(stream: &mut TcpStream) -> Result<Vec<u8>, HubError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(io_error("read from another rank"))?;
    let length = u32::from_le_bytes(length);
    if length > MAX_BYTES {
        let what = format!("{length} bytes announced, the limit is {MAX_BYTES}");
        return Err(HubError::Malformed { what });
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).map_err(io_error("read from another rank"))?;
    Ok(bytes)
}

fn io_error(operation: &'static str) -> impl FnOnce(io::Error) -> HubError {
    move |source| HubError::Io { operation, source }
}

/// How long a rank waits for another.
pub const DEADLINE: Duration = Duration::from_secs(120);
const MAX_BYTES: u32 = 1 << 30;
