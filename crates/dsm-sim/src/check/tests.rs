//! The checker against a search of all orders, on histories of machines that are right and of machines
//! that are not.

use super::*;
use crate::history::{Action, Span, WordId};
use crate::rng::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// How a memory answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Machine {
    /// One operation after another.
    Sequential,
    /// The same, and nothing but exchanges.
    ExchangesOnly,
    /// Stores wait in a queue of their thread, which it alone sees.
    StoreQueues,
    /// Each thread keeps copies of words that are not always fresh.
    StaleCopies,
    /// An exchange is a load and, some time later, a store.
    TornExchanges,
    /// A read sees anything that was or will be written to the word.
    AnyValue,
    /// One operation after another, but some take effect after they are said to have ended.
    LateEffects,
}

const MACHINES: [Machine; 7] = [
    Machine::Sequential,
    Machine::ExchangesOnly,
    Machine::StoreQueues,
    Machine::StaleCopies,
    Machine::TornExchanges,
    Machine::AnyValue,
    Machine::LateEffects,
];

/// What a history is to look like.
#[derive(Clone, Copy, Debug)]
struct Size {
    threads: usize,
    words: usize,
    operations: usize,
}

/// A history of so many operations.
struct Run {
    machine: Machine,
    rng: Rng,
    history: History,
    memory: BTreeMap<WordId, Value>,
    copies: BTreeMap<(usize, WordId), Value>,
    queues: Vec<VecDeque<(WordId, Value)>>,
    torn: Vec<Option<(WordId, Value)>>,
    now_ns: u64,
    written: u64,
}

impl Run {
    fn new(machine: Machine, seed: u64, threads: usize) -> Self {
        Self {
            machine,
            rng: Rng::new(seed),
            history: History { threads: vec![Vec::new(); threads] },
            memory: BTreeMap::new(),
            copies: BTreeMap::new(),
            queues: vec![VecDeque::new(); threads],
            torn: vec![None; threads],
            now_ns: 100,
            written: 0,
        }
    }

    fn history(mut self, size: Size) -> History {
        for _ in 0..size.operations {
            let thread = self.rng.place(size.threads);
            let word = WordId(u32::try_from(self.rng.place(size.words)).unwrap());
            self.now_ns += 10;
            self.catch_up(thread);
            let action = self.act(thread, word);
            let span = self.span();
            self.history.threads[thread].push(Operation { word, action, span });
        }
        if self.machine == Machine::AnyValue {
            self.choose_values();
        }
        self.history
    }

    /// What a thread does before its next operation, or another thread at that time.
    fn catch_up(&mut self, thread: usize) {
        if let Some((word, value)) = self.torn[thread].take() {
            self.memory.insert(word, value);
        }
        let any = self.rng.place(self.queues.len());
        if self.rng.one_in(3)
            && let Some((word, value)) = self.queues[any].pop_front()
        {
            self.memory.insert(word, value);
        }
    }

    fn act(&mut self, thread: usize, word: WordId) -> Action {
        let die = self.rng.below(10);
        let die = if self.machine == Machine::ExchangesOnly { 9 } else { die };
        if die < 5 {
            return Action::Read(self.read(thread, word));
        }
        self.written += 1;
        let wrote = Value(self.written);
        if die < 8 {
            self.write(thread, word, wrote);
            return Action::Write(wrote);
        }
        while let Some((word, value)) = self.queues[thread].pop_front() {
            self.memory.insert(word, value);
        }
        let read = self.in_memory(word);
        match self.machine {
            Machine::TornExchanges => self.torn[thread] = Some((word, wrote)),
            _ => _ = self.memory.insert(word, wrote),
        }
        Action::Exchange { read, wrote }
    }

    fn in_memory(&self, word: WordId) -> Value {
        self.memory.get(&word).copied().unwrap_or(Value::INITIAL)
    }

    fn read(&mut self, thread: usize, word: WordId) -> Value {
        let current = self.in_memory(word);
        match self.machine {
            Machine::StoreQueues => {
                let mut queued = self.queues[thread].iter().rev();
                queued.find(|(w, _)| *w == word).map_or(current, |(_, value)| *value)
            }
            Machine::StaleCopies => {
                let copy = self.copies.entry((thread, word)).or_insert(current);
                if self.rng.one_in(2) {
                    *copy = current;
                }
                *copy
            }
            _ => current,
        }
    }

    fn write(&mut self, thread: usize, word: WordId, value: Value) {
        match self.machine {
            Machine::StoreQueues => self.queues[thread].push_back((word, value)),
            _ => _ = self.memory.insert(word, value),
        }
        self.copies.insert((thread, word), value);
    }

    fn span(&mut self) -> Span {
        let late = self.machine == Machine::LateEffects && self.rng.one_in(4);
        let effect_ns = if late { self.now_ns - 30 } else { self.now_ns };
        let width = 1 + self.rng.below(40);
        Span {
            began_ns: effect_ns - self.rng.below(width),
            ended_ns: effect_ns + self.rng.below(width),
        }
    }

    fn choose_values(&mut self) {
        let all: Vec<_> = self.history.threads.iter().flatten().copied().collect();
        for operation in self.history.threads.iter_mut().flatten() {
            let same_word = all.iter().filter(|other| other.word == operation.word);
            let written = same_word.filter_map(|other| other.action.wrote());
            let values: Vec<_> = written.chain([Value::INITIAL]).collect();
            match &mut operation.action {
                Action::Read(read) | Action::Exchange { read, .. } => {
                    *read = self.rng.pick(&values)
                }
                Action::Write(_) => (),
            }
        }
    }
}

/// What the checker says, checked against what the search says.
fn check_one(history: &History, order: Order, seed: u64) -> Verdict {
    let verdict = check(history, order).unwrap();
    let right = enumerate(history, order);
    let agree = match verdict {
        Verdict::Consistent => right,
        Verdict::Violated(_) => !right,
        Verdict::Undecided => false,
    };
    assert!(agree, "seed {seed}, {order:?}: {verdict:?}, but enumerated: {right}\n{history:#?}");
    verdict
}

#[test]
fn the_checker_agrees_with_a_search_of_all_orders() {
    const HISTORIES: u64 = 10_000;
    println!("seeds 0 to {HISTORIES} of each machine: right, wrong, undecided by order");
    let mut undecided = 0;
    for machine in MACHINES {
        for order in [Order::Program, Order::RealTime] {
            let mut counts = [0; 3];
            for seed in 0..HISTORIES {
                let mut rng = Rng::new(seed);
                let threads = 2 + rng.place(3);
                let (words, operations) = (1 + rng.place(3), 3 + rng.place(8));
                let run = Run::new(machine, seed, threads);
                let history = run.history(Size { threads, words, operations });
                counts[match check_one(&history, order, seed) {
                    Verdict::Consistent => 0,
                    Verdict::Violated(_) => 1,
                    Verdict::Undecided => 2,
                }] += 1;
            }
            let [right, wrong, open] = counts;
            println!("{machine:?} {order:?}: {right} right, {wrong} wrong, {open} undecided");
            undecided += open;
            let is_right = matches!(machine, Machine::Sequential | Machine::ExchangesOnly)
                || (machine == Machine::LateEffects && order == Order::Program);
            assert_eq!(wrong == 0, is_right, "{machine:?} {order:?}");
        }
    }
    assert_eq!(undecided, 0);
}

/// Larger histories, which no search could decide, of machines that are known to be right or wrong.
#[test]
fn long_histories_are_decided() {
    let sizes = [(2, 2), (3, 40), (8, 3), (16, 16), (64, 30), (128, 4)];
    let mut counts = BTreeMap::<_, u32>::new();
    for (threads, words) in sizes {
        let size = Size { threads, words, operations: 20_000 };
        for machine in MACHINES {
            for order in [Order::Program, Order::RealTime] {
                let history = Run::new(machine, 1, threads).history(size);
                let verdict = match check(&history, order).unwrap() {
                    Verdict::Consistent => "right",
                    Verdict::Violated(_) => "wrong",
                    Verdict::Undecided => panic!("{machine:?} {order:?} {size:?} undecided"),
                };
                let is_right = matches!(machine, Machine::Sequential | Machine::ExchangesOnly)
                    || (machine == Machine::LateEffects && order == Order::Program);
                assert_eq!(verdict == "right", is_right, "{machine:?} {order:?} {size:?}");
                *counts.entry((machine, order, verdict)).or_default() += 1;
            }
        }
    }
    println!("{counts:?}");
}

#[test]
fn a_million_operations_take_seconds() {
    let size = Size { threads: 16, words: 64, operations: 1_000_000 };
    let history = Run::new(Machine::Sequential, 1, size.threads).history(size);
    for order in [Order::Program, Order::RealTime] {
        let start = Instant::now();
        assert_eq!(check(&history, order), Ok(Verdict::Consistent));
        println!("{size:?} {order:?}: {:.2?}", start.elapsed());
    }
}

/// A history of threads, each a few words: `x=1` writes, `x1` reads, `x1=2` exchanges.
fn history(threads: &[&str]) -> History {
    let operation = |text: &str| {
        let (name, rest) = text.split_at(1);
        let word = WordId(name.as_bytes()[0].into());
        let value = |digits: &str| Value(digits.parse().unwrap());
        let action = match rest.split_once('=') {
            None => Action::Read(value(rest)),
            Some(("", wrote)) => Action::Write(value(wrote)),
            Some((read, wrote)) => Action::Exchange { read: value(read), wrote: value(wrote) },
        };
        Operation { word, action, span: Span::UNKNOWN }
    };
    let thread = |text: &&str| text.split_whitespace().map(operation).collect();
    History { threads: threads.iter().map(thread).collect() }
}

fn violation(threads: &[&str]) -> String {
    match check(&history(threads), Order::Program) {
        Ok(Verdict::Violated(violation)) => violation.to_string(),
        verdict => panic!("{threads:?}: {verdict:?}"),
    }
}

#[test]
fn what_may_be_is_consistent() {
    for threads in [
        &[""][..],
        &["x=1 y0", "y=1 x1"],
        &["x=1 y=1", "y1 x1"],
        &["x0=1 x2", "x1=2"],
        &["x=1", "x=2", "x1 x2", "x1 x2"],
    ] {
        assert_eq!(
            check(&history(threads), Order::Program),
            Ok(Verdict::Consistent),
            "{threads:?}"
        );
    }
}

#[test]
fn a_violation_names_the_operations_that_contradict_each_other() {
    assert_eq!(
        violation(&["x=1 y0", "y=1 x0"]),
        "no order of these operations is possible:
  thread 0 #0: word 120 := 1
    precedes, because the same thread did it first:
  thread 0 #1: word 121 is 0
    precedes, because it read what was there before the other wrote:
  thread 1 #0: word 121 := 1
    precedes, because the same thread did it first:
  thread 1 #1: word 120 is 0
    precedes, because it read what was there before the other wrote:
  thread 0 #0: word 120 := 1"
    );
    assert_eq!(violation(&["x7"]), "thread 0 #0: word 120 is 7, which nobody wrote");
}

#[test]
fn what_cannot_be_is_violated() {
    for threads in [
        &["x1 x=1"][..],
        &["x1=1"],
        &["x=1 x0"],
        &["x=1 y=1", "y1 x0"],
        &["x1 y=1", "y1 x=1"],
        &["x=1", "y=1", "x1 y0", "y1 x0"],
        &["x0=1", "x0=2"],
        &["x=1", "x=2", "x1 x2", "x2 x1"],
        &["x=1 x2", "x=2 x1"],
    ] {
        println!("{threads:?}: {}", violation(threads));
        assert!(!enumerate(&history(threads), Order::Program), "{threads:?}");
    }
}

/// No rule orders the writes to `x`. If 1 is first, two readers of 1 put the writes to `y` in both orders;
/// if 2 is, two readers of 2 do so with `z`.
#[test]
fn where_the_rules_end_both_orders_are_tried() {
    let threads = ["y=1 x1", "y=2 x1", "x=2 y2", "x2 y1", "z=1 x2", "z=2 x2", "x=1 z2", "x1 z1"];
    let text = violation(&threads);
    assert!(text.starts_with("neither order of thread 6 #0: word 120 := 1 and thread 2"), "{text}");
    assert!(!enumerate(&history(&threads), Order::Program));
    for left_out in 0..threads.len() {
        let mut fewer = threads;
        fewer[left_out] = fewer[left_out].split(' ').find(|word| word.contains('=')).unwrap_or("");
        let history = history(&fewer);
        assert!(enumerate(&history, Order::Program), "{fewer:?}");
        assert_eq!(check(&history, Order::Program), Ok(Verdict::Consistent), "{fewer:?}");
    }
}

#[test]
fn what_is_no_history_is_refused() {
    let not_unique = |threads| {
        matches!(check(&history(threads), Order::Program), Err(HistoryError::NotUnique { .. }))
    };
    assert!(not_unique(&["x=1", "x=1"]));
    assert!(not_unique(&["x=0"]));
    assert!(matches!(
        check(&history(&[""; 129]), Order::Program),
        Err(HistoryError::TooLarge { operations: 0, threads: 129 })
    ));
    let mut backwards = history(&["x=1"]);
    backwards.threads[0][0].span = Span { began_ns: 2, ended_ns: 1 };
    assert!(matches!(
        check(&backwards, Order::Program),
        Err(HistoryError::EndsBeforeItBegins { .. })
    ));
}
