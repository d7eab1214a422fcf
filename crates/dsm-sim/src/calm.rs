use crate::{Broken, Op, Promise, Step, World};
use dsm_core::Rank;

impl World {
    /// One rank does this after everything else is done, and nothing else happens. Returns how many
    /// messages were sent meanwhile.
    ///
    /// # Errors
    /// If a promise is broken.
    ///
    /// # Panics
    /// If some thread is not done.
    pub fn perform(&mut self, rank: Rank, ops: &[Op]) -> Result<u64, Broken> {
        let before = self.messages_sent();
        self.assign(rank, ops.into());
        self.calm()?;
        Ok(self.messages_sent() - before)
    }

    /// Takes steps until nothing can happen any more, threads last.
    ///
    /// # Errors
    /// If a promise is broken, or it takes suspiciously long.
    pub fn calm(&mut self) -> Result<(), Broken> {
        for _ in 0..CALM_STEPS {
            let steps = self.steps();
            let urgent = |step: &&Step| !matches!(step, Step::Run(..));
            match steps.iter().find(urgent).or(steps.first()) {
                Some(&step) => self.take(step)?,
                None if self.is_done() => return Ok(()),
                None => return Err(Broken::new(Promise::NoDeadlock, "nothing can happen")),
            }
        }
        Err(Broken::new(Promise::Progress, format!("not over after {CALM_STEPS} steps")))
    }
}

/// What must hold when nothing can happen any more.
pub(crate) fn require_good_end(world: &World) -> Result<(), Broken> {
    if world.has_lost_a_rank() {
        return match world.ranks().find(|rank| world.node(*rank).is_up()) {
            None => Ok(()),
            Some(rank) => {
                let how = format!("rank {rank} goes on although another one is gone");
                Err(Broken::new(Promise::EndsTogether, how))
            }
        };
    }
    if !world.is_done() {
        return Err(Broken::new(
            Promise::NoDeadlock,
            "nothing can happen, not all threads are done",
        ));
    }
    let deferring = |rank: &Rank| world.node(*rank).engine.has_deferred_demands();
    if let Some(rank) = world.ranks().find(deferring) {
        let how = format!("rank {rank} still puts off demands when nothing is under way");
        return Err(Broken::new(Promise::Sweep, how));
    }
    sweep(world.clone())
}

/// Every rank loads from and stores to every page, one after the other.
fn sweep(mut world: World) -> Result<(), Broken> {
    for rank in world.ranks() {
        for page in world.pages() {
            let performed = world.perform(rank, &[Op::Load(page), Op::Store(page)]);
            performed.map_err(|broken| {
                let how = format!("rank {rank} cannot use page {page} at the end: {broken}");
                Broken::new(Promise::Sweep, how)
            })?;
        }
    }
    Ok(())
}

/// What one rank does in a world with nothing else to do takes some dozens of steps.
const CALM_STEPS: u32 = 10_000;
