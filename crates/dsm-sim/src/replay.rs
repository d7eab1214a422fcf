use crate::setup::{Separators, scripts_with, write_scripts};
use crate::{Arrival, Faults, Path, Setup, Watch, planted};
use dsm_core::{Hold, Placement};
use std::fmt;
use std::str::FromStr;

/// A world and the steps taken in it, as one word that no shell changes:
/// `pages:what is special:scripts:steps`, as in `1:timed,posted:r0.w0,w0+w0.r0:0.0.3`.
///
/// In the scripts ranks are separated by `+`, threads by `,`, operations by `.`; where an operation has `>`, there
/// is `-`.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The world.
    pub setup: Setup,
    /// The steps.
    pub path: Path,
}

/// A replay that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    found: String,
    expected: String,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = &self.setup;
        let Setup { pages, heap, placement, hold, arrival, faults, watch, mutant, scripts, .. } =
            setup;
        let mut special = Vec::new();
        special.extend((*heap > 0).then(|| format!("{HEAP}{heap}")));
        special.extend((*placement != Placement::Cyclic).then(|| placement.to_string()));
        special.extend((*hold == Hold::Timed).then(|| TIMED.to_owned()));
        special.extend((*arrival == Arrival::Split).then(|| SPLIT.to_owned()));
        special.extend((*faults == Faults::Batched).then(|| BATCHED.to_owned()));
        special.extend((*faults == Faults::Posted).then(|| POSTED.to_owned()));
        special.extend((*watch == Watch::Program).then(|| PROGRAM.to_owned()));
        special.extend(setup.fan_in.map(|fan_in| format!("{FAN_IN}{fan_in}")));
        special.extend(setup.moves_after.map(|moves| format!("{MOVES}{moves}")));
        special.extend(mutant.map(|mutant| format!("{mutant:?}")));
        let scripts = write_scripts(scripts, WORD);
        write!(f, "{pages}:{}:{scripts}:{}", special.join(","), self.path)
    }
}

impl FromStr for Replay {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        let error = |found: &str, expected: &str| ReplayError {
            found: found.to_owned(),
            expected: expected.to_owned(),
        };
        let parts: Vec<_> = text.trim().split(':').collect();
        let [pages, special, scripts, path] = parts[..] else {
            return Err(error(text, "pages:what is special:scripts:steps"));
        };
        let pages = pages.parse().map_err(|_| error(pages, "a number of pages"))?;
        let scripts = scripts_with(scripts, pages, WORD)
            .map_err(|why| error(scripts, &format!("scripts ({why})")))?;
        let path = path.parse().map_err(|_| error(path, "numbers with dots between"))?;
        let mut setup = Setup {
            pages,
            heap: 0,
            placement: Placement::Cyclic,
            hold: Hold::None,
            arrival: Arrival::Whole,
            faults: Faults::AtOnce,
            watch: Watch::Everything,
            fan_in: None,
            moves_after: None,
            mutant: None,
            scripts,
        };
        for word in special.split(',').filter(|word| !word.is_empty()) {
            match word {
                TIMED => setup.hold = Hold::Timed,
                SPLIT => setup.arrival = Arrival::Split,
                BATCHED => setup.faults = Faults::Batched,
                POSTED => setup.faults = Faults::Posted,
                PROGRAM => setup.watch = Watch::Program,
                _ if word.starts_with(HEAP) => {
                    let pages = word.trim_start_matches(HEAP).parse();
                    setup.heap = pages.map_err(|_| error(word, "a number of pages of heap"))?;
                }
                _ if word.starts_with(FAN_IN) => {
                    let fan_in = word.trim_start_matches(FAN_IN).parse().ok();
                    let fan_in = fan_in.filter(|fan_in| *fan_in > 0);
                    setup.fan_in = Some(fan_in.ok_or_else(|| error(word, "a number of ranks"))?);
                }
                _ if word.starts_with(MOVES) => {
                    let moves = word.trim_start_matches(MOVES).parse().ok();
                    setup.moves_after =
                        Some(moves.ok_or_else(|| error(word, "a number of writes"))?);
                }
                _ if Placement::named(word).is_some() => {
                    setup.placement = Placement::named(word).unwrap_or_default();
                }
                _ => {
                    let mutant = planted::named(word);
                    setup.mutant = Some(mutant.ok_or_else(|| {
                        error(word, "heap, tree or moves and a number, a placement, timed, split, batched, posted, program or a planted bug")
                    })?);
                }
            }
        }
        Ok(Self { setup, path })
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read replay: {:?} found, expected {}", self.found, self.expected)
    }
}

impl std::error::Error for ReplayError {}

const WORD: Separators = Separators { rank: "+", thread: ",", op: ".", to: "-" };
const HEAP: &str = "heap";
const FAN_IN: &str = "tree";
const MOVES: &str = "moves";
const TIMED: &str = "timed";
const SPLIT: &str = "split";
const BATCHED: &str = "batched";
const POSTED: &str = "posted";
const PROGRAM: &str = "program";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_reads_back_as_written() {
        for text in [
            "1::r0+w0:",
            "2:timed,split,posted:r0.w1,b.x+m0-1+,w0.f:3.0.12",
            "2:heap3:l0.c1-0.u0+g0-3.h1:",
            "2:block,timed:w0+w1:",
            "1:posted,tree2:b+b:",
            "1:timed,moves0:r0+w0:",
        ] {
            assert_eq!(text.parse::<Replay>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_replay_is_quoted() {
        for (text, found) in [
            ("1:r0", "1:r0"),
            ("x::r0:", "x"),
            ("1:odd:r0:", "odd"),
            ("1:heap:r0:", "heap"),
            ("1:tree0:r0:", "tree0"),
            ("1:moves:r0:", "moves"),
            ("1::r0:1..2", "1..2"),
        ] {
            let error = text.parse::<Replay>().unwrap_err().to_string();
            assert!(error.contains(&format!("{found:?} found")), "{error}");
        }
        assert!("1::r1:".parse::<Replay>().is_err());
    }
}
