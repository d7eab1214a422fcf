use super::link::Orders;
use super::waker::Waker;
use crate::nonblocking::{Wanted, wait};
use dsm_net::launch::{INPUT_WINDOW, Order};
use rustix::event::PollFlags;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Passes dsmexec's standard input to one rank, no faster than its program reads.
#[derive(Debug)]
pub(crate) struct Input {
    window: Arc<Window>,
    waker: Waker,
    thread: JoinHandle<()>,
    /// Disconnected when the thread is done.
    done: Receiver<()>,
}

/// How much may be sent before the program has taken what was.
#[derive(Debug)]
struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    credit: usize,
    closed: bool,
}

impl Input {
    /// Starts to read.
    ///
    /// # Errors
    /// If there is no thread or descriptor to be had.
    pub(crate) fn start(orders: Orders) -> io::Result<Self> {
        let state = Mutex::new(State { credit: INPUT_WINDOW, closed: false });
        let window = Arc::new(Window { state, changed: Condvar::new() });
        let waker = Waker::new()?;
        let (sender, done) = channel();
        let feed = (orders, Arc::clone(&window), waker.clone());
        let builder = thread::Builder::new().name("input".into());
        let thread = builder.spawn(move || run(&feed.0, &feed.1, &feed.2, sender))?;
        Ok(Self { window, waker, thread, done })
    }

    /// The program took so many bytes.
    pub(crate) fn on_taken(&self, bytes: u32) {
        let bytes = usize::try_from(bytes).unwrap_or(INPUT_WINDOW);
        let mut state = self.window.lock();
        state.credit = state.credit.saturating_add(bytes).min(INPUT_WINDOW);
        self.window.changed.notify_all();
    }

    /// Nothing more is wanted.
    pub(crate) fn close(&self) {
        self.window.lock().closed = true;
        self.window.changed.notify_all();
        self.waker.wake();
    }

    /// Ends the thread. If another process read the bytes that were announced to it, it is stuck, and
    /// left behind.
    pub(crate) fn finish(self) {
        self.close();
        if self.done.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Disconnected) {
            self.thread.join().expect("the input thread does not panic");
        }
    }
}

impl Window {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    /// Waits until something may be sent; `None` when nothing ever may.
    fn credit(&self) -> Option<usize> {
        let full = |state: &mut State| state.credit == 0 && !state.closed;
        let state = self.changed.wait_while(self.lock(), full).expect(UNPOISONED);
        (!state.closed).then_some(state.credit)
    }
}

fn run(orders: &Orders, window: &Window, waker: &Waker, _done: Sender<()>) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Some(credit) = window.credit() {
        let room = credit.min(PIECE_BYTES);
        if !is_readable(waker) {
            continue;
        }
        match rustix::io::read(STDIN, &mut buffer[..room]) {
            Ok(0) | Err(Errno::IO | Errno::BADF) => return orders.send(Order::InputEnd),
            Ok(count) => {
                window.lock().credit -= count;
                orders.send(Order::Input(buffer[..count].to_vec()));
            }
            Err(Errno::INTR | Errno::AGAIN) => (),
            Err(_) => return orders.send(Order::InputEnd),
        }
    }
}

/// Waits for bytes; false if there may be none, or not for this process: who reads from a terminal in
/// the background is stopped, and that would stop the job.
fn is_readable(waker: &Waker) -> bool {
    let wanted = [Wanted(true, STDIN, PollFlags::IN), Wanted(false, waker.as_fd(), PollFlags::IN)];
    if in_background() {
        // Coming to the foreground is no event that could be waited for.
        let _ = wait(&wanted[1..], Instant::now() + FOREGROUND);
        return false;
    }
    let ready = wait(&wanted, Instant::now() + Duration::from_secs(60)).unwrap_or_default();
    ready == [true] && !in_background()
}

fn in_background() -> bool {
    let foreground = rustix::termios::tcgetpgrp(STDIN);
    foreground.is_ok_and(|group| group != rustix::process::getpgrp())
}

const STDIN: BorrowedFd<'static> = rustix::stdio::stdin();
const PIECE_BYTES: usize = 64 << 10;
/// How often a job in the background looks whether it is there.
const FOREGROUND: Duration = Duration::from_millis(500);
const FAREWELL: Duration = Duration::from_millis(200);
const UNPOISONED: &str = "nobody panics who holds the window";
