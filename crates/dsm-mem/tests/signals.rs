//! SIGSEGV that belongs to somebody else, forked children, faults of the driver, signals during faults.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "signal handlers, fork and stray accesses need it")]

mod support;

use dsm_core::{Access, PageId};
use dsm_mem::Choice;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;
use support::{World, ending, role, run_self, start, stderr};

/// What a child process does about SIGSEGV before dsm starts, and then does wrong.
const CASES: [(&str, Result<i32, i32>); 7] = [
    ("three arguments, stray load", Ok(43)),
    ("one argument, stray load", Ok(41)),
    ("default, stray load", Err(libc::SIGSEGV)),
    ("ignore, stray load", Err(libc::SIGSEGV)),
    ("default, sent", Err(libc::SIGSEGV)),
    ("ignore, sent", Ok(0)),
    ("three arguments, sent", Ok(43)),
];

#[test]
fn a_foreign_sigsegv_belongs_to_whoever_had_it_before() {
    const TEST: &str = "a_foreign_sigsegv_belongs_to_whoever_had_it_before";
    if let Some(role) = role() {
        let (choice, case) = role.split_once(": ").unwrap();
        return misbehave(choice.parse().unwrap(), case);
    }
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        for (case, expected) in CASES {
            let output = run_self(TEST, &format!("{choice}: {case}"));
            assert_eq!(ending(&output), expected, "{choice}: {case}\n{}", stderr(&output));
        }
    }
}

fn misbehave(choice: Choice, case: &str) {
    let (action, wrong) = case.split_once(", ").unwrap();
    match action {
        "three arguments" => set_action(three_arguments as *const () as usize, libc::SA_SIGINFO),
        "one argument" => set_action(one_argument as *const () as usize, 0),
        "default" => set_action(libc::SIG_DFL, 0),
        "ignore" => set_action(libc::SIG_IGN, 0),
        _ => unreachable!("{action}"),
    }
    let mut world = World::new(choice, 4);
    let words = world.words();
    // The handler serves the region, before and after.
    assert_eq!(world.serve(start(move || words[0].fetch_add(1, Relaxed))), 0);
    match wrong {
        "stray load" => load(NOWHERE),
        "sent" => {
            // SAFETY: raise has no requirements.
            assert_eq!(unsafe { libc::raise(libc::SIGSEGV) }, 0);
        }
        _ => unreachable!("{wrong}"),
    }
    let at = world.words_per_page();
    assert_eq!(world.serve(start(move || words[at].fetch_add(1, Relaxed))), 0);
}

#[test]
fn the_previous_action_is_back_after_the_end() {
    const TEST: &str = "the_previous_action_is_back_after_the_end";
    if role().is_some() {
        set_action(three_arguments as *const () as usize, libc::SA_SIGINFO);
        for _ in 0..2 {
            drop(World::new(Choice::Sigsegv, 1));
            assert_eq!(present_action().sa_sigaction, three_arguments as *const () as usize);
        }
        return;
    }
    let output = run_self(TEST, "sigsegv");
    assert_eq!(ending(&output), Ok(0), "{}", stderr(&output));
}

/// Somebody puts a handler above ours, which passes on what it does not know to ours.
#[test]
fn a_handler_above_ours_stays_and_another_start_works_under_it() {
    const TEST: &str = "a_handler_above_ours_stays_and_another_start_works_under_it";
    if role().is_some() {
        set_action(three_arguments as *const () as usize, libc::SA_SIGINFO);
        for _ in 0..3 {
            let mut world = World::new(Choice::Sigsegv, 1);
            if ABOVE.load(SeqCst) == 0 {
                ABOVE.store(present_action().sa_sigaction as u64, SeqCst);
                set_action(above as *const () as usize, libc::SA_SIGINFO | libc::SA_NODEFER);
            }
            let words = world.words();
            assert_eq!(world.serve(start(move || words[0].fetch_add(1, Relaxed))), 0);
            drop(world);
            assert_eq!(present_action().sa_sigaction, above as *const () as usize);
        }
        return load(NOWHERE);
    }
    let output = run_self(TEST, "sigsegv");
    assert_eq!(ending(&output), Ok(43), "{}", stderr(&output));
}

#[test]
fn a_forked_child_has_no_region() {
    for (choice, access) in [
        (Choice::Uffd, Access::None),
        (Choice::Uffd, Access::Write),
        (Choice::Sigsegv, Access::None),
        (Choice::Sigsegv, Access::Write),
    ] {
        let mut world = World::new(choice, 1);
        world.region.zero_page(PageId(0));
        if access != Access::None {
            world.install(PageId(0), access);
        }
        let base = world.region.base();
        // SAFETY: the child calls nothing but functions that are safe in a signal handler.
        let child = unsafe { libc::fork() };
        if child == 0 {
            load(base);
            dsm_mem::end_process(0);
        }
        let status = start(move || {
            let mut status = 0;
            // SAFETY: `status` is valid for writes.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            status
        })
        .join();
        assert!(libc::WIFSIGNALED(status), "{choice} {access:?}: {status:#x}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV);
        assert_eq!(world.pending(), []);
    }
}

/// What a forked child touches, and whether it hears of it; the handlers of the program are above, and see it.
#[test]
fn a_forked_child_hears_why_shared_memory_ends_it() {
    const TEST: &str = "a_forked_child_hears_why_shared_memory_ends_it";
    if let Some(role) = role() {
        return touch_in_a_child(&role);
    }
    for choice in ["uffd", "sigsegv"] {
        for (case, ended, told) in [
            ("default, shared", Err(libc::SIGSEGV), true),
            ("default, nowhere", Err(libc::SIGSEGV), false),
            ("default, sent", Err(libc::SIGSEGV), false),
            ("three arguments, shared", Ok(43), true),
            ("one argument, shared", Ok(41), true),
            ("three arguments, nowhere", Ok(43), false),
        ] {
            let output = run_self(TEST, &format!("{choice}, {case}"));
            assert_eq!(ending(&output), ended, "{choice}, {case}: {}", stderr(&output));
            let words = "touched shared memory at 0x";
            assert_eq!(stderr(&output).contains(words), told, "{choice}, {case}: {output:?}");
        }
    }
}

/// Ends as the child ends.
fn touch_in_a_child(role: &str) {
    let [choice, action, what] = role.split(", ").collect::<Vec<_>>().try_into().unwrap();
    match action {
        "three arguments" => set_action(three_arguments as *const () as usize, libc::SA_SIGINFO),
        "one argument" => set_action(one_argument as *const () as usize, 0),
        _ => set_action(libc::SIG_DFL, 0),
    }
    assert!(!dsm_mem::is_forked_child());
    let world = World::new(choice.parse().unwrap(), 1);
    // SAFETY: the child calls nothing but functions that are safe in a signal handler.
    let child = unsafe { libc::fork() };
    if child == 0 {
        match what {
            _ if !dsm_mem::is_forked_child() => (),
            "shared" => load(world.region.base()),
            "nowhere" => load(NOWHERE),
            // SAFETY: raise has no requirements.
            _ => assert_eq!(unsafe { libc::raise(libc::SIGSEGV) }, 0),
        }
        dsm_mem::end_process(0);
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    if libc::WIFSIGNALED(status) {
        set_action(libc::SIG_DFL, 0);
        // SAFETY: raise has no requirements.
        assert_eq!(unsafe { libc::raise(libc::WTERMSIG(status)) }, 0);
    }
    dsm_mem::end_process(libc::WEXITSTATUS(status));
}

#[test]
fn a_fault_of_the_driver_ends_the_process_with_a_message() {
    const TEST: &str = "a_fault_of_the_driver_ends_the_process_with_a_message";
    if let Some(role) = role() {
        let world = World::new(role.parse().unwrap(), 2);
        world.faults.adopt_driver_thread();
        world.words()[world.words_per_page()].load(Relaxed);
        return;
    }
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        let output = run_self(TEST, &choice.to_string());
        assert_eq!(ending(&output), Err(libc::SIGABRT), "{choice}: {}", stderr(&output));
        let message = "dsm: the driver thread touched shared memory";
        assert!(stderr(&output).contains(message), "{choice}: {}", stderr(&output));
    }
}

/// The program's handler of a timer touches a page too, on whichever thread the kernel chooses.
#[test]
fn signals_during_faults_run_their_handlers_and_nothing_is_lost() {
    const TEST: &str = "signals_during_faults_run_their_handlers_and_nothing_is_lost";
    if let Some(role) = role() {
        return fault_under_signals(role.parse().unwrap());
    }
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        let output = run_self(TEST, &choice.to_string());
        print!("{choice}: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(ending(&output), Ok(0), "{choice}: {}", stderr(&output));
    }
}

fn fault_under_signals(choice: Choice) {
    let mut world = World::new(choice, 8);
    world.faults.adopt_driver_thread();
    let words = world.words();
    let per_page = world.words_per_page();
    HANDLER_WORD.store(ptr::from_ref(&words[7 * per_page]).expose_provenance() as u64, Relaxed);
    set_action_of(libc::SIGALRM, on_alarm as *const () as usize, libc::SA_RESTART);
    every(Duration::from_millis(1));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            start(move || {
                let mut done = 0;
                for page in (0..7).cycle().take_while(|_| ALARMS.load(SeqCst) < 500) {
                    words[page * per_page + thread].fetch_add(1, Relaxed);
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut pages = (0..8).cycle().map(PageId);
    let mut done: u64 = 0;
    for thread in threads {
        done += world.serve_and(thread, |world| {
            let page = pages.next().unwrap();
            world.faults.protect(page, Access::None).unwrap();
        });
    }
    every(Duration::ZERO);
    set_action_of(libc::SIGALRM, libc::SIG_IGN, 0);
    // Handlers that are still running need the page.
    world.serve(start(|| {
        while INSIDE.load(SeqCst) > 0 {
            std::thread::yield_now();
        }
    }));
    let words: Vec<u64> = (0..7).flat_map(|page| world.copy(PageId(page))).collect();
    assert_eq!(words.iter().sum::<u64>(), done);
    assert_eq!(world.copy(PageId(7))[0], ALARMS.load(SeqCst));
    println!("{done} stores, {} alarms", ALARMS.load(SeqCst));
}

extern "C" fn on_alarm(_: c_int) {
    INSIDE.fetch_add(1, SeqCst);
    let word: *const AtomicU64 =
        ptr::with_exposed_provenance(usize::try_from(HANDLER_WORD.load(Relaxed)).unwrap());
    // SAFETY: the word is in the region, which is mapped as long as the timer runs.
    unsafe { &*word }.fetch_add(1, Relaxed);
    ALARMS.fetch_add(1, SeqCst);
    INSIDE.fetch_sub(1, SeqCst);
}

extern "C" fn three_arguments(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let valid = signal == libc::SIGSEGV && !info.is_null() && !context.is_null();
    dsm_mem::end_process(if valid { 43 } else { 1 });
}

extern "C" fn one_argument(signal: c_int) {
    dsm_mem::end_process(if signal == libc::SIGSEGV { 41 } else { 1 });
}

/// Passes everything on to the handler that was there when it was set.
extern "C" fn above(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    let below = usize::try_from(ABOVE.load(SeqCst)).unwrap();
    // SAFETY: the number is the handler that was in force, set with SA_SIGINFO.
    let below = unsafe { mem::transmute::<usize, Handler>(below) };
    below(signal, info, context);
}

fn present_action() -> libc::sigaction {
    let mut present = empty_action();
    // SAFETY: a null new action changes nothing; `present` is valid for writes.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSEGV, ptr::null(), &raw mut present) }, 0);
    present
}

fn set_action(handler: usize, flags: c_int) {
    set_action_of(libc::SIGSEGV, handler, flags);
}

fn set_action_of(signal: c_int, handler: usize, flags: c_int) {
    let mut action = empty_action();
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handler is a constant or a function of the signature its flags ask for.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }, 0);
}

fn empty_action() -> libc::sigaction {
    // SAFETY: a C structure of integers, for which zero bytes are valid.
    unsafe { mem::zeroed() }
}

/// Sends this process SIGALRM at this interval; zero ends it.
fn every(interval: Duration) {
    let value = libc::timeval { tv_sec: 0, tv_usec: interval.subsec_micros().into() };
    let timer = libc::itimerval { it_interval: value, it_value: value };
    // SAFETY: `timer` is valid for reads; a null old value is allowed.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    assert_eq!(set, 0);
}

fn load(address: usize) {
    let word: *const u64 = ptr::with_exposed_provenance(address);
    // SAFETY: the callers want what the processor does with a load that is not permitted.
    unsafe { word.read_volatile() };
}

/// An address that nothing is mapped at.
const NOWHERE: usize = 0x1000;
static HANDLER_WORD: AtomicU64 = AtomicU64::new(0);
static ABOVE: AtomicU64 = AtomicU64::new(0);
static ALARMS: AtomicU64 = AtomicU64::new(0);
static INSIDE: AtomicU64 = AtomicU64::new(0);
