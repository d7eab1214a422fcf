use dsm_net::launch::Report;
use dsm_net::pr204::Announcement;
use std::process::ExitStatus;
use std::time::Duration;

/// Everything the thread that runs a job learns from the others.
#[derive(Debug)]
pub(crate) enum Event {
    /// A dsmwrap said something other than output.
    Report { rank: u16, report: Report },
    /// A foreign dsmwrap has said where its rank listens.
    Announced { rank: u16, announcement: Announcement },
    /// The connection to a dsmwrap is over, and its local process reaped.
    Gone { rank: u16, gone: Gone },
    /// A signal to dsmexec.
    Signal(i32),
    /// All output is written.
    Printed,
}

/// How the connection to a dsmwrap ended.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) how: How,
    /// The last it, or ssh, said on standard error, or else in place of a greeting; may be empty.
    pub(crate) said: String,
}

#[derive(Debug)]
pub(crate) enum How {
    /// The local process, dsmwrap or ssh, ended by itself or was killed.
    Ended(ExitStatus),
    /// Nothing was heard for so long.
    Silent(Duration),
    /// It did not greet within so long.
    NoGreeting(Duration),
    /// Too much came in place of a greeting.
    Noise,
    /// What it said cannot be understood.
    Garbled(String),
}
