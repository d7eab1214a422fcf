//! Campaigns: many runs of jobs over ssh on hosts in network namespaces, in each of which something goes wrong, and after each
//! of which promise F0 is checked. What goes wrong when follows from a seed; what the machine makes of it does not.

mod conduct;
mod injury;
mod judge;
mod kind;
mod tally;
mod trial;

pub use kind::Kind;

use crate::lab::Lab;
use crate::rng::Rng;
use conduct::{Outcome, conduct};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use tally::Tally;
use trial::{Choice, HOSTS, Trial};

/// What to do in a campaign.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The seeds of the runs, in order.
    pub seeds: Vec<u64>,
    /// What may go wrong.
    pub kinds: Vec<Kind>,
    /// With which fault engines.
    pub engines: Vec<&'static str>,
    /// How many runs are under way at once, each on hosts of its own.
    pub at_once: usize,
    /// Whether each run has its line; else only what was not as promised has.
    pub is_verbose: bool,
}

/// The seeds of the runs of a campaign with this seed.
#[must_use]
pub fn seeds(seed: u64, runs: usize) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    (0..runs).map(|_| rng.number()).collect()
}

impl Campaign {
    /// Runs it, writing what there is to say; true if all was as promised. `None`, after saying why, where labs cannot be.
    /// Once `stop` is true no more runs begin.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn run(
        &self,
        out: &mut (impl Write + Send),
        stop: &AtomicBool,
    ) -> io::Result<Option<bool>> {
        let labs = (0..self.at_once.max(1)).map(|_| Lab::on_hosts(HOSTS, 1, &[]));
        let Some(labs) = labs.collect::<Option<Vec<Lab>>>() else { return Ok(None) };
        let desk = Desk { tally: Tally::default(), out, began: Instant::now(), result: Ok(()) };
        let desk = Mutex::new(desk);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for lab in labs {
                scope.spawn(|| self.work(lab, &next, stop, &desk));
            }
        });
        let Desk { tally, out, began, result } = desk.into_inner().expect("no worker panicked");
        result?;
        let seconds = began.elapsed().as_secs_f64();
        writeln!(out, "{tally}{}", tally.summary())?;
        writeln!(out, "({} not as promised, {seconds:.0} s)", tally.violated())?;
        if tally.runs() < self.seeds.len() {
            writeln!(out, "stopped after {} of {} runs", tally.runs(), self.seeds.len())?;
        }
        Ok(Some(tally.violated() == 0))
    }

    fn work(
        &self,
        mut lab: Lab,
        next: &AtomicUsize,
        stop: &AtomicBool,
        desk: &Mutex<Desk<'_, impl Write>>,
    ) {
        let choice = Choice { kinds: &self.kinds, engines: &self.engines };
        while let Some(seed) = self.seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let trial = Trial::of(*seed, choice);
            let outcome = catch_unwind(AssertUnwindSafe(|| conduct(&lab, &trial)));
            let outcome = outcome.unwrap_or_else(|panic| {
                let words = panic.downcast::<String>().map_or_else(|_| String::new(), |it| *it);
                // A panic may have left hosts in any state.
                lab = Lab::on_hosts(HOSTS, 1, &[]).expect("there was one before");
                Outcome { violations: vec![format!("panicked: {words}")], ..Outcome::default() }
            });
            let mut desk = desk.lock().expect("no worker panicked");
            desk.note(&trial, &outcome, self);
        }
    }
}

/// Where the workers hand in their results.
struct Desk<'a, W> {
    tally: Tally,
    out: &'a mut W,
    began: Instant,
    result: io::Result<()>,
}

impl<W: Write> Desk<'_, W> {
    fn note(&mut self, trial: &Trial, outcome: &Outcome, campaign: &Campaign) {
        self.tally.count(trial, outcome);
        let result = self.tell(trial, outcome, campaign);
        if self.result.is_ok() {
            self.result = result;
        }
    }

    fn tell(&mut self, trial: &Trial, outcome: &Outcome, campaign: &Campaign) -> io::Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        let (runs, faults) = (self.tally.runs(), self.tally.faults());
        if !outcome.violations.is_empty() {
            let (place, seed) = (&outcome.place, trial.seed);
            let again = format!("again: faults --trial {seed:#x}");
            writeln!(self.out, "NOT AS PROMISED: {trial} ({place}); {again}")?;
            for violation in &outcome.violations {
                writeln!(self.out, "  {}", violation.trim_end())?;
            }
        } else if campaign.is_verbose {
            let how = match (outcome.is_injured, outcome.code, outcome.told_after) {
                (false, _, _) => "over too soon".to_owned(),
                (true, code, Some(told)) => {
                    format!("{code}, told after {:.2} s", told.as_secs_f64())
                }
                (true, code, None) => code.to_string(),
            };
            writeln!(
                self.out,
                "{seconds:7.1} s  {:#018x} {trial} ({}): {how}",
                trial.seed, outcome.place
            )?;
        }
        if runs.is_multiple_of(PROGRESS) {
            let all = campaign.seeds.len();
            writeln!(self.out, "{seconds:7.1} s  {runs} of {all} runs, {faults} faults")?;
        }
        self.out.flush()
    }
}

/// Runs between two lines that show progress.
const PROGRESS: usize = 25;
