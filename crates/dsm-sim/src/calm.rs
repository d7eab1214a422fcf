use crate::{Broken, Mode, Op, Patience, Promise, Step, World};
use dsm_core::{PageId, Rank};
use std::collections::BTreeSet;

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
            let urgent = |step: &&Step| !matches!(step, Step::Run(..) | Step::GiveUp(..));
            let patient = |step: &&Step| !matches!(step, Step::GiveUp(..));
            let steps = steps.iter();
            let next = steps.clone().find(urgent).or_else(|| steps.clone().find(patient));
            match next.or_else(|| steps.clone().next()) {
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

/// Every rank uses everything once more, one after the other.
fn sweep(mut world: World) -> Result<(), Broken> {
    let setup = world.setup().clone();
    let pages = (0..setup.pages).map(PageId).map(|page| [Op::Load(page), Op::Store(page)].to_vec());
    let locks: BTreeSet<_> = setup.ops().filter_map(Op::lock).collect();
    let read = |lock| Op::Lock(lock, Mode::Read, Patience::Endless);
    let write = |lock| Op::Lock(lock, Mode::Write, Patience::Endless);
    let locks = locks
        .into_iter()
        .map(|lock| vec![read(lock), Op::Unlock(lock), write(lock), Op::Unlock(lock)]);
    let each: Vec<_> = pages.chain(locks).collect();
    for rank in world.ranks() {
        for ops in &each {
            use_again(&mut world, rank, ops)?;
        }
    }
    // As many can be taken of each semaphore as should be, and no more.
    let semaphores: BTreeSet<_> = setup.ops().filter_map(Op::semaphore).collect();
    for semaphore in semaphores {
        for _ in 0..=world.value_of(semaphore) {
            use_again(&mut world, Rank(0), &[Op::SemaphoreTry(semaphore)])?;
        }
    }
    Ok(())
}

fn use_again(world: &mut World, rank: Rank, ops: &[Op]) -> Result<(), Broken> {
    world.perform(rank, ops).map(drop).map_err(|broken| {
        let ops: Vec<_> = ops.iter().map(Op::to_string).collect();
        let how = format!("rank {rank} cannot do {} at the end: {broken}", ops.join(" "));
        Broken::new(Promise::Sweep, how)
    })
}

/// What one rank does in a world with nothing else to do takes some dozens of steps.
const CALM_STEPS: u32 = 10_000;
