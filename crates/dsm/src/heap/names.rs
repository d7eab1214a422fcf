//! Names for objects of the shared heap, at which the threads of all ranks meet.
//!
//! A linked list in shared memory, which begins in words of the heap's first page that no run covers.
//! An entry is written before it is linked in and never changes, so a name that exists is found without
//! the mutex; names are few and looked up once.

use super::HeapError;

/// What names need of shared memory and its heap. Addresses are those of words of 8 bytes.
pub(crate) trait Memory {
    /// Waits for a mutex of all ranks.
    ///
    /// # Errors
    /// When it cannot be had any more.
    fn lock(&self, mutex: usize) -> Result<(), HeapError>;

    fn unlock(&self, mutex: usize);

    /// As [`Node::allocate`](crate::Node): zeroed.
    fn allocate(&self, bytes: usize, align: usize) -> Result<usize, HeapError>;

    fn free(&self, address: usize);

    /// Not reordered with other accesses; so for `store`.
    fn load(&self, address: usize) -> u64;

    fn store(&self, address: usize, value: u64);
}

/// The object of a name: the first caller in the job allocates it, zeroed, and all others get the same
/// address. `root` is the first address of the heap.
///
/// # Errors
/// [`HeapError::BadName`], [`HeapError::SizeDiffers`] if the first caller asked for another size, or why
/// it cannot be allocated; the name is free then.
pub(crate) fn named(
    memory: &impl Memory,
    root: usize,
    name: &str,
    bytes: usize,
) -> Result<usize, HeapError> {
    if name.is_empty() || name.len() > MOST_BYTES || name.contains('\0') {
        return Err(HeapError::BadName { name: name.to_owned() });
    }
    let entry = match find(memory, root, name) {
        Some(entry) => entry,
        None => {
            let mutex = root + MUTEX;
            memory.lock(mutex)?;
            let entry = find(memory, root, name).map_or_else(|| add(memory, root, name, bytes), Ok);
            memory.unlock(mutex);
            entry?
        }
    };
    if entry.bytes == bytes as u64 {
        Ok(address(entry.object))
    } else {
        let had = usize::try_from(entry.bytes).expect("sizes have 64 bits");
        Err(HeapError::SizeDiffers { name: name.to_owned(), bytes: had, wanted: bytes })
    }
}

/// What an entry says.
struct Entry {
    object: u64,
    bytes: u64,
}

fn find(memory: &impl Memory, root: usize, name: &str) -> Option<Entry> {
    let mut at = address(memory.load(root + HEAD));
    while at != NONE {
        if is_named(memory, at, name) {
            let (object, bytes) = (memory.load(at + OBJECT), memory.load(at + BYTES));
            return Some(Entry { object, bytes });
        }
        at = address(memory.load(at + NEXT));
    }
    None
}

fn is_named(memory: &impl Memory, entry: usize, name: &str) -> bool {
    let words = (entry + NAME..).step_by(WORD);
    memory.load(entry + NAME_BYTES) == name.len() as u64
        && packed(name).zip(words).all(|(word, at)| memory.load(at) == word)
}

fn add(memory: &impl Memory, root: usize, name: &str, bytes: usize) -> Result<Entry, HeapError> {
    let object = memory.allocate(bytes, ALIGN)?;
    let entry = memory
        .allocate(NAME + name.len().next_multiple_of(WORD), WORD)
        .inspect_err(|_| memory.free(object))?;
    let object = object as u64;
    memory.store(entry + NEXT, memory.load(root + HEAD));
    memory.store(entry + OBJECT, object);
    memory.store(entry + BYTES, bytes as u64);
    memory.store(entry + NAME_BYTES, name.len() as u64);
    for (word, at) in packed(name).zip((entry + NAME..).step_by(WORD)) {
        memory.store(at, word);
    }
    // Last: whoever finds the entry finds all of it.
    memory.store(root + HEAD, entry as u64);
    Ok(Entry { object, bytes: bytes as u64 })
}

/// A name's bytes as words, the last one filled up with zeros.
fn packed(name: &str) -> impl Iterator<Item = u64> {
    name.as_bytes().chunks(WORD).map(|chunk| {
        let mut bytes = [0; WORD];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    })
}

fn address(word: u64) -> usize {
    usize::try_from(word).expect("addresses have 64 bits")
}

const MOST_BYTES: usize = 255;
/// An object met by name begins at a cache line, which suits every type and keeps two of them apart.
const ALIGN: usize = 64;
const NONE: usize = 0;

const WORD: usize = 8;
/// The mutex that those who add a name take; its bytes stay zero.
const MUTEX: usize = 0;
/// The first entry.
const HEAD: usize = WORD;
/// In an entry: the next one.
const NEXT: usize = 0;
const OBJECT: usize = WORD;
const BYTES: usize = 2 * WORD;
const NAME_BYTES: usize = 3 * WORD;
const NAME: usize = 4 * WORD;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::{Condvar, Mutex};

    const ROOT: usize = 0x10000;

    /// Memory of words, with a limit.
    #[derive(Debug, Default)]
    struct Fake {
        words: Mutex<BTreeMap<usize, u64>>,
        heap: Mutex<Heap>,
        locked: Mutex<bool>,
        unlocked: Condvar,
    }

    #[derive(Debug, Default)]
    struct Heap {
        /// Blocks in use: bytes by address.
        blocks: BTreeMap<usize, usize>,
        given: usize,
        most: Option<usize>,
    }

    impl Memory for Fake {
        fn lock(&self, mutex: usize) -> Result<(), HeapError> {
            assert_eq!(mutex, ROOT);
            let locked = self.locked.lock().unwrap();
            *self.unlocked.wait_while(locked, |locked| *locked).unwrap() = true;
            Ok(())
        }

        fn unlock(&self, mutex: usize) {
            assert_eq!(mutex, ROOT);
            assert!(std::mem::replace(&mut self.locked.lock().unwrap(), false));
            self.unlocked.notify_one();
        }

        fn allocate(&self, bytes: usize, align: usize) -> Result<usize, HeapError> {
            let mut heap = self.heap.lock().unwrap();
            if heap.most == Some(heap.blocks.len()) {
                return Err(HeapError::Exhausted { bytes });
            }
            let address = (ROOT + 4096 + heap.given).next_multiple_of(align);
            heap.given = address + bytes.max(1) - ROOT - 4096;
            heap.blocks.insert(address, bytes);
            Ok(address)
        }

        fn free(&self, address: usize) {
            assert!(self.heap.lock().unwrap().blocks.remove(&address).is_some());
        }

        fn load(&self, address: usize) -> u64 {
            self.words.lock().unwrap().get(&address).copied().unwrap_or(0)
        }

        fn store(&self, address: usize, value: u64) {
            assert!(address == ROOT + HEAD || self.has(address), "{address:#x} is not ours");
            self.words.lock().unwrap().insert(address, value);
        }
    }

    impl Fake {
        fn has(&self, word: usize) -> bool {
            let heap = self.heap.lock().unwrap();
            let block = heap.blocks.range(..=word).next_back();
            block.is_some_and(|(address, bytes)| word + WORD <= address + bytes)
        }

        fn named(&self, name: &str, bytes: usize) -> Result<usize, HeapError> {
            named(self, ROOT, name, bytes)
        }

        fn blocks(&self) -> usize {
            self.heap.lock().unwrap().blocks.len()
        }
    }

    #[test]
    fn a_name_stands_for_one_object() {
        let fake = Fake::default();
        let long = "x".repeat(255);
        let names = ["a", "b", "seven 7", "eight 88", "nine 9999", "nine 9998", "grün", &long];
        let addresses = names.map(|name| fake.named(name, 100).unwrap());
        assert_eq!(names.map(|name| fake.named(name, 100).unwrap()), addresses);
        assert!(addresses.iter().all(|address| address.is_multiple_of(ALIGN)));
        let mut distinct = addresses.to_vec();
        distinct.sort_unstable();
        assert!(distinct.windows(2).all(|pair| pair[0] + 100 <= pair[1]), "{distinct:x?}");
        assert_eq!(fake.blocks(), 2 * names.len());
        assert_eq!(fake.load(ROOT + MUTEX), 0);
    }

    #[test]
    fn a_name_has_one_size() {
        let fake = Fake::default();
        fake.named("grid", 100).unwrap();
        let error = fake.named("grid", 101).unwrap_err();
        let expected = HeapError::SizeDiffers { name: "grid".into(), bytes: 100, wanted: 101 };
        assert_eq!(error, expected);
        assert_eq!(error.to_string(), "cannot meet at \"grid\" with 101 bytes: it has 100");
        assert_eq!(fake.named("empty", 0), fake.named("empty", 0));
        assert_eq!(fake.blocks(), 4);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let fake = Fake::default();
        for name in ["", "a\0", &"x".repeat(256)] {
            let expected = HeapError::BadName { name: name.into() };
            assert_eq!(fake.named(name, 1), Err(expected));
        }
        assert_eq!(fake.blocks(), 0);
    }

    #[test]
    fn a_name_whose_object_finds_no_room_is_free() {
        let fake = Fake::default();
        fake.named("first", 8).unwrap();
        for most in [2, 3] {
            fake.heap.lock().unwrap().most = Some(most);
            assert!(matches!(fake.named("second", 8), Err(HeapError::Exhausted { .. })));
            assert_eq!(fake.blocks(), 2);
        }
        fake.heap.lock().unwrap().most = None;
        let second = fake.named("second", 16).unwrap();
        assert_eq!(fake.named("second", 16), Ok(second));
        assert!(fake.named("first", 8).is_ok());
    }

    #[test]
    fn threads_that_come_at_once_get_the_same_object() {
        let fake = Fake::default();
        let names: Vec<String> = (0..50).map(|name| format!("name {name}")).collect();
        let meet = |_| -> Vec<_> { names.iter().map(|name| fake.named(name, 40)).collect() };
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|at| scope.spawn(move || meet(at))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(found[0].iter().all(Result::is_ok));
        assert!(found.iter().all(|addresses| *addresses == found[0]));
        assert_eq!(fake.blocks(), 2 * names.len());
    }
}
