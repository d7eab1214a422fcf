//! What each line of latencies does: on the other ranks before a sample, and on rank 0 in it.

use super::super::line::Line;
use super::Outcome;
use super::ground::Ground;
use super::link::{Link, Order, order_all, us};
use dsm::Node;
use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// What a rank but 0 prepares, in rank order.
pub(super) fn assist(ground: &Ground<'_>, line: Line, sample: u32) -> Outcome {
    let rank = ground.node.rank();
    let mark = u64::from(sample) + 1;
    let store = |page: usize| ground.word(page).store(mark, SeqCst);
    match line {
        Line::ReadFault | Line::WriteFault if rank == 1 => store(ground.page(line, sample, 1)),
        Line::ReadFaultThreeParties if rank == 2 => store(ground.page(line, sample, 1)),
        Line::Upgrade1 | Line::Upgrade2 | Line::Upgrade3 => {
            let page = ground.page(line, sample, 1);
            match rank {
                1 => store(page),
                rank if rank <= sharers(line) => expect_mark(ground, page, sample)?,
                _ => (),
            }
        }
        Line::LockWithPage if rank == 1 => ground.count(line)?,
        _ => (),
    }
    Ok(())
}

/// What rank 0 prepares after them.
pub(super) fn prepare(ground: &Ground<'_>, line: Line, sample: u32, links: &mut [Link]) -> Outcome {
    match line {
        Line::Upgrade1 | Line::Upgrade2 | Line::Upgrade3 => {
            let page = ground.page(line, sample, 1);
            expect_mark(ground, page, sample)?;
            // A page that always went from reader to writer would have come here as the only copy, and gone on
            // as such to who looks next; once it was passed on unwritten it is shared.
            links.first_mut().ok_or("no other rank")?.ask(Order::Look { line, sample })?;
            expect_mark(ground, page, sample)
        }
        Line::Upgrade0 => {
            black_box(ground.word(ground.page(line, sample, 0)).load(SeqCst));
            Ok(())
        }
        // Its token comes here once.
        Line::LockCached => turn(ground.node, ground.used_lock(line).0),
        _ => Ok(()),
    }
}

/// What rank 1 does once rank 0 is prepared.
pub(super) fn look(ground: &Ground<'_>, line: Line, sample: u32) -> Outcome {
    expect_mark(ground, ground.page(line, sample, 1), sample)
}

/// One sample: how many microseconds the operation took, once or several times.
pub(super) fn run(
    ground: &Ground<'_>,
    line: Line,
    sample: u32,
    links: &mut [Link],
) -> Result<Vec<f64>, Box<dyn Error>> {
    let node = ground.node;
    let store = |page| {
        ground.word(page).store(u64::MAX, SeqCst);
        Ok(())
    };
    let time = match line {
        Line::ReadFault | Line::ReadFaultThreeParties => {
            let page = ground.page(line, sample, 1);
            timed(|| expect_mark(ground, page, sample))?
        }
        Line::WriteFault | Line::Upgrade1 | Line::Upgrade2 | Line::Upgrade3 => {
            let page = ground.page(line, sample, 1);
            timed(|| store(page))?
        }
        Line::Upgrade0 => {
            let page = ground.page(line, sample, 0);
            timed(|| store(page))?
        }
        Line::Lock => {
            let lock = ground.fresh_lock(sample);
            let time = timed(|| Ok(node.mutex_lock(lock)?))?;
            node.mutex_unlock(lock)?;
            time
        }
        Line::LockCached => {
            let (lock, _) = ground.used_lock(line);
            let turns = || (0..CACHED).try_for_each(|_| turn(node, lock));
            timed(turns)? / f64::from(CACHED)
        }
        Line::LockWithPage => timed(|| ground.count(line))?,
        Line::HandOver => hand_over(ground, links)?,
        Line::FetchAdd => {
            // Rank 1 is home and owner of what nobody else uses.
            let counter = ground.address(ground.page(line, sample, 1));
            timed(|| Ok(node.fetch_add(counter, 1).map(drop)?))?
        }
        Line::Barrier2 | Line::Barrier4 | Line::Barrier8 => {
            order_all(links, Order::Together)?;
            return together(ground);
        }
        _ => return Err(format!("{line:?} is no operation").into()),
    };
    Ok(vec![time])
}

/// How many operations one sample is.
pub(super) fn operations(line: Line) -> f64 {
    match line {
        Line::LockCached => f64::from(CACHED),
        Line::Barrier2 | Line::Barrier4 | Line::Barrier8 => 1.0 + f64::from(BARRIERS),
        // There, and back again.
        Line::HandOver => 2.0,
        _ => 1.0,
    }
}

/// What all ranks do at once; times of this one.
pub(super) fn together(ground: &Ground<'_>) -> Result<Vec<f64>, Box<dyn Error>> {
    // From here on nobody is late.
    ground.node.barrier()?;
    (0..BARRIERS).map(|_| timed(|| Ok(ground.node.barrier()?))).collect()
}

/// How long a lock and its page take from the unlock at rank 1 to here, where they are waited for. The ranks
/// must have one clock.
fn hand_over(ground: &Ground<'_>, links: &mut [Link]) -> Result<f64, Box<dyn Error>> {
    let link = links.first_mut().ok_or("no other rank")?;
    link.ask(Order::Hold)?;
    ground.count(Line::HandOver)?;
    let here = now();
    let [there, _] = link.hear()?;
    Ok(us(Duration::from_nanos(here.checked_sub(there).ok_or("the ranks have different clocks")?)))
}

/// The other side of it: has the lock until rank 0 has waited for it for long.
pub(super) fn hold(ground: &Ground<'_>, link: &mut Link) -> Outcome {
    let (lock, counted) = ground.used_lock(Line::HandOver);
    ground.node.mutex_lock(lock)?;
    counted.store(counted.load(SeqCst) + 1, SeqCst);
    link.answer([0; 2])?;
    let began = Instant::now();
    while began.elapsed() < HELD {
        std::thread::yield_now();
    }
    let unlocked = now();
    ground.node.mutex_unlock(lock)?;
    Ok(link.answer([unlocked, 0])?)
}

/// How many other ranks have a copy.
fn sharers(line: Line) -> u16 {
    match line {
        Line::Upgrade1 => 1,
        Line::Upgrade2 => 2,
        _ => 3,
    }
}

/// Loads what the owner stored for this sample.
pub(super) fn expect_mark(ground: &Ground<'_>, page: usize, sample: u32) -> Outcome {
    let (found, mark) = (ground.word(page).load(SeqCst), u64::from(sample) + 1);
    if found == mark { Ok(()) } else { Err(format!("a page has {found}, not {mark}").into()) }
}

fn turn(node: &Node, lock: usize) -> Outcome {
    node.mutex_lock(lock)?;
    Ok(node.mutex_unlock(lock)?)
}

pub(super) fn timed(body: impl FnOnce() -> Outcome) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    body()?;
    Ok(us(began.elapsed()))
}

/// Nanoseconds on a clock that all processes of a machine share.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let time = Duration::try_from(time).expect("this clock does not run backwards");
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const CACHED: u32 = 1000;
const BARRIERS: u32 = 4;
/// How long a lock is held that the other rank waits for.
const HELD: Duration = Duration::from_micros(100);
