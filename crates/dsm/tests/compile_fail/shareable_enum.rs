//! Zero bytes must be a variant of an enum in shared memory, whose fields are `Shareable`.

use dsm::Shareable;

#[derive(Shareable)]
enum WithoutRepresentation {
    Idle,
    Busy,
}

#[derive(Shareable)]
#[repr(u8)]
enum WithoutZero {
    Idle = 1,
    Busy,
}

#[derive(Shareable)]
#[repr(u8)]
enum WithPrivateMemory {
    Idle,
    Busy(String),
}

fn main() {}
