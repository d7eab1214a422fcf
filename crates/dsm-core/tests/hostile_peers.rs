//! Whatever well-formed message a peer sends, in whatever state, the engine answers or ends the job with
//! a reason. It never panics, and what it asks its driver for stays well-formed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod cluster;

use cluster::Cluster;
use dsm_core::wire::{HEADER_BYTES, Limits, decode, encode};
use dsm_core::{
    Access, BarrierKind, Call, CallId, Epoch, Hold, Input, Message, Output, PageId, Payload, Rank,
    Right, Space,
};

#[test]
fn no_message_makes_an_engine_panic() {
    let first_seed = 1;
    println!("seeds from {first_seed}");
    let mut said = Counts::default();
    for seed in first_seed..first_seed + CLUSTERS {
        let mut rng = Rng(seed);
        let hold = if rng.below(2) == 0 { Hold::None } else { Hold::Timed };
        let pages = 1 + rng.below(3);
        let mut cluster = Cluster::new(2 + rng.below_u16(3), pages, hold);
        for _ in 0..rng.below(60) {
            honest_step(&mut cluster, pages, &mut rng);
        }
        for _ in 0..STEPS {
            match rng.below(3) {
                0 => honest_step(&mut cluster, pages, &mut rng),
                _ => said.count(&hostile_step(&mut cluster, pages, &mut rng)),
            }
        }
    }
    println!("{said:?}");
    assert!(said.hostile >= 200_000, "{said:?}");
    // Both kinds of answer are frequent, or the messages would not be of the interesting sort.
    assert!(said.failures > said.hostile / 4 && said.answers > said.hostile / 50, "{said:?}");
}

/// Headers with a few random bytes decode to what encodes to them, or not at all.
#[test]
fn no_header_makes_the_decoder_panic() {
    let limits = Limits { space: Space::of_pages(4, 8), page_bytes: 4096 };
    let mut rng = Rng(1);
    let mut decoded = 0;
    for _ in 0..400_000 {
        let mut header = encode(&draw_message(4, 8, &mut rng), &limits);
        for _ in 0..rng.below(4) {
            let place = usize::try_from(rng.below(HEADER_BYTES as u64)).unwrap();
            header[place] = u8::try_from(rng.below(256)).unwrap();
        }
        if let Ok(message) = decode(&header, &limits) {
            assert_eq!(encode(&message, &limits), header);
            decoded += 1;
        }
    }
    assert!(decoded > 100_000 && decoded < 300_000, "{decoded} headers were messages");
}

/// What the engines said to hostile messages.
#[derive(Debug, Default)]
struct Counts {
    hostile: u64,
    failures: u64,
    answers: u64,
    silence: u64,
}

impl Counts {
    fn count(&mut self, outputs: &[Output]) {
        self.hostile += 1;
        match outputs {
            [] => self.silence += 1,
            all if all.iter().any(|o| matches!(o, Output::Fail { .. })) => self.failures += 1,
            _ => self.answers += 1,
        }
    }
}

/// What a driver would tell an engine next: a fault the access rules out, a message, the end of a hold.
fn honest_step(cluster: &mut Cluster, pages: u64, rng: &mut Rng) {
    let rank = Rank(rng.below_u16(cluster.nodes));
    let page = PageId(rng.below(pages));
    let under_way: Vec<_> = cluster.under_way().map(|(from, to, _)| (from, to)).collect();
    let outputs = match rng.below(8) {
        0 => {
            let kind =
                rng.pick(&[BarrierKind::Program, BarrierKind::Program, BarrierKind::Finalize]);
            cluster.handle(rank, Input::Call { id: CallId(0), call: Call::Barrier(kind) })
        }
        1 => cluster.handle(rank, Input::HoldOver { page }),
        2 | 3 => {
            let access = rng.pick(&[Access::Read, Access::Write]);
            cluster.handle(rank, Input::Fault { page, access })
        }
        _ if under_way.is_empty() => return,
        _ => {
            let (from, to) = rng.pick(&under_way);
            cluster.deliver(from, to).unwrap()
        }
    };
    check(&outputs);
}

fn hostile_step(cluster: &mut Cluster, pages: u64, rng: &mut Rng) -> Vec<Output> {
    let rank = Rank(rng.below_u16(cluster.nodes));
    let from = Rank((rank.0 + 1 + rng.below_u16(cluster.nodes - 1)) % cluster.nodes);
    let under_way: Vec<_> = cluster.under_way().collect();
    let (to, message) = match rng.below(3) {
        // One that somebody is about to hear, a second time, or a little changed.
        0 if !under_way.is_empty() => {
            let (_, to, message) = rng.pick(&under_way);
            (to, distort(message, rng))
        }
        _ => (rank, draw_message(cluster.nodes, pages, rng)),
    };
    let from = if to == from { rank } else { from };
    let rank = to;
    let outputs = cluster.handle(rank, Input::Message { from, message });
    check(&outputs);
    outputs
}

/// Outputs that a driver can carry out whatever happened before.
fn check(outputs: &[Output]) {
    assert!(outputs.len() < 100, "one input asks for much: {outputs:?}");
    for output in outputs {
        if let Output::Send { message, attach, .. } = output {
            assert_eq!(attach.is_some(), message.attached_page().is_some(), "{output:?}");
        }
    }
}

/// Any message that the wire lets through, with epochs near those in use and at the end of the range.
fn draw_message(nodes: u16, pages: u64, rng: &mut Rng) -> Message {
    let page = PageId(rng.below(pages));
    let epoch = |rng: &mut Rng| match rng.below(20) {
        0 => Epoch(u64::MAX),
        _ => Epoch(rng.below(12)),
    };
    let right = |rng: &mut Rng| rng.pick(&[Right::Shared, Right::Exclusive, Right::Modified]);
    let later = |epoch: Epoch| Epoch(epoch.0.max(1));
    let kind = rng.pick(&[BarrierKind::Program, BarrierKind::Finalize]);
    match rng.below(7) {
        0 => Message::Request { page, access: rng.pick(&[Access::Read, Access::Write]) },
        1 => Message::Forward {
            page,
            right: right(rng),
            to: Rank(rng.below_u16(nodes)),
            epoch: later(epoch(rng)),
            have: epoch(rng),
        },
        2 => Message::Grant {
            page,
            right: right(rng),
            epoch: later(epoch(rng)),
            payload: rng.pick(&[Payload::Attached, Payload::Zero, Payload::Held]),
        },
        3 => Message::Invalidate { page, have: epoch(rng) },
        4 => Message::Ack { page, epoch: epoch(rng) },
        5 => Message::BarrierArrive { kind, epoch: epoch(rng) },
        _ => Message::BarrierRelease { kind, epoch: epoch(rng) },
    }
}

/// The same message, or one that differs in an epoch, a right or who is meant.
fn distort(message: Message, rng: &mut Rng) -> Message {
    let mut nudge = |Epoch(epoch): Epoch| match rng.below(4) {
        0 => Epoch(epoch.saturating_add(1)),
        1 => Epoch(epoch.saturating_sub(1).max(1)),
        _ => Epoch(epoch),
    };
    match message {
        Message::Forward { page, right, to, epoch, have } => {
            let (epoch, have) = (nudge(epoch), nudge(have));
            Message::Forward { page, right, to, epoch, have }
        }
        Message::Grant { page, right, epoch, payload } => {
            let epoch = nudge(epoch);
            let payload = rng.pick(&[payload, payload, Payload::Zero, Payload::Held]);
            Message::Grant { page, right, epoch, payload }
        }
        Message::Invalidate { page, have } => Message::Invalidate { page, have: nudge(have) },
        Message::Ack { page, epoch } => Message::Ack { page, epoch: nudge(epoch) },
        Message::BarrierArrive { kind, epoch } => {
            Message::BarrierArrive { kind, epoch: nudge(epoch) }
        }
        Message::BarrierRelease { kind, epoch } => {
            Message::BarrierRelease { kind, epoch: nudge(epoch) }
        }
        Message::Request { .. }
        | Message::Ask { .. }
        | Message::Answer { .. }
        | Message::Reclaim { .. }
        | Message::Reclaimed { .. } => message,
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn below_u16(&mut self, limit: u16) -> u16 {
        u16::try_from(self.below(limit.into())).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

const CLUSTERS: u64 = 5_000;
const STEPS: u64 = 80;
