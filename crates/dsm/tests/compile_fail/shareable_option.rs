//! `None` is zero bytes only where the type in the option is never zero.

use dsm::Shareable;

#[derive(Shareable)]
struct Limit(Option<u64>);

#[derive(Shareable)]
struct NotZero(std::num::NonZeroU64);

fn main() {}
