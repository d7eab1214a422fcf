use crate::{
    Counterexample, Limits, Mutant, NamedWorld, Setup, WORLDS, Watch, When, explore, roam,
};

/// A planted bug that was found.
#[derive(Debug)]
pub struct Found<Place> {
    /// Where.
    pub place: Place,
    /// How.
    pub counterexample: Box<Counterexample>,
}

/// Looks for a planted bug in the states of the known worlds, in their order.
#[must_use]
pub fn hunt_states(mutant: Mutant, watch: Watch) -> Option<Found<&'static NamedWorld>> {
    WORLDS.iter().filter(|world| world.when == When::Always).find_map(|place| {
        let setup = Setup { watch, ..place.setup(Some(mutant)) };
        let found = explore(&setup, Limits::default()).err();
        found.map(|counterexample| Found { place, counterexample })
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
