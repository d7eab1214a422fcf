//! A rank of ours beside foreign ones of the PR204 family: how they meet, and who serves its pages.
//!
//! [`dsm_core::pr204`] decides, and a thread of its own carries out: it waits for faults and for what the
//! other ranks say, and does nothing else, because there are no calls to answer. These ranks share pages and
//! nothing more; [`Foreign`] is what a [`Node`](crate::Node) then has instead.
//!
//! The area is the family's: 100 pages of 4096 bytes at 0x3ff9c000. `DSM_BASE`, `DSM_SIZE`, `DSM_HEAP` and
//! `DSM_PLACEMENT` do not apply; rank 0 says so if one of them is set. All that is said is plaintext, and
//! nobody proves who he is.

mod driver;
mod inbound;
mod link;
mod meet;

pub(crate) use driver::{Driver, Parts};
pub(crate) use meet::meet;

use crate::settings::PeerProfile;
use dsm_core::Rank;
use dsm_core::pr204::Profile;
use dsm_mem::{Layout, Region, RegionError};
use dsm_net::pr204::{BASE, PAGE_BYTES, PAGES};
use rustix::event::EventfdFlags;
use std::env;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use thiserror::Error;

/// Why a process cannot be a rank beside foreign ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ForeignError {
    /// The family's pages have one size.
    #[error(
        "cannot speak DSM_PEER={}: its pages have {PAGE_BYTES} bytes, those of this machine {page_bytes}",
        profile.as_str()
    )]
    PageSize {
        /// How the ranks were to speak.
        profile: PeerProfile,
        /// Bytes of a page here.
        page_bytes: usize,
    },
    /// The profile is for fewer ranks.
    #[error(
        "cannot speak DSM_PEER={} among {nodes} ranks: it is for at most {most}",
        profile.as_str()
    )]
    Nodes {
        /// How the ranks were to speak.
        profile: PeerProfile,
        /// How many ranks the job has.
        nodes: usize,
        /// How many it may have.
        most: u16,
    },
}

/// What a node has of foreign ranks.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    pub(crate) profile: PeerProfile,
    /// Written to when the program wants to leave.
    finalize: Arc<OwnedFd>,
}

impl Foreign {
    pub(crate) fn new(profile: PeerProfile) -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self { profile, finalize: Arc::new(rustix::event::eventfd(0, flags)?) })
    }

    /// Has the driver leave once all ranks want to.
    pub(crate) fn finalize(&self) {
        let one = 1_u64.to_ne_bytes();
        rustix::io::write(&self.finalize, &one).expect("an eventfd takes one more");
    }

    pub(crate) fn finalize_event(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.finalize)
    }
}

/// How the ranks speak, if they do so as the family does.
///
/// # Errors
/// If the profile is not for so many ranks or not for this machine.
pub(crate) fn profile_of(
    profile: PeerProfile,
    nodes: usize,
) -> Result<Option<Profile>, ForeignError> {
    let speech = match profile {
        PeerProfile::Native => return Ok(None),
        PeerProfile::Seed8 => Profile::Seed8,
        PeerProfile::Bcast => Profile::Bcast,
    };
    let (most, page_bytes) = (speech.max_nodes(), rustix::param::page_size());
    if nodes > usize::from(most) {
        return Err(ForeignError::Nodes { profile, nodes, most });
    }
    if page_bytes != PAGE_BYTES {
        return Err(ForeignError::PageSize { profile, page_bytes });
    }
    Ok(Some(speech))
}

/// The family's area.
pub(crate) fn reserve() -> Result<Region, RegionError> {
    Region::reserve(Layout { base: BASE, bytes: PAGES * PAGE_BYTES, heap_bytes: 0 })
}

/// Says once, on rank 0, which settings do not apply.
pub(crate) fn announce_ignored(rank: Rank, profile: PeerProfile) {
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let set: Vec<_> = INAPPLICABLE.into_iter().filter(is_set).collect();
    if rank != Rank(0) || set.is_empty() {
        return;
    }
    let line = format!(
        "dsm: {} ignored: with DSM_PEER={} the area is {PAGES} pages of {PAGE_BYTES} bytes at {BASE:#x}\n",
        set.join(", "),
        profile.as_str()
    );
    // Standard error may be closed; who closed it wants no word.
    let _ = io::stderr().write_all(line.as_bytes());
}

const INAPPLICABLE: [&str; 4] = ["DSM_BASE", "DSM_SIZE", "DSM_HEAP", "DSM_PLACEMENT"];
