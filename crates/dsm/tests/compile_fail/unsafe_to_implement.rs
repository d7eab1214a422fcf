//! What the derive macros do not check is to be declared unsafe.

struct Pointer(*const u8);

impl dsm::Shareable for Pointer {}

fn main() {}
