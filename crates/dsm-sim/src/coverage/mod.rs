//! Which pairs of a state and what reaches it occur, and why the others cannot.
//!
//! A pair is a [`Situation`]. Those that occur are seen from outside while worlds run; each of the others
//! has a rule that says why honest ranks never make it, and what the engine answers when somebody lies.
//! Engines that were seen are told such lies, to show that it does.

mod asks;
mod barriers;
mod claims;
mod copies;
mod homes;
mod lies;
mod table;
mod tokens;

use crate::rng::Rng;
use crate::roam::roam_in;
use crate::{Counterexample, Limits, Setup, Step, World, explore_watching, roam_watching};
use dsm_core::{Engine, Hold, Input, Output, Situation};
use std::collections::BTreeMap;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Coverage {
    /// How often each situation occurred, and some engines that it was about to happen to.
    seen: BTreeMap<Situation, Seen>,
}

#[derive(Debug)]
struct Seen {
    times: u64,
    engines: Vec<Engine>,
    next_sample: u64,
}

/// Whether a situation can occur among honest ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Possible,
    /// It may occur, at a moment that is hard to meet, and no more than this follows from it.
    Idle {
        most: Answer,
    },
    Impossible {
        why: &'static str,
        answer: Answer,
    },
}

/// What an engine answers in a situation that cannot occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// It ends the job.
    Fails,
    /// It goes on without a word: it cannot tell, or puts it off.
    Nothing,
    /// It goes on: it cannot tell, or bears it.
    GoesOn,
    /// Nothing can be shown: its state does not occur either.
    Unasked,
}

/// What is wrong with a coverage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// It can occur by the rules, and did not.
    NotSeen(Situation),
    /// It cannot occur by the rules, and did.
    Seen(Situation),
    /// No engine that was seen can be brought there.
    NotAsked(Situation),
    /// The engine answers something else than the rules say.
    Answered(Situation),
}

impl Coverage {
    /// Notes all situations of one world, in every state.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn explore(&mut self, setup: &Setup) -> Result<(), Box<Counterexample>> {
        explore_watching(setup, Limits::default(), &mut |world, step| self.note(world, step))?;
        Ok(())
    }

    /// Notes the situations of one random schedule.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn roam(&mut self, seed: u64) -> Result<(), Box<Counterexample>> {
        roam_watching(seed, &mut |world, step| self.note(world, step))?;
        Ok(())
    }

    /// Notes the situations of random schedules of crowded worlds, which are too large to explore. Tells in
    /// which of them something was seen for the first time, by number and seed.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn crowd(
        &mut self,
        seeds: impl Iterator<Item = u64> + Clone,
    ) -> Result<Vec<(usize, u64)>, Box<Counterexample>> {
        let mut news = Vec::new();
        for crowd in 0..CROWDS.len() {
            for seed in seeds.clone() {
                let before = self.seen.len();
                self.crowd_once((crowd, seed))?;
                news.extend((self.seen.len() > before).then_some((crowd, seed)));
            }
        }
        Ok(news)
    }

    /// Notes what is rare: schedules of crowded worlds that are known to meet it.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn crowd_known(&mut self) -> Result<(), Box<Counterexample>> {
        KNOWN.into_iter().try_for_each(|known| self.crowd_once(known))
    }

    fn crowd_once(&mut self, (crowd, seed): (usize, u64)) -> Result<(), Box<Counterexample>> {
        let (pages, heap, scripts, moves_after) = CROWDS[crowd];
        let plain = Setup::new(pages, scripts).expect("scripts of crowds are well formed");
        let setup = Setup { heap, hold: Hold::Timed, moves_after, ..plain };
        let note = &mut |world: &World, step| self.note(world, step);
        roam_in(setup, &mut Rng::new(seed), note)?;
        Ok(())
    }

    /// Everything that is not as the rules say.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let answers = self.ask();
        all()
            .filter_map(|(situation, verdict)| {
                let (seen, answer) = (self.seen.contains_key(&situation), answers.get(&situation));
                match (verdict, answer) {
                    (Verdict::Idle { .. }, None) => None,
                    (Verdict::Idle { most }, Some(given)) if most.admits(*given) => None,
                    (Verdict::Idle { .. }, Some(_)) => Some(Gap::Answered(situation)),
                    (Verdict::Possible, _) if seen => None,
                    (Verdict::Possible, _) => Some(Gap::NotSeen(situation)),
                    (Verdict::Impossible { .. }, _) if seen => Some(Gap::Seen(situation)),
                    (Verdict::Impossible { answer: Answer::Unasked, .. }, None) => None,
                    (Verdict::Impossible { .. }, None) => Some(Gap::NotAsked(situation)),
                    (Verdict::Impossible { answer, .. }, Some(given)) if answer.admits(*given) => {
                        None
                    }
                    (Verdict::Impossible { .. }, Some(_)) => Some(Gap::Answered(situation)),
                }
            })
            .collect()
    }

    /// How many situations can occur, and how many of them did.
    #[must_use]
    pub fn figures(&self) -> (usize, usize) {
        let possible = all().filter(|(_, verdict)| *verdict == Verdict::Possible);
        let (mut can, mut did) = (0, 0);
        for (situation, _) in possible {
            can += 1;
            did += usize::from(self.seen.contains_key(&situation));
        }
        (can, did)
    }

    fn note(&mut self, world: &World, step: Step) {
        let Some((engine, input)) = world.input_of(step) else { return };
        let outputs = engine.clone().handle_watched(input, &mut |engine, input| {
            let Some(situation) = engine.situation(input) else { return };
            let seen = self.seen.entry(situation).or_default();
            seen.times += 1;
            if seen.times == seen.next_sample {
                seen.engines.push(engine.clone());
                seen.next_sample *= SAMPLE_GROWTH;
            }
        });
        drop(outputs);
    }

    /// What engines that were seen answer to everything somebody could say to them.
    fn ask(&self) -> BTreeMap<Situation, Answer> {
        let mut answers = BTreeMap::new();
        for engine in self.seen.values().flat_map(|seen| &seen.engines) {
            lies::tell(engine, |situation, answer| {
                let worst = answers.entry(situation).or_insert(answer);
                *worst = answer.max(*worst);
            });
        }
        answers
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { times: 0, engines: Vec::new(), next_sample: 1 }
    }
}

/// Every situation there is a word for, with what the rules say about it.
fn all() -> impl Iterator<Item = (Situation, Verdict)> {
    let copies = copies::all().map(|s| (Situation::Copy(s), copies::verdict(s)));
    let homes = homes::all().map(|s| (Situation::Home(s), homes::verdict(s)));
    let barriers = barriers::all().map(|s| (Situation::Barrier(s), barriers::verdict(s)));
    let tokens = tokens::all().map(|s| (Situation::Token(s), tokens::verdict(s)));
    let asks = asks::all().into_iter().map(|s| (s, asks::verdict(s)));
    let claims = claims::all().into_iter().map(|s| (Situation::Claim(s), claims::verdict(s)));
    copies.chain(tokens).chain(homes).chain(claims).chain(barriers).chain(asks)
}

fn impossible(answer: Answer, why: &'static str) -> Verdict {
    Verdict::Impossible { why, answer }
}

fn answer_to(engine: &Engine, input: Input) -> Answer {
    let outputs: Vec<_> = engine.clone().handle(input).into_iter().collect();
    let fails = |output: &Output| matches!(output, Output::Fail { .. });
    match outputs[..] {
        [] => Answer::Nothing,
        _ if outputs.iter().any(fails) => Answer::Fails,
        _ => Answer::GoesOn,
    }
}

impl Answer {
    /// Whether an engine that should answer this may answer that.
    fn admits(self, given: Self) -> bool {
        self == given || (self, given) == (Self::GoesOn, Self::Nothing)
    }
}

/// Worlds in which many ranks want the same: pages, pages of heap, scripts, after how many writes pages move.
const CROWDS: [(u64, u64, &str, Option<u8>); 9] = [
    (1, 0, "r0 w0 r0 w0 | w0 o0 w0 o0 | r0 o0 r0 o0 | r0 w0", None),
    (1, 0, "s0 r0 u0 l0 w0 u0 | l0 w0 w0 u0 | s0 r0 u0 / r0 w0 | l0 r0 u0 s0 u0", None),
    (1, 0, "s0 w0 u0 / s0 w0 u0 | s0 w0 u0 l0 u0 | s0 w0 u0 / l0 w0 u0 | s0 w0 u0", None),
    (
        2,
        0,
        "s0 w1 u0 s0 w1 u0 l0 u0 | s0 w1 u0 l0 w1 u0 | s0 w1 u0 l0 u0 / s0 u0 | s0 u0 s0 w1 u0",
        None,
    ),
    (
        2,
        0,
        "s0 w1 u0 l0 u0 | s0 w1 u0 l0 w1 u0 | s0 w1 u0 l0 u0 / l0 u0 | l0 u0 s0 w1 u0 / w1",
        None,
    ),
    (2, 0, "l0 d1>0 u0 | l0 c1>0 u0 / l0 c1>0 u0 | l0 n1 n1 n1 u0", None),
    (1, 4, "h1 k h1 k y | h1 k h2 k y | y h2 k y y | h1 y k h1 y k", None),
    (1, 0, "w0 b b r0 | b r0 w0 b r0 | b b r0 | b b r0", Some(1)),
    (1, 0, "r0 w0 r0 r0 | w0 r0 r0 / o0 o0 | r0 r0 / o0 o0", Some(0)),
];
/// Which of them, in schedules of which seed, meet what no small world and hardly any other schedule does.
/// When the engine has changed, `dsm-sim coverage --schedules 2000 --crowds 20000` finds others.
const KNOWN: [(usize, u64); 26] = [
    (0, 29),
    (0, 75),
    (0, 919),
    (1, 118),
    (1, 1138),
    (2, 5),
    (2, 13),
    (2, 75),
    (2, 159),
    (2, 494),
    (2, 510),
    (3, 639),
    (3, 857),
    (3, 958),
    (3, 8308),
    (4, 569),
    (4, 1007),
    (4, 2375),
    (5, 1),
    (5, 6),
    (6, 1),
    (6, 2),
    (7, 14),
    (7, 37),
    (8, 114),
    (8, 291),
];
/// An engine is kept of the first time, the 8th, the 64th and so on: later ones have seen more.
const SAMPLE_GROWTH: u64 = 8;
