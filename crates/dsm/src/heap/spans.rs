use super::size_class::SizeClass;
use std::collections::BTreeMap;
use std::sync::{RwLock, RwLockWriteGuard};

/// What the runs of an arena are used for, by address.
///
/// Invariant: spans do not overlap, because runs do not.
#[derive(Debug, Default)]
pub(crate) struct Spans(RwLock<BTreeMap<usize, Span>>);

#[derive(Clone, Copy, Debug)]
struct Span {
    /// The first address behind it.
    end: usize,
    kind: Kind,
}

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A chunk of blocks.
    Blocks(SizeClass),
    /// One object.
    Object {
        /// Where it begins, which is behind the run's first address if it is aligned to more than a page.
        address: usize,
    },
}

/// The spans, while nobody else has them.
#[derive(Debug)]
pub(crate) struct LockedSpans<'a>(RwLockWriteGuard<'a, BTreeMap<usize, Span>>);

impl Spans {
    pub(crate) fn insert(&self, run: usize, bytes: usize, kind: Kind) {
        let span = Span { end: run + bytes, kind };
        let earlier = self.lock().0.insert(run, span);
        assert!(earlier.is_none(), "a run is handed out once until it is given back: {run:#x}");
    }

    /// What the run is that an address is in.
    pub(crate) fn kind_of(&self, address: usize) -> Option<Kind> {
        let spans = self.0.read().expect(UNPOISONED);
        span_of(&spans, address).map(|(_, span)| span.kind)
    }

    pub(crate) fn lock(&self) -> LockedSpans<'_> {
        LockedSpans(self.0.write().expect(UNPOISONED))
    }

    /// For the driver: `None` if a thread of the program has them.
    pub(crate) fn try_lock(&self) -> Option<LockedSpans<'_>> {
        self.0.try_write().ok().map(LockedSpans)
    }
}

impl LockedSpans<'_> {
    pub(crate) fn kind_of(&self, address: usize) -> Option<Kind> {
        span_of(&self.0, address).map(|(_, span)| span.kind)
    }

    pub(crate) fn remove(&mut self, run: usize) {
        self.0.remove(&run);
    }

    /// Removes the span of the object that begins at `address` and gives its run, if there is one.
    pub(crate) fn remove_object(&mut self, address: usize) -> Option<usize> {
        let (run, span) = span_of(&self.0, address)?;
        if span.kind != (Kind::Object { address }) {
            return None;
        }
        self.0.remove(&run);
        Some(run)
    }
}

fn span_of(spans: &BTreeMap<usize, Span>, address: usize) -> Option<(usize, Span)> {
    let (&run, &span) = spans.range(..=address).next_back()?;
    (address < span.end).then_some((run, span))
}

const UNPOISONED: &str = "no thread panics with the spans locked";
