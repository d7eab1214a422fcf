use super::parts::{Claim, Shares};
use super::{OnceLock, Parts, Slice, current};
use crate::{Element, HeapError, Node, Shareable};
use std::any::{TypeId, type_name};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use thiserror::Error;

/// Why the ranks cannot meet at a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NamedError {
    /// There is no memory for it, the name stands for something of another size, or it is no name.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// The name stands for something else of the same size.
    #[error("cannot meet at {name:?} as {wanted}: it is of another type")]
    TypeDiffers {
        /// The name.
        name: String,
        /// The type that this caller asked for.
        wanted: &'static str,
    },
    /// Types that are aligned to more than 64 bytes have no names.
    #[error("cannot meet at {name:?} as {wanted}: it is aligned to {align} bytes, and names to 64")]
    Alignment {
        /// The name.
        name: String,
        /// The type that this caller asked for.
        wanted: &'static str,
        /// Its alignment.
        align: usize,
    },
    /// This process has its part already.
    #[error("cannot take a part of {name:?}: this process has it")]
    Taken {
        /// The name.
        name: String,
    },
}

/// What a name stands for, beside the bytes.
struct Kind {
    name: &'static str,
    align: usize,
    /// Different for each type, and never 0.
    tag: u64,
}

/// Several values, as distinct from an array of fixed length.
struct Array<T>(T);

impl Node {
    /// The object of a name: zero at first, the same for all who ask for this name. It stays until the job ends.
    ///
    /// Ranks that name different types are told so. All ranks run the same program; where they do not, types
    /// are taken for the same if they have the same path, crate, size and alignment.
    ///
    /// ```no_run
    /// use dsm::{Condvar, Mutex, Shareable};
    ///
    /// #[derive(Shareable)]
    /// struct World {
    ///     step: Mutex<u64>,
    ///     next: Condvar,
    /// }
    ///
    /// let node = dsm::Node::join()?;
    /// let world = node.named::<World>("world")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NamedError`] says what is wrong.
    pub fn named<T: Shareable>(&self, name: &str) -> Result<&T, NamedError> {
        let kind = Kind::of::<T>(type_name::<T>(), align_of::<T>(), ());
        let address = self.meet(name, size_of::<T>(), &kind)?;
        // Contract of `object`: who meets at a name agrees on the type, and nothing named is freed.
        Ok(current().custody.object(&self.region, address))
    }

    /// As [`named`](Self::named), for a value that the first who asks makes; the others wait until it is made.
    ///
    /// # Errors
    /// [`NamedError`] says what is wrong.
    ///
    /// # Panics
    /// If the function asks for the name itself.
    #[track_caller]
    pub fn named_with<T: Shareable>(
        &self,
        name: &str,
        init: impl FnOnce() -> T,
    ) -> Result<&T, NamedError> {
        Ok(self.named::<OnceLock<T>>(name)?.get_or_init(init))
    }

    /// As [`named`](Self::named), for `len` values, one behind the other: an array whose length is known at
    /// run time.
    ///
    /// ```no_run
    /// use dsm::{Mutex, Vec};
    ///
    /// let node = dsm::Node::join()?;
    /// let buckets = node.named_array::<Mutex<Vec<u64>>>("buckets", 1024)?;
    /// buckets[77].lock().push(1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NamedError`] says what is wrong.
    pub fn named_array<T: Shareable>(&self, name: &str, len: usize) -> Result<&[T], NamedError> {
        let kind = Kind::of::<Array<T>>(type_name::<[T]>(), align_of::<T>(), len);
        let address = self.meet(name, bytes_of::<T>(len)?, &kind)?;
        // Contract of `objects`: who meets at a name agrees on type and length, and nothing named is freed.
        Ok(current().custody.objects(&self.region, address, len))
    }

    /// As [`named`](Self::named), for `len` numbers that all ranks load and store at any time. What is larger
    /// than 32 KiB begins a page.
    ///
    /// # Errors
    /// [`NamedError`] says what is wrong.
    pub fn named_slice<T: Element>(
        &self,
        name: &str,
        len: usize,
    ) -> Result<Slice<'_, T>, NamedError> {
        let wanted = type_name::<Slice<'static, T>>();
        let kind = Kind::of::<Slice<'static, T>>(wanted, align_of::<T>(), len);
        let address = self.meet(name, bytes_of::<T>(len)?, &kind)?;
        Ok(Slice::new(self.region.words_at(address, len)))
    }

    /// As [`named`](Self::named), for `units` units of `unit` numbers, of which each rank has a part for
    /// itself. What is larger than 32 KiB begins a page.
    ///
    /// # Errors
    /// [`NamedError::Taken`] while this process has its part already; or what is wrong else.
    pub fn named_parts<T: Element>(
        &self,
        name: &str,
        units: usize,
        unit: usize,
    ) -> Result<Parts<'_, T>, NamedError> {
        let wanted = type_name::<Parts<'static, T>>();
        let kind = Kind::of::<Parts<'static, T>>(wanted, align_of::<T>(), (units, unit));
        let exhausted = HeapError::Exhausted { bytes: usize::MAX };
        let len = units.checked_mul(unit).ok_or(exhausted)?;
        let address = self.meet(name, bytes_of::<T>(len)?, &kind)?;
        let claim = Claim::stake(address).ok_or(NamedError::Taken { name: name.to_owned() })?;
        let shares = Shares { units, unit, nodes: self.nodes().into() };
        Ok(Parts::new(self, address, shares, claim))
    }

    /// The address of the bytes of a name. Behind them is the tag of what they are, which the first who comes
    /// stores and the others compare.
    fn meet(&self, name: &str, bytes: usize, kind: &Kind) -> Result<usize, NamedError> {
        let (owned, wanted) = (|| name.to_owned(), kind.name);
        if kind.align > NAME_ALIGN {
            return Err(NamedError::Alignment { name: owned(), wanted, align: kind.align });
        }
        let exhausted = HeapError::Exhausted { bytes };
        let tag_offset = bytes.checked_next_multiple_of(TAG_BYTES).ok_or(exhausted.clone())?;
        let tagged_bytes = tag_offset.checked_add(TAG_BYTES).ok_or(exhausted)?;
        let address = self.named_bytes(name, tagged_bytes)?;
        let tag: &AtomicU64 = &self.region.words_at(address + tag_offset, 1)[0];
        let found = match tag.load(SeqCst) {
            0 => tag.compare_exchange(0, kind.tag, SeqCst, SeqCst).err().unwrap_or(kind.tag),
            found => found,
        };
        if found == kind.tag {
            Ok(address)
        } else {
            Err(NamedError::TypeDiffers { name: owned(), wanted })
        }
    }
}

impl Kind {
    /// What `T` and `more` describe.
    fn of<T: 'static>(name: &'static str, align: usize, more: impl Hash) -> Self {
        // Without a key of its own it gives the same in every process of a program.
        let mut hasher = DefaultHasher::new();
        TypeId::of::<T>().hash(&mut hasher);
        (size_of::<T>(), align_of::<T>(), more).hash(&mut hasher);
        Self { name, align, tag: hasher.finish() | 1 }
    }
}

fn bytes_of<T>(len: usize) -> Result<usize, HeapError> {
    size_of::<T>().checked_mul(len).ok_or(HeapError::Exhausted { bytes: usize::MAX })
}

const NAME_ALIGN: usize = 64;
const TAG_BYTES: usize = size_of::<u64>();
