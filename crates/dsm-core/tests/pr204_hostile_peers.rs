//! Whatever a peer of the PR204 family says, the engine goes on or names it; it never panics.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dsm_core::pr204::{Config, Engine, Input, Message, Output, Profile, Reason};
use dsm_core::{PageId, Rank};

const NODES: u16 = 3;
const PAGES: u64 = 4;

fn engine(profile: Profile) -> Engine {
    let nodes = NODES.min(profile.max_nodes());
    Engine::new(Config { profile, rank: Rank(1), nodes, pages: PAGES })
}

/// A generator of Marsaglia's, good enough to stir with.
struct Stir(u64);

impl Stir {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn rank(&mut self, limit: u64) -> Rank {
        Rank(u16::try_from(self.below(limit)).unwrap())
    }

    fn input(&mut self, profile: Profile) -> Input {
        let nodes = u64::from(NODES.min(profile.max_nodes()));
        // One more than there are, of each.
        let (rank, page) = (self.rank(nodes + 1), PageId(self.below(PAGES + 1)));
        let from = if self.below(2) == 0 { Rank(0) } else { Rank(if nodes > 2 { 2 } else { 0 }) };
        let message = match self.below(12) {
            0..4 => Message::Request { source: rank, page },
            4..9 => Message::Page { owner: rank, page },
            9 => Message::Negative,
            10 => Message::Finalize,
            _ => Message::Nothing,
        };
        let own = PageId(self.below(PAGES));
        match self.below(16) {
            0..4 => Input::Fault { page: own },
            4 => Input::HoldOver { page: own },
            5 => Input::Retry,
            6 if self.below(10) == 0 => Input::Finalize,
            7 if self.below(20) == 0 => Input::PeerClosed { rank: from },
            _ => Input::Message { from, message },
        }
    }
}

#[test]
fn any_message_in_any_state_is_answered_or_refused() {
    let mut refused = 0;
    for seed in 1..=4000_u64 {
        for profile in [Profile::Seed8, Profile::Bcast] {
            let (mut engine, mut stir) = (engine(profile), Stir(seed << 20));
            for _ in 0..60 {
                let outputs = engine.handle(stir.input(profile));
                for output in &outputs {
                    if let Output::Send { to, .. } = output {
                        assert_ne!(*to, Rank(1), "a rank sends nothing to itself");
                    }
                }
                if outputs.iter().any(|output| matches!(output, Output::Fail { .. })) {
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!(refused > 4000, "{refused} runs ended with a refusal");
}

#[track_caller]
fn refuses(profile: Profile, said: &[Message]) {
    let mut engine = engine(profile);
    let (last, first) = said.split_last().unwrap();
    for &message in first {
        let _ = engine.handle(Input::Message { from: Rank(0), message });
    }
    let outputs = engine.handle(Input::Message { from: Rank(0), message: *last });
    let refused = |output: &Output| {
        matches!(output, Output::Fail { rank: Rank(0), reason: Reason::Broke { .. } })
    };
    assert!(outputs.iter().any(refused), "{last:?} gives {outputs:?}");
}

#[test]
fn what_cannot_be_names_the_peer() {
    let request = |source, page| Message::Request { source: Rank(source), page: PageId(page) };
    let page = |owner, page| Message::Page { owner: Rank(owner), page: PageId(page) };
    // There is no such rank or page.
    refuses(Profile::Bcast, &[request(3, 1)]);
    refuses(Profile::Bcast, &[request(0, PAGES)]);
    refuses(Profile::Bcast, &[page(9, 1)]);
    // Page 1 is here already.
    refuses(Profile::Bcast, &[page(1, 1)]);
    refuses(Profile::Bcast, &[Message::Finalize, Message::Finalize]);
    refuses(Profile::Bcast, &vec![page(2, 1); (1 << 20) + 1]);
    // Page 0 is with the rank that asks, nothing was asked for, and the source is this rank.
    refuses(Profile::Seed8, &[request(0, 0)]);
    refuses(Profile::Seed8, &[page(1, 0)]);
    refuses(Profile::Seed8, &[request(1, 1)]);
}
