//! Who sits between two ranks and resets their connection again and again gets at most an end of the job out of it.

use crate::harness::{Ended, Place};
use crate::relay::Line;
use crate::strangers::{Use, processes_in};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes pass, both ways together, before the nth connection is reset; `None` lets it be.
type Budget = fn(usize) -> Option<usize>;

/// What came of it.
struct Flooded {
    ended: Ended,
    resets: usize,
    /// From the first reset to the end.
    lasted: Duration,
    /// What the rank with the most held when the flood began, and at most meanwhile.
    before: Use,
    during: Use,
}

#[test]
fn a_job_that_gets_a_little_further_each_time_has_its_right_result() {
    for engine in ENGINES {
        let flooded = flood(engine, |_| Some(STEP));
        let right = flooded.ended.stdout.lines().filter(|line| line.contains(" 0 wrong, ")).count();
        flooded.ended.assert_code(0);
        assert_eq!(right, 2, "{}", flooded.ended);
        assert!(flooded.resets >= 50, "{} resets only: {}", flooded.resets, flooded.ended);
        flooded.assert_bounded();
        let from = "from strangers";
        assert!(!flooded.ended.stderr.contains(from), "no stranger came: {}", flooded.ended);
    }
}

#[test]
fn a_job_whose_connection_is_never_made_again_ends_in_time() {
    // Nothing passes, the first message, both of the handshake, or a little more than that.
    let budgets: [Budget; 4] = [
        |n| Some(if n == 0 { BEGINNING } else { 0 }),
        |n| Some(if n == 0 { BEGINNING } else { 64 }),
        |n| Some(if n == 0 { BEGINNING } else { 200 }),
        |n| Some(if n == 0 { BEGINNING } else { 300 }),
    ];
    for engine in ENGINES {
        thread::scope(|scope| {
            for budget in budgets {
                scope.spawn(move || {
                    let flooded = flood(engine, budget);
                    let ended = &flooded.ended;
                    ended.assert_code(75).assert_stderr(&["contact lost between rank "]);
                    assert!(!ended.stdout.contains(" rounds, "), "{ended}");
                    assert!(flooded.lasted < Duration::from_secs(10), "{:?}", flooded.lasted);
                    flooded.assert_bounded();
                });
            }
        });
    }
}

impl Flooded {
    #[track_caller]
    fn assert_bounded(&self) {
        let Self { ended, resets, lasted, before, during } = self;
        println!("{resets} resets in {lasted:.1?}: before {before}, at most {during}");
        assert!(during.resident_kib <= before.resident_kib + 6 * 1024, "{during}: {ended}");
        assert!(during.descriptors <= before.descriptors + 8, "{during}: {ended}");
        assert!(!ended.stderr.contains(", round "), "a page was wrong: {ended}");
    }
}

/// A job of two ranks whose connections are all reset.
fn flood(engine: &str, budget: Budget) -> Flooded {
    let place = Place::local(2);
    let (mut running, line) = Line::of_job(&place, &["--fault", engine]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let relay = scope.spawn(|| relay(&line, budget, place.dir(), &over));
        running.feed(b"go\n".to_vec());
        let ended = running.end_within(HUNG);
        over.store(true, Ordering::Relaxed);
        let (resets, began, [before, during]) = relay.join().unwrap();
        let ended = ended.unwrap_or_else(|hung| panic!("{resets} resets: {hung}"));
        Flooded { ended, resets, lasted: began.elapsed(), before, during }
    })
}

/// One connection after the other, until the job is over. Gives how many were reset, since when, and what ranks held.
fn relay(
    line: &Line,
    budget: Budget,
    place: &Path,
    over: &AtomicBool,
) -> (usize, Instant, [Use; 2]) {
    let (mut resets, mut began) = (0, Instant::now());
    let mut before = Use { resident_kib: 0, descriptors: 0 };
    let mut during = before;
    while !over.load(Ordering::Relaxed) {
        wait(&mut [PollFd::new(&line.listener, PollFlags::IN)]);
        let Ok((higher, _)) = line.listener.accept() else { continue };
        // Rank 0 may not have heard of the loss yet.
        let Ok(lower) = TcpStream::connect(line.to) else { continue };
        if pass(&higher, &lower, budget(resets), over) == Passed::All {
            continue;
        }
        for end in [&higher, &lower] {
            let _ = set_socket_linger(end, Some(Duration::ZERO));
        }
        if resets == 0 {
            began = Instant::now();
            before = most(place).unwrap_or(before);
        }
        during = most(place).map_or(during, |now| now.max(during));
        resets += 1;
    }
    (resets, began, [before, during])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    /// What there was, until both ends were closed.
    All,
    /// As much as may, or until one end was reset.
    Some,
}

fn pass(higher: &TcpStream, lower: &TcpStream, budget: Option<usize>, over: &AtomicBool) -> Passed {
    let ends = [(higher, lower), (lower, higher)];
    let mut left = budget.unwrap_or(usize::MAX);
    let mut open = [true; 2];
    let mut buffer = vec![0; PIECE];
    for end in [higher, lower] {
        end.set_nonblocking(false).unwrap();
        end.set_nodelay(true).unwrap();
    }
    while left > 0 && open.contains(&true) && !over.load(Ordering::Relaxed) {
        let flags = open.map(|open| if open { PollFlags::IN } else { PollFlags::empty() });
        let mut fds = [PollFd::new(higher, flags[0]), PollFd::new(lower, flags[1])];
        wait(&mut fds);
        let ready = fds.map(|fd| !fd.revents().is_empty());
        for (way, (mut from, mut to)) in ends.into_iter().enumerate() {
            // To read nothing would look like the end.
            if !(open[way] && ready[way]) || left == 0 {
                continue;
            }
            let room = left.min(PIECE);
            let Ok(count) = from.read(&mut buffer[..room]) else { return Passed::Some };
            left -= count;
            if count == 0 {
                open[way] = false;
                let _ = to.shutdown(Shutdown::Write);
            } else if to.write_all(&buffer[..count]).is_err() {
                return Passed::Some;
            }
        }
    }
    if left == 0 { Passed::Some } else { Passed::All }
}

fn wait(fds: &mut [PollFd<'_>]) {
    poll(fds, Some(&Timespec::try_from(TICK).unwrap())).unwrap();
}

/// What the rank with the most holds; none if all are gone.
fn most(place: &Path) -> Option<Use> {
    let ranks = processes_in(place).into_iter().filter(|(_, exe)| exe.ends_with("rotation"));
    ranks.filter_map(|(pid, _)| Use::of_living(pid)).reduce(Use::max)
}

const ENGINES: [&str; 2] = ["uffd", "sigsegv"];
/// About three quarters of a percent of what passes in all.
const STEP: usize = 24 << 10;
/// The ranks are at work then.
const BEGINNING: usize = 300_000;
const PIECE: usize = 16 << 10;
const TICK: Duration = Duration::from_millis(100);
/// Nothing here takes a tenth of it on an idle machine.
const HUNG: Duration = Duration::from_secs(60);
