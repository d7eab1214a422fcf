use super::cells::Width;
use super::shape::{Access, Shape};
use crate::clock::Manner;
use dsm::Node;
use dsm_sim::rng::Rng;
use std::fmt;

/// Many instances of one shape, between two rendezvous.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Counts batches from 0.
    pub number: u64,
    /// Which of the shapes of the run.
    pub shape: usize,
    /// The rank of each thread of the shape.
    pub ranks: Vec<u16>,
    /// How many instances.
    pub instances: usize,
    /// The size of the variables.
    pub width: Width,
    /// Which variables share pages.
    pub layout: Layout,
    /// Where the pages have their homes.
    pub home: Home,
    /// Who holds the pages at the start.
    pub start: Start,
    /// In which order a thread goes through the instances.
    pub style: Style,
    /// The rank that reads the final values.
    pub reader: u16,
    /// Up to how much later than the others a thread begins, in nanoseconds.
    pub spread_ns: u64,
    /// Up to how long a thread pauses before an access, in nanoseconds.
    pub pause_ns: u64,
    /// One in how many accesses has such a pause.
    pub pause_odds: u64,
    /// What it does in a pause.
    pub manner: Manner,
    /// Byte offset of each variable of each instance, instance by instance.
    pub(super) places: Vec<usize>,
    /// What each thread draws from.
    pub(super) seed: u64,
}

/// Which variables share pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// All variables of all instances are on one page.
    OnePage,
    /// Each variable has a page, for all instances.
    PageEach,
    /// Each variable of each instance has a page.
    Scattered,
}

/// Where a variable's page has its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// At the first thread that stores to the variable.
    Writer,
    /// At the first thread that loads from it, if any does.
    Reader,
    /// At a rank that does neither, if there is one.
    Third,
    /// All at one rank.
    One,
}

/// Who holds the pages when the instances start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// Their home.
    Home,
    /// The first writer.
    Writer,
    /// The first reader, if there is one.
    Reader,
    /// Everyone has a copy.
    Everyone,
}

/// In which order a thread goes through its accesses. Accesses of one instance keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    /// Instance by instance.
    Straight,
    /// The first access of all instances, then the second.
    Strided,
    /// Some accesses of some instances, at random.
    Mixed,
}

/// Where batches can be: pages of the shared area by home.
#[derive(Clone, Debug)]
pub struct Ground {
    nodes: u16,
    page_bytes: usize,
    /// Byte offsets of pages, by home.
    pages: Vec<Vec<usize>>,
}

impl Ground {
    /// The pages that a run uses. The first page is the hub's.
    #[must_use]
    pub fn new(node: &Node) -> Self {
        let (nodes, page_bytes) = (node.nodes(), node.page_bytes());
        let mut pages = vec![Vec::new(); usize::from(nodes)];
        let offsets = (0..node.size()).step_by(page_bytes).skip(1);
        for offset in offsets.take(PAGES_PER_HOME * usize::from(nodes)) {
            if let Some(home) = node.home(node.base() + offset) {
                pages[usize::from(home)].push(offset);
            }
        }
        Self { nodes, page_bytes, pages }
    }

    /// Bytes of the area from its start that contain all pages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let last = self.pages.iter().flatten().max();
        last.map_or(0, |last| last + self.page_bytes)
    }

    /// The home of a page of the ground.
    pub(super) fn home(&self, offset: usize) -> u16 {
        let page = offset / self.page_bytes * self.page_bytes;
        let home = self.pages.iter().position(|pages| pages.binary_search(&page).is_ok());
        home.and_then(|home| u16::try_from(home).ok()).expect("batches are on the ground")
    }
}

impl Batch {
    /// The batch of this number.
    #[must_use]
    pub fn draw(seed: u64, number: u64, shapes: &[Shape], ground: &Ground) -> Self {
        let mut rng = Rng::new(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let place = number % shapes.len() as u64;
        let shape = usize::try_from(place).expect("a place in a slice");
        let width = rng.pick(&Width::ALL);
        let layout =
            rng.pick(&[Layout::OnePage, Layout::PageEach, Layout::PageEach, Layout::Scattered]);
        let capacity = ground.page_bytes / width.bytes() / shapes[shape].variables;
        let instances = match layout {
            Layout::Scattered => rng.pick(&[1, 8, 32]),
            _ => rng.pick(&[1, 8, 32, 64, 128, 256]).min(capacity),
        };
        let mut batch = Self {
            number,
            shape,
            ranks: deal(&mut rng, shapes[shape].threads.len(), ground.nodes),
            instances,
            width,
            layout,
            home: rng.pick(&[Home::Writer, Home::Reader, Home::Third, Home::One]),
            start: rng.pick(&[Start::Home, Start::Writer, Start::Reader, Start::Everyone]),
            style: rng.pick(&[Style::Straight, Style::Strided, Style::Mixed, Style::Mixed]),
            reader: u16::try_from(rng.below(ground.nodes.into())).expect("a rank"),
            spread_ns: rng.pick(&[0, 3_000, 30_000, 100_000]),
            pause_ns: rng.pick(&[0, 4_000, 20_000, 60_000]),
            pause_odds: rng.pick(&[1, 3, 10]),
            manner: rng.pick(&[Manner::Computing, Manner::Yielding]),
            places: Vec::new(),
            seed: rng.next(),
        };
        // A batch is to take about as long whatever its pauses are.
        batch.pause_odds = batch.pause_odds.max(batch.pause_ns / 10_000);
        batch.places = batch.choose_places(&mut rng, &shapes[shape], ground);
        batch
    }

    fn choose_places(&self, rng: &mut Rng, shape: &Shape, ground: &Ground) -> Vec<usize> {
        let page_words = ground.page_bytes / self.width.bytes();
        let variables = shape.variables;
        let anywhere = u16::try_from(rng.below(ground.nodes.into())).expect("a rank");
        let mut free = ground.pages.clone();
        let mut page = |variable: usize| {
            let home = self.home_of(shape, variable, anywhere, ground.nodes);
            let pages = &mut free[usize::from(home)];
            let place = rng.place(pages.len());
            pages.swap_remove(place)
        };
        let stride = page_words / (self.instances * variables);
        match self.layout {
            Layout::OnePage => {
                let page = page(0);
                let all = 0..self.instances * variables;
                all.map(|place| page + place * stride * self.width.bytes()).collect()
            }
            Layout::PageEach => {
                let pages: Vec<usize> = (0..variables).map(page).collect();
                let word = |instance| instance * stride * variables * self.width.bytes();
                (0..self.instances)
                    .flat_map(|instance| pages.iter().map(move |page| page + word(instance)))
                    .collect()
            }
            Layout::Scattered => (0..self.instances).flat_map(|_| 0..variables).map(page).collect(),
        }
    }

    fn home_of(&self, shape: &Shape, variable: usize, anywhere: u16, nodes: u16) -> u16 {
        let (writer, reader) = (self.writer(shape, variable), self.reader(shape, variable));
        match self.home {
            Home::Writer => writer,
            Home::Reader => reader,
            Home::One => anywhere,
            Home::Third => {
                let mut others = (0..nodes).map(|rank| (anywhere + rank) % nodes);
                let uses = |rank: u16| rank == writer || rank == reader;
                others.find(|rank| !uses(*rank)).unwrap_or(anywhere)
            }
        }
    }

    fn writer(&self, shape: &Shape, variable: usize) -> u16 {
        let thread = shape.first(variable, |access| !access.is_load());
        self.ranks[thread.expect("a variable of a shape is stored to")]
    }

    fn reader(&self, shape: &Shape, variable: usize) -> u16 {
        let thread = shape.first(variable, Access::is_load);
        thread.map_or_else(|| self.writer(shape, variable), |thread| self.ranks[thread])
    }

    /// The rank that sets the variables to their initial values, and so holds their pages.
    pub(super) fn holder(&self, shape: &Shape, ground: &Ground, place: usize) -> u16 {
        let variable = place % shape.variables;
        match self.start {
            Start::Home | Start::Everyone => ground.home(self.places[place]),
            Start::Writer => self.writer(shape, variable),
            Start::Reader => self.reader(shape, variable),
        }
    }

    /// The word that stands for the value 0; values up to the shape's largest follow it. Different from
    /// batch to batch, so that content of another time is told from this batch's.
    pub(super) fn base(&self) -> u64 {
        let different = (1 << (8 * self.width.bytes().min(4) - 2)) - 2;
        4 * (1 + self.number % different)
    }

    /// Whether threads of the shape share a rank.
    #[must_use]
    pub fn shares_ranks(&self) -> bool {
        let mut ranks = self.ranks.clone();
        ranks.sort_unstable();
        ranks.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// What a thread draws its order and its pauses from.
    pub(super) fn rng(&self, thread: usize) -> Rng {
        let mut rng = Rng::new(self.seed ^ thread as u64);
        Rng::new(rng.next())
    }
}

/// Different ranks for the threads, as far as there are enough.
fn deal(rng: &mut Rng, threads: usize, nodes: u16) -> Vec<u16> {
    let mut dealt = Vec::new();
    let mut left: Vec<u16> = Vec::new();
    for _ in 0..threads {
        if left.is_empty() {
            left = (0..nodes).collect();
        }
        let place = rng.place(left.len());
        dealt.push(left.swap_remove(place));
    }
    dealt
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, ranks, instances, width, layout, home, start, style, .. } = self;
        let Self { reader, spread_ns, pause_ns, pause_odds, manner, .. } = self;
        write!(f, "batch {number}: {instances} instances, threads on ranks {ranks:?}, {width:?}")?;
        write!(f, ", {layout:?}, home at {home:?}, start with {start:?}, {style:?}")?;
        write!(
            f,
            ", begin within {spread_ns} ns, pauses to {pause_ns} ns one in {pause_odds}, {manner:?}"
        )?;
        write!(f, ", final values read by rank {reader}")
    }
}

const PAGES_PER_HOME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    impl Ground {
        pub(in crate::litmus) fn of(nodes: u16, pages: usize) -> Self {
            let page = |home: usize| {
                (1..=pages).map(move |page| (page * usize::from(nodes) + home) * 4096)
            };
            let pages = (0..usize::from(nodes)).map(|home| page(home).collect());
            Self { nodes, page_bytes: 4096, pages: pages.collect() }
        }
    }

    /// Whatever is drawn, no two variables overlap, all are on the ground, and the same numbers draw the same.
    #[test]
    fn every_batch_can_be_run() {
        let shapes = Shape::all();
        for nodes in 2..=4 {
            let ground = Ground::of(nodes, PAGES_PER_HOME);
            for number in 0..2000 {
                let batch = Batch::draw(7, number, &shapes, &ground);
                let shape = &shapes[batch.shape];
                assert_eq!(batch.places, Batch::draw(7, number, &shapes, &ground).places);
                assert_eq!(batch.places.len(), batch.instances * shape.variables, "{batch}");
                let mut places = batch.places.clone();
                places.sort_unstable();
                assert!(places.windows(2).all(|p| p[0] + batch.width.bytes() <= p[1]), "{batch}");
                assert!(places.iter().all(|place| place % batch.width.bytes() == 0), "{batch}");
                assert!((0..places.len()).all(|p| batch.holder(shape, &ground, p) < nodes));
                assert_eq!(batch.shares_ranks(), shape.threads.len() > nodes.into(), "{batch}");
                assert!(batch.base() + 3 < 1 << (8 * batch.width.bytes().min(4)), "{batch}");
            }
        }
    }
}
