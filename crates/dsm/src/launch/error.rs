use dsm_net::frame::FrameError;
use dsm_net::pr204::FormatError;
use std::io;
use thiserror::Error;

/// Why the launcher's word could not be understood.
#[derive(Debug, Error)]
pub enum JobError {
    /// A variable of the environment is not what it must be.
    #[error("{variable} is {value:?}, expected {expected}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A variable is there without another that belongs to it.
    #[error("{present} is set and {missing} is not")]
    Unset {
        /// The variable that is there.
        present: &'static str,
        /// The variable that is not.
        missing: &'static str,
    },
    /// The descriptor cannot be used.
    #[error("cannot take over descriptor {number} named by {variable}: {source}")]
    Descriptor {
        /// The variable.
        variable: &'static str,
        /// The descriptor.
        number: i32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The descriptor is open, and something else.
    #[error("descriptor {number} named by {variable} is not {expected}")]
    NotSuch {
        /// The variable.
        variable: &'static str,
        /// The descriptor.
        number: i32,
        /// What it must be.
        expected: &'static str,
    },
    /// The description of the job did not come.
    #[error("cannot read the job from the launcher: {0}")]
    Read(#[from] io::Error),
    /// What came is not the description of a job.
    #[error("cannot read the job from the launcher: {0}")]
    Frame(#[from] FrameError),
    /// The description contradicts itself.
    #[error("the launcher describes a job of {nodes} nodes and calls this one rank {rank}")]
    Rank {
        /// How many nodes.
        nodes: usize,
        /// Which rank.
        rank: u16,
    },
    /// A launcher of the PR204 family did not say what it should.
    #[error("cannot read the launch block from descriptor {number}: {source}")]
    Block {
        /// The descriptor.
        number: i32,
        /// What is wrong.
        source: StreamError,
    },
    /// A launcher of the PR204 family that listens cannot be asked.
    #[error("cannot learn the job from the launcher at {host} port {port}: {source}")]
    Ask {
        /// Its machine.
        host: String,
        /// Where it listens.
        port: u16,
        /// What is wrong.
        source: StreamError,
    },
    /// This rank cannot be reached by others.
    #[error("cannot listen for other ranks: {0}")]
    Listen(#[source] io::Error),
    /// The machine of a rank is not known here.
    #[error("cannot find the machine of rank {rank}, {machine}: {source}")]
    Machine {
        /// The rank.
        rank: u16,
        /// Its machine's name.
        machine: String,
        /// What the resolver said.
        source: io::Error,
    },
}

/// What can be wrong with a conversation with a launcher of the PR204 family.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The kernel or the resolver said so.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The launcher said what cannot be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The launcher said too little for too long.
    #[error("not complete after {waited_s} s: {so_far}")]
    Late {
        /// How long it was waited for.
        waited_s: u64,
        /// How far it came.
        so_far: FormatError,
    },
}

impl JobError {
    /// The exit code of a rank that ends for this; the table is in docs/running.md.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::Ask { source: StreamError::System(_), .. } | Self::Machine { .. } => 75,
            Self::Listen(_) => 71,
            _ => 76,
        }
    }
}
