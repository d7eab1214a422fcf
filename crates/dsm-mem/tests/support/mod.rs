//! What the tests of this crate share: one engine's world, threads with deadlines, child processes.
#![allow(dead_code, reason = "each test file uses its own part")]

use dsm_core::{Access, PageId};
use dsm_mem::{Choice, Fault, Faults, Layout, Region};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Every wait of a test ends after this time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A region whose faults the test serves.
pub(crate) struct World {
    pub(crate) region: Arc<Region>,
    pub(crate) faults: Faults,
    _turn: MutexGuard<'static, ()>,
}

/// Runs a test with both fault engines.
pub(crate) fn check(pages: usize, test: impl Fn(&mut World)) {
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        println!("with {choice}");
        test(&mut World::new(choice, pages));
    }
}

impl World {
    pub(crate) fn new(choice: Choice, pages: usize) -> Self {
        Self::around(Arc::new(Region::reserve(layout(pages)).unwrap()), choice)
    }

    pub(crate) fn around(region: Arc<Region>, choice: Choice) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = Faults::start(Arc::clone(&region), choice).unwrap();
        Self { region, faults, _turn: turn }
    }

    /// All words of the region as its threads see them, to be used by threads of the test.
    pub(crate) fn words(&self) -> &'static [AtomicU64] {
        let region = Box::leak(Box::new(Arc::clone(&self.region)));
        region.words(0, region.bytes() / 8).unwrap()
    }

    pub(crate) fn words_per_page(&self) -> usize {
        self.region.page_bytes() / 8
    }

    /// The faults that come next, at least one.
    pub(crate) fn wait(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        while faults.is_empty() {
            self.wait_readable();
            self.faults.read(&mut faults).unwrap();
        }
        faults
    }

    /// Waits until a fault is there and leaves it.
    pub(crate) fn wait_readable(&self) {
        let mut set = [PollFd::from_borrowed_fd(self.faults.fd(), PollFlags::IN)];
        let ready = retry_on_intr(|| poll(&mut set, Some(&TIMEOUT)));
        assert_eq!(ready, Ok(1), "a fault within the deadline");
    }

    /// The one fault that comes next.
    pub(crate) fn wait_one(&mut self) -> (PageId, Access) {
        let faults = self.wait();
        assert_eq!(faults.len(), 1, "{faults:?}");
        (faults[0].page, faults[0].access)
    }

    /// The faults that are there now.
    pub(crate) fn pending(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.faults.read(&mut faults).unwrap();
        faults
    }

    pub(crate) fn install(&self, page: PageId, access: Access) {
        self.faults.install(page, access).unwrap();
        self.faults.resume(page).unwrap();
    }

    /// Fills a page with one word, as a peer's bytes arrive: from a socket, and in pieces between
    /// which other threads run.
    pub(crate) fn fill(&self, page: PageId, word: u64) {
        let (from, to) = UnixStream::pair().unwrap();
        let bytes = word.to_ne_bytes().repeat(self.words_per_page());
        let mut offset = 0;
        for piece in bytes.chunks(bytes.len() / 2) {
            (&to).write_all(piece).unwrap();
            let end = offset + piece.len();
            while offset < end {
                offset += self.region.receive_page(page, offset, from.as_fd()).unwrap();
            }
            std::thread::yield_now();
        }
    }

    /// A page's words as a peer would get them.
    pub(crate) fn copy(&self, page: PageId) -> Vec<u64> {
        let mut bytes = Vec::new();
        self.region.copy_page(page, &mut bytes);
        bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    /// Serves every fault with the access it needs, the pages' content being right as it is, until
    /// the thread is done. Returns its result.
    pub(crate) fn serve<T: Send + 'static>(&mut self, thread: Thread<T>) -> T {
        self.serve_and(thread, |_| ())
    }

    /// As `serve`, and does something more after each batch of faults.
    pub(crate) fn serve_and<T: Send + 'static>(
        &mut self,
        thread: Thread<T>,
        mut after: impl FnMut(&World),
    ) -> T {
        loop {
            match thread.result.try_recv() {
                Ok(result) => return result,
                Err(TryRecvError::Empty) => (),
                Err(TryRecvError::Disconnected) => panic!("the thread panicked"),
            }
            let mut set = [
                PollFd::from_borrowed_fd(self.faults.fd(), PollFlags::IN),
                PollFd::new(&thread.over, PollFlags::IN),
            ];
            assert_ne!(poll(&mut set, Some(&TIMEOUT)), Ok(0), "an event within the deadline");
            for fault in self.pending() {
                self.install(fault.page, fault.access);
            }
            after(self);
        }
    }
}

/// A thread that says when it is done.
pub(crate) struct Thread<T> {
    result: Receiver<T>,
    over: UnixStream,
}

pub(crate) fn start<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
    let (sender, result) = channel();
    let (over, done) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let result = body();
        sender.send(result).unwrap();
        drop(done);
    });
    Thread { result, over }
}

impl<T> Thread<T> {
    pub(crate) fn join(self) -> T {
        self.result.recv_timeout(DEADLINE).expect("the thread ends within the deadline")
    }
}

/// A layout that no other test of this process uses.
pub(crate) fn layout(pages: usize) -> Layout {
    let base = BASE.fetch_add(0x100_0000_0000, Ordering::Relaxed);
    Layout { base, bytes: pages * rustix::param::page_size(), heap_bytes: 0 }
}

/// Runs a test again in a process of its own, in which [`role`] has a value, and gives what it wrote
/// and how it ended.
pub(crate) fn run_self(test: &str, role: &str) -> Output {
    run_child(Command::new(std::env::current_exe().unwrap()), test, role)
}

/// As [`run_self`], with a command that runs a copy of this program.
pub(crate) fn run_child(mut command: Command, test: &str, role: &str) -> Output {
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    start(move || child.wait_with_output().unwrap()).join()
}

/// Says that a test needs something that is not here; where nothing may be left out, that fails.
pub(crate) fn cannot_run(needs: &str) {
    println!("NOT RUN: this test needs {needs}");
    assert!(std::env::var_os("CI").is_none(), "CI=true and no {needs}");
}

/// What this process is to be, if it is a test's child.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The signal that ended a child, or its exit code.
pub(crate) fn ending(output: &Output) -> Result<i32, i32> {
    output.status.signal().map_or_else(|| Ok(output.status.code().unwrap()), Err)
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const TIMEOUT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
const ROLE: &str = "DSM_MEM_TEST_ROLE";
static BASE: AtomicUsize = AtomicUsize::new(0x2000_0000_0000);
static TURN: Mutex<()> = Mutex::new(());
