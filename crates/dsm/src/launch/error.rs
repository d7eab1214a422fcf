use dsm_net::frame::FrameError;
use std::io;
use thiserror::Error;

/// Why the launcher's word could not be understood.
#[derive(Debug, Error)]
pub enum JobError {
    /// A variable of the environment is not a descriptor number.
    #[error("{variable} is {value:?}, expected the number of an open descriptor")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
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
}
