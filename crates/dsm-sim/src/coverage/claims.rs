use super::{Answer, Verdict, impossible};
use dsm_core::{ClaimSituation, Claimed, Knowledge, Named};

/// What can be said about the home of a page that is its first toucher's.
pub(super) fn all() -> Vec<ClaimSituation> {
    let mut all: Vec<_> = CLAIMED.map(ClaimSituation::Claim).to_vec();
    for knowledge in KNOWLEDGE {
        let named = [Named::Hearer, Named::Another];
        all.extend(named.map(|named| ClaimSituation::Home(knowledge, named)));
        all.extend((knowledge != Knowledge::Presuming).then_some(ClaimSituation::Asked(knowledge)));
    }
    all
}

pub(super) fn verdict(claim: ClaimSituation) -> Verdict {
    match claim {
        ClaimSituation::Claim(Claimed::Claimer) => {
            impossible(Answer::GoesOn, "a rank claims a page once")
        }
        ClaimSituation::Claim(_) => Verdict::Possible,
        ClaimSituation::Home(Knowledge::Claiming, _)
        | ClaimSituation::Home(Knowledge::Presuming, Named::Hearer) => Verdict::Possible,
        ClaimSituation::Home(Knowledge::Presuming, Named::Another) => {
            impossible(Answer::Fails, "who asked for the page was told the same home")
        }
        ClaimSituation::Home(Knowledge::Nothing | Knowledge::Told, _) => {
            impossible(Answer::Fails, "a registrar answers a claim once")
        }
        ClaimSituation::Asked(Knowledge::Claiming) => Verdict::Possible,
        ClaimSituation::Asked(_) => {
            impossible(Answer::Fails, "who asks for a page was told its home")
        }
    }
}

const CLAIMED: [Claimed; 4] =
    [Claimed::Nobody, Claimed::Registrar, Claimed::Another, Claimed::Claimer];
const KNOWLEDGE: [Knowledge; 4] =
    [Knowledge::Nothing, Knowledge::Claiming, Knowledge::Presuming, Knowledge::Told];
