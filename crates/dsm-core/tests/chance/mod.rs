use dsm_core::{
    Access, Answer, Ask, BarrierKind, CallId, Epoch, Message, ObjectId, PageId, Payload, Rank,
    Right, Space,
};

/// SplitMix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    pub(crate) fn below_u16(&mut self, limit: u16) -> u16 {
        u16::try_from(self.below(limit.into())).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    pub(crate) fn rank(&mut self, space: &Space) -> Rank {
        Rank(self.below_u16(space.nodes))
    }

    pub(crate) fn object(&mut self, space: &Space) -> ObjectId {
        ObjectId(self.below(space.words()))
    }

    pub(crate) fn access(&mut self) -> Access {
        self.pick(&[Access::Read, Access::Write])
    }

    /// One that was drawn before, as a rule.
    pub(crate) fn call(&mut self) -> CallId {
        CallId(self.below(40))
    }

    /// A page, or the token of a lock.
    fn page_or_token(&mut self, space: &Space) -> PageId {
        match self.below(3) {
            0 => space.token(self.object(space)),
            _ => PageId(self.below(space.pages)),
        }
    }

    /// Near those in use, and now and then at the end of the range.
    fn epoch(&mut self) -> Epoch {
        match self.below(20) {
            0 => Epoch(u64::MAX),
            _ => Epoch(self.below(12)),
        }
    }

    fn right(&mut self) -> Right {
        self.pick(&[Right::Shared, Right::Exclusive, Right::Modified])
    }
}

/// Any message that the wire lets through.
pub(crate) fn draw_message(space: &Space, rng: &mut Rng) -> Message {
    let page = rng.page_or_token(space);
    let later = |epoch: Epoch| Epoch(epoch.0.max(1));
    let kind = rng.pick(&[BarrierKind::Program, BarrierKind::Finalize]);
    let first = PageId(rng.below(space.pages));
    let claimed = PageId(rng.below(space.area_pages.max(1)));
    match rng.below(19) {
        15 if space.is_claimed(claimed) => Message::Claim { page: claimed },
        16 if space.is_claimed(claimed) => Message::Home { page: claimed, home: rng.rank(space) },
        18 => Message::Unwritten { page: first, epoch: later(rng.epoch()) },
        17 => Message::Leaving { rank: rng.rank(space), epoch: rng.epoch() },
        0 => Message::Request { page, access: rng.access() },
        1 => {
            let (right, to) = (rng.right(), rng.rank(space));
            Message::Forward { page, right, to, epoch: later(rng.epoch()), have: rng.epoch() }
        }
        2 => {
            let payload = match space.is_token(page) {
                true => rng.pick(&[Payload::Zero, Payload::Held]),
                false => rng.pick(&[Payload::Attached, Payload::Zero, Payload::Held]),
            };
            Message::Grant { page, right: rng.right(), epoch: later(rng.epoch()), payload }
        }
        3 => Message::Invalidate { page, have: rng.epoch() },
        4 => Message::Ack { page, epoch: rng.epoch() },
        5 => Message::BarrierArrive { kind, epoch: rng.epoch() },
        6 => Message::BarrierRelease { kind, epoch: rng.epoch() },
        7..=9 => {
            let (asker, object) = (rng.rank(space), rng.object(space));
            Message::Ask { asker, id: rng.call(), object, ask: draw_ask(space, rng) }
        }
        10..=12 => Message::Answer { id: rng.call(), answer: draw_answer(space, rng) },
        13 => Message::Reclaim { first, pages: rng.below(space.pages - first.0 + 1) },
        _ => Message::Reclaimed { first },
    }
}

pub(crate) fn draw_ask(space: &Space, rng: &mut Rng) -> Ask {
    let value = rng.pick(&[0, 1, 2, u32::MAX]);
    match rng.below(18) {
        0 => Ask::CondWait,
        1 => Ask::CondLeave { waiter: rng.call() },
        2 => Ask::CondSignal,
        3 => Ask::CondBroadcast,
        4 => Ask::CondDestroy,
        5 => Ask::SemaphoreInit { value },
        6 => Ask::SemaphoreWait,
        7 => Ask::SemaphoreTry,
        8 => Ask::SemaphorePost,
        9 => Ask::SemaphoreDestroy,
        10 => Ask::BarrierWait { count: value },
        11 => Ask::Add { value: value.into() },
        12 => Ask::Swap { expected: value.into(), desired: 1 },
        13 => Ask::RunTake { pages: 1 + rng.below(space.pages) },
        14 => Ask::RunGive,
        15 => Ask::RunOwner,
        16 => Ask::BlockFree,
        _ => Ask::Inspect { access: rng.access() },
    }
}

pub(crate) fn draw_answer(space: &Space, rng: &mut Rng) -> Answer {
    let rank = rng.rank(space);
    match rng.below(15) {
        0 => Answer::Queued,
        1 => Answer::Woken,
        2 => Answer::Serial,
        3 => Answer::Value(rng.below(3)),
        4 => Answer::Run(PageId(rng.below(space.pages))),
        5 => Answer::Owner(rank),
        6 => Answer::Held { rank, thread: 7, waits_for: None },
        7 => Answer::Held { rank, thread: u32::MAX, waits_for: Some(rng.object(space)) },
        8 => Answer::Busy,
        9 => Answer::Empty,
        10 => rng.pick(&[Answer::Overflow, Answer::CountDiffers]),
        11 => Answer::Exhausted,
        12 => rng.pick(&[Answer::NotTaken, Answer::Free]),
        _ => Answer::Done,
    }
}

/// The same message, or one that differs in a number, a right, who is meant or what is said.
pub(crate) fn distort(message: Message, space: &Space, rng: &mut Rng) -> Message {
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
        Message::Unwritten { page, epoch } => Message::Unwritten { page, epoch: nudge(epoch) },
        Message::BarrierArrive { kind, epoch } => {
            Message::BarrierArrive { kind, epoch: nudge(epoch) }
        }
        Message::BarrierRelease { kind, epoch } => {
            Message::BarrierRelease { kind, epoch: nudge(epoch) }
        }
        Message::Leaving { epoch, .. } => {
            let epoch = nudge(epoch);
            Message::Leaving { rank: rng.rank(space), epoch }
        }
        Message::Ask { asker, id, object, ask } => match rng.below(5) {
            0 => Message::Ask { asker: rng.rank(space), id, object, ask },
            1 => Message::Ask { asker, id: rng.call(), object, ask },
            2 => Message::Ask { asker, id, object: rng.object(space), ask },
            3 => Message::Ask { asker, id, object, ask: draw_ask(space, rng) },
            _ => message,
        },
        Message::Answer { id, answer } => match rng.below(3) {
            0 => Message::Answer { id: rng.call(), answer },
            1 => Message::Answer { id, answer: draw_answer(space, rng) },
            _ => message,
        },
        Message::Reclaim { first, pages } if rng.below(3) == 0 && pages > 1 => {
            Message::Reclaim { first, pages: pages - 1 }
        }
        Message::Reclaimed { .. } if rng.below(3) == 0 => {
            Message::Reclaimed { first: PageId(rng.below(space.pages)) }
        }
        Message::Home { page, .. } if rng.below(3) == 0 => {
            Message::Home { page, home: rng.rank(space) }
        }
        _ => message,
    }
}
