use super::Outcome;
use super::busy::Computing;
use super::ground::Ground;
use super::link::{Link, Order};
use super::{operation, streams};

/// A rank other than 0: does as it is ordered.
pub(super) fn until_the_end(ground: &Ground<'_>, mut link: Link) -> Outcome {
    let mut computing = None;
    loop {
        match link.next()? {
            Order::Trip => link.answer_trip()?,
            Order::Assist { line, sample } => {
                operation::assist(ground, line, sample)?;
                streams::assist(ground, line, sample);
                link.answer([0; 2])?;
            }
            Order::Look { line, sample } => {
                operation::look(ground, line, sample)?;
                link.answer([0; 2])?;
            }
            Order::Settle => {
                ground.node.barrier()?;
                let stats = ground.node.stats();
                link.answer([stats.messages_sent, stats.bytes_sent])?;
            }
            Order::Together => operation::together(ground).map(drop)?,
            Order::Hold => operation::hold(ground, &mut link)?,
            Order::Compute { threads } => {
                drop(computing.take());
                computing = (threads > 0).then(|| Computing::start(threads));
                link.answer([0; 2])?;
            }
            Order::Stream { kib } => link.answer_stream(kib)?,
            Order::End => return Ok(()),
        }
    }
}
