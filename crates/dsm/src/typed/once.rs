use super::{Mutex, current};
use crate::Shareable;
use dsm_mem::shared::Guarded;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that happens once in the job, whichever thread of whichever rank comes first.
///
/// Zero bytes are one that has not happened.
///
/// ```no_run
/// let node = dsm::Node::join()?;
/// let greeting = node.named::<dsm::Once>("greeting")?;
/// greeting.call_once(|| println!("hello from rank {}", node.rank()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default, Shareable)]
#[repr(C)]
pub struct Once {
    mutex: Mutex<()>,
    /// 1 when it has happened.
    done: AtomicU64,
}

/// A value in shared memory that is made once in the job, and only read from then on.
///
/// Zero bytes are one whose value has not been made. [`Node::named_with`](crate::Node::named_with) gives one a
/// name.
///
/// ```no_run
/// use dsm::{OnceLock, Vec};
///
/// let node = dsm::Node::join()?;
/// let primes = node.named::<OnceLock<Vec<u64>>>("primes")?;
/// let primes = primes.get_or_init(|| (2..100).filter(|n| (2..*n).all(|d| n % d != 0)).collect());
/// assert_eq!(primes[..3], [2, 3, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Shareable)]
#[repr(C)]
pub struct OnceLock<T> {
    once: Once,
    value: Guarded<T>,
}

impl Once {
    /// One that has not happened, to be put into shared memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { mutex: Mutex::new(()), done: AtomicU64::new(0) }
    }

    /// Calls the function if nobody has; returns when it has happened. If the function panics it has not
    /// happened, and the next thread tries.
    ///
    /// # Panics
    /// If the function gets here again, if this is not in shared memory, or if this rank has left the job.
    #[track_caller]
    pub fn call_once(&self, function: impl FnOnce()) {
        if self.is_completed() {
            return;
        }
        let guard = self.mutex.lock();
        if !self.is_completed() {
            function();
            self.done.store(1, Ordering::Release);
        }
        drop(guard);
    }

    /// Whether it has happened: what it did is seen then.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.done.load(Ordering::Acquire) == 1
    }
}

impl<T: Shareable> OnceLock<T> {
    /// One whose value has not been made, to be put into shared memory.
    #[must_use]
    pub fn new() -> Self {
        Self { once: Once::new(), value: Guarded::new(T::zeroed()) }
    }

    /// The value, if it has been made.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.once.is_completed().then(|| self.settled())
    }

    /// The value, which is made now if nobody has. If the function panics the value has not been made, and the
    /// next thread tries.
    ///
    /// # Panics
    /// If the function gets here again, if this is not in shared memory, or if this rank has left the job.
    #[track_caller]
    pub fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        self.once.call_once(|| {
            let value = init();
            // Contract of `exclusive`: this thread has the mutex of `once`, and no other has seen that the
            // value is made.
            *current().custody.exclusive(&self.value) = value;
        });
        self.settled()
    }

    /// Gives the value.
    ///
    /// # Errors
    /// The value, if it has been made before.
    ///
    /// # Panics
    /// If this is not in shared memory, or if this rank has left the job.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("a value is made once"));
        value.map_or(Ok(()), Err)
    }

    /// The value, if it has been made; nobody else can reach it while this is borrowed like this.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.once.is_completed().then(|| self.value.get_mut())
    }

    /// To be called once the value has been made.
    fn settled(&self) -> &T {
        // Contract of `settled`: the value is made once, before `done` is stored, and changed only through
        // `&mut self`.
        current().custody.settled(&self.value)
    }
}

impl<T: Shareable> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceLock").finish_non_exhaustive()
    }
}
