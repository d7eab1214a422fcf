use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// What can be done to a word where its page is, without moving the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Add, wrapping around.
    Add {
        /// What.
        value: u64,
    },
    /// Replace the word if it is as expected.
    Swap {
        /// What it must be.
        expected: u64,
        /// What it becomes.
        desired: u64,
    },
}

impl Operation {
    /// Carries it out and returns what the word was before.
    pub(crate) fn run(self, word: &AtomicU64) -> u64 {
        match self {
            Self::Add { value } => word.fetch_add(value, SeqCst),
            Self::Swap { expected, desired } => {
                match word.compare_exchange(expected, desired, SeqCst, SeqCst) {
                    Ok(before) | Err(before) => before,
                }
            }
        }
    }
}
