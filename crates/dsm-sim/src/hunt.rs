use crate::{Counterexample, Limits, Mutant, NamedWorld, Setup, WORLDS, Watch, roam, shortest};

/// A planted bug that was found.
#[derive(Debug)]
pub struct Found<Place> {
    /// Where.
    pub place: Place,
    /// How.
    pub counterexample: Box<Counterexample>,
}

/// Looks for a planted bug in the states of the small worlds, in their order, and of a larger one in which
/// several ranks wait behind a writer. First in few states of each, and then in more: most show early.
#[must_use]
pub fn hunt_states(mutant: Mutant, watch: Watch) -> Option<Found<&'static NamedWorld>> {
    MOST_STATES.into_iter().map(|states| Limits { states }).find_map(|limits| {
        let small = WORLDS.iter().filter(|world| world.is_small());
        small.chain(NamedWorld::find(QUEUE)).find_map(|place| {
            let setup = Setup { watch, ..place.setup(Some(mutant)) };
            let found = shortest(&setup, limits);
            found.map(|counterexample| Found { place, counterexample })
        })
    })
}

/// Looks for a planted bug in random schedules; the place is the seed.
#[must_use]
pub fn hunt_schedules(mutant: Mutant, mut seeds: impl Iterator<Item = u64>) -> Option<Found<u64>> {
    seeds.find_map(|place| {
        let found = roam(place, Some(mutant)).err();
        found.map(|counterexample| Found { place, counterexample })
    })
}

const QUEUE: &str = "4x1-queue";
const MOST_STATES: [u32; 3] = [3_000, 60_000, 2_000_000];
