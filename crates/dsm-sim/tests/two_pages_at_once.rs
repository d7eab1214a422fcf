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
        let outcome = run(2, "m0>1 | m1>0", |_| Holds { least_us: hold_us, most_us: hold_us });
        assert_eq!(outcome, None, "hold {hold_us} us");
    }
}

/// What helps: a hold lasts while a thread of its rank is stopped on something else, and a little longer,
/// up to a limit that differs from time to time.
#[test]
fn holds_that_wait_for_the_other_page_let_both_get_on() {
    let worlds = [(2, "m0>1 | m1>0"), (2, "m0>1 | m1>0 | m0>1"), (3, "m0>1 | m1>2 | m2>0")];
    for most_us in [100, 200, 400] {
        for (pages, scripts) in worlds {
            let draw = |count: u64| most_us + (count.wrapping_mul(GOLDEN) >> 20) % (most_us + 1);
            let holds = |count| Holds { least_us: 10, most_us: draw(count) };
            let took = run(pages, scripts, holds);
            println!("{scripts}: {took:?} us, hold 10 to {most_us} us and as much again");
            assert!(took.is_some_and(|us| us < 2_000), "{scripts}: {took:?}");
        }
    }
}

/// Where nobody is stopped on a second page, it costs nothing.
#[test]
fn longer_holds_are_not_paid_for_when_one_page_is_contended() {
    let contended = "w0 w0 w0 w0 | w0 w0 w0 w0 | w0 w0 w0 w0";
    let short = run(1, contended, |_| Holds { least_us: 10, most_us: 10 });
    let long = run(1, contended, |_| Holds { least_us: 10, most_us: 400 });
    assert_eq!(short, long);
}

/// How long one page stays: `least_us`, and as long as a thread of its rank was stopped within that time,
/// but no longer than `most_us`.
#[derive(Clone, Copy)]
struct Holds {
    least_us: u64,
    most_us: u64,
}

/// How many virtual microseconds the world takes, unless it is still at it after a second. Everything is
/// a function of the arguments, so there is no luck to wait for.
fn run(pages: u64, scripts: &str, holds: impl Fn(u64) -> Holds) -> Option<u64> {
    let mut clock = Clock::new(pages, scripts);
    while !clock.world.is_done() {
        if clock.now_us > SECOND_US {
            return None;
        }
        clock.offer(&holds);
        clock.take_next();
    }
    Some(clock.now_us)
}

struct Clock {
    world: World,
    now_us: u64,
    /// When each step that is on offer, or was when its driver was last idle, is due.
    due: Vec<(Step, u64)>,
    /// Of the hold times that run: rank, page, bounds, start.
    holding: Vec<(Rank, PageId, Holds, u64)>,
    /// When some thread of each rank was last stopped.
    stopped_us: Vec<u64>,
    count: u64,
}

impl Clock {
    fn new(pages: u64, scripts: &str) -> Self {
        let setup = Setup { hold: Hold::Timed, ..Setup::new(pages, scripts).unwrap() };
        let stopped_us = vec![0; setup.nodes().into()];
        let (due, holding) = (Vec::new(), Vec::new());
        Self { world: World::new(setup), now_us: 0, due, holding, stopped_us, count: 0 }
    }

    /// Notes what became possible, and when it will happen.
    fn offer(&mut self, holds: &impl Fn(u64) -> Holds) {
        for (rank, stopped) in (0..).map(Rank).zip(&mut self.stopped_us) {
            if self.world.is_stopped(rank) {
                *stopped = self.now_us;
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
                Step::Deliver(..) => LATENCY_US,
                Step::Run(..) => THINK_US,
                Step::HoldOver(rank, page) => {
                    self.count += 1;
                    let holds = holds(self.count);
                    self.holding.push((rank, page, holds, self.now_us));
                    holds.least_us
                }
                _ => 0,
            };
            self.due.push((step, self.now_us + takes_us));
        }
    }

    /// The step that is due first happens, unless it is the end of a hold time that goes on.
    fn take_next(&mut self) {
        let steps = self.world.steps();
        let possible = self.due.iter().enumerate().filter(|(_, (step, _))| steps.contains(step));
        let (place, _) = possible.min_by_key(|(_, (_, due))| *due).unwrap();
        let (step, due) = self.due.remove(place);
        self.now_us = self.now_us.max(due);
        if let Step::HoldOver(rank, page) = step {
            let running = |h: &(Rank, PageId, Holds, u64)| (h.0, h.1) == (rank, page);
            let place = self.holding.iter().position(running).unwrap();
            let (_, _, holds, start) = self.holding[place];
            let wanted = self.stopped_us[usize::from(rank.0)] + holds.least_us > self.now_us;
            if wanted && self.now_us < start + holds.most_us {
                return self.due.push((step, self.now_us + 1));
            }
            self.holding.remove(place);
        }
        self.world.take(step).unwrap();
    }
}

const SECOND_US: u64 = 1_000_000;
/// From one rank to another.
const LATENCY_US: u64 = 20;
/// From being resumed to the next access.
const THINK_US: u64 = 3;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
