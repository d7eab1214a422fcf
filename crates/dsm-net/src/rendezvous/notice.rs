use crate::launch::Unmet;
use dsm_core::Rank;
use std::net::{IpAddr, SocketAddr};

/// What whoever waits for the ranks to meet may want to know meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// These ranks are missing after [`Waiting::remind_after`](super::Waiting::remind_after). Said once.
    Missing(&'a [Rank]),
    /// A lower rank's host does not answer; it is tried on. Said once for each.
    Silent {
        /// The lower rank.
        rank: Rank,
        /// Where it should listen.
        address: SocketAddr,
    },
    /// A higher rank whose connection is not known to be lost has called: it has lost it. It calls again.
    Called {
        /// The higher rank.
        rank: Rank,
    },
    /// These ranks are still missing. Said every second from the third on, when ranks meet for the first time.
    Unmet {
        /// At most [`MAX_NAMED`](crate::launch::MAX_NAMED) of them.
        ranks: &'a [Unmet],
        /// Many strangers were turned away a short time ago.
        is_besieged: bool,
    },
    /// Connections of others were closed without a byte. Said at most once a minute, and at the end. Those that ended
    /// without a word, while a lost connection was made again, and came from where a rank is, are not among them.
    TurnedAway {
        /// How many, since the last time.
        count: u64,
        /// Where the last of them came from.
        last: IpAddr,
    },
}
