//! A job whose ranks are threads of a test, with real sockets on loopback.
#![allow(dead_code, reason = "each test file uses what it needs")]

use dsm_core::wire::{Hello, Preamble, Secrecy, VERSION};
use dsm_core::{Placement, Rank};
use dsm_net::Encryption;
use dsm_net::handshake::{Calling, FIRST_BYTES};
use dsm_net::keys::{KEY_BYTES, PairKeys};
use dsm_net::launch::{JobId, JobKey};
use dsm_net::rendezvous::{Party, Refusals, Rendezvous, Waiting};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) fn key() -> JobKey {
    JobKey::new([3; 32])
}

pub(crate) struct Job {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Job {
    pub(crate) fn new(nodes: u16) -> Self {
        let listen = |_| TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners: Vec<_> = (0..nodes).map(listen).collect();
        let addresses = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
        Self { listeners, addresses }
    }

    pub(crate) fn nodes(&self) -> u16 {
        u16::try_from(self.listeners.len()).unwrap()
    }

    pub(crate) fn hello(&self, rank: u16) -> Hello {
        Hello {
            version: VERSION,
            from: Rank(rank),
            to: Rank(rank),
            nodes: self.nodes(),
            page_bytes: 4096,
            secrecy: Secrecy::Plain,
            base: 1 << 45,
            size: 1 << 30,
            heap: 1 << 36,
            placement: Placement::Cyclic,
            received: 0,
        }
    }

    pub(crate) fn keys(&self, rank: u16, key: Option<&JobKey>) -> PairKeys {
        let store = vec![0; usize::from(self.nodes()) * KEY_BYTES];
        PairKeys::derive(JobId(1), key, Rank(rank), self.nodes(), store)
    }

    /// What a rank brings when nothing is wrong with it.
    pub(crate) fn party(&self, rank: u16) -> Party {
        Party {
            hello: self.hello(rank),
            keys: self.keys(rank, Some(&key())),
            encryption: Encryption::Always,
            addresses: self.addresses.clone(),
            listener: self.listeners[usize::from(rank)].try_clone().unwrap(),
        }
    }

    pub(crate) fn rendezvous(&self, rank: u16) -> Rendezvous {
        Rendezvous::new(self.party(rank))
    }

    /// A first message of `from`, as that rank would make it if it connected to `to`.
    pub(crate) fn first(&self, from: u16, to: u16, attempt: u32) -> (Calling, [u8; FIRST_BYTES]) {
        let preamble = Preamble::new(Rank(from), Rank(to), self.nodes(), attempt);
        Calling::begin(self.keys(from, Some(&key())).with(Rank(to)), &preamble).unwrap()
    }

    pub(crate) fn call(&self, rank: u16, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.addresses[usize::from(rank)]).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }
}

pub(crate) fn patient() -> Waiting<'static> {
    waiting(DEADLINE)
}

pub(crate) fn waiting(patience: Duration) -> Waiting<'static> {
    Waiting {
        refusals: Refusals::Final,
        ended: None,
        remind_after: patience / 2,
        give_up_after: patience,
    }
}

/// All that the stream brings until it is closed.
pub(crate) fn answer(mut stream: &TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    // A reset counts as silence: it carries no byte. A timeout does not: it was to be closed.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    bytes
}
