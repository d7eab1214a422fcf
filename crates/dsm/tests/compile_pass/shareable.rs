//! What can be shared, without unsafe code of the program's own.

#![forbid(unsafe_code)]

use dsm::{Ref, Shareable, ZeroIsNone};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicI32};

#[derive(Shareable)]
struct Unit;

#[derive(Shareable)]
struct Account<T, const N: usize>
where
    T: Copy + Shareable,
{
    number: u64,
    state: State,
    open: AtomicBool,
    balance: (f64, AtomicI32),
    items: [T; N],
    unit: PhantomData<Unit>,
    id: Option<NonZeroU64>,
    next: Option<Ref<Self>>,
    previous: Option<Ref<Account<T, N>>>,
}

#[derive(Clone, Copy, Shareable)]
#[repr(u8)]
enum State {
    Closed = 7,
    Open = 0,
}

#[derive(Shareable)]
#[repr(C, u32)]
enum Task {
    Idle,
    Sum { from: u64, to: u64 },
    Step(State, Option<Ref<Task>>),
}

#[derive(Clone, Copy, ZeroIsNone)]
#[repr(transparent)]
struct Number(NonZeroU64, PhantomData<Unit>);

fn need<T: Shareable>() {}

fn main() {
    need::<Unit>();
    need::<Account<u8, 5>>();
    need::<Task>();
    need::<Option<Number>>();
    assert!(size_of::<Option<Number>>() == 8);
}
