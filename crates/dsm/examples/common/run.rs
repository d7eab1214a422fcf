#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what an example does")]

use dsm::{AtOwner, AtomicU64, CallError, Node, Shareable, Stats};
use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What is measured of a program, and whether its result is right.
pub(crate) struct Run<'n> {
    program: &'static str,
    node: &'n Node,
    totals: &'n Totals,
    before: Stats,
    began: Instant,
    took: Duration,
    alone: Option<Duration>,
    wrong: Option<String>,
}

/// What all ranks together did between `begin` and `end`.
#[derive(Shareable)]
struct Totals {
    faults: AtomicU64,
    messages: AtomicU64,
}

impl<'n> Run<'n> {
    /// What is measured begins when every rank is here.
    pub(crate) fn begin(program: &'static str, node: &'n Node) -> Result<Self, Box<dyn Error>> {
        let totals = node.named("example totals")?;
        node.barrier()?;
        let (before, began, took) = (node.stats(), Instant::now(), Duration::ZERO);
        Ok(Self { program, node, totals, before, began, took, alone: None, wrong: None })
    }

    /// What is measured ends when every rank is here; the counts of all ranks are added up.
    pub(crate) fn end(&mut self) -> Result<(), CallError> {
        self.node.barrier()?;
        self.took = self.began.elapsed();
        let (now, before) = (self.node.stats(), &self.before);
        let faults = |stats: &Stats| stats.read_faults + stats.write_faults + stats.upgrades;
        self.totals.faults.fetch_add_at_owner(faults(&now) - faults(before));
        self.totals.messages.fetch_add_at_owner(now.messages_sent - before.messages_sent);
        self.node.barrier()
    }

    /// Measures the sequential computation.
    pub(crate) fn alone<T>(&mut self, compute: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = compute();
        self.alone = Some(began.elapsed());
        result
    }

    /// Notes what is wrong with the result; the first note counts.
    pub(crate) fn wrong(&mut self, what: impl Display) {
        self.wrong.get_or_insert_with(|| what.to_string());
    }

    /// Compares element by element; `place` says where an element is.
    pub(crate) fn compare<T: PartialEq + Display>(
        &mut self,
        result: &[T],
        expected: &[T],
        place: impl Fn(usize) -> String,
    ) {
        if result.len() != expected.len() {
            self.wrong(format_args!("{} elements, not {}", result.len(), expected.len()));
        }
        let different = result.iter().zip(expected).enumerate().find(|(_, (a, b))| a != b);
        if let Some((at, (result, expected))) = different {
            self.wrong(format_args!("{} is {result}, not {expected}", place(at)));
        }
    }

    /// Rank 0 prints the line at the end; another rank only what is wrong.
    pub(crate) fn report(self, size: impl Display) -> ExitCode {
        let Self { program, node, totals, took, wrong, .. } = self;
        let code = if wrong.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        let verdict = wrong.map_or("ok".to_owned(), |wrong| format!("WRONG: {wrong}"));
        let (rank, nodes) = (node.rank(), node.nodes());
        if rank == 0 {
            let ranks = if nodes == 1 { "rank" } else { "ranks" };
            let alone = self
                .alone
                .map_or(String::new(), |alone| format!(" (alone {:.3} s)", alone.as_secs_f64()));
            let faults = totals.faults.fetch_add_at_owner(0);
            let messages = totals.messages.fetch_add_at_owner(0);
            let took = took.as_secs_f64();
            println!(
                "{program}: {nodes} {ranks}, {size}: {verdict}, {took:.3} s{alone}, \
                 {faults} faults, {messages} messages"
            );
        } else if code != ExitCode::SUCCESS {
            eprintln!("{program}: rank {rank}: {verdict}");
        }
        code
    }
}
