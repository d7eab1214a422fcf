//! Threads that serve their own faults in the handler of SIGSEGV.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod support;

use dsm_core::{Access, PageId};
use dsm_mem::{Choice, Fault, Faults, Region, StoppedThread};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use support::{DEADLINE, ending, layout, role, run_self, start, stderr};

/// What threads that are stopped find: the faults of a region.
#[derive(Clone)]
struct Served {
    region: Arc<Region>,
    faults: Arc<Mutex<Faults>>,
}

impl Served {
    fn new(
        pages: usize,
        serve: impl Fn(&Self, &StoppedThread) -> bool + Send + Sync + 'static,
    ) -> Self {
        let region = Arc::new(Region::reserve(layout(pages)).unwrap());
        let faults = Faults::start(Arc::clone(&region), Choice::Sigsegv).unwrap();
        let served = Self { region, faults: Arc::new(Mutex::new(faults)) };
        let inside = served.clone();
        let serve = Box::new(move |stopped: &StoppedThread| serve(&inside, stopped));
        served.faults.lock().unwrap().let_stopped_serve(serve);
        served
    }

    fn words(&self) -> &'static [AtomicU64] {
        let region = Box::leak(Box::new(Arc::clone(&self.region)));
        region.words(0, region.bytes() / 8).unwrap()
    }

    fn open(&self, fault: Fault) {
        self.faults.lock().unwrap().install_and_resume(fault.page, fault.access).unwrap();
    }

    fn posted(&self) -> Vec<Fault> {
        let mut posted = Vec::new();
        self.faults.lock().unwrap().read(&mut posted).unwrap();
        posted
    }
}

/// Runs a test's body in a process of its own: there is one region, and it is never given up.
fn alone(test: &str, body: impl FnOnce(), expected: Result<i32, i32>) -> String {
    if role().is_some() {
        body();
        dsm_mem::end_process(0);
    }
    let output = run_self(test, "alone");
    assert_eq!(ending(&output), expected, "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn a_thread_serves_itself_on_a_stack_that_is_large_enough() {
    let body = || {
        let served = Served::new(4, |served, stopped| {
            // Threads of Rust have an alternate stack of 8 KiB or a little more.
            black_box([1_u8; 64 << 10]);
            assert!(!stopped.is_resumed());
            let fault = served.faults.lock().unwrap().take(stopped).unwrap().unwrap();
            assert_eq!(fault.thread, stopped.thread());
            served.open(fault);
            assert!(stopped.is_resumed());
            true
        });
        let (words, per_page) = (served.words(), served.region.page_bytes() / 8);
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                start(move || {
                    for page in 0..2 {
                        let word = &words[(2 * thread + page) * per_page];
                        assert_eq!(word.load(SeqCst), 0);
                        word.store(5, SeqCst);
                    }
                })
            })
            .collect();
        // A thread that finds another one serving itself posts its fault.
        let mut threads = threads.into_iter();
        let (first, second) = (threads.next().unwrap(), threads.next().unwrap());
        let begun = std::time::Instant::now();
        let joined = start(move || (first.join(), second.join()));
        let helper = served.clone();
        let over = start(move || joined.join());
        loop {
            helper.posted().into_iter().for_each(|fault| helper.open(fault));
            if (0..4).all(|page| page_is_written(&helper, page)) {
                break;
            }
            assert!(begun.elapsed() < DEADLINE);
            std::thread::yield_now();
        }
        over.join();
    };
    alone("a_thread_serves_itself_on_a_stack_that_is_large_enough", body, Ok(0));
}

fn page_is_written(served: &Served, page: u64) -> bool {
    let mut bytes = Vec::new();
    served.region.copy_page(PageId(page), &mut bytes);
    bytes[0] == 5
}

#[test]
fn a_fault_that_is_not_taken_is_posted() {
    let body = || {
        let served = Served::new(1, |_, _| false);
        let words = served.words();
        let thread = start(move || words[0].fetch_add(1, SeqCst));
        let begun = std::time::Instant::now();
        let posted = loop {
            assert!(begun.elapsed() < DEADLINE);
            match served.posted().pop() {
                Some(fault) => break fault,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!((posted.page, posted.access), (PageId(0), Access::Write));
        served.open(posted);
        assert_eq!(thread.join(), 0);
    };
    alone("a_fault_that_is_not_taken_is_posted", body, Ok(0));
}

#[test]
fn a_fault_that_is_taken_may_be_answered_later_by_another_thread() {
    let body = || {
        let taken = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&taken);
        let served = Served::new(1, move |served, stopped| {
            *keep.lock().unwrap() = served.faults.lock().unwrap().take(stopped).unwrap();
            true
        });
        let words = served.words();
        let thread = start(move || words[0].fetch_add(1, SeqCst));
        let begun = std::time::Instant::now();
        let fault = loop {
            assert!(begun.elapsed() < DEADLINE);
            match taken.lock().unwrap().take() {
                Some(fault) => break fault,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(served.posted(), []);
        served.open(fault);
        assert_eq!(thread.join(), 0);
    };
    alone("a_fault_that_is_taken_may_be_answered_later_by_another_thread", body, Ok(0));
}

#[test]
fn a_thread_that_touches_shared_memory_while_it_serves_itself_ends_the_process() {
    let body = || {
        let served = Served::new(1, |served, _| {
            served.words()[0].load(SeqCst);
            true
        });
        served.words()[0].load(SeqCst);
    };
    let test = "a_thread_that_touches_shared_memory_while_it_serves_itself_ends_the_process";
    let said = alone(test, body, Err(libc::SIGABRT));
    if role().is_none() {
        assert!(said.contains("touched shared memory"), "{said}");
    }
}
