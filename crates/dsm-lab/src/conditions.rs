use std::time::Duration;

/// What one direction of a line between two hosts does to packets. The default is a perfect line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Added to every packet's way.
    pub delay: Duration,
    /// At most this much more, differently for each packet. Packets stay in order.
    pub jitter: Duration,
    /// Packets lost in a million.
    pub loss_ppm: u32,
    /// Packets delivered twice in a million.
    pub duplicate_ppm: u32,
    /// Packets in a million that wait for [`reorder_by`](Self::reorder_by) more, and are overtaken meanwhile.
    pub reorder_ppm: u32,
    /// How long such a packet waits.
    pub reorder_by: Duration,
    /// Packets in a million of which one bit is turned.
    pub corrupt_ppm: u32,
    /// Who notices that.
    pub corruption: Corruption,
    /// The line's rate, if it has one. It keeps up to [`RATE_QUEUE_BYTES`] waiting and drops what comes on top.
    pub bits_per_second: Option<u64>,
    /// Whose segments arrive as resets of their connections.
    pub resets: Resets,
    /// Nothing arrives any more, not even what is on its way.
    pub is_cut: bool,
}

/// Which corruption a line makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corruption {
    /// The receiving kernel finds a checksum that is wrong, and drops the packet: what networks mostly do.
    #[default]
    Caught,
    /// The checksum of a TCP segment is made right again, and its receiver reads wrong bytes.
    Delivered,
}

/// Which connections a line resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resets {
    /// None.
    #[default]
    None,
    /// Those between ranks: all but ssh's.
    Ranks,
    /// Those of ssh.
    Ssh,
}

impl Conditions {
    /// A line on which nothing arrives.
    #[must_use]
    pub fn cut() -> Self {
        Self { is_cut: true, ..Self::default() }
    }
}

/// What a line with a rate keeps waiting: 0.2 s at 10 Mbit/s.
pub const RATE_QUEUE_BYTES: u64 = 256 * 1024;
