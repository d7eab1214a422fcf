use crate::settings::PeerProfile;
use thiserror::Error;

/// Why the shared heap could not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeapError {
    /// There is no room.
    #[error("cannot allocate {bytes} bytes: the shared heap is exhausted")]
    Exhausted {
        /// Bytes asked for.
        bytes: usize,
    },
    /// Not an alignment.
    #[error("cannot allocate with an alignment of {align}: not a power of two")]
    BadAlignment {
        /// What was asked for.
        align: usize,
    },
    /// The address is not that of a block: foreign, inside one, or freed so long ago that its pages were
    /// given back.
    #[error("cannot free {address:#x}: no block of the shared heap begins there")]
    NotAllocated {
        /// What was to be freed.
        address: usize,
    },
    /// The block is free already.
    #[error("cannot free {address:#x}: it is free already")]
    DoubleFree {
        /// What was to be freed.
        address: usize,
    },
    /// A name stands for an object of another size.
    #[error("cannot meet at {name:?} with {wanted} bytes: it has {bytes}")]
    SizeDiffers {
        /// The name.
        name: String,
        /// Bytes the first caller asked for.
        bytes: usize,
        /// Bytes this caller asked for.
        wanted: usize,
    },
    /// Not a name.
    #[error("cannot meet at {name:?}: a name has 1 to 255 bytes, none of them zero")]
    BadName {
        /// What was given.
        name: String,
    },
    /// The rank shares nothing any more.
    #[error("this rank has left the job")]
    Left,
    /// Ranks of another family share pages and nothing else.
    #[error("not with foreign ranks (DSM_PEER={})", profile.as_str())]
    ForeignRanks {
        /// How the ranks speak.
        profile: PeerProfile,
    },
}
