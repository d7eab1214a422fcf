//! An instruction that needs two pages which others want too. The explorer shows that it can always end;
//! this shows when it does, with steps that take time.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use dsm_core::{Hold, PageId, Rank};
use dsm_sim::{Setup, Step, World};

/// Hold times equally long keep two ranks in step: each gives up the page the other needs just when it
/// gets its own, for ever, however long they are.
#[test]
fn equal_hold_times_can_starve_both() {
    for hold_us in [10, 50, 200, 1_000] {
        let equal = Holds { least_us: hold_us, most_us: hold_us, limit: Limit::Equal };
        assert_eq!(run(2, CROSSED, 20, equal), None, "hold {hold_us} us");
    }
}

/// A hold that lasts while a thread of its rank is stopped on something else, and a little longer, up to
/// a limit that is drawn each time, lets both get on.
#[test]
fn a_drawn_limit_helps_on_a_fast_network() {
    for (pages, scripts) in WORLDS {
        let drawn = Holds { least_us: 10, most_us: 100, limit: Limit::Drawn };
        let took = run(pages, scripts, 20, drawn);
        println!("{scripts}: {took:?} us at 20 us from rank to rank");
        assert!(took.is_some_and(|us| us < 400), "{scripts}: {took:?}");
    }
}

/// But not where a page takes longer to come than the other one may stay.
#[test]
fn a_drawn_limit_below_the_latency_starves_both() {
    let drawn = Holds { least_us: 10, most_us: 100, limit: Limit::Drawn };
    assert_eq!(run(2, CROSSED, 200, drawn), None);
}

/// A limit that doubles whenever it cut a hold off, and halves whenever one ended by itself, finds the
/// latency.
#[test]
fn a_growing_limit_helps_on_every_network() {
    for latency_us in [10, 20, 100, 500, 2_000, 10_000, 50_000] {
        for (pages, scripts) in WORLDS {
            let growing = Holds { least_us: 10, most_us: 100, limit: Limit::Growing };
            let took = run(pages, scripts, latency_us, growing);
            println!("{scripts}: {took:?} us at {latency_us} us from rank to rank");
            assert!(took.is_some_and(|us| us < 1_000 + 40 * latency_us), "{scripts}: {took:?}");
        }
    }
}

/// Where nobody is stopped on a second page, none of this costs anything.
#[test]
fn longer_holds_are_not_paid_for_when_one_page_is_contended() {
    let contended = "w0 w0 w0 w0 | w0 w0 w0 w0 | w0 w0 w0 w0";
    let took = [Limit::Equal, Limit::Drawn, Limit::Growing]
        .map(|limit| run(1, contended, 20, Holds { least_us: 10, most_us: 10, limit }));
    let long = Holds { least_us: 10, most_us: 400, limit: Limit::Growing };
    assert_eq!(took, [run(1, contended, 20, long); 3]);
}

/// Ranks that are stopped on one page after another hold each for some fetches longer, not for ever.
#[test]
fn holds_do_not_pile_up_behind_a_scan() {
    let scans = "r1 r2 r3 r4 r5 r6 r7 | w1 w2 w3 w4 w5 w6 w7 | w7 w6 w5 w4 w3 w2 w1";
    for latency_us in [20, 500, 10_000] {
        let took = [Limit::Equal, Limit::Drawn, Limit::Growing].map(|limit| {
            let most_us = if let Limit::Equal = limit { 10 } else { 100 };
            run(8, scans, latency_us, Holds { least_us: 10, most_us, limit }).unwrap()
        });
        println!("scans at {latency_us} us from rank to rank: {took:?} us");
        assert!(took[2] < took[0] * 3, "{took:?}");
    }
}

/// How long a page stays: `least_us`; if a thread of its rank is stopped then, until it was resumed for
/// the [`MOST_STOPS`]-th time and `least_us` longer; but no longer than a limit.
#[derive(Clone, Copy)]
struct Holds {
    least_us: u64,
    most_us: u64,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    /// `most_us`.
    Equal,
    /// Between once and twice `most_us`, drawn for each hold.
    Drawn,
    /// The same, doubled each time it cut a hold of this rank off, halved each time one ended before it.
    Growing,
}

/// How many virtual microseconds the world takes, unless it is still at it after ten seconds. Everything
/// is a function of the arguments, so there is no luck to wait for.
fn run(pages: u64, scripts: &str, latency_us: u64, holds: Holds) -> Option<u64> {
    let mut clock = Clock::new(pages, scripts, latency_us, holds);
    while !clock.world.is_done() {
        if clock.now_us > FOR_EVER_US {
            return None;
        }
        clock.offer();
        clock.take_next();
    }
    Some(clock.now_us)
}

struct Clock {
    world: World,
    latency_us: u64,
    holds: Holds,
    now_us: u64,
    /// When each step that is on offer, or was when its driver was last idle, is due.
    due: Vec<(Step, u64)>,
    /// When the hold times that run end at the latest.
    limits: Vec<HoldTime>,
    /// Rank by rank.
    drivers: Vec<Driver>,
    draws: u64,
}

#[derive(Clone, Copy)]
struct HoldTime {
    rank: Rank,
    page: PageId,
    limit_us: u64,
    /// How often the rank was stopped before.
    stops: u64,
}

#[derive(Clone, Copy, Default)]
struct Driver {
    /// How often a thread was stopped that had not been.
    stops: u64,
    /// When one was last stopped.
    stopped_us: u64,
    now: Now,
    /// How often the limit was doubled.
    doublings: u32,
}

/// What a rank's threads do.
#[derive(Clone, Copy, Default, PartialEq)]
enum Now {
    #[default]
    Runs,
    IsStopped,
}

impl Clock {
    fn new(pages: u64, scripts: &str, latency_us: u64, holds: Holds) -> Self {
        let setup = Setup { hold: Hold::Timed, ..Setup::new(pages, scripts).unwrap() };
        let drivers = vec![Driver::default(); setup.nodes().into()];
        let (world, due, limits) = (World::new(setup), Vec::new(), Vec::new());
        Self { world, latency_us, holds, now_us: 0, due, limits, drivers, draws: 0 }
    }

    /// Notes what became possible, and when it will happen.
    fn offer(&mut self) {
        for (rank, driver) in (0..).map(Rank).zip(&mut self.drivers) {
            let before = driver.now;
            driver.now = if self.world.is_stopped(rank) { Now::IsStopped } else { Now::Runs };
            if driver.now == Now::IsStopped {
                driver.stopped_us = self.now_us;
                driver.stops += u64::from(before == Now::Runs);
            }
        }
        let steps = self.world.steps();
        let lasts = |step: &Step| matches!(step, Step::HoldOver(..) | Step::Deliver(..));
        self.due.retain(|(step, _)| lasts(step) || steps.contains(step));
        for step in steps {
            if self.due.iter().any(|(known, _)| *known == step) {
                continue;
            }
            let takes_us = match step {
                Step::Deliver(..) => self.latency_us,
                Step::Run(..) => THINK_US,
                Step::HoldOver(rank, page) => {
                    let limit_us = self.now_us + self.draw_limit(rank);
                    let stops = self.drivers[usize::from(rank.0)].stops;
                    self.limits.push(HoldTime { rank, page, limit_us, stops });
                    self.holds.least_us
                }
                _ => 0,
            };
            self.due.push((step, self.now_us + takes_us));
        }
    }

    fn draw_limit(&mut self, rank: Rank) -> u64 {
        let most = self.holds.most_us << self.drivers[usize::from(rank.0)].doublings;
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        match self.holds.limit {
            Limit::Equal => most,
            Limit::Drawn | Limit::Growing => most + (self.draws >> 20) % (most + 1),
        }
    }

    /// The step that is due first happens, unless it is the end of a hold time that goes on.
    fn take_next(&mut self) {
        let steps = self.world.steps();
        let possible = self.due.iter().enumerate().filter(|(_, (step, _))| steps.contains(step));
        let (place, _) = possible.min_by_key(|(_, (_, due))| *due).unwrap();
        let (step, due) = self.due.remove(place);
        self.now_us = self.now_us.max(due);
        let Step::HoldOver(rank, page) = step else { return self.world.take(step).unwrap() };
        let hold = |hold: &HoldTime| (hold.rank, hold.page) == (rank, page);
        let place = self.limits.iter().position(hold).unwrap();
        let end = self.end_of(self.limits[place]);
        if let End::NotYet = end {
            return self.due.push((step, self.now_us + 1));
        }
        self.limits.remove(place);
        self.world.take(step).unwrap();
        let doublings = &mut self.drivers[usize::from(rank.0)].doublings;
        match (self.holds.limit, end) {
            (Limit::Growing, End::CutOff) => *doublings = MOST_DOUBLINGS.min(*doublings + 1),
            (Limit::Growing, End::Free) => *doublings = doublings.saturating_sub(1),
            _ => {}
        }
    }

    fn end_of(&self, hold: HoldTime) -> End {
        let Driver { stops, stopped_us, .. } = self.drivers[usize::from(hold.rank.0)];
        let goes_on = stopped_us + self.holds.least_us > self.now_us;
        match goes_on && stops <= hold.stops + MOST_STOPS {
            true if self.now_us < hold.limit_us => End::NotYet,
            true => End::CutOff,
            false => End::Free,
        }
    }
}

/// Whether a hold time that could end does.
enum End {
    /// A thread is stopped, or was a moment ago.
    NotYet,
    /// The same, but the limit is reached.
    CutOff,
    /// No thread is stopped.
    Free,
}

const CROSSED: &str = "m0>1 | m1>0";
const WORLDS: [(u64, &str); 3] =
    [(2, CROSSED), (2, "m0>1 | m1>0 | m0>1"), (3, "m0>1 | m1>2 | m2>0")];
const FOR_EVER_US: u64 = 10_000_000;
/// From being resumed to the next access.
const THINK_US: u64 = 3;
const MOST_DOUBLINGS: u32 = 11;
/// An instruction that moves memory to memory touches at most four pages: three stops after the first.
const MOST_STOPS: u64 = 3;
