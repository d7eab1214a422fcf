use crate::calm::require_good_end;
use crate::words::{say_access, say_call, say_input, say_message, say_output};
use crate::{Broken, Setup, Step, World};
use dsm_core::Rank;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The steps of a run: which of those on offer was taken, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<u16>);

/// The path of a run, told one line an event, with a column a rank.
#[must_use]
pub fn tell(setup: &Setup, path: &Path) -> String {
    let mut table = Table::new(setup.nodes());
    let mut world = World::new(setup.clone());
    for (place, &choice) in (1..).zip(&path.0) {
        let Some(&step) = world.steps().get(usize::from(choice)) else {
            table.end = Some(format!("no step {choice} here"));
            break;
        };
        let (rank, event) = event(&world, step);
        table.rows.push((place, rank, event));
        if let Err(Broken { promise, how }) = world.take(step) {
            table.end = Some(format!("{promise:?} broken: {how}"));
            break;
        }
    }
    if table.end.is_none() && world.steps().is_empty() {
        let end = require_good_end(&world);
        table.end = end.err().map(|Broken { promise, how }| format!("{promise:?} broken: {how}"));
    }
    table.to_string()
}

/// Whose step this is, and what it means just before it is taken.
fn event(world: &World, step: Step) -> (Rank, String) {
    match step {
        Step::Run(rank, thread) => {
            let op = world.node(rank).threads[thread].op();
            let op = op.map(|op| op.to_string()).unwrap_or_default();
            let text = match world.lacks(rank, thread) {
                Some((page, access)) => {
                    format!("t{thread} {op} faults, {} p{page}", say_access(access))
                }
                None => format!("t{thread} {op}"),
            };
            (rank, text)
        }
        Step::ReadFaults(rank) => (rank, "reads its faults".to_owned()),
        Step::TellFault(rank) => {
            let fault = world.node(rank).faults.front();
            let fault = fault.map(|(page, access, _)| format!("{} p{page}", say_access(*access)));
            (rank, format!("takes fault, {}", fault.unwrap_or_default()))
        }
        Step::CarryOut(rank) => {
            let output = world.node(rank).outputs.front();
            (rank, output.map(say_output).unwrap_or_default())
        }
        Step::FollowUp(rank) => {
            let input = world.node(rank).followups.front();
            (rank, input.map(say_input).unwrap_or_default())
        }
        Step::TakeCall(rank) => {
            let call = world.node(rank).calls.front();
            (rank, call.map(say_call).unwrap_or_default())
        }
        Step::GiveUp(rank, thread) => (rank, format!("t{thread} loses patience")),
        Step::Arrive(from, to) => {
            let message = world.front(from, to).map(say_message).unwrap_or_default();
            (to, format!("{from}> begins: {message}"))
        }
        Step::Deliver(from, to) => {
            let message = world.front(from, to).map(say_message).unwrap_or_default();
            (to, format!("{from}> {message}"))
        }
        Step::HoldOver(rank, page) => (rank, format!("held p{page} long enough")),
        Step::Lose(from, to) => (to, format!("rank {from} is gone")),
    }
}

/// Events in the order they happened, each in the column of its rank.
struct Table {
    nodes: u16,
    rows: Vec<(usize, Rank, String)>,
    end: Option<String>,
}

impl Table {
    fn new(nodes: u16) -> Self {
        Self { nodes, rows: Vec::new(), end: None }
    }

    fn width(&self, rank: Rank) -> usize {
        let events = self.rows.iter().filter(|(_, at, _)| *at == rank);
        events.map(|(_, _, event)| event.len()).max().unwrap_or(0).max(HEAD_WIDTH)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranks = || (0..self.nodes).map(Rank);
        let widths: Vec<_> = ranks().map(|rank| self.width(rank)).collect();
        let mut head = String::from("      ");
        for (rank, width) in ranks().zip(&widths) {
            let _ = write!(head, "| {:width$} ", format!("rank {rank}"));
        }
        writeln!(f, "{}", head.trim_end())?;
        for (place, at, event) in &self.rows {
            let mut line = format!("{place:5} ");
            for (rank, width) in ranks().zip(&widths) {
                let _ = write!(line, "| {:width$} ", if rank == *at { event } else { "" });
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        match &self.end {
            Some(end) => writeln!(f, "      {end}"),
            None => Ok(()),
        }
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

const HEAD_WIDTH: usize = 7;

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
