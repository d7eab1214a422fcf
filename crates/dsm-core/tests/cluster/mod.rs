use dsm_core::{Config, Engine, Hold, Input, Message, Output, Rank, Space};
use std::collections::{BTreeMap, VecDeque};

/// A few engines and the wires between them, which deliver when told to.
pub(crate) struct Cluster {
    pub(crate) nodes: u16,
    engines: Vec<Engine>,
    wires: BTreeMap<(Rank, Rank), VecDeque<Message>>,
}

impl Cluster {
    /// The engines of all ranks of a region.
    pub(crate) fn new(space: Space, hold: Hold) -> Self {
        let nodes = space.nodes;
        let config = |rank| Config { rank: Rank(rank), space, hold };
        let engines = (0..nodes).map(|rank| Engine::new(config(rank))).collect();
        Self { nodes, engines, wires: BTreeMap::new() }
    }

    /// Gives one rank an input; what it sends is on the wires afterwards.
    pub(crate) fn handle(&mut self, rank: Rank, input: Input) -> Vec<Output> {
        let outputs: Vec<_> = self.engines[usize::from(rank.0)].handle(input).into_iter().collect();
        for output in &outputs {
            if let Output::Send { to, message, .. } = *output {
                assert!(to != rank && to.0 < self.nodes, "rank {rank} sends to rank {to}");
                self.wires.entry((rank, to)).or_default().push_back(message);
            }
        }
        outputs
    }

    /// The oldest message from one rank to another arrives.
    pub(crate) fn deliver(&mut self, from: Rank, to: Rank) -> Option<Vec<Output>> {
        let wire = self.wires.get_mut(&(from, to))?;
        let message = wire.pop_front()?;
        if wire.is_empty() {
            self.wires.remove(&(from, to));
        }
        Some(self.handle(to, Input::Message { from, message }))
    }

    /// Everything under way, wire by wire, in order.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = (Rank, Rank, Message)> {
        let all = self.wires.iter();
        all.flat_map(|(&(from, to), wire)| wire.iter().map(move |&message| (from, to, message)))
    }
}
