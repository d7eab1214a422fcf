//! What rank 0 orders the others to do, over connections of their own: they carry the round trip *R*, and
//! nothing of dsm.

use super::super::line::{LINES, Line};
use super::Outcome;
use dsm::Node;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// What another rank is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Answer with a page.
    Trip,
    /// Prepare a sample of a line, and answer.
    Assist { line: Line, sample: u32 },
    /// Look at what was prepared of a line, after rank 0 has, and answer.
    Look { line: Line, sample: u32 },
    /// Come to a barrier, and answer what this rank has sent so far.
    Settle,
    /// Pass some barriers with the other ranks; no answer.
    Together,
    /// Answer when a lock is held, unlock it when it is waited for, and answer when that was.
    Hold,
    /// Answer when so many threads compute; none any more at 0.
    Compute { threads: u32 },
    /// Answer with so many KiB.
    Stream { kib: u32 },
    /// Nothing more.
    End,
}

/// Rank 0's connection to another rank, or the other end of it.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    page: Vec<u8>,
}

impl Order {
    fn to_bytes(self) -> [u8; REQUEST_BYTES] {
        let place = |line: Line| LINES.iter().position(|about| about.line == line);
        let (code, line, argument) = match self {
            Self::Trip => (1, None, 0),
            Self::Assist { line, sample } => (2, place(line), sample),
            Self::Look { line, sample } => (9, place(line), sample),
            Self::Settle => (3, None, 0),
            Self::Together => (4, None, 0),
            Self::Hold => (5, None, 0),
            Self::Compute { threads } => (6, None, threads),
            Self::Stream { kib } => (7, None, kib),
            Self::End => (8, None, 0),
        };
        let mut bytes = [0; REQUEST_BYTES];
        bytes[0] = code;
        bytes[1] = line.and_then(|line| u8::try_from(line).ok()).unwrap_or(u8::MAX);
        bytes[4..8].copy_from_slice(&argument.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; REQUEST_BYTES]) -> Option<Self> {
        let line = LINES.get(usize::from(bytes[1])).map(|about| about.line);
        let argument = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        Some(match bytes[0] {
            1 => Self::Trip,
            2 => Self::Assist { line: line?, sample: argument },
            3 => Self::Settle,
            4 => Self::Together,
            5 => Self::Hold,
            6 => Self::Compute { threads: argument },
            7 => Self::Stream { kib: argument },
            8 => Self::End,
            9 => Self::Look { line: line?, sample: argument },
            _ => return None,
        })
    }
}

impl Link {
    /// Connects rank 0 with all others, in rank order; gives each of them its one link.
    ///
    /// # Errors
    /// If ranks cannot reach each other.
    pub(super) fn meet(node: &Node) -> Result<Vec<Self>, Box<dyn std::error::Error>> {
        let words = node.words::<AtomicU64>(0, node.page_bytes() / size_of::<u64>())?;
        let (secret, ports) = words.split_first().ok_or("a page has words")?;
        let place = |rank: u16| {
            let address = node.address(rank).ok_or("this job has no addresses")?;
            let port = ports.get(usize::from(rank)).ok_or("too many ranks")?;
            Ok::<_, Box<dyn std::error::Error>>((address, port))
        };
        if node.rank() == 0 {
            let mut random = [0; size_of::<u64>()];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
            secret.store(u64::from_ne_bytes(random), SeqCst);
            node.barrier()?;
            let connect = |rank| {
                let (address, port) = place(rank)?;
                let to = SocketAddr::new(address, u16::try_from(port.load(SeqCst))?);
                let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
                stream.write_all(&secret.load(SeqCst).to_ne_bytes())?;
                Self::new(stream, node)
            };
            return (1..node.nodes()).map(connect).collect();
        }
        let (address, port) = place(node.rank())?;
        let listener = TcpListener::bind((address, 0))?;
        port.store(listener.local_addr()?.port().into(), SeqCst);
        node.barrier()?;
        let stream = accept(&listener, secret.load(SeqCst))?;
        Ok(vec![Self::new(stream, node)?])
    }

    fn new(stream: TcpStream, node: &Node) -> Result<Self, Box<dyn std::error::Error>> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(None)?;
        Ok(Self { stream, page: vec![0; node.page_bytes()] })
    }

    /// Rank 0's side.
    pub(super) fn order(&mut self, order: Order) -> io::Result<()> {
        self.stream.write_all(&order.to_bytes())
    }

    /// The other side; waits for the next order.
    pub(super) fn next(&mut self) -> Result<Order, Box<dyn std::error::Error>> {
        let mut bytes = [0; REQUEST_BYTES];
        self.stream.read_exact(&mut bytes)?;
        Ok(Order::from_bytes(bytes).ok_or("an order that nobody gives")?)
    }

    /// A request and a page back: *R*.
    pub(super) fn trip(&mut self) -> io::Result<f64> {
        let began = Instant::now();
        self.stream.write_all(&Order::Trip.to_bytes())?;
        self.stream.read_exact(&mut self.page)?;
        Ok(us(began.elapsed()))
    }

    pub(super) fn answer_trip(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.page)
    }

    /// An order that is answered with two numbers.
    pub(super) fn ask(&mut self, order: Order) -> io::Result<[u64; 2]> {
        self.order(order)?;
        self.hear()
    }

    pub(super) fn hear(&mut self) -> io::Result<[u64; 2]> {
        let mut numbers = [[0; size_of::<u64>()]; 2];
        self.stream.read_exact(numbers.as_flattened_mut())?;
        Ok(numbers.map(u64::from_le_bytes))
    }

    pub(super) fn answer(&mut self, numbers: [u64; 2]) -> io::Result<()> {
        self.stream.write_all(numbers.map(u64::to_le_bytes).as_flattened())
    }

    /// How many microseconds so many KiB take, from the order to the last byte.
    pub(super) fn stream(&mut self, kib: u32, buffer: &mut [u8]) -> io::Result<f64> {
        let began = Instant::now();
        self.order(Order::Stream { kib })?;
        let mut left = kib as usize * 1024;
        while left > 0 {
            let most = left.min(buffer.len());
            match self.stream.read(&mut buffer[..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => left -= count,
            }
        }
        Ok(us(began.elapsed()))
    }

    pub(super) fn answer_stream(&mut self, kib: u32) -> io::Result<()> {
        let chunk = vec![0; CHUNK_BYTES];
        let mut left = kib as usize * 1024;
        while left > 0 {
            let count = left.min(chunk.len());
            self.stream.write_all(&chunk[..count])?;
            left -= count;
        }
        Ok(())
    }
}

/// The connection of who knows the secret; others are turned away.
fn accept(listener: &TcpListener, secret: u64) -> Result<TcpStream, Box<dyn std::error::Error>> {
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut shown = [0; size_of::<u64>()];
        if stream.read_exact(&mut shown).is_ok() && shown == secret.to_ne_bytes() {
            return Ok(stream);
        }
    }
}

/// Tells all links the same, which does not answer.
pub(super) fn order_all(links: &mut [Link], order: Order) -> Outcome {
    Ok(links.iter_mut().try_for_each(|link| link.order(order))?)
}

pub(super) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

const REQUEST_BYTES: usize = 16;
const CHUNK_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood_as_they_are_given() {
        let (line, sample) = (Line::Barrier8, 70_000);
        let orders = [
            Order::Trip,
            Order::Assist { line, sample },
            Order::Look { line, sample },
            Order::Settle,
            Order::Together,
            Order::Hold,
            Order::Compute { threads: 3 },
            Order::Stream { kib: 9 },
            Order::End,
        ];
        for order in orders {
            assert_eq!(Order::from_bytes(order.to_bytes()), Some(order));
        }
        assert_eq!(Order::from_bytes([0; REQUEST_BYTES]), None);
    }
}
