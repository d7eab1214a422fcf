//! Nothing tells which field of a union another rank wrote.

use dsm::Shareable;

#[derive(Shareable)]
union Number {
    integer: u64,
    float: f64,
}

fn main() {}
