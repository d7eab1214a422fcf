use crate::Shareable;
use std::fmt;
use std::ptr;
use std::sync::atomic::AtomicU64;

/// Eight bytes whose address names a synchronisation object. The bytes themselves are never touched.
#[derive(Debug, Default, Shareable)]
#[repr(transparent)]
pub(crate) struct Anchor(AtomicU64);

impl Anchor {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address())
    }
}
