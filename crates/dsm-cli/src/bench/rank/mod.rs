//! What a rank of a bench job does: rank 0 measures, the others do as it orders.

mod busy;
mod ground;
mod latency;
mod link;
mod one_rank;
mod operation;
mod serve;
mod settled;
mod streams;
mod untouched;

use super::line::Suite;
use super::reading::{Reading, Setup, Spec, Word};
use dsm::Node;
use dsm_net::Encryption;
use ground::Ground;
use link::{Link, Order};
use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Write};

type Outcome = Result<(), Box<dyn Error>>;

/// Joins the job and measures, or helps to.
///
/// # Errors
/// Whatever keeps it from that.
pub(crate) fn be_a_rank(spec: &str) -> Outcome {
    let spec: Spec = serde_json::from_str(spec)?;
    let node = Node::join()?;
    match spec.suite {
        Suite::OneRank => one_rank::measure(&node, &spec)?,
        Suite::Untouched => untouched::measure(&node, &spec)?,
        Suite::Latency | Suite::Busy | Suite::Streams => among_ranks(&node, &spec)?,
    }
    node.finalize()?;
    Ok(())
}

fn among_ranks(node: &Node, spec: &Spec) -> Outcome {
    let mut links = Link::meet(node)?;
    spec.pinning.apply(node.rank())?;
    let ground = Ground::new(node)?;
    if node.rank() > 0 {
        return serve::until_the_end(&ground, links.pop().ok_or("no link to rank 0")?);
    }
    let (fault_engine, is_encrypted) = (fault_engine()?.to_owned(), is_encrypted(node));
    say(&Word::Setup(Setup { fault_engine, is_encrypted }))?;
    match spec.suite {
        Suite::Busy => busy::measure(&ground, spec, &mut links)?,
        Suite::Streams => streams::measure(&ground, spec, &mut links)?,
        _ => latency::measure(&ground, spec, &mut links)?,
    }
    link::order_all(&mut links, Order::End)
}

/// By what this process holds.
fn fault_engine() -> io::Result<&'static str> {
    for descriptor in fs::read_dir("/proc/self/fd")? {
        let target = fs::read_link(descriptor?.path());
        if target.is_ok_and(|target| target.to_string_lossy().contains("userfaultfd")) {
            return Ok("uffd");
        }
    }
    Ok("sigsegv")
}

/// As the ranks decide it themselves.
fn is_encrypted(node: &Node) -> bool {
    let named = env::var("DSM_ENCRYPT").ok().and_then(|name| Encryption::named(&name));
    let (choice, ends) = (named.unwrap_or_default(), node.address(0).zip(node.address(1)));
    ends.is_some_and(|(one, other)| {
        choice.between(one, other) != Encryption::Never.between(one, other)
    })
}

/// Says how much is done.
fn progress(done: u32, of: u32) -> Outcome {
    if done.is_multiple_of(of.div_ceil(PROGRESS_STEPS)) {
        say(&Word::Progress(f64::from(done) / f64::from(of)))?;
    }
    Ok(())
}

fn tell(reading: Option<Reading>) -> Outcome {
    reading.map_or(Ok(()), |reading| say(&Word::Reading(reading)))
}

fn say(word: &Word) -> Outcome {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    Ok(io::stdout().write_all(&line)?)
}

const PROGRESS_STEPS: u32 = 100;
