//! What the collections and smart pointers of `std` own is in the memory of one process.

use dsm::Shareable;

#[derive(Shareable)]
struct Strings(String);

#[derive(Shareable)]
struct Vectors(std::vec::Vec<u64>);

#[derive(Shareable)]
struct Boxes(Option<std::boxed::Box<u64>>);

#[derive(Shareable)]
struct Counted(Option<std::rc::Rc<u64>>);

#[derive(Shareable)]
struct CountedByAll {
    here: u64,
    there: [Option<std::sync::Arc<u64>>; 4],
}

fn main() {}
