//! How a rank ends that cannot go on.

use crate::fatal::Fatal;
use crate::supervisor::Supervisor;
use dsm_core::Rank;
use dsm_mem::{end_process, unblock_signals};
use dsm_net::launch::Status;
use std::time::Duration;

/// Reports why this rank cannot go on, lets the launcher find out which rank failed first, and ends.
pub(crate) fn end_rank(rank: Rank, supervisor: Option<&Supervisor>, fatal: &Fatal) -> ! {
    let code = fatal.exit_code();
    let reason = fatal.to_string();
    match (supervisor, fatal) {
        (Some(supervisor), Fatal::ContactLost { rank: peer, cause }) => {
            supervisor.tell(&Status::ContactLost { rank: peer.0, cause: cause.clone() });
            await_verdict(supervisor);
        }
        (Some(supervisor), Fatal::Unresumed { rank: peer, cause }) => {
            supervisor.tell(&Status::Unresumed { rank: peer.0, cause: cause.clone() });
            await_verdict(supervisor);
        }
        (Some(supervisor), _) => supervisor.tell(&Status::Failed { code, reason: reason.clone() }),
        (None, _) => (),
    }
    // One write: the program's threads may hold the lock of standard error while they wait for a page.
    let line = format!("dsm: rank {rank} pid {}: {reason}\n", std::process::id());
    let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
    end_process(code)
}

fn await_verdict(supervisor: &Supervisor) {
    // Nothing is served any more; the order to end may come as a signal.
    unblock_signals();
    supervisor.wait_for_end(VERDICT_TIMEOUT);
}

/// How long the launcher may take to find out which rank failed.
pub(crate) const VERDICT_TIMEOUT: Duration = Duration::from_secs(5);
