//! Well-formed inputs, from which a campaign begins.

use crate::Target;
use crate::targets::{LIMITS, OURS};
use dsm_core::wire::{self, Hello};
use dsm_core::{Access, BarrierKind, Epoch, Message, PageId, Payload, Rank, Right};
use dsm_net::frame;
use dsm_net::launch::{Ending, Job, JobId, JobKey, Node, Order, Report, Status, Stream};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) fn of(target: Target) -> Vec<Vec<u8>> {
    match target {
        Target::Wire => headers(),
        Target::Hello => vec![Hello { from: Rank(1), ..OURS }.encode().to_vec()],
        Target::Launch => launch_frames(),
        Target::MachineFile => machine_files(),
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
        Message::BarrierArrive { kind, epoch },
        Message::BarrierRelease { kind, epoch },
    ];
    messages.iter().map(|message| wire::encode(message, &LIMITS).to_vec()).collect()
}

/// The kind of message, the length of segments, the frame.
fn launch_frames() -> Vec<Vec<u8>> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let node = Node { host: "node1".into(), address: SocketAddr::new(address, 4242) };
    let job =
        Job { id: JobId(7), key: Some(JobKey([1; 32])), rank: 0, nodes: vec![node.clone(), node] };
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

/// Ranks, rank, hold; then a page, what happens to it, and the fields of a message.
fn histories() -> Vec<Vec<u8>> {
    let fault = |page, write| vec![page, u8::from(write)];
    let message = |fields: [u8; 7]| [vec![0, 4], fields.to_vec()].concat();
    let granted = message([2, 0x13, 0, 1, 1, 0, 0]);
    vec![
        [vec![1, 0, 200], fault(0, true), message([0, 2, 0, 0, 0, 0, 0])].concat(),
        [vec![1, 0, 1], fault(1, true), granted.clone(), vec![1, 2]].concat(),
        [vec![0, 0, 1], fault(1, true), message([3, 0, 0, 1, 0, 1, 0]), granted].concat(),
    ]
}
