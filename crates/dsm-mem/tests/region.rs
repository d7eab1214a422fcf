//! Reserving memory, and moving pages between it and sockets.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod support;

use dsm_core::PageId;
use dsm_mem::{Choice, Layout, Region, RegionError, Word, WordsError};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI16, AtomicU8, AtomicU64};
use support::{World, ending, layout, role, run_self, start, stderr};

#[test]
fn a_region_is_zero_and_has_whole_pages() {
    let page_bytes = rustix::param::page_size();
    let Layout { base, .. } = layout(1);
    let region = Region::reserve(Layout { base, bytes: page_bytes + 1, heap_bytes: 0 }).unwrap();
    assert_eq!((region.base(), region.bytes(), region.pages()), (base, 2 * page_bytes, 2));
    assert_eq!(region.page_of(base - 1), None);
    assert_eq!(region.page_of(base + page_bytes - 1), Some(PageId(0)));
    assert_eq!(region.page_of(base + page_bytes), Some(PageId(1)));
    assert_eq!(region.page_of(base + 2 * page_bytes), None);
    let words: &[AtomicU64] = region.words(0, region.bytes() / 8).unwrap();
    assert!(words.iter().all(|word| word.load(Relaxed) == 0));
}

#[test]
fn the_heap_follows_the_area() {
    let page_bytes = rustix::param::page_size();
    let Layout { base, .. } = layout(1);
    let check = |bytes, heap_bytes, area_pages, heap_pages| {
        let region = Region::reserve(Layout { base, bytes, heap_bytes }).unwrap();
        let (area, heap) = (region.area_bytes(), region.heap_bytes());
        assert_eq!((area, heap), (area_pages * page_bytes, heap_pages * page_bytes));
        assert_eq!((region.base(), region.heap_base()), (base, base + area));
        assert_eq!(
            (region.bytes(), region.pages()),
            (area + heap, (area_pages + heap_pages) as u64)
        );
        let last = base + region.bytes() - 1;
        assert_eq!(region.page_of(last), Some(PageId(region.pages() - 1)));
        assert_eq!(region.page_of(last + 1), None);
        let words: &[AtomicU64] = region.words(area - 8, 1 + heap.min(1)).unwrap();
        assert!(words.iter().all(|word| word.swap(1, Relaxed) == 0));
    };
    check(page_bytes, page_bytes, 1, 1);
    check(1, page_bytes + 1, 1, 2);
    check(2 * page_bytes, 0, 2, 0);
}

#[test]
fn both_views_show_the_same_bytes() {
    let region = Region::reserve(layout(2)).unwrap();
    let words: &[AtomicU8] = region.words(region.page_bytes(), region.page_bytes()).unwrap();
    words[5].store(200, Relaxed);
    let mut bytes = vec![1];
    region.copy_page(PageId(1), &mut bytes);
    assert_eq!(bytes.len(), 1 + region.page_bytes());
    assert_eq!((bytes[0], bytes[6]), (1, 200));
    region.zero_page(PageId(1));
    assert_eq!(words[5].load(Relaxed), 0);
}

fn check_words<W: Word>(region: &Region, byte_offset: usize, len: usize, expected: &str) {
    match region.words::<W>(byte_offset, len) {
        Ok(words) => assert_eq!(expected, "ok", "{} words at {byte_offset}", words.len()),
        Err(WordsError::Unaligned { .. }) => assert_eq!(expected, "unaligned"),
        Err(WordsError::OutOfBounds { .. }) => assert_eq!(expected, "out of bounds"),
    }
}

#[test]
fn words_are_checked() {
    let region = Region::reserve(layout(1)).unwrap();
    let bytes = region.bytes();
    check_words::<AtomicU64>(&region, 0, bytes / 8, "ok");
    check_words::<AtomicU64>(&region, 8, bytes / 8, "out of bounds");
    check_words::<AtomicU64>(&region, bytes, 0, "ok");
    check_words::<AtomicU64>(&region, bytes + 8, 0, "out of bounds");
    check_words::<AtomicU64>(&region, 4, 1, "unaligned");
    check_words::<AtomicU64>(&region, 8, usize::MAX, "out of bounds");
    check_words::<AtomicU64>(&region, usize::MAX - 7, 1, "out of bounds");
    check_words::<AtomicI16>(&region, 2, 3, "ok");
    check_words::<AtomicI16>(&region, 3, 1, "unaligned");
    check_words::<AtomicU8>(&region, bytes - 1, 1, "ok");
}

#[test]
fn a_base_in_use_is_named() {
    let Layout { base, bytes, .. } = layout(4);
    let first = Region::reserve(Layout { base, bytes, heap_bytes: 0 }).unwrap();
    for base in [base, base + first.page_bytes(), base - bytes + first.page_bytes()] {
        let error = Region::reserve(Layout { base, bytes, heap_bytes: 0 }).unwrap_err();
        let RegionError::BaseInUse { occupant, .. } = &error else { panic!("{error}") };
        assert!(occupant.contains("memfd:dsm"), "{error}");
        println!("{error}");
    }
    drop(first);
    Region::reserve(Layout { base, bytes, heap_bytes: 0 }).unwrap();
}

#[test]
fn impossible_layouts_are_errors() {
    let page_bytes = rustix::param::page_size();
    let Layout { base, .. } = layout(1);
    let refused = |layout| Region::reserve(layout).unwrap_err();
    let fails = |base, bytes| refused(Layout { base, bytes, heap_bytes: 0 });
    assert!(matches!(fails(base + 8, 1), RegionError::Unaligned { .. }));
    assert!(matches!(fails(0, 1), RegionError::Unaligned { .. }));
    assert!(matches!(fails(base, 0), RegionError::Size { .. }));
    assert!(matches!(fails(base, usize::MAX), RegionError::Size { .. }));
    assert!(matches!(fails(base, usize::MAX - base), RegionError::Size { .. }));
    // Area and heap fit one without the other.
    let heap_bytes = (usize::MAX - base) / page_bytes * page_bytes;
    let error = refused(Layout { base, bytes: 1, heap_bytes });
    assert!(matches!(error, RegionError::Size { .. }), "{error}");
    // Larger than any file.
    let error = fails(base, 1 << 62);
    assert!(matches!(error, RegionError::Map { .. } | RegionError::Resize { .. }), "{error}");
    println!("{error}");
}

#[test]
fn limits_of_the_process_are_named() {
    const TEST: &str = "limits_of_the_process_are_named";
    let limits =
        [(Resource::Fsize, "ulimit -f", "file size"), (Resource::As, "ulimit -v", "address space")];
    if let Some(role) = role() {
        let (resource, hint, _) = limits.into_iter().find(|limit| limit.2 == role).unwrap();
        let limit = Some(1 << 32);
        setrlimit(resource, Rlimit { current: limit, maximum: limit }).unwrap();
        let error = Region::reserve(Layout { bytes: 1 << 40, ..layout(1) }).unwrap_err();
        println!("{error}");
        assert!(error.to_string().contains(hint), "{error}");
        assert!(error.to_string().contains("4294967296"), "{error}");
        return;
    }
    for (_, _, what) in limits {
        let output = run_self(TEST, what);
        print!("{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(ending(&output), Ok(0), "{what}: {}", stderr(&output));
    }
}

#[test]
fn a_page_goes_out_behind_its_header() {
    let region = Region::reserve(layout(1)).unwrap();
    let words: &[AtomicU8] = region.words(0, region.bytes()).unwrap();
    for (at, word) in words.iter().enumerate() {
        word.store((at % 251).to_le_bytes()[0], Relaxed);
    }
    let mut page = Vec::new();
    region.copy_page(PageId(0), &mut page);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let header = [7; 24];

    // Until the socket is full: it may take a part of a message, and then says so.
    let mut taken = Vec::new();
    let full = loop {
        match region.send_page(&header, PageId(0), ours.as_fd()) {
            Ok(bytes) => taken.push(bytes),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    for bytes in taken {
        let mut message = vec![0; bytes];
        theirs.read_exact(&mut message).unwrap();
        assert_eq!(message, [&header[..], &page].concat()[..bytes]);
    }

    drop(theirs);
    let gone = region.send_page(&header, PageId(0), ours.as_fd()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_page_comes_in_in_any_pieces() {
    let region = Region::reserve(layout(3)).unwrap();
    let page_bytes = region.page_bytes();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let nothing = region.receive_page(PageId(1), 0, ours.as_fd()).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    let sent: Vec<u8> = (0..page_bytes).map(|at| (at % 241).to_le_bytes()[0]).collect();
    let mut offset = 0;
    for piece in [1, 2, 700, page_bytes] {
        let end = page_bytes.min(offset + piece);
        theirs.write_all(&sent[offset..end]).unwrap();
        while offset < end {
            offset += region.receive_page(PageId(1), offset, ours.as_fd()).unwrap();
        }
    }
    // What follows the page is not taken.
    theirs.write_all(&[9; 3]).unwrap();
    assert_eq!(region.receive_page(PageId(2), page_bytes - 2, ours.as_fd()).unwrap(), 2);
    drop(theirs);
    assert_eq!(region.receive_page(PageId(2), 0, ours.as_fd()).unwrap(), 1);
    assert_eq!(region.receive_page(PageId(2), 1, ours.as_fd()).unwrap(), 0);
    let mut received = Vec::new();
    region.copy_page(PageId(1), &mut received);
    assert_eq!(received, sent);
}

#[test]
fn a_region_of_one_tebibyte_costs_nothing_until_touched() {
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        let before = resident_bytes();
        let layout = Layout { bytes: 1 << 39, heap_bytes: 1 << 39, ..layout(1) };
        let mut world = World::around(Arc::new(Region::reserve(layout).unwrap()), choice);
        let words = world.words();
        let step = words.len() / 64;
        let writer = start(move || {
            words.iter().step_by(step).map(|word| word.fetch_add(1, Relaxed)).sum::<u64>()
        });
        assert_eq!(world.serve(writer), 0);
        let grown = resident_bytes().saturating_sub(before);
        println!("{choice}: {} KiB more, with 64 pages touched", grown >> 10);
        assert!(grown < 16 << 20, "{choice}: {grown} bytes");
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident = statm.split_whitespace().nth(1).unwrap();
    resident.parse::<usize>().unwrap() * rustix::param::page_size()
}

/// With a view in core dumps, the core of a rank with 64 GiB took 22 s, or 64 GiB of disk.
#[test]
fn neither_view_is_dumped_or_inherited() {
    const TEST: &str = "neither_view_is_dumped_or_inherited";
    if role().is_none() {
        let output = run_self(TEST, "alone");
        assert_eq!(ending(&output), Ok(0), "{}", stderr(&output));
        return;
    }
    let region = Region::reserve(layout(4)).unwrap();
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines();
    let mut views = Vec::new();
    while lines.any(|line| line.contains("/memfd:dsm")) {
        let flags = lines.find(|line| line.starts_with("VmFlags:")).unwrap();
        views.push(flags.split_whitespace().collect::<Vec<_>>());
    }
    drop(region);
    assert_eq!(views.len(), 2);
    assert!(views.iter().all(|flags| flags.contains(&"dd") && flags.contains(&"dc")), "{views:?}");
}
