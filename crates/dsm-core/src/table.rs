use crate::{PageId, Space};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use core::ops::Range;

/// What a rank keeps about pages and tokens, by their number.
///
/// Pages are used in runs, so neighbours lie side by side in *leaves*, which are found without a search; a region that
/// nobody touches costs nothing. Tokens are few and far apart, and kept one by one.
///
/// Invariant: a page of which nothing was ever said has the default. Two tables are equal, and equally
/// hashed, if they say the same of every page, whatever was in them before.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    space: Space,
    branches: BTreeMap<u64, Branch<T>>,
    tokens: BTreeMap<PageId, T>,
}

/// The leaves of [`BRANCH`] pages, up to the last that is used.
type Branch<T> = Vec<Option<Box<[T; LEAF]>>>;

impl<T: Default + PartialEq> Table<T> {
    pub(crate) fn new(space: Space) -> Self {
        Self { space, branches: BTreeMap::new(), tokens: BTreeMap::new() }
    }

    pub(crate) fn get(&self, page: PageId) -> Option<&T> {
        if self.space.is_token(page) {
            return self.tokens.get(&page);
        }
        let branch = self.branches.get(&(page.0 / BRANCH))?;
        let leaf = branch.get(leaf_of(page.0 % BRANCH))?.as_ref()?;
        leaf.get(place_in_leaf(page))
    }

    /// For changes; the default if nothing was said of the page.
    pub(crate) fn at(&mut self, page: PageId) -> &mut T {
        if self.space.is_token(page) {
            return self.tokens.entry(page).or_default();
        }
        let branch = self.branches.entry(page.0 / BRANCH).or_default();
        let leaf = leaf_of(page.0 % BRANCH);
        if branch.len() <= leaf {
            branch.resize_with(leaf + 1, || None);
        }
        let leaf =
            branch[leaf].get_or_insert_with(|| Box::new(core::array::from_fn(|_| T::default())));
        &mut leaf[place_in_leaf(page)]
    }

    /// What is not the default, in the order of the pages.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PageId, &T)> {
        self.range(PageId(0)..PageId(self.space.pages)).chain(
            self.tokens
                .iter()
                .map(|(&token, it)| (token, it))
                .filter(|(_, it)| **it != T::default()),
        )
    }

    /// The same of these pages, of which none is a token.
    pub(crate) fn range(
        &self,
        Range { start, end }: Range<PageId>,
    ) -> impl Iterator<Item = (PageId, &T)> {
        let branches =
            self.branches.range(start.0 / BRANCH..end.0.div_ceil(BRANCH).max(start.0 / BRANCH));
        let leaves = branches.flat_map(move |(&number, branch)| {
            let first = number * BRANCH;
            let from = leaf_of(start.0.saturating_sub(first)).min(branch.len());
            let leaves = branch.iter().enumerate().skip(from);
            leaves.map(move |(at, leaf)| (first + (at * LEAF) as u64, leaf))
        });
        let leaves = leaves.take_while(move |(first, _)| *first < end.0);
        let pages = leaves.filter_map(|(first, leaf)| Some((first, leaf.as_deref()?)));
        let pages = pages.flat_map(|(first, leaf)| (first..).map(PageId).zip(leaf));
        pages.filter(move |(page, it)| (start..end).contains(page) && **it != T::default())
    }
}

impl<T: Default + PartialEq> PartialEq for Table<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Default + Eq> Eq for Table<T> {}

impl<T: Default + Ord> PartialOrd for Table<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Default + Ord> Ord for Table<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<T: Default + PartialEq + Hash> Hash for Table<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.iter().count());
        self.iter().for_each(|said| said.hash(state));
    }
}

/// Which leaf of its branch a page is in, by its place in the branch.
fn leaf_of(place: u64) -> usize {
    usize::try_from(place).expect("the places of a branch are few") / LEAF
}

fn place_in_leaf(page: PageId) -> usize {
    usize::try_from(page.0 % LEAF as u64).expect("the places of a leaf are few")
}

/// Pages of a leaf.
const LEAF: usize = 16;
/// Pages of a branch: 64 MiB of the smallest pages, whose leaves are found by 8 KiB at most.
const BRANCH: u64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(said: &[(u64, u32)]) -> Table<u32> {
        let mut table = Table::new(Space::of_pages(2, 1 << 28));
        said.iter().for_each(|&(page, it)| *table.at(PageId(page)) = it);
        table
    }

    fn all(table: &Table<u32>) -> Vec<(u64, u32)> {
        table.iter().map(|(page, it)| (page.0, *it)).collect()
    }

    const TOKEN: u64 = (1 << 28) + 1_000_000;
    const SAID: [(u64, u32); 7] =
        [(0, 1), (15, 2), (16, 3), (BRANCH - 1, 4), (BRANCH, 5), ((1 << 28) - 1, 6), (TOKEN, 7)];

    #[test]
    fn what_is_said_of_a_page_is_kept() {
        let table = table(&SAID);
        for (page, it) in SAID {
            assert_eq!(table.get(PageId(page)), Some(&it), "page {page}");
        }
        for page in [1, 14, 17, BRANCH - 2, BRANCH + 1, 5 * BRANCH, TOKEN - 1] {
            assert_eq!(table.get(PageId(page)).copied().unwrap_or_default(), 0, "page {page}");
        }
    }

    #[test]
    fn pages_come_in_order_and_tokens_after_them() {
        let mut backwards = SAID;
        backwards.reverse();
        assert_eq!(all(&table(&backwards)), SAID);
    }

    #[test]
    fn a_table_remembers_nothing_of_what_was_taken_back() {
        let (mut once, never) = (table(&SAID), table(&SAID));
        *once.at(PageId(77)) = 7;
        *once.at(PageId(TOKEN + 8)) = 7;
        assert_ne!(once, never);
        *once.at(PageId(77)) = 0;
        *once.at(PageId(TOKEN + 8)) = 0;
        assert_eq!(once, never);
        assert_eq!(once.cmp(&never), Ordering::Equal);
    }

    #[test]
    fn a_range_is_what_is_in_it() {
        let table = table(&SAID);
        let of = |start, end| -> Vec<u64> {
            table.range(PageId(start)..PageId(end)).map(|(page, _)| page.0).collect()
        };
        assert_eq!(of(0, 16), [0, 15]);
        assert_eq!(of(1, 16), [15]);
        assert_eq!(of(15, BRANCH), [15, 16, BRANCH - 1]);
        assert_eq!(of(16, BRANCH + 1), [16, BRANCH - 1, BRANCH]);
        assert_eq!(of(BRANCH + 1, 1 << 28), [(1 << 28) - 1]);
        assert_eq!(of(17, 17), []);
        assert_eq!(of(BRANCH, BRANCH), []);
    }
}
