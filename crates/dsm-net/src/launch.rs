//! What dsmexec, dsmwrap and a rank's runtime say to each other to start, watch and end a job.
//!
//! ```text
//! dsmexec --Order--> dsmwrap --Job, Question--> rank   (ssh's stdin; the socket DSM_JOB_FD)
//! dsmexec <-Report-- dsmwrap <----- Status ---- rank   (ssh's stdout; the same socket)
//! ```
//! Each message is one [frame](crate::frame). Arguments, directories and environment are bytes, never
//! quoted for any shell.

use crate::wipe;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

mod waits;

pub use waits::{
    Awaited, Holder, Keeps, MAX_PAGES, MAX_WAITS, Occasion, Page, Process, Question, Wait, Waits,
};

/// The most ranks that [`Status::Unheard`] or [`Status::Unmet`] names.
pub const MAX_NAMED: usize = 64;

/// Both ends of a launch must speak the same version.
pub const VERSION: u16 = 7;

/// dsmwrap writes this before its first frame, so that what a login shell prints is told from it.
pub const PREAMBLE: [u8; 8] = *b"\0dsmwrap";

/// The most bytes of [`Order::Input`] that may be under way to one rank.
pub const INPUT_WINDOW: usize = 256 << 10;

/// The environment variable that names the descriptor on which a rank finds its [`Job`].
pub const JOB_FD: &str = "DSM_JOB_FD";

/// The environment variable that names the descriptor of a rank's listening socket.
pub const LISTEN_FD: &str = "DSM_LISTEN_FD";

/// From dsmexec to a dsmwrap, in this order: `Bind`, `Check`, `Start`, then any of the others.
/// Nothing is sent before the dsmwrap's [`Hello`], so that no login script can read an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Listen at this address, on a port of the kernel's choice, and answer with [`Report::Bound`].
    Bind(IpAddr),
    /// See whether the program could be started, and answer with [`Report::Found`] or
    /// [`Report::StartFailed`].
    Check(Box<Lookup>),
    /// Start the program.
    Start(Box<Start>),
    /// Bytes for the program's standard input. At most [`INPUT_WINDOW`] bytes are under way that no
    /// [`Report::InputTaken`] has confirmed.
    Input(Vec<u8>),
    /// The program's standard input ends here.
    InputEnd,
    /// End the program: SIGTERM to its process group, and SIGKILL after this time.
    End {
        /// From SIGTERM to SIGKILL; 0 is SIGKILL at once.
        grace_ms: u32,
    },
    /// dsmexec is alive.
    Heartbeat,
    /// Ask the runtime of the rank this, and answer [`Question::Waits`] with [`Report::Process`].
    Ask(Question),
}

/// What a dsmwrap needs to find a program before anything is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// As in [`Start::program`].
    pub program: Vec<u8>,
    /// As in [`Start::environment`].
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// As in [`Start::directory`].
    pub directory: Vec<u8>,
}

/// What a dsmwrap needs to start its rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// What the rank's runtime is told.
    pub job: Job,
    /// The program: a path if it holds a `/`, else looked up on PATH, with `DSM_BIN` first.
    pub program: Vec<u8>,
    /// Its arguments, without the program itself.
    pub args: Vec<Vec<u8>>,
    /// Variables set in its environment, on top of dsmwrap's own.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its working directory.
    pub directory: Vec<u8>,
    /// Whether [`Order::Input`] follows; else standard input is empty.
    pub input: bool,
    /// What the program is told besides, in the words of the PR204 family.
    pub profile: LaunchProfile,
    /// How long dsmexec may say nothing before dsmwrap ends its rank.
    pub lease_ms: u32,
    /// From SIGTERM to SIGKILL when dsmexec is gone.
    pub grace_ms: u32,
    /// After how long a wait is to be explained unasked; 0 is never.
    pub explain_after_ms: u32,
}

/// How a program is told its job, on top of [`JOB_FD`] and [`LISTEN_FD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaunchProfile {
    /// In no other way.
    Native,
    /// By a [`LaunchBlock`](crate::pr204::LaunchBlock) on a descriptor.
    Pr204,
    /// By the variables [`ETE7`](crate::pr204::ETE7), which name this address of dsmexec.
    Ete7(SocketAddr),
}

/// What the runtime of one rank is told about its job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Shown to people; not secret.
    pub id: JobId,
    /// The secret that the ranks of this job share. Without one the job has ranks that speak in plain
    /// text, and anybody may be one of them.
    pub key: Option<JobKey>,
    /// This rank.
    pub rank: u16,
    /// All nodes, in rank order.
    pub nodes: Vec<Node>,
}

/// One node as its peers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// As the machine file has it.
    pub host: String,
    /// Where its listening socket is.
    pub address: SocketAddr,
}

/// A job's name: 48 random bits, shown in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// 256 bits from the kernel, known to the processes of one job only. Not shown by `Debug`.
///
/// They stay at one place, wherever this goes, and are overwritten there in the end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobKey(Box<[u8; 32]>);

/// From a dsmwrap to dsmexec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// First frame.
    Hello(Hello),
    /// The listening socket is open.
    Bound(SocketAddr),
    /// The program of [`Order::Check`] is there and may be executed.
    Found,
    /// The program runs.
    Started {
        /// Its process id on its host.
        pid: u32,
    },
    /// The program could not be started, or a resource it needs could not be had; nothing runs.
    StartFailed(StartFailure),
    /// Bytes the program wrote, in any segmentation.
    Output {
        /// Where it wrote them.
        stream: Stream,
        /// What it wrote.
        bytes: Vec<u8>,
    },
    /// This many bytes of [`Order::Input`] have reached the program.
    InputTaken {
        /// How many.
        bytes: u32,
    },
    /// The program has closed its standard input; what is sent to it is dropped.
    InputClosed,
    /// The runtime of the rank said something.
    Status(Status),
    /// The program has ended and all its output has been reported. Last frame.
    Exited(Ending),
    /// dsmwrap is alive.
    Heartbeat,
    /// The answer to [`Question::Waits`]; a [`Status::Waits`] follows if the runtime can answer.
    Process(Process),
    /// This signal has stopped the program, as SIGSTOP does; none: it runs on.
    Stopped(Option<i32>),
}

/// How a dsmwrap presents itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its [`VERSION`].
    pub version: u16,
    /// Its package version, for messages.
    pub package: String,
    /// The name its host gives itself.
    pub hostname: String,
    /// Its process id.
    pub pid: u32,
    /// The address at which the ssh connection reached this host, if there is one.
    pub reached_at: Option<IpAddr>,
    /// The address from which the ssh connection came, if there is one.
    pub reached_from: Option<IpAddr>,
}

/// Why a program was not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// Which step failed.
    pub step: StartStep,
    /// What it was about: a path or an address.
    pub subject: String,
    /// Why, in words.
    pub cause: String,
    /// The kernel's error number, where it was the kernel that refused.
    pub errno: Option<i32>,
}

/// The steps of starting a program that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartStep {
    /// Opening the listening socket.
    Listen,
    /// Entering the working directory.
    Directory,
    /// Finding the program.
    Find,
    /// Executing it.
    Execute,
    /// Making pipes or a process.
    Resources,
}

/// A stream of a program's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

/// From the runtime inside a rank to its dsmwrap. A program may have an older runtime: new variants come last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// `dsm_init` succeeded.
    Joined {
        /// The fault engine in use and what it serves, in words.
        fault_engine: String,
    },
    /// What the rank's runtime has done, told when `dsm_finalize` is complete.
    Stats(Counts),
    /// `dsm_finalize` is complete: the rank shares nothing any more.
    Finalized,
    /// The connection to a peer is gone; the rank waits for the verdict of dsmexec.
    ContactLost {
        /// The peer.
        rank: u16,
        /// What the kernel said, in words.
        cause: String,
    },
    /// The rank cannot go on and is about to exit with this code.
    Failed {
        /// The exit code.
        code: i32,
        /// Why, in words.
        reason: String,
    },
    /// `dsm_init` has begun to wait for the other ranks. Who says so can be asked a [`Question`] when it has
    /// joined.
    Joining,
    /// The answer to [`Question::Waits`].
    Waits(Waits),
    /// Who has a lock that a thread in [`Status::Waits`] waits for, if anybody has.
    Held {
        /// Where the lock is.
        address: u64,
        /// One of the threads that have it.
        holder: Option<Holder>,
    },
    /// The runtime knows every [`Question`]. Said before [`Status::Joined`].
    Explains,
    /// People are to be told who waits for what.
    Inquire(Occasion),
    /// The answer to [`Question::Pages`]: what is known here, nothing of pages of which nothing is.
    Pages(Vec<Page>),
    /// The connection to a higher rank was reset, and the two have connected again.
    Resumed {
        /// The higher rank.
        rank: u16,
        /// How long nothing passed.
        after_ms: u32,
        /// What the kernel said of the first, in words.
        cause: String,
    },
    /// As [`ContactLost`](Self::ContactLost), after seconds in which the rank tried to connect again.
    Unresumed {
        /// The peer.
        rank: u16,
        /// What the kernel said, and why there is no new connection, in words.
        cause: String,
    },
    /// These ranks, at most [`MAX_NAMED`], have not answered for seconds, and nothing else has come from them. Said
    /// when there is one more, and in answer to [`Question::Unheard`], then of none too.
    Unheard(Vec<Unheard>),
    /// `dsm_init` still waits for other ranks. Said every second from the third on.
    Unmet {
        /// Some of them, at most [`MAX_NAMED`].
        ranks: Vec<Unmet>,
        /// Many strangers connect to this rank, and may be in the way.
        is_besieged: bool,
    },
}

/// A rank that does not answer another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// Which.
    pub rank: u16,
    /// For how long nothing has come from it.
    pub silent_ms: u32,
}

/// A rank that another has not met yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmet {
    /// Which.
    pub rank: u16,
    /// Where it listens.
    pub address: SocketAddr,
    /// For how long it was called and has not answered; a higher rank is waited for.
    pub silent_ms: Option<u64>,
}

/// What the runtime of one rank has done from `dsm_init` to `dsm_finalize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Threads stopped to read a page that was not here.
    pub read_faults: u64,
    /// Threads stopped to write a page that was not here.
    pub write_faults: u64,
    /// Threads stopped to write a page that was here for reading.
    pub upgrades: u64,
    /// Pages whose content came from another rank.
    pub pages_in: u64,
    /// Pages whose content went to another rank.
    pub pages_out: u64,
    /// Messages sent to other ranks.
    pub messages_sent: u64,
    /// Bytes of them, with the pages.
    pub bytes_sent: u64,
    /// Locks taken without a message.
    pub lock_local: u64,
    /// Locks taken from another rank.
    pub lock_remote: u64,
    /// Barriers passed.
    pub barriers: u64,
    /// Nanoseconds during which at least one thread waited for a page, summed over the pages.
    pub fault_ns: u64,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl JobKey {
    /// Takes the bytes for a key. The caller's own copy is the caller's affair.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Box::new(bytes))
    }

    /// The secret itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for JobKey {
    fn drop(&mut self) {
        wipe::bytes(&mut self.0[..]);
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobKey(..)")
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}
