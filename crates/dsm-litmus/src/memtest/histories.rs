//! Recorded histories, decided by a checker.

use super::record::{decode, encode};
use super::round::{Kind, Round, Shared, Size};
use super::word::{Place, Word};
use super::{Bench, Findings, TestError};
use crate::clock;
use dsm_sim::check::{Order, Verdict, check};
use dsm_sim::history::{Action, History, Operation, Span, Value, WordId};
use dsm_sim::rng::Rng;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{Ordering, compiler_fence};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// How long to go on, and how.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The first round.
    pub first: u64,
    /// How large rounds are.
    pub size: Size,
    /// Stop after so many operations.
    pub operations: u64,
    /// Stop at this time.
    pub until: Option<Instant>,
    /// What the checker respects beside program order.
    pub order: Order,
    /// The directory for the record of a history that is wrong.
    pub traces: PathBuf,
    /// What to do to what was recorded.
    pub spoil: Spoil,
}

/// Whether to make a history wrong before it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// No.
    Nothing,
    /// The first one, to see what is reported then.
    First,
}

/// Runs and decides rounds until the budget of rank 0 is used up or one is wrong.
///
/// # Errors
/// If the ranks cannot go on together.
pub fn histories(bench: &mut Bench, budget: &Budget) -> Result<Findings, TestError> {
    let (mut findings, mut sums) = (Findings::default(), Sums::default());
    for number in budget.first.. {
        let is_over = !findings.failures.is_empty()
            || sums.operations.values().sum::<u64>() >= budget.operations
            || budget.until.is_some_and(|until| Instant::now() >= until);
        if bench.hub.spread(vec![u8::from(is_over)])? != [0] {
            break;
        }
        let round = Round::draw(bench.seed, number, budget.size, bench.node);
        let start = Instant::now();
        let mut history = carry_out(bench, &round)?;
        sums.running += start.elapsed();
        if bench.node.rank() == 0 {
            sums.rounds += 1;
            *sums.operations.entry(round.kind).or_default() += history.operations() as u64;
            if number == budget.first && !is_spoiling_noticed(budget.order, &history) {
                findings.fail("positive control: the checker did not notice a spoiled history");
            }
            if number == budget.first && budget.spoil == Spoil::First {
                history = spoiled(&history).unwrap_or(history);
            }
            let wrong = decide(bench, budget, &round, &history, &mut sums)?;
            wrong.into_iter().for_each(|wrong| findings.fail(wrong));
        }
    }
    findings.figures.push(sums.told(budget));
    Ok(findings)
}

#[derive(Debug, Default)]
struct Sums {
    rounds: u64,
    operations: BTreeMap<Kind, u64>,
    undecided: u64,
    running: Duration,
    checking: Duration,
}

impl Sums {
    fn told(&self, budget: &Budget) -> String {
        let of = |kind| self.operations.get(&kind).unwrap_or(&0);
        format!(
            "histories: {} operations in {} rounds, {} ordered, {} plain, {} crossing, checked by {}, {} undecided, {:.1} s running, {:.1} s checking",
            self.operations.values().sum::<u64>(),
            self.rounds,
            of(Kind::Ordered),
            of(Kind::Plain),
            of(Kind::Crossing),
            match budget.order {
                Order::Program => "program order",
                Order::RealTime => "program order and time",
            },
            self.undecided,
            self.running.as_secs_f64(),
            self.checking.as_secs_f64()
        )
    }
}

/// Has every rank do its part and brings what they recorded to rank 0.
fn carry_out(bench: &mut Bench, round: &Round) -> Result<History, TestError> {
    let words = round.places.iter().map(|place| Word::at(bench.node, *place));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    if bench.node.rank() == round.first {
        words.iter().for_each(|word| word.store(0, Ordering::SeqCst));
    }
    bench.hub.meet_again()?;
    if round.shared == Shared::Yes {
        let seen = words.iter().map(|word| word.load(Ordering::SeqCst));
        assert!(seen.sum::<u64>() == 0, "the words are as the first rank left them");
        bench.hub.meet_again()?;
    }
    let rank = usize::from(bench.node.rank());
    let recorded = thread::scope(|scope| {
        let ours = (0..round.threads).map(|own| rank * round.threads + own);
        let start = |thread| {
            let worker = Worker::new(round, &words, thread);
            scope.spawn(move || worker.run())
        };
        let threads: Vec<_> = ours.map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<_>| {
            thread.join().expect("loads and stores do not panic")
        };
        threads.into_iter().map(join).collect::<Vec<Vec<Operation>>>()
    });
    let mut threads = Vec::new();
    for (rank, bytes) in bench.hub.gather(encode(&recorded))?.iter().enumerate() {
        threads.extend(decode(rank, bytes)?);
    }
    Ok(History { threads })
}

/// One thread of a round.
struct Worker<'a> {
    round: &'a Round,
    words: &'a [Word<'a>],
    thread: usize,
    rng: Rng,
    /// What it saw last in each word.
    seen: Vec<u64>,
    /// How many values it drew for each word.
    drawn: Vec<u64>,
}

impl<'a> Worker<'a> {
    fn new(round: &'a Round, words: &'a [Word<'a>], thread: usize) -> Self {
        let rng = round.rng(thread);
        let (seen, drawn) = (vec![0; words.len()], vec![0; words.len()]);
        Self { round, words, thread, rng, seen, drawn }
    }

    fn run(mut self) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(self.round.operations);
        let mut began_ns = clock::now_ns();
        for _ in 0..self.round.operations {
            let (at, die) = (self.rng.place(self.words.len()), self.rng.below(100));
            let new = self.draw(at);
            if self.round.pause_ns > 0 && self.rng.one_in(self.round.pause_odds) {
                clock::pass(self.rng.below(self.round.pause_ns), self.round.manner);
                began_ns = clock::now_ns();
            }
            let action = self.act(at, die, new);
            let ended_ns = clock::now_ns();
            let word = WordId(u32::try_from(at).expect("rounds have few words"));
            let span =
                Span { began_ns: began_ns.saturating_sub(SLACK_NS), ended_ns: ended_ns + SLACK_NS };
            operations.push(Operation { word, action, span });
            began_ns = ended_ns;
        }
        operations
    }

    /// A value that nobody else stores to this word in this round, if there is one left.
    fn draw(&mut self, at: usize) -> Option<u64> {
        self.drawn[at] += 1;
        let (mine, count) = (self.thread as u64 + 1, self.drawn[at]);
        match self.words[at] {
            Word::W16(_) => (count < 1 << 9).then_some(mine << 9 | count),
            Word::W32(_) => (count < 1 << 24).then_some(mine << 24 | count),
            // 2^64 is many more than anybody draws.
            Word::W64(_) => Some(self.rng.next()),
        }
    }

    /// What is to be done to a word that the thread may only store to, or only load from.
    fn allowed(&self, at: usize, die: u64) -> u64 {
        let rank = self.thread / self.round.threads;
        match self.round.kind {
            Kind::Ordered | Kind::Plain => die,
            Kind::Crossing if at % self.round.ranks == rank => STORE,
            Kind::Crossing => LOAD,
        }
    }

    fn act(&mut self, at: usize, die: u64, new: Option<u64>) -> Action {
        let word = self.words[at];
        let ordering = match self.round.kind {
            Kind::Ordered => Ordering::SeqCst,
            Kind::Plain | Kind::Crossing => Ordering::Relaxed,
        };
        let die = self.allowed(at, die);
        compiler_fence(Ordering::SeqCst);
        let action = match (new, die) {
            (Some(new), STORE..25) => {
                word.store(new, ordering);
                Action::Write(Value(new))
            }
            (Some(new), 25..35) => {
                Action::Exchange { read: Value(word.swap(new)), wrote: Value(new) }
            }
            (Some(new), 35..45) => match word.compare_exchange(self.seen[at], new) {
                Ok(read) => Action::Exchange { read: Value(read), wrote: Value(new) },
                Err(read) => Action::Read(Value(read)),
            },
            (Some(new), 45..55) if let Word::W64(word) = word => {
                let read = word.fetch_add(new, Ordering::SeqCst);
                Action::Exchange { read: Value(read), wrote: Value(read.wrapping_add(new)) }
            }
            _ => Action::Read(Value(word.load(ordering))),
        };
        compiler_fence(Ordering::SeqCst);
        self.seen[at] = action.wrote().or(action.read()).map_or(0, |value| value.0);
        action
    }
}

/// The positive control: whether the checker refuses the history when one read of it is changed.
fn is_spoiling_noticed(order: Order, history: &History) -> bool {
    let verdict = spoiled(history).map(|spoiled| check(&spoiled, order));
    matches!(verdict, Some(Ok(Verdict::Violated(_))))
}

/// The same history with one read changed to a value that its own thread had overwritten before.
fn spoiled(history: &History) -> Option<History> {
    let mut spoiled = history.clone();
    for operations in &mut spoiled.threads {
        // Of each word, the last two values that the thread left.
        let mut left: BTreeMap<WordId, [Option<Value>; 2]> = BTreeMap::new();
        for Operation { word, action, .. } in operations {
            let [older, newer] = left.entry(*word).or_default();
            match action {
                Action::Read(read) if older.is_some() => {
                    *read = (*older)?;
                    return Some(spoiled);
                }
                Action::Write(value) | Action::Exchange { wrote: value, .. } => {
                    (*older, *newer) = (*newer, Some(*value));
                }
                Action::Read(_) => (),
            }
        }
    }
    None
}

fn decide(
    bench: &Bench,
    budget: &Budget,
    round: &Round,
    history: &History,
    sums: &mut Sums,
) -> Result<Option<String>, TestError> {
    let start = Instant::now();
    let verdict = check(history, budget.order);
    sums.checking += start.elapsed();
    let why = match verdict {
        Ok(Verdict::Consistent) => return Ok(None),
        Ok(Verdict::Violated(violation)) => violation.to_string(),
        Ok(Verdict::Undecided) => {
            sums.undecided += 1;
            "the checker cannot decide".to_owned()
        }
        Err(source) => return Err(TestError::History { round: round.number, source }),
    };
    let home = |offset| bench.node.home(bench.node.base() + offset).unwrap_or_default();
    let path = budget.traces.join(format!("dsm-memtest.{}.{}.trace", bench.seed, round.number));
    let kept = match fs::write(&path, told(round, history, home)) {
        Ok(()) => format!("all operations are in {}", path.display()),
        Err(error) => format!("the operations cannot be kept in {}: {error}", path.display()),
    };
    let (seed, number) = (bench.seed, round.number);
    Ok(Some(format!(
        "not consistent: {round}\n{why}\n{kept}\nrepeat: --tests histories --seed {seed} --first-round {number}"
    )))
}

/// A history as text, one operation a line, in the order they began.
fn told(round: &Round, history: &History, home: impl Fn(usize) -> u16) -> String {
    let mut lines = Vec::new();
    for (thread, operations) in history.threads.iter().enumerate() {
        let rank = thread / round.threads;
        for (at, operation) in operations.iter().enumerate() {
            let Place { offset, bytes } = round.places[operation.word.0 as usize];
            let Span { began_ns, ended_ns } = operation.span;
            let home = home(offset);
            lines.push((
                began_ns,
                format!(
                    "{began_ns} {ended_ns} rank {rank} thread {thread} #{at} {operation} (offset {offset:#x}, {bytes} bytes, home {home})\n"
                ),
            ));
        }
    }
    lines.sort_unstable();
    let lines = lines.into_iter().map(|(_, line)| line);
    format!("{round}\n") + &lines.collect::<String>()
}

/// Of 100 sides of a die, one that stands for a store, and one for a load.
const STORE: u64 = 0;
const LOAD: u64 = 99;

/// How far the time an operation is recorded with may be off: a load can be done a little before the clock
/// is read that is read before it, and the clocks of processors differ a little.
pub const SLACK_NS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two threads on one word, one after the other.
    fn history() -> History {
        let operation = |action| Operation { word: WordId(3), action, span: Span::UNKNOWN };
        let (read, write) = (|v| Action::Read(Value(v)), |v| Action::Write(Value(v)));
        let first = [read(0), write(1), read(1), write(2), read(2)].map(operation);
        let exchange = Action::Exchange { read: Value(2), wrote: Value(5) };
        History { threads: vec![first.to_vec(), vec![operation(exchange)]] }
    }

    #[test]
    fn a_spoiled_history_is_noticed() {
        let history = history();
        assert_eq!(check(&history, Order::Program), Ok(Verdict::Consistent));
        assert_eq!(spoiled(&history).unwrap().threads[0][4].action, Action::Read(Value(1)));
        assert!(is_spoiling_noticed(Order::Program, &history));
        // Without anything to spoil the control shows nothing, and says so.
        assert!(!is_spoiling_noticed(Order::Program, &History::default()));
    }
}
