use crate::{ObjectId, PageId, Placement, Rank};

/// How the region is laid out and who is home to what; equal on all ranks.
///
/// Pages `0..area_pages` are the area of `dsm_init`, the others up to `pages` the heap. A lock's token is
/// a page without bytes: the tokens of the region's words are numbered behind its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space {
    /// How many ranks there are.
    pub nodes: u16,
    /// How many pages there are.
    pub pages: u64,
    /// How many of them are not the heap's.
    pub area_pages: u64,
    /// How many words of 8 bytes a page has.
    pub page_words: u64,
    /// Which rank is home to which page of the area.
    pub placement: Placement,
}

impl Space {
    /// A region of pages of 4 KiB without a heap, placed cyclically.
    #[must_use]
    pub fn of_pages(nodes: u16, pages: u64) -> Self {
        Self { nodes, pages, area_pages: pages, page_words: 512, placement: Placement::Cyclic }
    }

    /// The rank that keeps the directory entry of a page or token; of a page that is
    /// [claimed](Self::is_claimed), the rank that registers its home.
    #[must_use]
    pub fn home(&self, page: PageId) -> Rank {
        let page = self.object_of(page).map_or(page, |object| self.page_of(object));
        let placement = match page.0 < self.area_pages {
            true => self.placement,
            false => Placement::Cyclic,
        };
        let home = placement.place(page.0, self.area_pages, self.nodes.into());
        Rank(u16::try_from(home).expect("a home is one of the ranks"))
    }

    /// Whether a page's home is the rank that claims it first, at its registrar.
    #[must_use]
    pub fn is_claimed(&self, page: PageId) -> bool {
        self.placement == Placement::FirstTouch && page.0 < self.area_pages
    }

    /// The rank that serves the object at a word: the home of the word's page, or its registrar.
    #[must_use]
    pub fn home_of(&self, object: ObjectId) -> Rank {
        self.home(self.page_of(object))
    }

    /// The page a word is in.
    #[must_use]
    pub fn page_of(&self, object: ObjectId) -> PageId {
        PageId(object.0 / self.page_words)
    }

    /// The first word of a page.
    #[must_use]
    pub fn first_object(&self, page: PageId) -> ObjectId {
        ObjectId(page.0 * self.page_words)
    }

    /// The token of the lock at a word.
    #[must_use]
    pub fn token(&self, object: ObjectId) -> PageId {
        PageId(self.pages + object.0)
    }

    /// The lock that a token is of; `None` for a page with bytes.
    #[must_use]
    pub fn object_of(&self, page: PageId) -> Option<ObjectId> {
        page.0.checked_sub(self.pages).map(ObjectId)
    }

    /// Whether it is a token, not a page with bytes.
    #[must_use]
    pub fn is_token(&self, page: PageId) -> bool {
        page.0 >= self.pages
    }

    /// How many words the region has; objects are numbered below.
    #[must_use]
    pub fn words(&self) -> u64 {
        self.pages * self.page_words
    }

    /// Whether a number names a page or a token of the region.
    #[must_use]
    pub fn contains(&self, page: PageId) -> bool {
        page.0 < self.pages + self.words()
    }
}
