//! Who the ranks of a cell are, and what each of them prints.

use crate::{built, peer};
use std::path::{Path, PathBuf};

/// Who the ranks are: a column of the matrix.
#[derive(Clone, Copy)]
pub(crate) enum Ranks {
    /// With libdsm, among themselves.
    Ours,
    /// With libpeer.
    Stub(Peer),
    /// With libdsm on these ranks, with libpeer on the others.
    Mixed(Peer, &'static str),
    /// Programs that know of no dsm.
    Strangers,
}

#[derive(Clone, Copy)]
pub(crate) enum Peer {
    Bcast,
    Seed8,
}

#[derive(Clone, Copy)]
pub(crate) enum Program {
    Turns,
    Scan,
    Exemple,
    Truc,
    Plain,
}

impl Ranks {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Ours => "our library".to_owned(),
            Self::Stub(peer) => format!("stub library, {}", peer.name()),
            Self::Mixed(peer, ours) => format!("ours as rank {ours}, {}", peer.name()),
            Self::Strangers => "no library".to_owned(),
        }
    }

    pub(crate) fn peer(self) -> Option<Peer> {
        match self {
            Self::Ours | Self::Strangers => None,
            Self::Stub(peer) | Self::Mixed(peer, _) => Some(peer),
        }
    }

    /// How ours speak to foreign ones, if there are such.
    pub(crate) fn peer_of_ours(self) -> Option<Peer> {
        match self {
            Self::Mixed(peer, _) => Some(peer),
            Self::Ours | Self::Stub(_) | Self::Strangers => None,
        }
    }

    /// The program, with whatever decides which rank is whose.
    pub(crate) fn words(self, program: Program) -> Vec<PathBuf> {
        match self {
            Self::Ours => vec![program.ours()],
            Self::Stub(_) => vec![program.stub()],
            Self::Mixed(_, ours) => {
                vec![peer("pick"), PathBuf::from(ours), program.ours(), program.stub()]
            }
            Self::Strangers => vec![peer("plain")],
        }
    }
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bcast => "bcast",
            Self::Seed8 => "seed8",
        }
    }
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Scan => "scan",
            Self::Exemple => "exemple",
            Self::Truc => "truc",
            Self::Plain => "plain",
        }
    }

    fn ours(self) -> PathBuf {
        match self {
            Self::Exemple | Self::Truc => built(self.name()),
            Self::Turns | Self::Scan | Self::Plain => peer(&format!("{}-ours", self.name())),
        }
    }

    fn stub(self) -> PathBuf {
        peer(&format!("{}-stub", self.name()))
    }

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Turns | Self::Scan | Self::Exemple => &[],
            Self::Truc => &["machines", "b  c"],
            Self::Plain => &["a", "b  c", ""],
        }
    }

    /// What a rank prints.
    pub(crate) fn lines(
        self,
        ranks: Ranks,
        rank: usize,
        nodes: usize,
        directory: &Path,
    ) -> Vec<String> {
        match self {
            // Three rounds of ones over ten pages that begin with 1,030,000, 1,031,000 and so on.
            Self::Turns => vec![format!("rank {rank} of {nodes}: ok {}", 10_345_000 + 30 * nodes)],
            // Every word of every page, but those in the middle, is a number of its own.
            Self::Scan => vec![format!("rank {rank} of {nodes}: ok 137861043092800")],
            Self::Exemple => {
                let base = match ranks {
                    Ranks::Ours => "0x200000000000",
                    _ => "0x3ff9c000",
                };
                let greeting = format!("[{rank}] Coucou, mon adresse de base est : {base}");
                let value = format!("[{rank}] valeur de l'entier : 0");
                if rank < 2 { vec![greeting, value] } else { vec![greeting] }
            }
            Self::Truc => {
                let program = ranks.words(self).remove(0);
                let mut lines = vec![
                    format!("working directory: {}", directory.display()),
                    "number of arguments: 3".to_owned(),
                    format!("argument 0: {}", program.display()),
                    "argument 1: machines".to_owned(),
                    "argument 2: b  c".to_owned(),
                ];
                lines.extend(std::iter::repeat_n("localhost".to_owned(), nodes));
                lines
            }
            Self::Plain => {
                ["argument 1: a", "argument 2: b  c", "argument 3: "].map(str::to_owned).to_vec()
            }
        }
    }
}
