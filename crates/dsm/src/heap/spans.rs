use super::size_class::SizeClass;
use dsm_mem::block_signals;
use std::collections::BTreeMap;
use std::sync::{RwLock, RwLockWriteGuard};

/// What the runs of an arena are used for, by address. The driver asks too, so that no signal handler, which
/// may wait for the driver, runs on a thread that has them locked.
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

impl Spans {
    pub(crate) fn insert(&self, run: usize, bytes: usize, kind: Kind) {
        let span = Span { end: run + bytes, kind };
        let _blocked = block_signals();
        let earlier = self.write().insert(run, span);
        assert!(earlier.is_none(), "a run is handed out once until it is given back: {run:#x}");
    }

    /// What the run is that an address is in.
    pub(crate) fn kind_of(&self, address: usize) -> Option<Kind> {
        let spans = self.0.read().expect(UNPOISONED);
        span_of(&spans, address).map(|(_, span)| span.kind)
    }

    pub(crate) fn remove(&self, run: usize) {
        let _blocked = block_signals();
        self.write().remove(&run);
    }

    /// Removes the span of the object that begins at `address` and gives its run, if there is one.
    pub(crate) fn remove_object(&self, address: usize) -> Option<usize> {
        let mut spans = self.write();
        let (run, span) = span_of(&spans, address)?;
        if span.kind != (Kind::Object { address }) {
            return None;
        }
        spans.remove(&run);
        Some(run)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<usize, Span>> {
        self.0.write().expect(UNPOISONED)
    }
}

fn span_of(spans: &BTreeMap<usize, Span>, address: usize) -> Option<(usize, Span)> {
    let (&run, &span) = spans.range(..=address).next_back()?;
    (address < span.end).then_some((run, span))
}

const UNPOISONED: &str = "no thread panics with the spans locked";
