use super::event::Event;
use super::foreign::{By, Desk, GuestThread};
use super::link_thread::LinkThread;
use super::printer::Printer;
use super::waker::Waker;
use dsm_net::launch::Order;
use dsm_net::pr204::LaunchBlock;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The way to one dsmwrap: a child process, and a thread that alone talks to it.
#[derive(Debug)]
pub(crate) struct Link {
    orders: Orders,
    thread: JoinHandle<()>,
}

/// Gives orders to one dsmwrap, from any thread, and never waits.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    shared: Arc<Mutex<Shared>>,
    waker: Waker,
}

/// What a link has to do.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Pass this order on, or obey it.
    Obey(Order),
    /// Tell a foreign wrapper this.
    Tell(LaunchBlock),
}

/// What a link is and whom it tells.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) rank: u16,
    /// The rank and its host, to begin a line with.
    pub(crate) name: String,
    pub(crate) command: Command,
    /// How long the greeting is waited for.
    pub(crate) patience: Duration,
    /// After how long without a word its host is lost.
    pub(crate) dead_after: Duration,
    pub(crate) events: Sender<Event>,
    pub(crate) printer: Printer,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Vec<Task>,
    wish: Wish,
}

/// How the link is to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    #[default]
    Stay,
    /// Send what is ordered, then end the stream of orders.
    Close,
    /// Kill the local process.
    Kill,
}

impl Link {
    /// Starts the process and its thread, which ends with an [`Event::Gone`].
    ///
    /// # Errors
    /// If the kernel has no process, pipe or thread. A process without its thread ends by itself: its
    /// orders end.
    pub(crate) fn start(mut setup: Setup) -> io::Result<Self> {
        let orders = Orders { shared: Arc::default(), waker: Waker::new()? };
        // A group of its own: Ctrl-C at the terminal is for dsmexec, which then ends the ranks.
        let piped = setup.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = piped.stderr(Stdio::piped()).process_group(0).spawn()?;
        let name = format!("rank {}", setup.rank);
        let worker = LinkThread::new(setup, child, orders.clone())?;
        let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
        Ok(Self { orders, thread: builder.spawn(move || worker.run())? })
    }

    /// The same for the wrapper of another member, which finds dsmexec at `desk`. Its input is piped if
    /// `input` says so.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_guest(
        mut setup: Setup,
        by: By,
        desk: Desk,
        input: Stdio,
    ) -> io::Result<Self> {
        let orders = Orders { shared: Arc::default(), waker: Waker::new()? };
        let piped = setup.command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = piped.process_group(0).spawn()?;
        let name = format!("rank {}", setup.rank);
        let worker = GuestThread::new(setup, child, by, desk, orders.clone())?;
        let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
        Ok(Self { orders, thread: builder.spawn(move || worker.run())? })
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Waits for the thread. Only after its [`Event::Gone`].
    pub(crate) fn join(self) {
        self.thread.join().expect("a link's thread does not panic");
    }
}

impl Orders {
    pub(crate) fn send(&self, order: Order) {
        self.give(Task::Obey(order));
    }

    pub(crate) fn give(&self, task: Task) {
        self.lock().waiting.push(task);
        self.waker.wake();
    }

    /// No more orders: the dsmwrap ends its rank, if there is one, and itself.
    pub(crate) fn close(&self) {
        self.wish(Wish::Close);
    }

    /// Kills the local process: dsmwrap, and with it its rank, or ssh.
    pub(crate) fn kill(&self) {
        self.wish(Wish::Kill);
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Everything ordered since the last time, and how to go on.
    pub(crate) fn take(&self) -> (Vec<Task>, Wish) {
        self.waker.clear();
        let mut shared = self.lock();
        (std::mem::take(&mut shared.waiting), shared.wish)
    }

    fn wish(&self, wish: Wish) {
        let mut shared = self.lock();
        shared.wish = shared.wish.max(wish);
        drop(shared);
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nobody panics who holds a link's orders")
    }
}

const STACK_BYTES: usize = 512 << 10;
