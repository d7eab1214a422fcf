use crate::targets::{LIMITS, SPACE};
use dsm_core::wire::{self, HEADER_BYTES, Limits};
use dsm_core::{
    Access, Answer, BarrierKind, Call, CallId, Config, Engine, Hold, Input, ObjectId, Output,
    PageId, Placement, Rank, Space, Task,
};
use std::collections::{BTreeSet, VecDeque};

/// One engine whose threads, time and peers are told by bytes.
struct Driven {
    bytes: VecDeque<u8>,
    rank: Rank,
    space: Space,
    engine: Engine,
    calls: u64,
    /// Tokens lent and not surrendered.
    lent: BTreeSet<ObjectId>,
    /// What the engine had the driver do.
    served: VecDeque<Input>,
}

/// Drives one engine with faults, calls, ends of hold times and messages of peers. It may end the job; it
/// never panics, and never asks its driver for what a driver cannot do.
pub(crate) fn drive_engine(bytes: &[u8]) {
    drive(bytes, |_| ());
}

/// Shows each output.
fn drive(bytes: &[u8], mut show: impl FnMut(Output)) {
    let mut driven = Driven::new(bytes.iter().copied().collect());
    while !driven.bytes.is_empty() {
        let Some(input) = driven.draw() else { continue };
        for output in driven.engine.handle(input) {
            show(output);
            if let Output::Fail { .. } = output {
                return;
            }
            driven.follow(output);
        }
    }
}

impl Driven {
    fn new(mut bytes: VecDeque<u8>) -> Self {
        let mut take = || bytes.pop_front().unwrap_or_default();
        let nodes = 2 + u16::from(take() % 3);
        let rank = Rank(u16::from(take()) % nodes);
        let hold = if take() > 127 { Hold::None } else { Hold::Timed };
        let placement = Placement::ALL[usize::from(take()) % Placement::ALL.len()];
        // Few words, so that the same are spoken of again.
        let space = Space { nodes, placement, page_words: 2, ..SPACE };
        let engine = Engine::new(Config { rank, space, hold });
        let (lent, served) = (BTreeSet::new(), VecDeque::new());
        Self { bytes, rank, space, engine, calls: 0, lent, served }
    }

    fn take(&mut self) -> u8 {
        self.bytes.pop_front().unwrap_or_default()
    }

    /// What happens next; a number, and the page or word with that number.
    fn draw(&mut self) -> Option<Input> {
        let number = u64::from(self.take());
        let page = PageId(number % self.space.pages);
        let object = ObjectId(number % self.space.words());
        Some(match self.take() % 16 {
            0 => Input::Fault { page, access: Access::Read },
            1 => Input::Fault { page, access: Access::Write },
            2 => Input::HoldOver { page },
            3 => self.call(Call::Barrier(BarrierKind::Program)),
            4 => self.call(Call::Acquire { object, access: Access::Read }),
            5 => self.call(Call::Acquire { object, access: Access::Write }),
            6 => {
                let object = self.lent.pop_first()?;
                self.call(Call::Surrender { object, keep: Access::None })
            }
            7 => {
                let object = self.lent.pop_first()?;
                self.call(Call::Surrender { object, keep: Access::Read })
            }
            8 => self.served.pop_front()?,
            9 => {
                let call = self.draw_call(object, page);
                self.call(call)
            }
            _ => self.draw_message()?,
        })
    }

    fn call(&mut self, call: Call) -> Input {
        self.calls += 1;
        Input::Call { id: CallId(self.calls), call }
    }

    fn draw_call(&mut self, object: ObjectId, page: PageId) -> Call {
        let access = if self.take().is_multiple_of(2) { Access::Read } else { Access::Write };
        match self.take() % 8 {
            0 => Call::Carry { object, page, access },
            1 => Call::Probe { object, access },
            2 => {
                let owner = Rank(u16::from(self.take()) % self.space.nodes);
                Call::Free { owner, object }
            }
            3 => {
                let pages = u64::from(self.take()) % (self.space.pages - page.0 + 1);
                Call::Prefetch { first: page, pages, access }
            }
            _ => {
                let mut header = [0; HEADER_BYTES];
                header[0] = ASK;
                header[1] = self.take() % 19;
                header[24] = self.take() % 8;
                match wire::decode(&header, &self.limits()) {
                    Ok(dsm_core::Message::Ask { ask, .. }) => Call::Ask { object, ask },
                    _ => Call::Probe { object, access },
                }
            }
        }
    }

    /// A well-formed message of some other rank. Small numbers, so that they meet what the engine knows.
    fn draw_message(&mut self) -> Option<Input> {
        let nodes = self.space.nodes;
        let from = Rank((self.rank.0 + 1 + u16::from(self.take()) % (nodes - 1)) % nodes);
        let mut header = [0; HEADER_BYTES];
        header[0] = 1 + self.take() % KINDS;
        header[1] = self.take();
        let rank = self.take();
        let speaks_for_itself = header[0] == ASK && !rank.is_multiple_of(4);
        header[2] = if speaks_for_itself { from.0.to_le_bytes()[0] } else { rank / 4 % 4 };
        header[8] = self.take() % 12;
        header[16] = self.take() % 8;
        header[24] = self.take() % 8;
        // The rank in an answer that somebody has a lock, and the lock that its thread waits for.
        if header[0] == ANSWER {
            (header[28], header[32]) = (header[24] / 4, rank % 8);
        }
        if header[0] == GRANT && header[1] >> 4 == 1 {
            header[4..8].copy_from_slice(&LIMITS.page_bytes.to_le_bytes());
        }
        let message = wire::decode(&header, &self.limits()).ok()?;
        Some(Input::Message { from, message })
    }

    /// A driver can do it, and remembers what it has to answer.
    fn follow(&mut self, output: Output) {
        let pages = self.space.pages;
        match output {
            Output::Send { to, message, attach } => {
                assert!(to != self.rank && to.0 < self.space.nodes, "{output:?}");
                assert_eq!(attach.is_some(), message.attached_page().is_some(), "{output:?}");
                let again = wire::decode(&wire::encode(&message, &self.limits()), &self.limits());
                assert_eq!(again, Ok(message));
            }
            Output::Protect { page, .. }
            | Output::Install { page, .. }
            | Output::Resume { page }
            | Output::Hold { page }
            | Output::Pin { page } => assert!(page.0 < pages, "{output:?}"),
            Output::Clear { first, pages: cleared } => {
                assert!(cleared > 0 && first.0 + cleared <= pages, "{output:?}");
            }
            Output::Lend { object, .. } => drop(self.lent.insert(object)),
            Output::Recall { object, .. } => assert!(self.lent.contains(&object), "{output:?}"),
            Output::Serve { asker, id, task } => {
                let answer = match task {
                    Task::Add { value, .. } => Answer::Value(value),
                    Task::Swap { expected, .. } => Answer::Value(expected),
                    Task::Free { .. } => Answer::NotTaken,
                    Task::Inspect { .. } => Answer::Done,
                };
                self.served.push_back(Input::Served { asker, id, answer });
            }
            Output::Answered { .. } | Output::Fail { .. } => (),
        }
    }

    fn limits(&self) -> Limits {
        Limits { space: self.space, ..LIMITS }
    }
}

/// Kinds of messages, as the wire has them, and how many there are or may come to be.
const KINDS: u8 = 13;
const GRANT: u8 = 3;
const ASK: u8 = 8;
const ANSWER: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Target, examples};
    use std::collections::BTreeMap;

    /// What a campaign begins with gets to everything an engine asks for, and to no end of a job.
    #[test]
    fn examples_have_the_engine_ask_for_all_there_is() {
        let mut asked_for: BTreeMap<String, u32> = BTreeMap::new();
        for example in examples::of(Target::Engine) {
            drive(&example, |output| {
                assert!(!matches!(output, Output::Fail { .. }), "{output:?} in {example:?}");
                let shown = format!("{output:?}");
                let name = shown.split([' ', '(']).next().map(str::to_owned);
                *asked_for.entry(name.unwrap_or_default()).or_default() += 1;
            });
        }
        let names: Vec<_> = asked_for.keys().map(String::as_str).collect();
        let all = [
            "Answered", "Clear", "Hold", "Install", "Lend", "Pin", "Protect", "Recall", "Resume",
            "Send", "Serve",
        ];
        assert_eq!(names, all, "{asked_for:?}");
    }
}
