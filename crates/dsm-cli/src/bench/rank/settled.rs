use super::ground::Ground;
use super::link::{Link, Order};
use std::error::Error;

/// What all ranks together have sent when nothing is under way any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    /// Messages and bytes.
    sent: [u64; 2],
    /// What one barrier of all ranks costs of them.
    barrier: [u64; 2],
    /// How many barriers it took to find out.
    readings: u64,
}

impl Settled {
    /// Reads what was sent until two barriers in a row cost the same: then that is all that was sent. `None` if there
    /// is always something else.
    ///
    /// # Errors
    /// If ranks are gone.
    pub(super) fn reach(
        ground: &Ground<'_>,
        links: &mut [Link],
    ) -> Result<Option<Self>, Box<dyn Error>> {
        let cost = |before: [u64; 2], after: [u64; 2]| [after[0] - before[0], after[1] - before[1]];
        let mut last = [read(ground, links)?, read(ground, links)?];
        for readings in 3..MOST_READINGS {
            let sent = read(ground, links)?;
            let barrier = cost(last[1], sent);
            if barrier == cost(last[0], last[1]) {
                return Ok(Some(Self { sent, barrier, readings }));
            }
            last = [last[1], sent];
        }
        Ok(None)
    }

    /// Messages and bytes that were sent between the two, without those of the barriers.
    pub(super) fn between(before: Option<Self>, after: Option<Self>) -> Option<[f64; 2]> {
        let (before, after) = before.zip(after)?;
        let of = |at: usize| {
            let settling = after.readings * after.barrier[at];
            (after.sent[at] - before.sent[at]).checked_sub(settling).map(|count| count as f64)
        };
        Some([of(0)?, of(1)?])
    }
}

/// Messages and bytes that all ranks had sent when the last of them left a barrier.
fn read(ground: &Ground<'_>, links: &mut [Link]) -> Result<[u64; 2], Box<dyn Error>> {
    links.iter_mut().try_for_each(|link| link.order(Order::Settle))?;
    ground.node.barrier()?;
    let stats = ground.node.stats();
    links.iter_mut().try_fold([stats.messages_sent, stats.bytes_sent], |sum, link| {
        let [messages, bytes] = link.hear()?;
        Ok([sum[0] + messages, sum[1] + bytes])
    })
}

const MOST_READINGS: u64 = 100;
