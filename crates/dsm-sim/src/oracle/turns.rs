use crate::{Broken, Promise};
use dsm_core::{Access, PageId, Rank};
use std::collections::{BTreeMap, BTreeSet};

/// Who waits for which token, and who got it meanwhile. Whether anything is wrong with that depends on what
/// happened before, so two worlds may differ in it and be one in all that can happen.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    waiting: BTreeMap<(PageId, Rank), Wait>,
    requests: u64,
}

#[derive(Clone, Debug)]
struct Wait {
    access: Access,
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
        let new = || Wait { access, since, overtaken: BTreeSet::new() };
        self.waiting.entry((token, rank)).or_insert_with(new);
    }

    /// A rank gets a token. Grants to readers can overtake each other on their way, once each.
    pub(super) fn on_lend(
        &mut self,
        token: PageId,
        rank: Rank,
        access: Access,
    ) -> Result<(), Broken> {
        let is_met = self.waiting.get(&(token, rank)).is_some_and(|wait| wait.access <= access);
        if !is_met {
            return Ok(());
        }
        let Some(Wait { access, since, .. }) = self.waiting.remove(&(token, rank)) else {
            return Ok(());
        };
        let others = self.waiting.iter_mut().filter(|(key, _)| key.0 == token);
        for ((_, other), wait) in others.filter(|(_, wait)| wait.since < since) {
            let both_read = access.max(wait.access) == Access::Read;
            if !both_read || !wait.overtaken.insert(rank) {
                let how = format!("rank {rank} gets token {token}, rank {other} asked before");
                return Err(Broken::new(Promise::Turns, how));
            }
        }
        Ok(())
    }
}
