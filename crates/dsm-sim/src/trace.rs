use crate::{Broken, Setup, Step, World};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The steps of a run: which of those on offer was taken, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<u16>);

/// The path of a run, told one line an event.
#[must_use]
pub fn tell(setup: &Setup, path: &Path) -> String {
    let mut text = String::new();
    let mut world = World::new(setup.clone());
    for (place, &choice) in (1..).zip(&path.0) {
        let Some(&step) = world.steps().get(usize::from(choice)) else {
            let _ = writeln!(text, "{place:4}  no step {choice} here");
            break;
        };
        let _ = writeln!(text, "{place:4}  {}", line(&world, step));
        if let Err(Broken { promise, how }) = world.take(step) {
            let _ = writeln!(text, "      {promise:?} broken: {how}");
            break;
        }
    }
    text
}

/// What a step that is about to be taken means.
pub(crate) fn line(world: &World, step: Step) -> String {
    match step {
        Step::Run(rank, thread) => {
            let op = world.node(rank).threads[thread].op();
            let op = op.map(|op| op.to_string()).unwrap_or_default();
            match world.lacks(rank, thread) {
                Some((page, access)) => {
                    format!("rank {rank} thread {thread}: {op} faults, {access:?} on page {page}")
                }
                None => format!("rank {rank} thread {thread}: {op}"),
            }
        }
        Step::ReadFaults(rank) => format!("rank {rank} reads its faults"),
        Step::TellFault(rank) => match world.node(rank).faults.front() {
            Some((page, access)) => {
                format!("rank {rank} takes the fault {access:?} on page {page}")
            }
            None => format!("rank {rank} takes no fault"),
        },
        Step::CarryOut(rank) => match world.node(rank).outputs.front() {
            Some(output) => format!("rank {rank} does {output:?}"),
            None => format!("rank {rank} does nothing"),
        },
        Step::Arrive(from, to) => {
            format!("rank {to} begins to receive from {from}: {:?}", world.front(from, to))
        }
        Step::Deliver(from, to) => match world.front(from, to) {
            Some(message) => format!("rank {to} hears from {from}: {message:?}"),
            None => format!("rank {to} hears nothing"),
        },
        Step::HoldOver(rank, page) => format!("rank {rank} has held page {page} long enough"),
        Step::Lose(from, to) => format!("rank {to} learns that rank {from} is gone"),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices: Vec<_> = self.0.iter().map(u16::to_string).collect();
        f.write_str(&choices.join("."))
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let choice = |word: &str| word.parse().map_err(|_| PathError { word: word.to_owned() });
        match text {
            "" => Ok(Self::default()),
            _ => text.split('.').map(choice).collect::<Result<_, _>>().map(Self),
        }
    }
}

/// A path that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    word: String,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read path: {:?} found, expected numbers with dots between", self.word)
    }
}

impl std::error::Error for PathError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_as_written() {
        for text in ["", "0", "3.0.12"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        assert!("1..2".parse::<Path>().is_err());
    }
}
