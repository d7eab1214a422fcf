//! What is known of a page's home when something is said about it, for whoever counts which pairs were ever
//! seen.

use super::{Homes, Known};
use crate::{Message, PageId, Rank};

/// What is said about the home of a page that is its first toucher's, and what its hearer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimSituation {
    /// A rank claims a page at its registrar.
    Claim(Claimed),
    /// The registrar tells the home.
    Home(Knowledge, Named),
    /// A rank asks another one as the home, which does not know that it is.
    Asked(Knowledge),
}

/// Who has claimed a page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claimed {
    /// Nobody.
    Nobody,
    /// The registrar.
    Registrar,
    /// Another rank than the registrar and who claims it.
    Another,
    /// Who claims it.
    Claimer,
}

/// What a rank knows about the home of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knowledge {
    /// Nothing: it has not touched the page.
    Nothing,
    /// It has claimed the page.
    Claiming,
    /// It is asked for the page, so it is the home.
    Presuming,
    /// The registrar has told.
    Told,
}

/// Which home is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    /// The rank that hears it.
    Hearer,
    /// Another one.
    Another,
}

impl Homes {
    /// `None` for what is not said about a home, or goes to the home; an error for what is said to, or by,
    /// somebody who is no registrar.
    pub(crate) fn situation(
        &self,
        from: Rank,
        message: &Message,
    ) -> Result<Option<ClaimSituation>, Misdirected> {
        let registrar = |page| self.space.is_claimed(page).then(|| self.space.home(page));
        match *message {
            Message::Claim { page } if registrar(page) == Some(self.rank) => {
                let claimed = match self.claimed.get(&page) {
                    None => Claimed::Nobody,
                    Some(home) if *home == self.rank => Claimed::Registrar,
                    Some(home) if *home == from => Claimed::Claimer,
                    Some(_) => Claimed::Another,
                };
                Ok(Some(ClaimSituation::Claim(claimed)))
            }
            Message::Home { page, home } if registrar(page) == Some(from) => {
                let named = if home == self.rank { Named::Hearer } else { Named::Another };
                Ok(Some(ClaimSituation::Home(self.knowledge(page), named)))
            }
            Message::Claim { .. } | Message::Home { .. } => Err(Misdirected),
            Message::Request { page, .. } => Ok(self.asked(page)),
            _ => Ok(None),
        }
    }

    /// A request or an operation goes to this rank as the home.
    pub(crate) fn asked(&self, page: PageId) -> Option<ClaimSituation> {
        let is_home = self.home(page) == Some(self.rank);
        let is_asked = self.space.is_claimed(page) && !is_home;
        is_asked.then(|| ClaimSituation::Asked(self.knowledge(page)))
    }

    fn knowledge(&self, page: PageId) -> Knowledge {
        match (self.known.get(&page), self.claimed.get(&page)) {
            (None, None) => Knowledge::Nothing,
            (Some(Known::Claiming(_)), _) => Knowledge::Claiming,
            (Some(Known::Presumed { .. }), _) => Knowledge::Presuming,
            (Some(Known::Told(_)), _) | (None, Some(_)) => Knowledge::Told,
        }
    }
}

/// Something is said to a rank that is not concerned, or by one.
pub(crate) struct Misdirected;
