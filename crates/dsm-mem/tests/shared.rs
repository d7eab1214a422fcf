//! Values of Rust types in a region: who owns them, where they are, when they are dropped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "a type that counts its drops is declared shareable by hand")]

use dsm_mem::shared::{Buffer, Custody, Guarded, Owned, Ref, Shareable};
use dsm_mem::{Layout, Region};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// The region and the custody of this process, and pages that nobody else uses.
fn world() -> (&'static Region, &'static Custody, usize) {
    static WORLD: OnceLock<(Region, Custody)> = OnceLock::new();
    static USED: AtomicUsize = AtomicUsize::new(0);
    let (region, custody) = WORLD.get_or_init(|| {
        let layout = Layout { base: BASE, bytes: PAGES << 16, heap_bytes: 0 };
        (Region::reserve(layout).unwrap(), Custody::assume().unwrap())
    });
    let page = region.base() + (USED.fetch_add(1, SeqCst) << 16);
    (region, custody, page)
}

/// Counts its drops in a word of the region, which is where it points to.
struct Counting(Option<Ref<AtomicU64>>);

// SAFETY: made of what is Shareable.
unsafe impl Shareable for Counting {}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(drops) = self.0 {
            drops.fetch_add(1, SeqCst);
        }
    }
}

fn counter(region: &Region, custody: &Custody, address: usize) -> Ref<AtomicU64> {
    custody.leak(&mut custody.own_zeroed(region, address))
}

#[test]
fn there_is_one_custody() {
    let _ = world();
    assert!(Custody::assume().is_none());
}

#[test]
fn options_of_pointers_are_none_when_zero() {
    let (region, custody, page) = world();
    let options: &(Option<Owned<u64>>, Option<Ref<u64>>) = custody.object(region, page);
    assert!(options.0.is_none() && options.1.is_none());
    assert_eq!(size_of_val(options), 16);
}

#[test]
fn an_owned_value_is_where_it_was_put() {
    let (region, custody, page) = world();
    let mut owned = custody.own(region, page + 8, 7_u64);
    *owned += 1;
    assert_eq!((*owned, owned.address()), (8, page + 8));
    assert_eq!(region.words_at::<AtomicU64>(page + 8, 1)[0].load(SeqCst), 8);
    assert_eq!(custody.take(&mut owned), (8, page + 8));
    let shared = custody.leak(&mut custody.own(region, page + 8, 9_u64));
    assert_eq!((*shared, Some(shared) == Some(shared)), (9, true));
    assert_eq!(*custody.object::<u64>(region, page + 8), 9);
}

#[test]
fn a_value_is_dropped_once() {
    let (region, custody, page) = world();
    let drops = counter(region, custody, page);
    let mut owned = custody.own(region, page + 64, Counting(Some(drops)));
    assert_eq!(drops.load(SeqCst), 0);
    assert_eq!(custody.release(&mut owned), page + 64);
    assert_eq!(drops.load(SeqCst), 1);
    let (value, _) = custody.take(&mut custody.own(region, page + 64, Counting(Some(drops))));
    assert_eq!(drops.load(SeqCst), 1);
    drop(value);
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn a_guarded_value_is_reached_through_custody() {
    let (region, custody, page) = world();
    let guarded: &Guarded<[u64; 4]> = custody.object(region, page);
    custody.exclusive(guarded)[2] = 5;
    assert_eq!(custody.inclusive(guarded)[..], [0, 0, 5, 0]);
    assert_eq!(custody.settled(guarded)[2], 5);
    let mut own = Guarded::new(1);
    *own.get_mut() += 1;
    assert_eq!(own.into_inner(), 2);
}

#[test]
fn a_buffer_keeps_its_values() {
    let (region, custody, page) = world();
    let drops = counter(region, custody, page);
    let mut buffer = custody.buffer(region, page + 64, 3);
    for _ in 0..3 {
        assert!(buffer.push(Counting(Some(drops))).is_ok());
    }
    assert!(buffer.push(Counting(None)).is_err());
    drop(buffer.pop());
    assert_eq!((buffer.len(), drops.load(SeqCst)), (2, 1));
    let mut larger = custody.buffer(region, page + 4096, 8);
    larger.append(&mut buffer);
    assert_eq!((buffer.len(), larger.len(), drops.load(SeqCst)), (0, 2, 1));
    assert_eq!(buffer.release(), Some(page + 64));
    larger.truncate(5);
    larger.truncate(1);
    assert_eq!((larger.len(), drops.load(SeqCst)), (1, 2));
    assert_eq!(larger.release(), Some(page + 4096));
    assert_eq!(drops.load(SeqCst), 3);
}

#[test]
fn a_buffer_of_zero_bytes_is_empty() {
    let (region, custody, page) = world();
    let buffer: &Buffer<u64> = custody.object(region, page);
    assert!(buffer.is_empty() && buffer.capacity() == 0);
    assert_eq!(Buffer::<u64>::empty().pop(), None);
    assert_eq!(Buffer::<u64>::empty().release(), None);
    let mut none = Buffer::empty();
    none.append(&mut Buffer::<u64>::empty());
    assert_eq!(none.push(3), Err(3));
}

#[test]
fn a_part_of_words_can_be_written_as_a_slice() {
    let (region, custody, page) = world();
    let mut mine = custody.exclusive_words::<f64>(region, page, 4);
    mine.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    mine[1..].rotate_left(1);
    let words = region.words_at::<AtomicU64>(page, 4);
    assert_eq!(f64::from_bits(words[3].load(SeqCst)), 2.0);
    assert_eq!(custody.objects::<u32>(region, page + 1024, 5), [0; 5]);
}

fn check_refused(what: &str, use_it: impl FnOnce(&Region, &Custody, usize)) {
    let (region, custody, page) = world();
    let refused = catch_unwind(AssertUnwindSafe(|| use_it(region, custody, page)));
    let message = refused.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains(what), "{message}");
}

#[test]
fn values_are_inside_the_region_and_aligned() {
    check_refused("values are aligned to 8", |region, custody, page| {
        custody.own(region, page + 4, 1_u64);
    });
    check_refused("values are inside the region", |region, custody, _| {
        let _ = custody.object::<u64>(region, region.base() - 8);
    });
    check_refused("values are inside the region", |region, custody, _| {
        let _ = custody.own_zeroed::<[u64; 2]>(region, region.base() + region.bytes() - 8);
    });
    check_refused("values are inside the region", |region, custody, page| {
        let _ = custody.buffer::<u64>(region, page, usize::MAX / 4);
    });
    check_refused("there is room", |region, custody, page| {
        let mut two = custody.buffer(region, page, 2);
        two.push(1_u64).unwrap();
        custody.buffer(region, page + 64, 0).append(&mut two);
    });
}

/// Pages of 64 KiB at most.
const PAGES: usize = 64;
/// An address that the kernel does not choose on its own.
const BASE: usize = 0x5100_0000_0000;
