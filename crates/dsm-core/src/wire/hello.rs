use super::field;
use crate::{Placement, Rank};
use core::fmt;

/// The version of the `native` protocol. Ranks of different versions refuse each other.
pub const VERSION: u16 = 3;

/// Bytes of a [`Hello`].
pub const HELLO_BYTES: usize = 80;

/// What each end of a connection says first, the connecting end before the other.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | `dsm\0` |
/// | 4 | 2 | version |
/// | 6 | 2 | rank that speaks |
/// | 8 | 2 | rank it speaks to |
/// | 10 | 2 | number of ranks |
/// | 12 | 4 | bytes of a page |
/// | 16 | 8 | first address of the region |
/// | 24 | 8 | bytes of the area |
/// | 32 | 8 | bytes of the heap |
/// | 40 | 8 | placement of the area: 0 cyclic, 1 block, 2 random, 3 first-touch |
/// | 48 | 32 | key of the job; zeros in a job without one |
#[derive(Clone, Copy, PartialEq, Eq)]
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
    /// The first address of its region.
    pub base: u64,
    /// Bytes of its area.
    pub size: u64,
    /// Bytes of its heap.
    pub heap: u64,
    /// How the pages of its area are placed.
    pub placement: Placement,
    /// The secret of its job; zeros if it has none.
    pub key: [u8; 32],
}

/// Why a peer's hello is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// It is not of this protocol, or of another job. Nothing may be answered.
    Stranger,
    /// The peer belongs to this job but is set up differently.
    Differs {
        /// What differs.
        what: &'static str,
        /// The value here.
        ours: u64,
        /// The value there.
        theirs: u64,
    },
    /// The peer belongs to this job but places the pages of its area differently.
    Placement {
        /// The placement here.
        ours: Placement,
        /// The placement there.
        theirs: Placement,
    },
}

impl Hello {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.version.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.to.0.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.nodes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.page_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.size.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.heap.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.placement.code().to_le_bytes());
        bytes[48..].copy_from_slice(&self.key);
        bytes
    }

    /// The rank a hello says it comes from, checked or not.
    #[must_use]
    pub fn speaker(bytes: &[u8; HELLO_BYTES]) -> Rank {
        Rank(u16::from_le_bytes(field(bytes, 6)))
    }

    /// The rank a hello says it is for, checked or not.
    #[must_use]
    pub fn addressee(bytes: &[u8; HELLO_BYTES]) -> Rank {
        Rank(u16::from_le_bytes(field(bytes, 8)))
    }

    /// Reads a peer's hello and checks it against our own, which names no receiver yet.
    ///
    /// # Errors
    /// [`HelloError::Stranger`] before anything else is looked at, if the magic or the key is wrong.
    pub fn check(&self, bytes: &[u8; HELLO_BYTES]) -> Result<Self, HelloError> {
        let code = u64::from_le_bytes(field(bytes, 40));
        let placement = Placement::of_code(code);
        let theirs = Self {
            version: u16::from_le_bytes(field(bytes, 4)),
            from: Self::speaker(bytes),
            to: Self::addressee(bytes),
            nodes: u16::from_le_bytes(field(bytes, 10)),
            page_bytes: u32::from_le_bytes(field(bytes, 12)),
            base: u64::from_le_bytes(field(bytes, 16)),
            size: u64::from_le_bytes(field(bytes, 24)),
            heap: u64::from_le_bytes(field(bytes, 32)),
            placement: placement.unwrap_or_default(),
            key: field(bytes, 48),
        };
        if bytes[..4] != MAGIC || !same_key(&self.key, &theirs.key) {
            return Err(HelloError::Stranger);
        }
        let pairs = [
            ("protocol version", self.version.into(), theirs.version.into()),
            ("number of ranks", self.nodes.into(), theirs.nodes.into()),
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
        let ours = self.placement;
        match placement {
            Some(placement) if placement == ours => Ok(theirs),
            Some(theirs) => Err(HelloError::Placement { ours, theirs }),
            None => {
                let (what, ours) = ("code of a placement", ours.code());
                Err(HelloError::Differs { what, ours, theirs: code })
            }
        }
    }
}

/// Compares all bytes whatever they are, so that the time taken tells nothing about the key.
fn same_key(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

impl fmt::Debug for Hello {
    /// The key is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("version", &self.version)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("nodes", &self.nodes)
            .field("page_bytes", &self.page_bytes)
            .field("base", &self.base)
            .field("size", &self.size)
            .field("heap", &self.heap)
            .field("placement", &self.placement)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger => f.write_str("it does not belong to this job"),
            Self::Differs { what, ours, theirs } => {
                write!(f, "its {what} is {theirs} ({theirs:#x}), here it is {ours} ({ours:#x})")
            }
            Self::Placement { ours, theirs } => {
                write!(f, "it places the area's pages {theirs}, here it is {ours}")
            }
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
        base: 1 << 45,
        size: 1 << 30,
        heap: 1 << 36,
        placement: Placement::Cyclic,
        key: [7; 32],
    };

    fn check(change: impl FnOnce(&mut Hello)) -> Result<Rank, HelloError> {
        let mut theirs = Hello { from: Rank(1), to: Rank(0), ..OURS };
        change(&mut theirs);
        OURS.check(&theirs.encode()).map(|hello| hello.from)
    }

    #[test]
    fn a_member_of_the_job_is_taken() {
        assert_eq!(check(|_| ()), Ok(Rank(1)));
    }

    #[test]
    fn another_key_is_a_stranger_whatever_else_differs() {
        assert_eq!(
            check(|theirs| {
                theirs.key[31] ^= 1;
                theirs.size = 0;
            }),
            Err(HelloError::Stranger)
        );
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
        let mut unknown = Hello { from: Rank(1), to: Rank(0), ..OURS }.encode();
        unknown[47] = 1;
        assert!(matches!(OURS.check(&unknown), Err(HelloError::Differs { .. })));
    }

    #[test]
    fn a_rank_that_means_somebody_else_is_refused() {
        assert!(matches!(check(|theirs| theirs.to = Rank(1)), Err(HelloError::Differs { .. })));
    }
}
