//! tsp: the shortest tour through all cities, by branch and bound.
//!
//! ```text
//! dsmexec machine_file tsp-rs [CITIES]
//! ```
//! Every tour begins at city 0. Rank 0 makes a queue of all ways to begin one, the most promising first. Each rank
//! takes a beginning and tries everything that can follow, but gives up where even the least that is missing makes
//! the tour longer than the best one known, by anyone.
//!
//! Worth a look: the length of the best tour. It is read at every step, without a lock: an atomic that nobody writes
//! is in every rank's memory, and reading it costs nothing. Whoever finds a better tour writes it, under a mutex;
//! the library takes the copies of the others away first, so that they read the new length at once.
//!
//! Rank 0 then searches alone, in plain order. The shortest length is unique, the tour may not be, so lengths are
//! compared, and the tour is measured. Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for
//! wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, below};
use dsm::{AtomicU32, Mutex, Shareable};
use std::cell::Cell;
use std::cmp::Reverse;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;

/// The cities seen so far, in their order, and how long the way is.
#[derive(Clone, Copy, Default, Shareable)]
struct Tour {
    length: u32,
    cities: usize,
    city: [u8; MOST],
}

/// Aligned to a page of 4 KiB, and so alone on it: it is read all the time, and must not go away when somebody writes to
/// what happens to be beside it.
#[derive(Shareable)]
#[repr(C, align(4096))]
struct Best {
    /// Written with the mutex locked, read by everyone at any time.
    length: AtomicU32,
    tour: Mutex<Tour>,
}

/// Every rank makes up the same map.
struct Map {
    distance: Vec<Vec<u32>>,
    nearest: Vec<u32>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let purpose = "The shortest tour through all cities, by branch and bound.";
    let mut arguments = Arguments::new("tsp", purpose);
    let cities = arguments.number("CITIES", "how many", 1..=MOST, 14);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = dsm::Node::join()?;
    let map = Map::new(cities);
    // The first rank to come makes it, and leaks the box: from then on all have it, and nobody frees it.
    let best = node.named_with("best", || {
        let (length, tour) = (AtomicU32::new(u32::MAX), Mutex::new(Tour::default()));
        Some(dsm::Box::leak(dsm::Box::new(Best { length, tour })))
    })?;
    let best = best.expect("whoever came first made it");
    let queue = node.named::<Mutex<dsm::Vec<Tour>>>("queue")?; // the most promising last
    if node.rank() == 0 {
        let mut beginnings = beginnings(&map);
        beginnings.sort_by_cached_key(|tour| Reverse(map.at_least(tour)));
        queue.lock().extend_from_slice(&beginnings);
    }

    let mut run = Run::begin("tsp", &node)?;
    let known = || best.length.load(SeqCst);
    let offer = |found: Tour| {
        let mut tour = best.tour.lock();
        if found.length < known() {
            *tour = found; // nobody was quicker with a better one
            best.length.store(found.length, SeqCst);
        }
    };
    // The queue is locked to take a beginning, and not while it is searched.
    let next = || queue.lock().pop();
    while let Some(begin) = next() {
        search(&map, &begin, &known, &offer);
    }
    run.end()?;

    if node.rank() == 0 {
        check(&mut run, &map, known(), &best.tour.lock());
    }
    let code = run.report(format_args!("{cities} cities, shortest tour {}", known()));
    node.finalize()?;
    Ok(code)
}

/// Tries all that can follow a beginning, and offers what is shorter than the best tour known.
fn search(map: &Map, begin: &Tour, known: &impl Fn() -> u32, offer: &impl Fn(Tour)) {
    if begin.cities == map.cities() {
        let complete = Tour { length: begin.length + map.distance[begin.last()][0], ..*begin };
        if complete.length < known() {
            offer(complete);
        }
    } else if map.at_least(begin) < known() {
        for city in (1..map.cities()).filter(|city| !begin.has(*city)) {
            search(map, &map.visit(begin, city), known, offer);
        }
    }
}

/// All ways to begin a tour.
fn beginnings(map: &Map) -> Vec<Tour> {
    let mut beginnings = vec![map.visit(&Tour::default(), 0)];
    for _ in 1..AHEAD.min(map.cities()) {
        let longer = |tour: Tour| {
            let cities = (1..map.cities()).filter(move |city| !tour.has(*city));
            cities.map(move |city| map.visit(&tour, city))
        };
        beginnings = beginnings.into_iter().flat_map(longer).collect();
    }
    beginnings
}

fn check(run: &mut Run, map: &Map, length: u32, tour: &Tour) {
    let best = Cell::new(Tour { length: u32::MAX, ..Tour::default() });
    let start = map.visit(&Tour::default(), 0);
    run.alone(|| search(map, &start, &|| best.get().length, &|tour| best.set(tour)));
    run.compare(&[length], &[best.get().length], |_| "the length".to_owned());

    let mut again = start;
    for city in tour.city[1..tour.cities].iter().map(|city| usize::from(*city)) {
        if again.has(city) {
            run.wrong(format_args!("the tour sees city {city} twice"));
        }
        again = map.visit(&again, city);
    }
    run.compare(&[again.cities], &[map.cities()], |_| "the number of cities".to_owned());
    let measured = again.length + map.distance[again.last()][0];
    run.compare(&[measured], &[length], |_| "what the tour measures".to_owned());
}

impl Map {
    fn new(cities: usize) -> Self {
        // Streets run along the axes.
        let place = |city: usize| [2 * city, 2 * city + 1].map(|x| below(1000, x as u64));
        let distance = |a: usize, b: usize| {
            let ([x, y], [u, v]) = (place(a), place(b));
            u32::try_from(x.abs_diff(u) + y.abs_diff(v)).expect("the map is small")
        };
        let row = |from| (0..cities).map(|to| distance(from, to)).collect();
        let distance: Vec<Vec<u32>> = (0..cities).map(row).collect();
        let nearest = |(city, row): (usize, &Vec<u32>)| {
            let others = row.iter().enumerate().filter(|(other, _)| *other != city);
            others.map(|(_, distance)| *distance).min().unwrap_or(0)
        };
        let nearest = distance.iter().enumerate().map(nearest).collect();
        Self { distance, nearest }
    }

    fn cities(&self) -> usize {
        self.nearest.len()
    }

    fn visit(&self, tour: &Tour, city: usize) -> Tour {
        let mut longer = *tour;
        if tour.cities > 0 {
            longer.length += self.distance[tour.last()][city];
        }
        longer.city[longer.cities] = u8::try_from(city).expect("there are few cities");
        longer.cities += 1;
        longer
    }

    /// No tour that begins so is shorter: it still has to leave the last city, and every city it has not seen.
    fn at_least(&self, tour: &Tour) -> u32 {
        let unseen = (0..self.cities()).filter(|city| !tour.has(*city));
        let leave: u32 = unseen.map(|city| self.nearest[city]).sum();
        tour.length + self.nearest[tour.last()] + leave
    }
}

impl Tour {
    fn has(&self, city: usize) -> bool {
        self.city[..self.cities].iter().any(|seen| usize::from(*seen) == city)
    }

    fn last(&self) -> usize {
        usize::from(self.city[self.cities - 1])
    }
}

/// Cities.
const MOST: usize = 20;
/// Cities of a beginning.
const AHEAD: usize = 3;
