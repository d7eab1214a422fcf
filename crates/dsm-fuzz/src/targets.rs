use crate::driven::drive_engine;
use crate::{pr204, secrets};
use dsm_core::wire::{self, HEADER_BYTES, HELLO_BYTES, Hello, Limits, Secrecy};
use dsm_core::{Placement, Rank, Space};
use dsm_net::frame::Decoder;
use dsm_net::launch::{Job, Order, Report, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// A place where bytes come in from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Target {
    /// Headers of frames between ranks.
    Wire,
    /// What a rank says of itself.
    Hello,
    /// The messages of a handshake, and records after it.
    Handshake,
    /// Launch frames, cut anywhere.
    Launch,
    /// Machine files.
    MachineFile,
    /// What members of the PR204 family say, cut anywhere.
    Pr204,
    /// An engine whose peers send arbitrary well-formed messages.
    Engine,
}

impl Target {
    /// All targets.
    pub const ALL: [Self; 7] = [
        Self::Wire,
        Self::Hello,
        Self::Handshake,
        Self::Launch,
        Self::MachineFile,
        Self::Pr204,
        Self::Engine,
    ];

    /// How many inputs take as long as `runs` of what is only read: a handshake is mostly arithmetic.
    #[must_use]
    pub fn affordable(self, runs: u64) -> u64 {
        match self {
            Self::Handshake => runs / 50,
            _ => runs,
        }
    }

    /// How long inputs may get.
    pub(crate) fn max_input(self) -> usize {
        match self {
            Self::Pr204 => pr204::MAX_INPUT,
            _ => 512,
        }
    }

    /// Runs the target once on these bytes. Bytes in excess are ignored, missing ones are zero.
    ///
    /// # Panics
    /// If the target does not behave.
    pub fn execute(self, bytes: &[u8]) {
        match self {
            Self::Wire => read_header(bytes),
            Self::Hello => read_hello(bytes),
            Self::Handshake => secrets::read(bytes),
            Self::Launch => read_launch_frames(bytes),
            Self::MachineFile => read_machine_file(bytes),
            Self::Pr204 => pr204::read(bytes),
            Self::Engine => drive_engine(bytes),
        }
    }
}

/// A header is refused, or is bit for bit what its message encodes to.
fn read_header(bytes: &[u8]) {
    let header = array::<HEADER_BYTES>(bytes);
    match wire::decode(&header, &LIMITS) {
        Ok(message) => assert_eq!(wire::encode(&message, &LIMITS), header, "{message:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A hello is refused with a reason, or is bit for bit what it says.
fn read_hello(bytes: &[u8]) {
    let bytes = array::<HELLO_BYTES>(bytes);
    match OURS.check(&bytes) {
        Ok(theirs) => assert_eq!(theirs.encode(), bytes, "{theirs:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Whatever the first byte picks is read: a message comes out the same when it is written again.
fn read_launch_frames(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => read_frames::<Order>(bytes),
        1 => read_frames::<Report>(bytes),
        2 => read_frames::<Job>(bytes),
        _ => read_frames::<Status>(bytes),
    }
}

fn read_frames<M: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) {
    let Some((segment, bytes)) = bytes.split_first() else { return };
    let mut decoder = Decoder::default();
    for bytes in bytes.chunks(usize::from(*segment).max(1)) {
        decoder.push(bytes);
        loop {
            match decoder.next_message::<M>() {
                Ok(Some(message)) => {
                    let mut again = Decoder::default();
                    again.push(&dsm_net::frame::encode(&message));
                    let copy = again.next_message::<M>();
                    assert_eq!(copy.expect("our own frame is one"), Some(message));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// A machine file is refused with its name and line, or has hosts that ssh will not take for options.
fn read_machine_file(bytes: &[u8]) {
    match dsm_cli::hosts_of_machine_file(bytes) {
        Ok(hosts) => {
            assert!(!hosts.is_empty());
            for host in hosts {
                let odd = |c: char| c.is_control() || c.is_whitespace();
                assert!(!host.starts_with('-') && !host.contains(odd), "{host:?}");
            }
        }
        Err(error) => assert!(error.starts_with("machines"), "{error}"),
    }
}

pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    let count = bytes.len().min(N);
    array[..count].copy_from_slice(&bytes[..count]);
    array
}

pub(crate) const SPACE: Space =
    Space { nodes: 4, pages: 4, area_pages: 2, page_words: 512, placement: Placement::FirstTouch };
pub(crate) const LIMITS: Limits = Limits { space: SPACE, page_bytes: 4096 };

pub(crate) const OURS: Hello = Hello {
    version: wire::VERSION,
    from: Rank(0),
    to: Rank(1),
    nodes: 4,
    page_bytes: 4096,
    secrecy: Secrecy::Encrypted,
    base: 1 << 45,
    size: 1 << 30,
    heap: 1 << 36,
    placement: Placement::Cyclic,
    received: 0,
};
