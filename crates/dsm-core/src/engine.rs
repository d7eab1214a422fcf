#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::Situation;

use crate::barrier::{Barrier, COORDINATOR};
use crate::copy::{Copies, Demand, State};
use crate::directory::{Directory, HomeCopy};
use crate::io::{Call, Input, Output, Outputs, Violation};
use crate::message::Message;
use crate::mutant::{Mutant, Planted};
use crate::{Access, PageId, Rank};

/// What an engine is told at its birth; equal on all ranks but for `rank`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// This rank.
    pub rank: Rank,
    /// How many ranks there are.
    pub nodes: u16,
    /// How many pages there are.
    pub pages: u64,
    /// Whether a granted page stays for a minimum time.
    pub hold: Hold,
}

/// Whether a granted page stays for a minimum time, so that an instruction that touches two pages retires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Demands are met at once.
    None,
    /// Demands wait for [`Input::HoldOver`], which the driver sends some time after [`Output::Hold`].
    Timed,
}

/// One rank's half of the coherence protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Engine {
    rank: Rank,
    nodes: u16,
    pages: u64,
    planted: Planted,
    copies: Copies,
    directory: Directory,
    barrier: Barrier,
}

impl Engine {
    /// The engine of one rank. Every page is zero and owned by its home.
    ///
    /// # Panics
    /// If the rank is not below the number of nodes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::build(config, Planted::default())
    }

    /// An engine with a bug in it.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(config: Config, mutant: crate::Mutant) -> Self {
        Self::build(config, Planted { mutant: Some(mutant) })
    }

    fn build(Config { rank, nodes, pages, hold }: Config, planted: Planted) -> Self {
        assert!(rank.0 < nodes, "a rank is below the number of nodes");
        Self {
            rank,
            nodes,
            pages,
            planted,
            copies: Copies::new(rank, hold == Hold::Timed, planted),
            directory: Directory::new(rank, planted),
            barrier: Barrier::new(nodes, planted),
        }
    }

    /// Takes one input. The outputs must be carried out, in order, before the next.
    pub fn handle(&mut self, input: Input) -> Outputs {
        self.take(input, |_, _| ())
    }

    /// Takes an input, and tells of each message of this rank to itself before it is taken.
    fn take(&mut self, input: Input, mut watch: impl FnMut(&Self, Message)) -> Outputs {
        let mut out = Outputs::new(self.rank);
        match input {
            Input::Fault { page, access } => self.on_fault(page, access, &mut out),
            Input::Message { from, message } => self.on_message(from, message, &mut out),
            Input::Call { id, call: Call::Barrier(kind) } => {
                self.barrier.on_call(id, kind, &mut out);
            }
            Input::HoldOver { page } => self.copies.on_hold_over(page, self.home(page), &mut out),
            Input::PeerLost { .. } if self.planted.is(Mutant::PeerLossIgnored) => {}
            Input::PeerLost { rank } => {
                out.push(Output::Fail { violation: Violation::PeerLost { rank } });
            }
        }
        while let Some(message) = out.next_own() {
            watch(self, message);
            self.on_message(self.rank, message, &mut out);
            if self.planted.is(Mutant::OwnMessageLost) {
                break;
            }
        }
        out
    }

    /// What this rank's threads may do with `page`.
    #[must_use]
    pub fn access(&self, page: PageId) -> Access {
        self.copies.state(page, self.home(page)).access()
    }

    /// Whether the content of `page` may arrive now: it was asked for and nothing is held.
    /// A driver asks before it lets a peer's bytes into the page.
    #[must_use]
    pub fn awaits_content(&self, page: PageId) -> bool {
        self.copies.awaits_content(page, self.home(page))
    }

    /// Whether some demand may be waiting for a hold time to end: only then does its end matter at once.
    #[must_use]
    pub fn has_deferred_demands(&self) -> bool {
        self.copies.has_deferred_demands()
    }

    /// The rank that keeps the directory entry of `page`.
    #[must_use]
    pub fn home(&self, page: PageId) -> Rank {
        let home = page.0 % u64::from(self.nodes);
        Rank(u16::try_from(home).expect("a remainder is below its divisor"))
    }

    fn on_fault(&mut self, page: PageId, access: Access, out: &mut Outputs) {
        if page.0 >= self.pages || access == Access::None {
            return out.push(Output::Fail { violation: Violation::BadFault { page, access } });
        }
        self.copies.on_fault(page, access, self.home(page), out);
    }

    fn on_message(&mut self, from: Rank, message: Message, out: &mut Outputs) {
        if let Err(why) = self.take_message(from, message, out) {
            out.fail(from, message, why);
        }
    }

    fn take_message(
        &mut self,
        from: Rank,
        message: Message,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        match message {
            Message::Request { page, access } => {
                self.require_home(page)?;
                let home_copy = match self.copies.state(page, self.rank) {
                    State::Fresh if !self.planted.is(Mutant::FreshMistaken) => HomeCopy::Fresh,
                    _ => HomeCopy::Used,
                };
                self.directory.on_request(from, page, access, home_copy, out)
            }
            Message::Ack { page, epoch } => {
                self.require_home(page)?;
                self.directory.on_ack(from, page, epoch, out)
            }
            Message::Forward { page, right, to, epoch, have } => {
                if to == self.rank || to.0 >= self.nodes || epoch <= have {
                    return Err("a forward names another rank and a later epoch");
                }
                self.on_demand(from, page, Demand::Forward { right, to, epoch, have }, out)
            }
            Message::Invalidate { page, have } => {
                self.on_demand(from, page, Demand::Invalidate { have }, out)
            }
            Message::Grant { page, right, epoch, payload } => {
                self.require_page(page)?;
                let home = self.home(page);
                self.copies.on_grant(page, (right, epoch, payload), home, out)
            }
            Message::BarrierArrive { kind, epoch } => {
                if self.rank != COORDINATOR {
                    return Err("a rank arrives at the coordinator");
                }
                self.barrier.on_arrive(from, kind, epoch, out)
            }
            Message::BarrierRelease { kind, epoch } => {
                self.barrier.on_release(from, kind, epoch, out)
            }
        }
    }

    fn on_demand(
        &mut self,
        from: Rank,
        page: PageId,
        demand: Demand,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        self.require_page(page)?;
        let home = self.home(page);
        if from != home {
            return Err("a demand comes from the page's home");
        }
        self.copies.on_demand(page, demand, home, usize::from(self.nodes) + 1, out)
    }

    fn require_home(&self, page: PageId) -> Result<(), &'static str> {
        self.require_page(page)?;
        if self.home(page) == self.rank { Ok(()) } else { Err("it goes to the page's home") }
    }

    fn require_page(&self, page: PageId) -> Result<(), &'static str> {
        if page.0 < self.pages { Ok(()) } else { Err("a page is in the region") }
    }
}
