//! Prints what a fault costs on this machine, without any network: median and 99th percentile.
//!
//! `cargo run --release -p dsm-mem --example fault_cost`
#![allow(clippy::print_stdout, reason = "the figures are for a person")]

use anyhow::{Context, Result, bail, ensure};
use dsm_core::{Access, PageId};
use dsm_mem::{Choice, Faults, Layout, Region};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

const PAGES: usize = 4096;
const BASE: usize = 0x2000_0000_0000;

fn main() -> Result<()> {
    let (first, second) = first_two(&sched_getaffinity(None)?)?;
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        let layout =
            Layout { base: BASE, bytes: PAGES * rustix::param::page_size(), heap_bytes: 0 };
        let region = Arc::new(Region::reserve(layout)?);
        let mut faults = Faults::start(Arc::clone(&region), choice)?;
        println!("{}", faults.describe());
        for page in pages() {
            region.zero_page(page);
        }
        for (place, mine, other) in [("on one processor", first, first), ("on two", first, second)]
        {
            println!("  driver and thread {place}:");
            pin(mine)?;
            measure_round_trips(other, &region, &mut faults)?;
        }
        println!("  while no other thread runs:");
        measure_calls(&faults)?;
        println!("  while another thread computes:");
        with_a_busy_thread(second, || measure_calls(&faults))??;
        faults.stop()?;
    }
    Ok(())
}

/// A thread on `processor` touches one page after another; this thread serves it, as a driver.
fn measure_round_trips(processor: usize, region: &Arc<Region>, faults: &mut Faults) -> Result<()> {
    for (what, access) in [("load", Access::Read), ("store", Access::Write)] {
        let (sender, results) = channel();
        let region = Arc::clone(region);
        let accessor = thread::spawn(move || {
            pin(processor)?;
            time_accesses(&region, access, &sender);
            anyhow::Ok(())
        });
        let mut found = Vec::new();
        for page in pages() {
            found.clear();
            wait_for(faults, &mut found)?;
            ensure!(found[0].page == page, "{found:?} instead of page {page}");
            faults.install(page, access)?;
            faults.resume(page)?;
        }
        ensure!(accessor.join().is_ok_and(|ended| ended.is_ok()), "the accessing thread failed");
        report(&format!("  {what}: fault, event, install, resume, retry"), results);
        for page in pages() {
            faults.protect(page, Access::None)?;
        }
    }
    Ok(())
}

fn time_accesses(region: &Region, access: Access, times: &Sender<u64>) {
    let words = region.words::<AtomicU64>(0, region.bytes() / 8).expect("the region's own size");
    for word in words.iter().step_by(region.page_bytes() / 8) {
        let began = Instant::now();
        match access {
            Access::Write => word.store(1, Ordering::Relaxed),
            Access::None | Access::Read => drop(std::hint::black_box(word.load(Ordering::Relaxed))),
        }
        send(times, began);
    }
}

fn wait_for(faults: &mut Faults, found: &mut Vec<dsm_mem::Fault>) -> Result<()> {
    let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
    while found.is_empty() {
        let fd = faults.fd();
        let ready = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout))?;
        ensure!(ready == 1, "no fault within 10 s");
        faults.read(found)?;
    }
    Ok(())
}

/// Times the driver's calls on pages nobody touches.
fn measure_calls(faults: &Faults) -> Result<()> {
    let steps = [
        ("install to read", Step::Install(Access::Read)),
        ("protect, read to write", Step::Protect(Access::Write)),
        ("protect, write to read", Step::Protect(Access::Read)),
        ("protect, read to none", Step::Protect(Access::None)),
        ("resume, nobody stopped", Step::Resume),
        ("membarrier alone", Step::Fence),
    ];
    for (what, step) in steps {
        let (sender, results) = channel();
        for page in pages() {
            let began = Instant::now();
            match step {
                Step::Install(access) => faults.install(page, access)?,
                Step::Protect(access) => faults.protect(page, access)?,
                Step::Resume => faults.resume(page)?,
                Step::Fence => {
                    rustix::thread::membarrier(rustix::thread::MembarrierCommand::PrivateExpedited)
                        .context("membarrier")?
                }
            }
            send(&sender, began);
        }
        drop(sender);
        report(&format!("  {what}"), results);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Step {
    Install(Access),
    Protect(Access),
    Resume,
    Fence,
}

/// Runs `body` while a thread keeps another processor busy.
fn with_a_busy_thread<T>(processor: usize, body: impl FnOnce() -> T) -> Result<T> {
    let over = AtomicBool::new(false);
    let (sender, running) = channel();
    thread::scope(|scope| {
        let over = &over;
        let busy = scope.spawn(move || {
            pin(processor)?;
            sender.send(())?;
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            anyhow::Ok(())
        });
        running.recv().context("the busy thread ended")?;
        let result = body();
        over.store(true, Ordering::Relaxed);
        ensure!(busy.join().is_ok_and(|ended| ended.is_ok()), "the busy thread failed");
        Ok(result)
    })
}

/// The first two of the processors in a set.
fn first_two(allowed: &CpuSet) -> Result<(usize, usize)> {
    let mut processors = (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor));
    match (processors.next(), processors.next()) {
        (Some(first), Some(second)) => Ok((first, second)),
        _ => bail!("the measurements need two processors"),
    }
}

fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    Ok(sched_setaffinity(None, &set)?)
}

fn send(times: &Sender<u64>, began: Instant) {
    let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    times.send(nanoseconds).expect("the results are read after the last one");
}

fn report(what: &str, times: Receiver<u64>) {
    let mut times: Vec<u64> = times.into_iter().collect();
    times.sort_unstable();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!(
        "  {what:<44} {:>6}.{:03} us  p99 {:>4} us",
        median / 1000,
        median % 1000,
        late / 1000
    );
}

fn pages() -> impl Iterator<Item = PageId> {
    (0..PAGES as u64).map(PageId)
}
