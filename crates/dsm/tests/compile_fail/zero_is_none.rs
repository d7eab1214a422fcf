//! Only a transparent struct around what is never zero is never zero.

use dsm::ZeroIsNone;

#[derive(ZeroIsNone)]
struct Opaque(std::num::NonZeroU32);

#[derive(ZeroIsNone)]
#[repr(transparent)]
struct MaybeZero(u32);

#[derive(ZeroIsNone)]
#[repr(u8)]
enum Enum {
    One = 1,
}

fn main() {}
