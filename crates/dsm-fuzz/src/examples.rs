//! Well-formed inputs, from which a campaign begins.

use crate::Target;
use crate::targets::{LIMITS, OURS};
use crate::{pr204, secrets};
use dsm_core::wire::{self, Hello};
use dsm_core::{
    Access, Answer, Ask, BarrierKind, CallId, Epoch, Message, ObjectId, PageId, Payload, Rank,
    Right,
};
use dsm_net::frame;
use dsm_net::launch::{Ending, Job, JobId, JobKey, Node, Order, Report, Status, Stream};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) fn of(target: Target) -> Vec<Vec<u8>> {
    match target {
        Target::Wire => headers(),
        Target::Hello => vec![Hello { from: Rank(1), to: Rank(0), ..OURS }.encode().to_vec()],
        Target::Handshake => secrets::examples(),
        Target::Launch => launch_frames(),
        Target::MachineFile => machine_files(),
        Target::Pr204 => pr204::examples(),
        Target::Engine => histories(),
    }
}

fn headers() -> Vec<Vec<u8>> {
    let (page, epoch, have) = (PageId(3), Epoch(9), Epoch(4));
    let (right, payload, kind) = (Right::Shared, Payload::Attached, BarrierKind::Program);
    let messages = [
        Message::Request { page, access: Access::Write },
        Message::Forward { page, right, to: Rank(2), epoch, have },
        Message::Grant { page, right, epoch, payload },
        Message::Invalidate { page, have },
        Message::Ack { page, epoch },
        Message::Unwritten { page, epoch },
        Message::BarrierArrive { kind, epoch },
        Message::BarrierRelease { kind, epoch },
    ];
    let (asker, id, object) = (Rank(1), CallId(7), ObjectId(600));
    let asks = asks().map(|ask| Message::Ask { asker, id, object, ask });
    let answers = answers().map(|answer| Message::Answer { id, answer });
    let runs = [
        Message::Reclaim { first: PageId(2), pages: 2 },
        Message::Reclaimed { first: PageId(3) },
        Message::Claim { page: PageId(1) },
        Message::Home { page: PageId(1), home: Rank(2) },
        // A token.
        Message::Grant { page: PageId(604), right, epoch, payload: Payload::Zero },
    ];
    let all = messages.into_iter().chain(asks).chain(answers).chain(runs);
    all.map(|message| wire::encode(&message, &LIMITS).to_vec()).collect()
}

fn asks() -> impl Iterator<Item = Ask> {
    [
        Ask::CondWait,
        Ask::CondLeave { waiter: CallId(5) },
        Ask::CondSignal,
        Ask::CondBroadcast,
        Ask::CondDestroy,
        Ask::SemaphoreInit { value: 3 },
        Ask::SemaphoreWait,
        Ask::SemaphoreTry,
        Ask::SemaphorePost,
        Ask::SemaphoreDestroy,
        Ask::BarrierWait { count: 4 },
        Ask::Add { value: 1 },
        Ask::Swap { expected: 1, desired: 2 },
        Ask::RunTake { pages: 2 },
        Ask::RunGive,
        Ask::RunOwner,
        Ask::BlockFree,
        Ask::Inspect { access: Access::Write },
    ]
    .into_iter()
}

fn answers() -> impl Iterator<Item = Answer> {
    let held = |waits_for| Answer::Held { rank: Rank(3), thread: 4711, waits_for };
    [
        Answer::Done,
        Answer::Queued,
        Answer::Woken,
        Answer::Serial,
        Answer::Value(42),
        Answer::Run(PageId(3)),
        Answer::Owner(Rank(2)),
        held(None),
        held(Some(ObjectId(9))),
        Answer::Busy,
        Answer::Empty,
        Answer::Overflow,
        Answer::CountDiffers,
        Answer::Exhausted,
        Answer::NotTaken,
        Answer::Free,
    ]
    .into_iter()
}

/// The kind of message, the length of segments, the frame.
fn launch_frames() -> Vec<Vec<u8>> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let node = Node { host: "node1".into(), address: SocketAddr::new(address, 4242) };
    let job = Job {
        id: JobId(7),
        key: Some(JobKey::new([1; 32])),
        rank: 0,
        nodes: vec![node.clone(), node],
    };
    let lost = Status::ContactLost { rank: 1, cause: "it closed the connection".into() };
    let output = Report::Output { stream: Stream::Stderr, bytes: b"hello\n".to_vec() };
    [
        (0, frame::encode(&Order::Bind(address))),
        (0, frame::encode(&Order::Input(b"some input".to_vec()))),
        (0, frame::encode(&Order::End { grace_ms: 2000 })),
        (1, frame::encode(&output)),
        (1, frame::encode(&Report::Status(lost.clone()))),
        (1, frame::encode(&Report::Exited(Ending::Signal(9)))),
        (2, frame::encode(&job)),
        (3, frame::encode(&lost)),
    ]
    .into_iter()
    .map(|(kind, frame)| [vec![kind, 64], frame].concat())
    .collect()
}

fn machine_files() -> Vec<Vec<u8>> {
    [
        "localhost\nlocalhost\n",
        "# comment\n\nuser@node1 slots=2 # more\r\n[fd00::3] address=10.0.0.3\n",
        "\u{feff}node-1.example.org slots = 4\n::1\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Ranks, rank, hold, placement; then a page or word, what happens to it, and what more there is to say.
fn histories() -> Vec<Vec<u8>> {
    // On two ranks or three; what hold times there are.
    let (two, three, held, free, cyclic) = (0, 1, 1, 200, 0);
    let fault = |page, write| vec![page, u8::from(write)];
    let hold_over = |page| vec![page, 2];
    let acquire = |word, write| vec![word, 4 + u8::from(write)];
    let (surrender, surrender_but_read, serve) = (vec![0, 6], vec![0, 7], vec![0, 8]);
    let carry = |word| vec![word, 9, 1, 0];
    let probe = |word| vec![word, 9, 1, 1];
    let ask = |word, ask, operand| vec![word, 9, 0, 4, ask, operand];
    // From, kind, detail, rank, page, epoch, have.
    let hear = |fields: [u8; 7]| [vec![0, 10], fields.to_vec()].concat();
    let request = |page, write| hear([0, 0, 1 + u8::from(write), 0, page, 0, 0]);
    let forward = |page, right, epoch, have| hear([0, 1, right, 8, page, epoch, have]);
    let grant = |page, detail, epoch| hear([0, 2, detail, 0, page, epoch, 0]);
    let invalidate = |page, have| hear([0, 3, 0, 0, page, 0, have]);
    let asked = |word, ask, id, operand| hear([0, 7, ask, 1, word, id, operand]);
    let answered = |answer, id, operand| hear([0, 8, answer, 0, 0, id, operand]);
    let reclaimed = |page| hear([0, 10, 0, 0, page, 0, 0]);
    let reclaim = |page, pages| hear([0, 9, 0, 0, page, 0, pages]);
    let (zero, attached, to_write) = (0x23, 0x13, 3);
    let (token_of_2, token_of_3) = (4 + 2, 4 + 3);
    let history = |nodes, rank, hold, events: &[Vec<u8>]| {
        [vec![nodes, rank, hold, cyclic], events.concat()].concat()
    };
    let first_touch = 3;
    let claimed =
        |events: &[Vec<u8>]| [vec![three, 0, free, first_touch], events.concat()].concat();
    // Page 1 is at home at rank 1.
    let named_1 = hear([0, 12, 0, 4, 1, 0, 0]);
    vec![
        history(three, 0, free, &[fault(0, true), request(0, true)]),
        history(three, 0, held, &[fault(1, true), grant(1, attached, 1), hold_over(1)]),
        history(two, 0, held, &[fault(1, true), invalidate(1, 1), grant(1, attached, 1)]),
        // A lock comes, is recalled, goes, and is asked for again; its word is at home at rank 1.
        history(
            three,
            0,
            held,
            &[
                acquire(2, true),
                grant(token_of_2, zero, 1),
                forward(token_of_2, to_write, 2, 1),
                surrender.clone(),
                acquire(2, false),
                grant(token_of_2, 0x21, 3),
                invalidate(token_of_2, 3),
                surrender_but_read,
                surrender.clone(),
            ],
        ),
        // With a page, number 3 as the word is, whose home is this rank.
        history(
            three,
            0,
            held,
            &[
                acquire(3, true),
                grant(token_of_3, zero, 1),
                carry(3),
                fault(3, true),
                hold_over(3),
                forward(token_of_3, to_write, 2, 1),
                request(3, true),
                surrender,
                acquire(3, true),
                grant(token_of_3, zero, 3),
                grant(3, attached, 2),
            ],
        ),
        // At a condition variable, a semaphore and a barrier of the first word.
        history(
            two,
            0,
            free,
            &[ask(0, 1, 0), asked(0, 3, 1, 0), asked(0, 1, 2, 0), asked(0, 2, 3, 2)],
        ),
        history(
            two,
            0,
            free,
            &[asked(0, 7, 1, 0), ask(0, 9, 0), asked(0, 6, 2, 3), asked(0, 8, 3, 0)],
        ),
        history(two, 0, free, &[asked(0, 11, 1, 2), ask(0, 11, 2), asked(0, 11, 2, 1)]),
        // Operations here, handed on, and of our own.
        history(two, 0, free, &[asked(0, 12, 1, 5), serve.clone(), fault(0, true), serve.clone()]),
        history(
            three,
            0,
            free,
            &[request(0, true), asked(0, 13, 1, 5), ask(2, 12, 1), answered(5, 1, 4)],
        ),
        // Runs at the coordinator, and elsewhere.
        history(
            two,
            0,
            free,
            &[
                ask(0, 14, 1),
                fault(3, true),
                grant(3, zero, 1),
                asked(6, 15, 1, 0),
                asked(0, 14, 2, 1),
                reclaimed(3),
            ],
        ),
        history(two, 1, free, &[fault(3, true), reclaim(2, 2), ask(0, 14, 1), answered(6, 1, 3)]),
        // Pages whose home is who touches them first: of page 1 here, told late, after a peer knows it.
        claimed(&[fault(1, true), request(1, false), hear([0, 12, 0, 0, 1, 0, 0]), ask(2, 12, 1)]),
        claimed(&[hear([0, 11, 0, 0, 0, 0, 0]), fault(0, true), fault(1, false), named_1.clone()]),
        claimed(&[ask(2, 12, 1), named_1, answered(5, 1, 4)]),
        // Who has a lock.
        history(
            three,
            1,
            free,
            &[asked(0, 18, 1, 2), serve, probe(0), answered(1, 1, 0), hear([1, 8, 8, 3, 0, 1, 6])],
        ),
    ]
}
