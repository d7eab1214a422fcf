//! Raw pointers, functions and trait objects are addresses of one process.

use dsm::Shareable;

#[derive(Shareable)]
struct Pointer(*mut u64);

#[derive(Shareable)]
struct Function {
    on_change: fn(u64),
}

#[derive(Shareable)]
struct Object(std::marker::PhantomData<u64>, Box<dyn Fn() + Send + Sync>);

fn main() {}
