mod copyset;
#[cfg(feature = "mutants")]
mod footprint;
mod moves;
#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{Asker, HomeEvent, HomeSituation, HomeState, Owner};

use crate::io::Outputs;
use crate::message::{Message, Payload, Right};
use crate::mutant::{Mutant, Planted};
use crate::table::Table;
use crate::{Access, Epoch, PageId, Rank, Space};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use copyset::Copyset;
use moves::{MOVES_AFTER, Moves};

/// What this rank knows as the home of its pages: who owns each, who shares it, who waits for it.
///
/// Invariant: the home decides the grants of a page one after the other, each with the next epoch. It
/// does not wait for a grant to arrive: a demand names the epoch of the copy it is about, and a copy that
/// is still on its way meets the demand when it is there. Only a writer waits, for the acks of sharers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Directory {
    rank: Rank,
    space: Space,
    planted: Planted,
    moves_after: u8,
    /// A page that is absent has only ever been its home's.
    entries: Table<Option<Entry>>,
    transfers: BTreeMap<PageId, Transfer>,
}

/// The copyset of one page: the owner and the other sharers, each with the epoch of its copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Entry {
    epoch: Epoch,
    owner: Rank,
    owner_epoch: Epoch,
    sharers: Copyset,
    moves: Moves,
}

/// A write request that waits for acks, and the requests that wait for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Transfer {
    requester: Rank,
    awaited: Copyset,
    queue: VecDeque<(Rank, Access)>,
}

/// Whether the home's own copy of a page was ever used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HomeCopy {
    Fresh,
    Used,
}

impl Directory {
    pub(crate) fn new(rank: Rank, space: Space, planted: Planted) -> Self {
        let (entries, transfers) = (Table::new(space), BTreeMap::new());
        Self { rank, space, planted, moves_after: MOVES_AFTER, entries, transfers }
    }

    /// After how many writes in a row a page is expected to move: 0 is always.
    #[cfg(feature = "mutants")]
    pub(crate) fn set_moves_after(&mut self, moves: u8) {
        self.moves_after = moves;
    }

    pub(crate) fn on_request(
        &mut self,
        from: Rank,
        page: PageId,
        access: Access,
        home_copy: HomeCopy,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let at_once = self.planted.is(match access {
            Access::Write => Mutant::WriteDuringTransfer,
            Access::Read | Access::None => Mutant::ReadDuringTransfer,
        });
        if let Some(transfer) = self.transfers.get_mut(&page).filter(|_| !at_once) {
            let waits = transfer.requester == from || transfer.queue.iter().any(|q| q.0 == from);
            if waits {
                return Err("a rank has one request for a page at a time");
            }
            match self.planted.is(Mutant::QueueReversed) {
                false => transfer.queue.push_back((from, access)),
                true => transfer.queue.push_front((from, access)),
            }
            return Ok(());
        }
        self.begin(from, page, access, home_copy, out)
    }

    /// Who may supply a page's newest content.
    pub(crate) fn owner(&self, page: PageId) -> Rank {
        self.known(page).map_or(self.rank, |entry| entry.owner)
    }

    /// The owner, and the ranks whose acks a writer waits for.
    pub(crate) fn standing(&self, page: PageId) -> (Rank, Vec<Rank>) {
        let transfer = self.transfers.get(&page);
        let awaited = transfer.into_iter().flat_map(|transfer| transfer.awaited.ranks());
        (self.owner(page), awaited.collect())
    }

    pub(crate) fn on_ack(
        &mut self,
        from: Rank,
        page: PageId,
        epoch: Epoch,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        if self.planted.is(Mutant::GrantBeforeAcks) {
            return Ok(());
        }
        let transfer = self.transfers.get_mut(&page).ok_or("an ack belongs to a transfer")?;
        if transfer.awaited.get(from) != Some(epoch) {
            return Err("an ack is awaited, and names the copy that was to go");
        }
        transfer.awaited.remove(from);
        if transfer.awaited.is_empty() || self.planted.is(Mutant::OneAckEnough) {
            return self.complete(page, out);
        }
        Ok(())
    }

    /// A rank that got the only copy of a page to read gave it up unwritten.
    pub(crate) fn on_unwritten(&mut self, page: PageId, epoch: Epoch) -> Result<(), &'static str> {
        let after = self.moves_after;
        match self.entries.at(page) {
            Some(entry) if epoch <= entry.epoch => entry.moves.on_unwritten(after),
            _ => return Err("a copy given up unwritten was granted"),
        }
        Ok(())
    }

    fn begin(
        &mut self,
        from: Rank,
        page: PageId,
        access: Access,
        home_copy: HomeCopy,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        match access {
            Access::None => Err("a request is for read or write access"),
            Access::Read => self.grant_read(from, page, home_copy, out),
            Access::Write => {
                let awaited = self.invalidate_others(from, page, out);
                let ready = awaited.is_empty() || self.planted.is(Mutant::GrantBeforeAcks);
                if ready {
                    self.grant_write(from, page, out);
                    return Ok(());
                }
                let transfer = Transfer { requester: from, awaited, queue: VecDeque::new() };
                self.transfers.insert(page, transfer);
                Ok(())
            }
        }
    }

    fn grant_read(
        &mut self,
        from: Rank,
        page: PageId,
        home_copy: HomeCopy,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let (rank, planted, after) = (self.rank, self.planted, self.moves_after);
        let is_token = self.space.is_token(page);
        let entry = self.entry(page);
        if entry.holds(from) {
            return Err("a rank asks to read what it does not hold");
        }
        let epoch = entry.epoch.next();
        let fresh = entry.owner == rank && home_copy == HomeCopy::Fresh;
        let lie = planted.is(Mutant::ExclusiveWhileShared) && !entry.sharers.is_empty();
        // Readers of a lock have it together, whatever its readers do next.
        let moves = !is_token && entry.sharers.is_empty() && entry.moves.is_expected(after);
        let right = if fresh || moves || lie { Right::Exclusive } else { Right::Shared };
        let have = entry.owner_epoch;
        let owner = planted.bend(Mutant::HomeAsked, entry.owner, rank);
        out.send(owner, Message::Forward { page, right, to: from, epoch, have }, None);
        entry.epoch = epoch;
        match right {
            Right::Shared if planted.is(Mutant::ReaderForgotten) => {}
            Right::Shared => {
                let epoch = planted.bend(Mutant::ReaderMisnumbered, epoch, have);
                entry.sharers.insert(from, epoch);
            }
            Right::Exclusive if !fresh && planted.is(Mutant::MoveUnlisted) => {
                entry.sharers.insert(from, epoch);
            }
            Right::Exclusive | Right::Modified => entry.pass_to(from, epoch),
        }
        Ok(())
    }

    /// Tells every rank whose copy is in the way of a writer; returns whose acks are awaited.
    /// An owner whose content the writer needs is not told: the forward will take its copy away.
    fn invalidate_others(&mut self, from: Rank, page: PageId, out: &mut Outputs) -> Copyset {
        let (planted, after) = (self.planted, self.moves_after);
        let entry = self.entry(page);
        match entry.sharers.len() {
            0 => {}
            1 if entry.sharers.contains(from) => entry.moves.on_move(after),
            _ => entry.moves.on_shared(),
        }
        let mut others = core::mem::take(&mut entry.sharers);
        if planted.is(Mutant::SharersKept) {
            entry.sharers = others.clone();
        }
        if let Some(epoch) = others.remove(from) {
            if !planted.is(Mutant::OwnerSpared) {
                others.insert(entry.owner, entry.owner_epoch);
            }
            if planted.is(Mutant::RequesterInvalidated) {
                others.insert(from, epoch);
            }
            entry.owner = from;
            entry.owner_epoch = epoch;
        }
        if planted.is(Mutant::SharerSkipped) {
            others.pop_first();
        }
        for (sharer, have) in others.iter() {
            out.send(sharer, Message::Invalidate { page, have }, None);
        }
        others
    }

    /// The last ack is in: the writer gets its right, then whoever waited is served.
    fn complete(&mut self, page: PageId, out: &mut Outputs) -> Result<(), &'static str> {
        let Some(transfer) = self.transfers.remove(&page) else { return Ok(()) };
        self.grant_write(transfer.requester, page, out);
        if self.planted.is(Mutant::QueueForgotten) {
            return Ok(());
        }
        let mut queue = transfer.queue;
        while let Some((from, access)) = queue.pop_front() {
            // After a write the home's copy has been used, by whoever owns the page.
            self.begin(from, page, access, HomeCopy::Used, out)?;
            if let Some(next) = self.transfers.get_mut(&page) {
                next.queue = self.planted.bend(Mutant::QueueCut, queue, VecDeque::new());
                break;
            }
        }
        Ok(())
    }

    fn grant_write(&mut self, from: Rank, page: PageId, out: &mut Outputs) {
        let planted = self.planted;
        let entry = self.entry(page);
        let epoch = entry.epoch.next();
        let right = Right::Modified;
        if entry.owner == from || planted.is(Mutant::UpgradeAssumed) {
            let grant = Message::Grant { page, right, epoch, payload: Payload::Held };
            out.send(from, grant, None);
        } else {
            let have = entry.owner_epoch;
            out.send(entry.owner, Message::Forward { page, right, to: from, epoch, have }, None);
            if planted.is(Mutant::OldOwnerListed) {
                entry.sharers.insert(entry.owner, have);
            }
        }
        entry.epoch = planted.bend(Mutant::WriteUncounted, epoch, entry.epoch);
        if !planted.is(Mutant::OwnerUnchanged) {
            entry.pass_to(from, planted.bend(Mutant::OwnerMisnumbered, epoch, entry.owner_epoch));
        }
    }

    fn entry(&mut self, page: PageId) -> &mut Entry {
        let owner = self.rank;
        self.entries.at(page).get_or_insert_with(|| Entry {
            epoch: Epoch(0),
            owner,
            owner_epoch: Epoch(0),
            sharers: Copyset::default(),
            moves: Moves::default(),
        })
    }

    fn known(&self, page: PageId) -> Option<&Entry> {
        self.entries.get(page)?.as_ref()
    }
}

impl Entry {
    fn holds(&self, rank: Rank) -> bool {
        self.owner == rank || self.sharers.contains(rank)
    }

    fn pass_to(&mut self, owner: Rank, epoch: Epoch) {
        self.owner = owner;
        self.owner_epoch = epoch;
    }
}
