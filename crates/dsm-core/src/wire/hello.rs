use super::field;
use crate::{Placement, Rank};
use core::fmt;

/// The version of the `native` protocol. Ranks of different versions refuse each other.
pub const VERSION: u16 = 5;

/// Bytes of a [`Hello`].
pub const HELLO_BYTES: usize = 56;

/// What each end of a connection says of itself once it knows that the other has the key of the pair.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 2 | version |
/// | 2 | 2 | rank that speaks |
/// | 4 | 2 | rank it speaks to |
/// | 6 | 2 | number of ranks |
/// | 8 | 4 | bytes of a page |
/// | 12 | 4 | what follows on the connection: 0 plain, 1 encrypted |
/// | 16 | 8 | first address of the region |
/// | 24 | 8 | bytes of the area |
/// | 32 | 8 | bytes of the heap |
/// | 40 | 8 | placement of the area: 0 cyclic, 1 block, 2 random, 3 first-touch |
/// | 48 | 8 | bytes that have come from the rank it speaks to, on connections before this one |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its protocol version.
    pub version: u16,
    /// The rank that speaks.
    pub from: Rank,
    /// The rank it speaks to.
    pub to: Rank,
    /// How many ranks its job has.
    pub nodes: u16,
    /// Bytes of its pages.
    pub page_bytes: u32,
    /// Whether it will encrypt what it says on this connection, and expects the same.
    pub secrecy: Secrecy,
    /// The first address of its region.
    pub base: u64,
    /// Bytes of its area.
    pub size: u64,
    /// Bytes of its heap.
    pub heap: u64,
    /// How the pages of its area are placed.
    pub placement: Placement,
    /// How many bytes of the other's stream have come so far, on all connections before this one.
    pub received: u64,
}

/// Whether what follows the handshake is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrecy {
    /// Anybody on the way can read it.
    #[default]
    Plain,
    /// Nobody but the two ranks can, or change it unnoticed.
    Encrypted,
}

/// Why a peer's hello is refused: it belongs to this job but is set up differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// A number differs.
    Differs {
        /// What differs.
        what: &'static str,
        /// The value here.
        ours: u64,
        /// The value there.
        theirs: u64,
    },
    /// The peer places the pages of its area differently.
    Placement {
        /// The placement here.
        ours: Placement,
        /// The placement there.
        theirs: Placement,
    },
    /// One of the two encrypts, the other does not.
    Secrecy {
        /// What is meant here.
        ours: Secrecy,
    },
}

impl Hello {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..2].copy_from_slice(&self.version.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.to.0.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.nodes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.page_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.secrecy.code().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.size.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.heap.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.placement.code().to_le_bytes());
        bytes[48..].copy_from_slice(&self.received.to_le_bytes());
        bytes
    }

    /// Reads a peer's hello and checks it against our own, which says whom it is for.
    ///
    /// # Errors
    /// The first thing that differs, the version before all else.
    pub fn check(&self, bytes: &[u8; HELLO_BYTES]) -> Result<Self, HelloError> {
        let code = u64::from_le_bytes(field(bytes, 40));
        let placement = Placement::of_code(code);
        let secrecy_code = u32::from_le_bytes(field(bytes, 12));
        let secrecy = Secrecy::of_code(secrecy_code);
        let theirs = Self {
            version: u16::from_le_bytes(field(bytes, 0)),
            from: Rank(u16::from_le_bytes(field(bytes, 2))),
            to: Rank(u16::from_le_bytes(field(bytes, 4))),
            nodes: u16::from_le_bytes(field(bytes, 6)),
            page_bytes: u32::from_le_bytes(field(bytes, 8)),
            secrecy: secrecy.unwrap_or_default(),
            base: u64::from_le_bytes(field(bytes, 16)),
            size: u64::from_le_bytes(field(bytes, 24)),
            heap: u64::from_le_bytes(field(bytes, 32)),
            placement: placement.unwrap_or_default(),
            received: u64::from_le_bytes(field(bytes, 48)),
        };
        let pairs = [
            ("protocol version", self.version.into(), theirs.version.into()),
            ("number of ranks", self.nodes.into(), theirs.nodes.into()),
            ("own rank", self.to.0.into(), theirs.from.0.into()),
            ("rank spoken to", self.from.0.into(), theirs.to.0.into()),
            ("page size", self.page_bytes.into(), theirs.page_bytes.into()),
            ("base address of the region", self.base, theirs.base),
            ("size of the area", self.size, theirs.size),
            ("size of the heap", self.heap, theirs.heap),
        ];
        if let Some((what, ours, theirs)) =
            pairs.into_iter().find(|(_, ours, theirs)| ours != theirs)
        {
            return Err(HelloError::Differs { what, ours, theirs });
        }
        let differs = |what, ours, theirs| Err(HelloError::Differs { what, ours, theirs });
        match placement {
            Some(placement) if placement == self.placement => (),
            Some(theirs) => return Err(HelloError::Placement { ours: self.placement, theirs }),
            None => return differs("code of a placement", self.placement.code(), code),
        }
        match secrecy {
            Some(secrecy) if secrecy == self.secrecy => Ok(theirs),
            Some(_) => Err(HelloError::Secrecy { ours: self.secrecy }),
            None => differs("code of secrecy", self.secrecy.code().into(), secrecy_code.into()),
        }
    }
}

impl Secrecy {
    fn code(self) -> u32 {
        match self {
            Self::Plain => 0,
            Self::Encrypted => 1,
        }
    }

    fn of_code(code: u32) -> Option<Self> {
        [Self::Plain, Self::Encrypted].into_iter().find(|secrecy| secrecy.code() == code)
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { what, ours, theirs } => {
                write!(f, "its {what} is {theirs} ({theirs:#x}), here it is {ours} ({ours:#x})")
            }
            Self::Placement { ours, theirs } => {
                write!(f, "it places the area's pages {theirs}, here it is {ours}")
            }
            Self::Secrecy { ours: Secrecy::Plain } => {
                f.write_str("it encrypts their connection, here it is plain (DSM_ENCRYPT differs)")
            }
            Self::Secrecy { ours: Secrecy::Encrypted } => f.write_str(
                "its end of their connection is plain, here it is encrypted (DSM_ENCRYPT differs)",
            ),
        }
    }
}

impl core::error::Error for HelloError {}

pub(super) const MAGIC: [u8; 4] = *b"dsm\0";

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Hello = Hello {
        version: VERSION,
        from: Rank(0),
        to: Rank(1),
        nodes: 2,
        page_bytes: 4096,
        secrecy: Secrecy::Encrypted,
        base: 1 << 45,
        size: 1 << 30,
        heap: 1 << 36,
        placement: Placement::Cyclic,
        received: 0,
    };
    const THEIRS: Hello = Hello { from: Rank(1), to: Rank(0), received: 1 << 40, ..OURS };

    fn check(change: impl FnOnce(&mut Hello)) -> Result<Hello, HelloError> {
        let mut theirs = THEIRS;
        change(&mut theirs);
        OURS.check(&theirs.encode())
    }

    #[test]
    fn a_member_of_the_job_is_taken() {
        assert_eq!(check(|_| ()), Ok(THEIRS));
    }

    #[test]
    fn another_version_is_named_whatever_else_differs() {
        let (what, ours, theirs) = ("protocol version", VERSION.into(), 3);
        let error = check(|theirs| (theirs.version, theirs.size) = (3, 0));
        assert_eq!(error, Err(HelloError::Differs { what, ours, theirs }));
    }

    #[test]
    fn a_different_region_is_named() {
        let what = "size of the area";
        let (ours, theirs) = (1 << 30, 4096);
        assert_eq!(
            check(|hello| hello.size = 4096),
            Err(HelloError::Differs { what, ours, theirs })
        );
    }

    #[test]
    fn a_different_placement_is_named() {
        let theirs = Placement::Block;
        let error = check(|hello| hello.placement = theirs).unwrap_err();
        assert_eq!(error, HelloError::Placement { ours: Placement::Cyclic, theirs });
        assert_eq!(
            alloc::format!("{error}"),
            "it places the area's pages block, here it is cyclic"
        );
        let mut unknown = THEIRS.encode();
        unknown[47] = 1;
        assert!(matches!(OURS.check(&unknown), Err(HelloError::Differs { .. })));
    }

    #[test]
    fn one_end_alone_does_not_encrypt() {
        let error = check(|hello| hello.secrecy = Secrecy::Plain).unwrap_err();
        assert_eq!(error, HelloError::Secrecy { ours: Secrecy::Encrypted });
        let mut unknown = THEIRS.encode();
        unknown[13] = 1;
        assert!(matches!(OURS.check(&unknown), Err(HelloError::Differs { theirs: 257, .. })));
    }

    #[test]
    fn a_rank_that_means_somebody_else_is_refused() {
        assert!(matches!(check(|theirs| theirs.to = Rank(1)), Err(HelloError::Differs { .. })));
        assert!(matches!(check(|theirs| theirs.from = Rank(0)), Err(HelloError::Differs { .. })));
    }
}
