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

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: PageId = PageId(1);

    /// Each rank asks for this, in order; then they get it in this order.
    fn lend(asked: &[(u16, Access)], lent: &[(u16, Access)]) -> Result<(), Broken> {
        let mut turns = Turns::default();
        for &(rank, access) in asked {
            turns.on_request(TOKEN, Rank(rank), access);
        }
        lent.iter().try_for_each(|&(rank, access)| turns.on_lend(TOKEN, Rank(rank), access))
    }

    #[test]
    fn who_asked_first_gets_it_first() {
        let (zero, one) = ((0, Access::Write), (1, Access::Write));
        assert!(lend(&[zero, one], &[zero, one]).is_ok());
        assert!(lend(&[zero, one], &[one, zero]).is_err());
    }

    #[test]
    fn readers_overtake_each_other_once() {
        let (zero, one) = ((0, Access::Read), (1, Access::Read));
        assert!(lend(&[zero, one], &[one, zero]).is_ok());
    }

    /// What a rank asked for to read is lent when it has asked to write, because its pages came late. Its
    /// turn to write is that of the second request.
    #[test]
    fn a_turn_asked_for_before_the_last_was_lent_is_in_order() {
        let (read, write, other) = ((0, Access::Read), (0, Access::Write), (2, Access::Read));
        assert!(lend(&[read, write, other], &[read, write, other]).is_ok());
        assert!(lend(&[read, other, write], &[read, write, other]).is_err());
    }
}
