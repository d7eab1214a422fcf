use crate::rng::Rng;
use crate::{Mode, Op, Patience};
use dsm_core::{Access, ObjectId, PageId};

/// What the scripts of a world are made of: pieces that no thread waits for ever in, whatever the others do.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    pages: u64,
    /// Whether instructions touch two pages at once.
    moves: bool,
    heap: u64,
    /// How often each sort of piece is drawn.
    odds: Vec<(Sort, u64)>,
    join: Join,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Access,
    Prefetch,
    Section,
    Operation,
    Semaphore,
    Run,
}

/// How threads wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    Never,
    /// Some wait at a condition variable for what others do.
    Things,
    /// Some wait at a semaphore for what others do.
    Semaphore,
    /// Some meet at a barrier of their count.
    Gathering,
}

impl Pieces {
    pub(super) fn of_pages(rng: &mut Rng, pages: u64) -> Self {
        let moves = pages > 1 && rng.one_in(4);
        Self { pages, moves, heap: 0, odds: vec![(Sort::Access, 1)], join: Join::Never }
    }

    pub(super) fn draw(rng: &mut Rng, pages: u64) -> Self {
        let sorts = [Sort::Access, Sort::Prefetch, Sort::Operation, Sort::Semaphore, Sort::Run];
        let mut odds = vec![(Sort::Section, 4)];
        odds.extend(sorts.map(|sort| (sort, rng.pick(&[0, 0, 1, 3]))));
        let has_runs = odds.contains(&(Sort::Run, 1)) || odds.contains(&(Sort::Run, 3));
        let heap = if has_runs { 2 + rng.below(4) } else { 0 };
        let joins = [Join::Never, Join::Things, Join::Semaphore, Join::Gathering];
        Self { pages, moves: false, heap, odds, join: rng.pick(&joins) }
    }

    /// How many pages the heap has.
    pub(super) fn heap(&self) -> u64 {
        self.heap
    }

    pub(super) fn draw_piece(&self, rng: &mut Rng) -> Vec<Op> {
        let mut left = rng.below(self.odds.iter().map(|(_, odds)| odds).sum());
        for &(sort, odds) in &self.odds {
            match left.checked_sub(odds) {
                Some(rest) => left = rest,
                None => return self.piece(rng, sort),
            }
        }
        unreachable!("the drawn number is below the sum of all odds")
    }

    fn piece(&self, rng: &mut Rng, sort: Sort) -> Vec<Op> {
        let object = ObjectId(rng.below(self.pages));
        match sort {
            Sort::Access => vec![self.access(rng)],
            Sort::Prefetch => {
                let access = rng.pick(&[Access::Read, Access::Write]);
                vec![Op::Prefetch(PageId(rng.below(self.pages)), access)]
            }
            Sort::Section => self.section(rng),
            Sort::Operation => {
                vec![rng.pick(&[Op::Add(object), Op::Add(object), Op::Swap(object)])]
            }
            Sort::Semaphore => {
                let set = Op::SemaphoreSet(object, rng.pick(&[0, 1, 2]));
                let (post, try_one) = (Op::SemaphorePost(object), Op::SemaphoreTry(object));
                // A thread may wait at this one for others to post, and nothing is taken from it then.
                let free = self.join != Join::Semaphore || object != self.joint();
                vec![if free { rng.pick(&[post, post, try_one, set]) } else { post }]
            }
            Sort::Run => match rng.below(4) {
                0 => vec![Op::Free],
                1 => vec![Op::Take(1 + rng.below(2)), Op::Scribble],
                2 => vec![Op::Take(1), Op::Scribble, Op::Give],
                _ => vec![Op::Scribble, Op::Give],
            },
        }
    }

    /// Accesses under a lock, or two taken in their order.
    fn section(&self, rng: &mut Rng) -> Vec<Op> {
        let lock = ObjectId(rng.below(self.pages.min(2)));
        let mode = rng.pick(&[Mode::Read, Mode::Write, Mode::Write]);
        let patience = [Patience::Endless, Patience::Endless, Patience::Limited, Patience::None];
        let mut ops = vec![Op::Lock(lock, mode, rng.pick(&patience))];
        let inner = ObjectId(lock.0 + 1);
        let nests = inner.0 < self.pages && rng.one_in(4);
        if nests {
            ops.push(Op::Lock(inner, rng.pick(&[Mode::Read, Mode::Write]), rng.pick(&patience)));
        }
        ops.extend((0..rng.below(3)).map(|_| self.access(rng)));
        if self.heap > 0 && rng.one_in(3) {
            ops.push(Op::Scribble);
        }
        ops.extend(nests.then_some(Op::Unlock(inner)));
        ops.push(Op::Unlock(lock));
        ops
    }

    fn access(&self, rng: &mut Rng) -> Op {
        let page = rng.below(self.pages);
        if self.moves && rng.one_in(4) {
            let other = (page + 1 + rng.below(self.pages - 1)) % self.pages;
            return Op::Move(PageId(page), PageId(other));
        }
        if rng.one_in(2) { Op::Load(PageId(page)) } else { Op::Store(PageId(page)) }
    }

    /// Adds to some threads what they wait for, and to others what they do for them. Tells whether any waits.
    pub(super) fn join(&self, rng: &mut Rng, threads: &mut [Vec<Vec<Op>>]) -> bool {
        match self.join {
            Join::Never => {}
            Join::Things | Join::Semaphore => self.feed(rng, threads),
            Join::Gathering => self.gather(rng, threads),
        }
        self.join != Join::Never
    }

    /// Threads before the drawn one make what those after it take, and wait for nobody.
    fn feed(&self, rng: &mut Rng, threads: &mut [Vec<Vec<Op>>]) {
        let (makers, takers) = threads.split_at_mut(1 + rng.place(threads.len() - 1));
        let joint = self.joint();
        let mutex = ObjectId(0);
        let lock = Op::Lock(mutex, Mode::Write, Patience::Endless);
        let within = |op| match self.join {
            Join::Things => vec![lock, op, Op::Unlock(mutex)],
            _ => vec![op],
        };
        for _ in 0..1 + rng.below(4) {
            let patience = rng.pick(&[Patience::Endless, Patience::Limited]);
            let (take, make) = match self.join {
                Join::Things => (Op::CondWait { cond: joint, mutex, patience }, Op::Signal(joint)),
                _ => (Op::SemaphoreWait(joint), Op::SemaphorePost(joint)),
            };
            let taker = rng.place(takers.len());
            insert(rng, &mut takers[taker], within(take));
            let maker = rng.place(makers.len());
            insert(rng, &mut makers[maker], within(make));
        }
        if self.join == Join::Semaphore
            && let [maker] = makers
        {
            // Refused while threads wait; takes nothing away from them that comes later.
            maker.insert(0, vec![Op::SemaphoreSet(joint, rng.pick(&[0, 1, 2]))]);
        }
        if self.join == Join::Things {
            let maker = rng.place(makers.len());
            let more = [Op::Broadcast(joint), Op::CondDestroy(joint), Op::Signal(joint)];
            let last = rng.pick(&more);
            insert(rng, &mut makers[maker], within(last));
        }
    }

    /// Some threads meet a few times; another may come with a count of its own.
    fn gather(&self, rng: &mut Rng, threads: &mut [Vec<Vec<Op>>]) {
        let joint = self.joint();
        let meet = 1 + rng.place(threads.len());
        let count = u32::try_from(meet).expect("there are few threads");
        for _ in 0..1 + rng.below(3) {
            for thread in &mut threads[..meet] {
                insert(rng, thread, vec![Op::Gather(joint, count)]);
            }
        }
        if let Some(other) = threads.get_mut(meet) {
            insert(rng, other, vec![Op::Gather(joint, 1)]);
        }
    }

    /// What threads meet at.
    fn joint(&self) -> ObjectId {
        ObjectId(self.pages - 1)
    }
}

fn insert(rng: &mut Rng, thread: &mut Vec<Vec<Op>>, piece: Vec<Op>) {
    thread.insert(rng.place(thread.len() + 1), piece);
}
