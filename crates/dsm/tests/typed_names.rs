//! What the ranks of a job meet at by name: objects, arrays, slices, parts.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::{AtOwner, AtomicI64, AtomicU64, HeapError, Mutex, NamedError, Shareable, Vec};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

fn made_once(nodes: u16) {
    job::run(nodes, &[], |node| {
        let made = node.named::<AtomicU64>("made").unwrap();
        let ends = node.named::<[AtomicU64; 2]>("ends").unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let squares = node.named_with::<Vec<u64>>("squares", || {
                        made.fetch_add(1, SeqCst);
                        (0..1000).map(|n| n * n).collect()
                    });
                    let squares = squares.unwrap();
                    assert_eq!((squares.len(), squares[999]), (1000, 998_001));
                    ends[0].fetch_add(squares.as_ptr().addr() as u64, SeqCst);
                    ends[1].store(squares.as_ptr().addr() as u64, SeqCst);
                });
            }
        });
        node.barrier().unwrap();
        assert_eq!(made.load(SeqCst), 1);
        let threads = 3 * u64::from(nodes);
        assert_eq!(ends[0].load(SeqCst), ends[1].load(SeqCst) * threads);
    });
}

#[test]
fn a_named_value_is_made_once_by_two_ranks() {
    made_once(2);
}

#[test]
fn a_named_value_is_made_once_by_three_ranks() {
    made_once(3);
}

#[test]
fn a_named_value_is_made_once_by_four_ranks() {
    made_once(4);
}

/// The tag of a type is the same in every process, wherever its code was loaded.
#[test]
fn types_are_told_apart() {
    job::run(3, &[], |node| {
        let differs = |result: Result<(), NamedError>| {
            assert!(matches!(result, Err(NamedError::TypeDiffers { .. })), "{result:?}");
        };
        node.named::<Mutex<u64>>("mutex").unwrap();
        differs(node.named::<Mutex<i64>>("mutex").map(drop));
        differs(node.named::<[u64; 2]>("mutex").map(drop));
        differs(node.named_array::<u64>("mutex", 2).map(drop));
        differs(node.named_slice::<u64>("mutex", 2).map(drop));
        differs(node.named_parts::<u64>("mutex", 2, 1).map(drop));
        let error = node.named::<Mutex<i64>>("mutex").map(drop).unwrap_err();
        let expected =
            "cannot meet at \"mutex\" as dsm::typed::mutex::Mutex<i64>: it is of another type";
        assert_eq!(error.to_string(), expected);
        let size = node.named::<Mutex<[u64; 9]>>("mutex").map(drop);
        assert!(matches!(size, Err(NamedError::Heap(HeapError::SizeDiffers { .. }))), "{size:?}");
        node.named_slice::<u32>("numbers", 4).unwrap();
        differs(node.named_slice::<f32>("numbers", 4).map(drop));
        node.named_parts::<u8>("parts", 6, 4).unwrap();
        differs(node.named_parts::<u8>("parts", 4, 6).map(drop));
        node.named_with("made", || 5_u64).unwrap();
        differs(node.named::<[u64; 3]>("made").map(drop));
        let odd = node.named::<Wide>("wide").map(|wide| wide.0).unwrap_err();
        assert!(matches!(odd, NamedError::Alignment { align: 128, .. }), "{odd:?}");
        let name = node.named::<u64>("").map(drop);
        assert!(matches!(name, Err(NamedError::Heap(HeapError::BadName { .. }))), "{name:?}");
        let much = node.named_slice::<f64>("much", usize::MAX).map(drop);
        assert!(matches!(much, Err(NamedError::Heap(HeapError::Exhausted { .. }))), "{much:?}");
        assert_eq!(*node.named::<()>("nothing").unwrap(), ());
        node.barrier().unwrap();
    });
}

#[derive(Debug, Shareable)]
#[repr(align(128))]
struct Wide(u64);

#[test]
fn an_array_has_a_length_of_the_moment() {
    job::run(3, &[], |node| {
        let buckets = node.named_array::<Mutex<Vec<u64>>>("buckets", 40).unwrap();
        for (key, bucket) in (0..200_u64).zip(buckets.iter().cycle()) {
            if key % 3 == u64::from(node.rank()) {
                bucket.lock().push(key);
            }
        }
        node.barrier().unwrap();
        let found: usize = buckets.iter().map(|bucket| bucket.lock().len()).sum();
        assert_eq!(found, 200);
    });
}

fn summed_in_a_slice(nodes: u16) {
    job::run(nodes, &[], |node| {
        let len = 40_000;
        let grid = node.named_slice::<f64>("grid", len).unwrap();
        let mine = grid.part(node.rank().into(), nodes.into());
        for index in 0..mine.len() {
            mine.set(index, f64::from(node.rank()) + 0.5);
        }
        node.barrier().unwrap();
        let expected = (0..nodes).map(|rank| {
            let part = grid.part(rank.into(), nodes.into());
            part.len() as f64 * (f64::from(rank) + 0.5)
        });
        assert_eq!(grid.iter().sum::<f64>(), expected.sum::<f64>());
        assert!(std::ptr::from_ref(&grid.words()[0]).addr().is_multiple_of(node.page_bytes()));
        node.barrier().unwrap();
        let bytes = node.named_slice::<i8>("bytes", 100).unwrap();
        bytes.slice(usize::from(node.rank())..).set(0, -7);
        node.barrier().unwrap();
        assert_eq!(bytes.iter().filter(|byte| *byte == -7).count(), nodes.into());
    });
}

#[test]
fn two_ranks_sum_in_a_slice() {
    summed_in_a_slice(2);
}

#[test]
fn four_ranks_sum_in_a_slice() {
    summed_in_a_slice(4);
}

/// Heat spreads over a plate, with each rank's rows as plain slices, as one process alone computes it.
fn heated(nodes: u16) {
    const SIZE: usize = 61;
    const SWEEPS: usize = 25;
    job::run(nodes, &[], |node| {
        let names = ["even", "odd"];
        let mut plates = names.map(|name| node.named_parts::<f64>(name, SIZE, SIZE).unwrap());
        let rows = plates[0].range(node.rank());
        let first = rows.start / SIZE;
        for plate in &mut plates {
            if first == 0 && !rows.is_empty() {
                plate.mine()[..SIZE].fill(1.0);
            }
        }
        node.barrier().unwrap();
        for _ in 0..SWEEPS {
            let [from, to] = &mut plates;
            for (row, cells) in (first..).zip(to.mine().chunks_mut(SIZE)) {
                if row == 0 || row == SIZE - 1 {
                    continue;
                }
                let mut around = [[0.0; SIZE]; 3];
                for (at, line) in around.iter_mut().enumerate() {
                    from.read_into((row + at - 1) * SIZE, line);
                }
                relax(&around, cells);
            }
            plates.swap(0, 1);
            node.barrier().unwrap();
        }
        let result: std::vec::Vec<f64> = (0..SIZE * SIZE).map(|at| plates[0].get(at)).collect();
        assert_eq!(result, heated_alone(SIZE, SWEEPS));
        let (mine, others) = plates[0].split();
        assert_eq!(mine.len() + others.before().len() + others.after().len(), SIZE * SIZE);
        if node.rank() > 0 {
            assert_eq!(others.get(0), 1.0);
        }
        node.barrier().unwrap();
    });
}

fn relax<const SIZE: usize>(around: &[[f64; SIZE]; 3], cells: &mut [f64]) {
    for at in 1..SIZE - 1 {
        let [up, here, down] = around;
        cells[at] = 0.25 * (here[at - 1] + here[at + 1] + up[at] + down[at]);
    }
}

fn heated_alone(size: usize, sweeps: usize) -> std::vec::Vec<f64> {
    let mut plates = [vec![0.0; size * size], vec![0.0; size * size]];
    plates.iter_mut().for_each(|plate| plate[..size].fill(1.0));
    for _ in 0..sweeps {
        let [from, to] = &mut plates;
        for row in 1..size - 1 {
            for at in row * size + 1..(row + 1) * size - 1 {
                to[at] = 0.25 * (from[at - 1] + from[at + 1] + from[at - size] + from[at + size]);
            }
        }
        plates.swap(0, 1);
    }
    let [result, _] = plates;
    result
}

#[test]
fn two_ranks_heat_a_plate_in_parts() {
    heated(2);
}

#[test]
fn three_ranks_heat_a_plate_in_parts() {
    heated(3);
}

#[test]
fn four_ranks_heat_a_plate_in_parts() {
    heated(4);
}

#[test]
fn any_range_of_all_parts_can_be_read() {
    job::run(3, &[], |node| {
        let mut parts = node.named_parts::<u16>("parts", 7, 3).unwrap();
        let first = u16::try_from(parts.range(node.rank()).start).unwrap();
        parts.mine().iter_mut().zip(first..).for_each(|(word, at)| *word = at + 1);
        node.barrier().unwrap();
        for from in 0..=parts.len() {
            for to in from..=parts.len() {
                let mut found = vec![0; to - from];
                parts.read_into(from, &mut found);
                assert!(found.into_iter().eq((from..to).map(|at| parts.get(at))), "{from}..{to}");
            }
        }
        assert!((1..).zip(0..parts.len()).all(|(value, at)| parts.get(at) == value));
        node.barrier().unwrap();
    });
}

#[test]
fn a_part_is_taken_once_a_process() {
    job::run(2, &[], |node| {
        let mut parts = node.named_parts::<u16>("parts", 10, 3).unwrap();
        parts.mine().fill(node.rank() + 1);
        let again = node.named_parts::<u16>("parts", 10, 3).map(drop);
        assert_eq!(again, Err(NamedError::Taken { name: "parts".to_owned() }));
        let in_thread = thread::scope(|scope| {
            scope.spawn(|| node.named_parts::<u16>("parts", 10, 3).map(drop)).join().unwrap()
        });
        assert!(in_thread.is_err());
        node.barrier().unwrap();
        assert_eq!((parts.get(14), parts.get(15), parts.len()), (1, 2, 30));
        assert_eq!((parts.range(0), parts.range(1)), (0..15, 15..30));
        node.barrier().unwrap();
        drop(parts);
        let parts = node.named_parts::<u16>("parts", 10, 3).unwrap();
        assert_eq!(parts.get(29), 2);
    });
}

#[test]
fn words_are_changed_at_their_owner() {
    job::run(3, &[], |node| {
        let (up, down) = node.named::<(AtomicU64, AtomicI64)>("counters").unwrap();
        for _ in 0..200 {
            up.fetch_add_at_owner(2);
            down.fetch_add_at_owner(-3);
        }
        node.barrier().unwrap();
        assert_eq!((up.load(SeqCst), down.load(SeqCst)), (1200, -1800));
        node.barrier().unwrap();
        let winner = down.compare_exchange_at_owner(-1800, node.rank().into());
        let winners = node.named::<AtomicU64>("winners").unwrap();
        if winner.is_ok() {
            winners.fetch_add_at_owner(1);
        }
        node.barrier().unwrap();
        assert_eq!(winners.load(SeqCst), 1);
        assert!(winner == Ok(-1800) || winner == Err(down.load(SeqCst)), "{winner:?}");
    });
}
