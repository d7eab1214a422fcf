//! Whatever well-formed message a peer sends, in whatever state, the engine answers or ends the job with
//! a reason. It never panics, and what it asks its driver for stays well-formed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod chance;
mod cluster;

use chance::{Rng, distort, draw_answer, draw_ask, draw_message};
use cluster::Cluster;
use dsm_core::wire::{HEADER_BYTES, Limits, decode, encode};
use dsm_core::{
    Access, Answer, BarrierKind, Call, CallId, Hold, Input, ObjectId, Output, PageId, Placement,
    Rank, Space, Task,
};
use std::collections::{BTreeSet, VecDeque};

#[test]
fn no_message_makes_an_engine_panic() {
    let first_seed = 1;
    println!("seeds from {first_seed}");
    let mut said = Counts::default();
    for seed in first_seed..first_seed + CLUSTERS {
        let mut job = Job::draw(Rng(seed));
        for _ in 0..job.rng.below(60) {
            job.honest_step();
        }
        for _ in 0..STEPS {
            match job.rng.below(3) {
                0 => job.honest_step(),
                _ => said.count(&job.hostile_step()),
            }
        }
    }
    println!("{said:?}");
    assert!(said.hostile >= 200_000, "{said:?}");
    // Both kinds of answer are frequent, or the messages would not be of the interesting sort.
    assert!(said.failures > said.hostile / 4 && said.answers > said.hostile / 20, "{said:?}");
}

/// Headers with a few random bytes decode to what encodes to them, or not at all.
#[test]
fn no_header_makes_the_decoder_panic() {
    let space = space(4, 8, 3);
    let limits = Limits { space, page_bytes: 4096 };
    let mut rng = Rng(1);
    let mut decoded = 0;
    for _ in 0..400_000 {
        let mut header = encode(&draw_message(&space, &mut rng), &limits);
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

/// Engines, and what their drivers know.
struct Job {
    space: Space,
    cluster: Cluster,
    rng: Rng,
    calls: u64,
    /// What was lent and not surrendered.
    lent: BTreeSet<(Rank, ObjectId)>,
    served: VecDeque<(Rank, Input)>,
}

impl Job {
    fn draw(mut rng: Rng) -> Self {
        let hold = if rng.below(2) == 0 { Hold::None } else { Hold::Timed };
        let (pages, heap) = (1 + rng.below(3), rng.below(4));
        let space = space(2 + rng.below_u16(3), pages, heap);
        let space = Space { placement: rng.pick(&Placement::ALL), ..space };
        let cluster = Cluster::new(space, hold);
        let (lent, served) = (BTreeSet::new(), VecDeque::new());
        Self { space, cluster, rng, calls: 0, lent, served }
    }

    /// What a driver would tell an engine next: what a thread wants, a message, the end of a hold.
    fn honest_step(&mut self) {
        let rank = self.rng.rank(&self.space);
        let page = PageId(self.rng.below(self.space.pages));
        let under_way: Vec<_> = self.cluster.under_way().map(|(from, to, _)| (from, to)).collect();
        match self.rng.below(10) {
            0 => self.handle(rank, Input::HoldOver { page }),
            1 | 2 => {
                let access = self.rng.access();
                self.handle(rank, Input::Fault { page, access })
            }
            3 | 4 => {
                let call = self.draw_call(page);
                self.calls += 1;
                self.handle(rank, Input::Call { id: CallId(self.calls), call })
            }
            5 => match self.lent.pop_first() {
                Some((rank, object)) => {
                    let keep = self.rng.pick(&[Access::None, Access::None, Access::Read]);
                    let call = Call::Surrender { object, keep };
                    self.handle(rank, Input::Call { id: CallId(0), call })
                }
                None => return,
            },
            6 => match self.served.pop_front() {
                Some((rank, served)) => self.handle(rank, served),
                None => return,
            },
            _ if under_way.is_empty() => return,
            _ => {
                let (from, to) = self.rng.pick(&under_way);
                let outputs = self.cluster.deliver(from, to).unwrap();
                self.follow(to, outputs)
            }
        };
    }

    fn draw_call(&mut self, page: PageId) -> Call {
        let object = self.rng.object(&self.space);
        let access = self.rng.access();
        match self.rng.below(10) {
            0 => Call::Barrier(self.rng.pick(&[BarrierKind::Program, BarrierKind::Finalize])),
            1..=3 => Call::Acquire { object, access },
            4 => Call::Carry { object, page, access },
            5 => Call::Probe { object, access },
            6 => Call::Free { owner: self.rng.rank(&self.space), object },
            7 => Call::Prefetch { first: page, pages: 1, access },
            _ => Call::Ask { object, ask: draw_ask(&self.space, &mut self.rng) },
        }
    }

    fn hostile_step(&mut self) -> Vec<Output> {
        let rank = self.rng.rank(&self.space);
        let nodes = self.space.nodes;
        let from = Rank((rank.0 + 1 + self.rng.below_u16(nodes - 1)) % nodes);
        let under_way: Vec<_> = self.cluster.under_way().collect();
        let (to, message) = match self.rng.below(3) {
            // One that somebody is about to hear, a second time, or a little changed.
            0 if !under_way.is_empty() => {
                let (_, to, message) = self.rng.pick(&under_way);
                (to, distort(message, &self.space, &mut self.rng))
            }
            _ => (rank, draw_message(&self.space, &mut self.rng)),
        };
        let from = if to == from { rank } else { from };
        self.handle(to, Input::Message { from, message })
    }

    fn handle(&mut self, rank: Rank, input: Input) -> Vec<Output> {
        let outputs = self.cluster.handle(rank, input);
        self.follow(rank, outputs)
    }

    /// Remembers what a driver must, and sees that it can do what it is asked for.
    fn follow(&mut self, rank: Rank, outputs: Vec<Output>) -> Vec<Output> {
        assert!(outputs.len() < 300, "one input asks for much: {outputs:?}");
        let limits = Limits { space: self.space, page_bytes: 4096 };
        for output in &outputs {
            match *output {
                Output::Send { message, attach, .. } => {
                    assert_eq!(attach.is_some(), message.attached_page().is_some(), "{output:?}");
                    assert_eq!(decode(&encode(&message, &limits), &limits), Ok(message));
                }
                Output::Protect { page, .. }
                | Output::Install { page, .. }
                | Output::Resume { page }
                | Output::Hold { page }
                | Output::Pin { page } => assert!(page.0 < self.space.pages, "{output:?}"),
                Output::Clear { first, pages } => {
                    assert!(pages > 0 && first.0 + pages <= self.space.pages, "{output:?}");
                }
                Output::Lend { object, .. } => drop(self.lent.insert((rank, object))),
                Output::Recall { object, .. } => assert!(self.lent.contains(&(rank, object))),
                Output::Serve { asker, id, task } => {
                    let answer = self.draw_served(task);
                    self.served.push_back((rank, Input::Served { asker, id, answer }));
                }
                Output::Answered { .. } | Output::Fail { .. } => (),
            }
        }
        outputs
    }

    fn draw_served(&mut self, task: Task) -> Answer {
        match task {
            Task::Add { .. } | Task::Swap { .. } => Answer::Value(self.rng.below(3)),
            Task::Free { .. } => self.rng.pick(&[Answer::Done, Answer::NotTaken, Answer::Free]),
            Task::Inspect { .. } => loop {
                let answer = draw_answer(&self.space, &mut self.rng);
                if matches!(answer, Answer::Done | Answer::Held { .. }) {
                    return answer;
                }
            },
        }
    }
}

/// Few words a page, so that messages meet at objects.
fn space(nodes: u16, area_pages: u64, heap: u64) -> Space {
    let space = Space::of_pages(nodes, area_pages + heap);
    Space { area_pages, page_words: 2, ..space }
}

const CLUSTERS: u64 = 5_000;
const STEPS: u64 = 80;
