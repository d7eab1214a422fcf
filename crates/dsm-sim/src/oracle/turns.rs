use crate::{Broken, Promise};
use dsm_core::{Access, PageId, Rank};
use std::collections::{BTreeMap, BTreeSet};

/// Who waits for which token, and who got it meanwhile. A rank can wait to write while what it asked for to
/// read is on its way to its threads. Whether anything is wrong with that depends on what
/// happened before, so two worlds may differ in it and be one in all that can happen.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    waiting: BTreeMap<(PageId, Rank, Access), Wait>,
    requests: u64,
}

#[derive(Clone, Debug)]
struct Wait {
    /// When its request reached the home, counted in requests.
    since: u64,
    /// The ranks that got the token and had asked for it later.
    overtaken: BTreeSet<Rank>,
}

impl Turns {
    /// A rank's request reaches the home.
    pub(super) fn on_request(&mut self, token: PageId, rank: Rank, access: Access) {
        self.requests += 1;
        let since = self.requests;
        let new = || Wait { since, overtaken: BTreeSet::new() };
        self.waiting.entry((token, rank, access)).or_insert_with(new);
    }

    /// Whether a rank that has this much of a token waits for more.
    pub(super) fn has_asked(&self, token: PageId, rank: Rank, has: Access) -> bool {
        let waits = |access| has < access && self.waiting.contains_key(&(token, rank, access));
        waits(Access::Read) || waits(Access::Write)
    }

    /// A rank gets a token. Grants to readers can overtake each other on their way, once each.
    pub(super) fn on_lend(
        &mut self,
        token: PageId,
        rank: Rank,
        access: Access,
    ) -> Result<(), Broken> {
        let met = self.waiting.remove(&(token, rank, access));
        // A token to write is one to read too, whichever was asked for.
        let less = self.waiting.remove(&(token, rank, Access::Read));
        let Some(Wait { since, .. }) = met.or(less) else { return Ok(()) };
        let others = self.waiting.iter_mut().filter(|(key, _)| key.0 == token);
        for (&(_, other, wanted), wait) in others.filter(|(_, wait)| wait.since < since) {
            let both_read = access.max(wanted) == Access::Read;
            if !both_read || !wait.overtaken.insert(rank) {
                let how = format!("rank {rank} gets token {token}, rank {other} asked before");
                return Err(Broken::new(Promise::Turns, how));
            }
        }
        Ok(())
    }
}
