//! A job of two ranks on this machine: whether jobs can run here is tried, not concluded.

use super::checks::{bad, beside};
use crate::nonblocking::{Wanted, wait};
use crate::words;
use dsm::{Finding, Node};
use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::error::Error;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What each rank of the trial does: adds to a word that all share, and sees all additions.
pub(super) fn be_a_rank() -> Result<(), Box<dyn Error>> {
    let node = Node::join()?;
    let sum = &node.words::<AtomicU64>(0, 1)?[0];
    sum.fetch_add(1, Ordering::SeqCst);
    node.barrier()?;
    let (seen, nodes) = (sum.load(Ordering::SeqCst), u64::from(node.nodes()));
    node.finalize()?;
    if seen != nodes {
        return Err(format!("{nodes} ranks added 1 each, and the sum is {seen}").into());
    }
    Ok(())
}

/// Runs that job.
pub(super) fn run_a_job() -> Finding {
    let began_at = Instant::now();
    let mend = "what is wrong above, and the last line, say where it fails";
    match start().and_then(|output| output.ok_or_else(|| io::ErrorKind::TimedOut.into())) {
        Ok(output) if output.status.success() => {
            let took_ms = began_at.elapsed().as_millis();
            let detail = format!("two ranks on this machine shared a page, in {took_ms} ms");
            Finding { what: WHAT, ok: true, detail, mend: None }
        }
        Ok(output) => {
            let lines = output.stderr.split(|byte| *byte == b'\n');
            let lines: Vec<_> = lines.map(words::of_stranger).filter(|it| !it.is_empty()).collect();
            bad(WHAT, format!("{}: {}", output.status, lines.join("; ")), mend)
        }
        Err(error) => bad(WHAT, format!("cannot run dsmexec: {}", words::of_error(&error)), mend),
    }
}

/// What the job printed; `None` if it took too long.
fn start() -> io::Result<Option<Output>> {
    let mut child = Command::new(beside("dsmexec"))
        .args(["--log", "none", "--stdin", "none", "--ssh", "never", "--tag", "none", "/dev/stdin"])
        .arg(std::env::current_exe()?)
        .arg("trial")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut machine_file = child.stdin.take().expect("the child was given a pipe");
    machine_file.write_all(b"localhost slots=2\n")?;
    drop(machine_file);
    let exit = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let wanted = [Wanted((), exit.as_fd(), PollFlags::IN)];
    let until = Instant::now() + PATIENCE;
    // What the job prints fits its pipes.
    while wait(&wanted, until)?.is_empty() {
        if until <= Instant::now() {
            pidfd_send_signal(&exit, Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
    }
    child.wait_with_output().map(Some)
}

const WHAT: &str = "a job";
const PATIENCE: Duration = Duration::from_secs(20);
