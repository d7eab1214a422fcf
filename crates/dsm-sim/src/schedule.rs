use crate::Step;
use crate::rng::Rng;
use dsm_core::Rank;

/// How the next step is chosen, drawn from a seed. Each in its own way reaches what the others hardly do;
/// none postpones anything for ever.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    actors: Actors,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    /// By weights: links and ranks of different speed.
    Weighted(Vec<u64>),
    /// Always the actor of the highest priority, with few changes (Burckhardt, Kothari, Musuvathi and
    /// Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010).
    Priorities(Priorities),
    /// By weights, with links and ranks that stand still for a while.
    Clogged { weights: Vec<u64>, until: Vec<u64> },
}

#[derive(Clone, Debug)]
struct Priorities {
    /// Actor by actor; higher goes first.
    priorities: Vec<u64>,
    /// At which steps whoever would go falls behind everybody else, the last one first.
    changes: Vec<u64>,
    /// Below every priority in use.
    lowest: u64,
}

impl Schedule {
    /// A schedule for a world of so many ranks with so many threads each, at most.
    pub(crate) fn draw(rng: &mut Rng, nodes: u16, threads: usize) -> Self {
        let actors = Actors { nodes: usize::from(nodes), threads };
        let weights = |rng: &mut Rng| (0..actors.count()).map(|_| rng.pick(&WEIGHTS)).collect();
        let rule = match rng.below(3) {
            0 => Rule::Weighted(weights(rng)),
            1 => Rule::Priorities(Priorities::draw(rng, actors.count())),
            _ => Rule::Clogged { weights: weights(rng), until: vec![0; actors.count()] },
        };
        Self { actors, rule }
    }

    /// The place of the step to take among those on offer; `now` steps were taken before.
    pub(crate) fn choose(&mut self, rng: &mut Rng, steps: &[Step], now: u64) -> usize {
        let actor = |step: &Step| self.actors.of(*step);
        match &mut self.rule {
            Rule::Priorities(rule) if now < FAIR_FROM => rule.choose(steps, actor, now),
            Rule::Priorities(_) => rng.place(steps.len()),
            Rule::Weighted(weights) => weighted(rng, steps.iter().map(|step| weights[actor(step)])),
            Rule::Clogged { weights, until } => {
                if rng.one_in(CLOG_ODDS) {
                    let clogged = rng.place(until.len());
                    until[clogged] = now + 1 + rng.below(LONGEST_CLOG);
                }
                let free = |step: &Step| until[actor(step)] <= now;
                let all_clogged = !steps.iter().any(free);
                let weight = |step: &Step| match free(step) || all_clogged {
                    true => weights[actor(step)],
                    false => 0,
                };
                weighted(rng, steps.iter().map(weight))
            }
        }
    }
}

impl Priorities {
    fn draw(rng: &mut Rng, actors: usize) -> Self {
        let lowest = MOST_CHANGES;
        let priorities = (0..actors).map(|_| lowest + 1 + rng.below(1 << 32)).collect();
        let mut changes: Vec<u64> =
            (0..rng.below(MOST_CHANGES + 1)).map(|_| rng.below(CHANGES_BEFORE)).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Self { priorities, changes, lowest }
    }

    fn choose(&mut self, steps: &[Step], actor: impl Fn(&Step) -> usize, now: u64) -> usize {
        let first = self.first(steps, &actor);
        if self.changes.pop_if(|change| *change <= now).is_none() {
            return first;
        }
        self.priorities[actor(&steps[first])] = self.lowest;
        self.lowest -= 1;
        self.first(steps, &actor)
    }

    fn first(&self, steps: &[Step], actor: &impl Fn(&Step) -> usize) -> usize {
        let places = (0..steps.len()).rev();
        places.max_by_key(|&place| self.priorities[actor(&steps[place])]).unwrap_or(0)
    }
}

/// A place drawn by weights, not all of which are 0.
fn weighted(rng: &mut Rng, weights: impl Iterator<Item = u64> + Clone) -> usize {
    let mut left = rng.below(weights.clone().sum());
    for (place, weight) in weights.enumerate() {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return place,
        }
    }
    unreachable!("the drawn number is below the sum of all weights")
}

/// Whoever takes steps: threads, drivers, links, clocks. Each has a number.
#[derive(Clone, Copy, Debug)]
struct Actors {
    nodes: usize,
    threads: usize,
}

impl Actors {
    fn count(self) -> usize {
        self.nodes * (self.nodes + self.threads + 2)
    }

    fn of(self, step: Step) -> usize {
        let Self { nodes, threads } = self;
        let at = |rank: Rank| usize::from(rank.0);
        match step {
            Step::Arrive(from, to) | Step::Deliver(from, to) => at(from) * nodes + at(to),
            Step::Run(rank, thread) => nodes * nodes + at(rank) * threads + thread,
            Step::ReadFaults(rank)
            | Step::TellFault(rank)
            | Step::CarryOut(rank)
            | Step::FollowUp(rank)
            | Step::TakeCall(rank) => nodes * (nodes + threads) + at(rank),
            Step::HoldOver(rank, _) | Step::GiveUp(rank, _) | Step::Lose(_, rank) => {
                nodes * (nodes + threads + 1) + at(rank)
            }
        }
    }
}

const WEIGHTS: [u64; 3] = [1, 4, 16];
const CLOG_ODDS: u64 = 24;
/// In steps.
const LONGEST_CLOG: u64 = 300;
const MOST_CHANGES: u64 = 5;
/// Most schedules are over after some hundred steps.
const CHANGES_BEFORE: u64 = 400;
/// Two ranks whose links go first can take a page from each other for ever, so priorities have an end.
const FAIR_FROM: u64 = 3_000;
