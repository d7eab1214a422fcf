use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::JoinHandle;

/// Finds a driver that userfaultfd stopped on a page.
///
/// The kernel stops the driver like any thread, and then nobody reads the fault. So while faults wait
/// a thread of its own looks, at most once a second, at what the kernel says the driver waits for.
/// While none waits it sleeps.
#[derive(Debug)]
pub(crate) struct Sentry {
    /// The driver's thread id, or 0.
    driver: Arc<AtomicI32>,
    over: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Sentry {
    /// Starts to watch the descriptor of the faults.
    pub(crate) fn start(faults: BorrowedFd<'_>) -> io::Result<Self> {
        let driver = Arc::new(AtomicI32::new(0));
        let over = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let post = Post {
            faults: faults.try_clone_to_owned()?,
            over: Arc::clone(&over),
            driver: Arc::clone(&driver),
        };
        let thread = std::thread::Builder::new().name("dsm-sentry".into()).stack_size(STACK_BYTES);
        // The thread inherits the mask of its creator for its whole life.
        let mask = crate::signals::block_asynchronous();
        let thread = thread.spawn(move || post.watch());
        crate::signals::restore(&mask);
        Ok(Self { driver, over, thread: Some(thread?) })
    }

    /// Says that the calling thread is the driver.
    pub(crate) fn adopt_driver_thread(&self) {
        self.driver.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Release);
    }
}

impl Drop for Sentry {
    fn drop(&mut self) {
        let posted = rustix::io::write(&*self.over, &1_u64.to_ne_bytes());
        posted.expect("an eventfd that is written once takes the value");
        if let Some(thread) = self.thread.take() {
            // A sentry that panicked has said so, and watches no more.
            let _ = thread.join();
        }
    }
}

/// What the sentry's thread holds.
struct Post {
    faults: OwnedFd,
    over: Arc<OwnedFd>,
    driver: Arc<AtomicI32>,
}

impl Post {
    fn watch(&self) {
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        loop {
            // Until a fault waits, for as long as it takes.
            if self.is_over(Some(self.faults.as_fd()), None) {
                return;
            }
            // A driver that is alive reads it within this time.
            if self.is_over(None, Some(&second)) {
                return;
            }
            if self.driver_is_stopped() {
                refuse();
            }
        }
    }

    /// Waits until the watch is over, this descriptor is readable or the time has passed.
    fn is_over(&self, other: Option<BorrowedFd<'_>>, timeout: Option<&Timespec>) -> bool {
        let over = PollFd::new(&*self.over, PollFlags::IN);
        let mut set = vec![over];
        set.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        match rustix::io::retry_on_intr(|| poll(&mut set, timeout)) {
            Ok(_) => !set[0].revents().is_empty(),
            // Without memory to poll there is nothing to watch with.
            Err(Errno::NOMEM) => true,
            Err(errno) => panic!("cannot poll the faults: {errno}"),
        }
    }

    fn driver_is_stopped(&self) -> bool {
        let driver = self.driver.load(Ordering::Acquire);
        // A kernel that does not say what a thread waits for says 0.
        std::fs::read(format!("/proc/self/task/{driver}/wchan"))
            .is_ok_and(|function| function == b"handle_userfault")
    }
}

fn refuse() -> ! {
    let line =
        b"dsm: the driver thread touched shared memory, which nobody could serve: a bug in dsm\n";
    // The process is about to end; there is nobody to tell of a failure.
    let _ = rustix::io::write(rustix::stdio::stderr(), line);
    std::process::abort();
}

const STACK_BYTES: usize = 128 << 10;
