use super::current;
use super::slice::part;
use crate::{Element, Node, View};
use dsm_mem::shared::Exclusive;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex as LocalMutex, MutexGuard as LocalMutexGuard};

/// Numbers in shared memory of which each rank has one part for itself, as `&mut [T]`, and reads the parts of the
/// others.
///
/// The part of a rank is a plain slice, which the compiler can vectorise. That is sound because nobody else stores
/// into it: the ranks' parts do not overlap, each process has its part once, and there is no other access to
/// such numbers. Other ranks do read it, at any time, but each into a copy of the page and by atomic loads, which
/// cannot disturb the rank that writes; what they find is old or new, element by element. When to read is the
/// program's part, usually after a barrier.
///
/// `units` units of `unit` elements are shared evenly, in the order of the ranks; a unit, such as the row of a
/// matrix, is never divided. Where two parts share a page, that page moves between their ranks.
///
/// ```no_run
/// let (rows, columns) = (1000, 512);
/// let node = dsm::Node::join()?;
/// let mut matrix = node.named_parts::<f64>("matrix", rows, columns)?;
/// for row in matrix.mine().chunks_mut(columns) {
///     row.fill(1.0);
/// }
/// node.barrier()?;
/// let (mine, others) = matrix.split();
/// let sum: f64 = mine.iter().sum::<f64>() + others.before().iter().sum::<f64>();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Parts<'n, T: Element> {
    mine: Exclusive<'n, [T]>,
    others: Others<'n, T>,
    shares: Shares,
    _claim: Claim,
}

/// What the other ranks have of [`Parts`], to be read.
#[derive(Debug)]
pub struct Others<'n, T: Element> {
    before: View<'n, T>,
    after: View<'n, T>,
    mine: usize,
}

/// How elements are shared among ranks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) units: usize,
    pub(super) unit: usize,
    pub(super) nodes: usize,
}

/// That this process has its part of the numbers at an address. Each address is claimed once at a time.
#[derive(Debug)]
pub(super) struct Claim {
    address: usize,
}

impl<'n, T: Element> Parts<'n, T> {
    /// `address` is where numbers are that all ranks share like this, and use in no other way.
    pub(super) fn new(node: &'n Node, address: usize, shares: Shares, claim: Claim) -> Self {
        let Range { start, end } = shares.of(node.rank());
        let at = |index: usize| address + index * size_of::<T>();
        let all = shares.units * shares.unit;
        // Contract of `exclusive_words`: the claim keeps other threads of this process out, `Others` excludes
        // this part, and the ranks' parts do not overlap because all ranks agree on the shares.
        let mine = current().custody.exclusive_words(&node.region, at(start), end - start);
        let before = View::new(node.region.words_at(address, start));
        let after = View::new(node.region.words_at(at(end), all - end));
        let others = Others { before, after, mine: end - start };
        Self { mine, others, shares, _claim: claim }
    }

    /// The part of this rank.
    pub fn mine(&mut self) -> &mut [T] {
        &mut self.mine
    }

    /// The part of this rank, and those of the others.
    pub fn split(&mut self) -> (&mut [T], Others<'_, T>) {
        (&mut self.mine, self.others)
    }

    /// The element at `index` of all, whoever has it.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn get(&self, index: usize) -> T {
        match self.others.place(index) {
            Place::Mine(index) => self.mine[index],
            Place::Other(view, index) => view.get(index),
        }
    }

    /// Copies elements of all from `from` on, whoever has them.
    ///
    /// # Panics
    /// If there are not so many.
    #[track_caller]
    pub fn read_into(&self, from: usize, values: &mut [T]) {
        let end = from.saturating_add(values.len());
        assert!(end <= self.len(), "cannot read elements {from}..{end} of {}", self.len());
        let mut read = |section: Range<usize>, copy: &dyn Fn(Range<usize>, &mut [T])| {
            let (start, stop) = (section.start.max(from), section.end.min(end));
            if start < stop {
                let values = &mut values[start - from..stop - from];
                copy(start - section.start..stop - section.start, values);
            }
        };
        let Others { before, after, mine } = self.others;
        let (first, last) = (before.len(), before.len() + mine);
        read(0..first, &|range, values| before.slice(range).read_into(values));
        read(first..last, &|range, values| values.copy_from_slice(&self.mine[range]));
        read(last..self.len(), &|range, values| after.slice(range).read_into(values));
    }

    /// Which elements of all a rank has.
    ///
    /// # Panics
    /// If there is no such rank.
    #[must_use]
    #[track_caller]
    pub fn range(&self, rank: u16) -> Range<usize> {
        self.shares.of(rank)
    }

    /// How many elements all ranks have together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shares.units * self.shares.unit
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'n, T: Element> Others<'n, T> {
    /// The elements of the ranks before this one: from the first element on.
    #[must_use]
    pub fn before(self) -> View<'n, T> {
        self.before
    }

    /// The elements of the ranks after this one: up to the last element.
    #[must_use]
    pub fn after(self) -> View<'n, T> {
        self.after
    }

    /// The element at `index` of all, which another rank has.
    ///
    /// # Panics
    /// If this rank has it, or nobody.
    #[must_use]
    #[track_caller]
    pub fn get(self, index: usize) -> T {
        match self.place(index) {
            Place::Mine(_) => panic!("cannot read element {index} of others: it is of this rank"),
            Place::Other(view, index) => view.get(index),
        }
    }

    fn place(self, index: usize) -> Place<'n, T> {
        let first = self.before.len();
        match index.checked_sub(first) {
            None => Place::Other(self.before, index),
            Some(mine) if mine < self.mine => Place::Mine(mine),
            Some(behind) => Place::Other(self.after, behind - self.mine),
        }
    }
}

/// Where an element is.
enum Place<'n, T: Element> {
    Mine(usize),
    Other(View<'n, T>, usize),
}

impl<T: Element> Clone for Others<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for Others<'_, T> {}

impl Shares {
    #[track_caller]
    fn of(self, rank: u16) -> Range<usize> {
        let units = part(self.units, rank.into(), self.nodes);
        units.start * self.unit..units.end * self.unit
    }
}

impl Claim {
    /// None if this process has claimed it, and still has it.
    pub(super) fn stake(address: usize) -> Option<Self> {
        claimed().insert(address).then(|| Self { address })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        claimed().remove(&self.address);
    }
}

fn claimed() -> LocalMutexGuard<'static, BTreeSet<usize>> {
    CLAIMED.lock().expect("no thread panics with the claims locked")
}

static CLAIMED: LocalMutex<BTreeSet<usize>> = LocalMutex::new(BTreeSet::new());
