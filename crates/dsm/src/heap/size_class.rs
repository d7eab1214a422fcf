/// A size of blocks. Every class has its own chunks.
///
/// 16 to 128 bytes by 16, then four sizes for every doubling, up to 32 KiB. What is asked for is rounded
/// up: by at most 15 bytes up to 128 bytes, above that by less than a quarter of it, by a tenth on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SizeClass(u8);

impl SizeClass {
    pub(crate) const COUNT: usize = BYTES.len();

    /// The classes, by index.
    pub(crate) fn all() -> [Self; Self::COUNT] {
        std::array::from_fn(Self::at)
    }

    /// The smallest class with room for this many bytes in which blocks at multiples of their size are at
    /// multiples of `align`, a power of two; `None` if there is none.
    pub(crate) fn fitting(bytes: usize, align: usize) -> Option<Self> {
        let first = match bytes {
            0..=SMALL => bytes.div_ceil(STEP).saturating_sub(1),
            _ => {
                let last = bytes - 1;
                let log = last.ilog2() as usize;
                // Two bits behind the first one tell the four sizes of a doubling apart.
                SMALL / STEP + (log - SMALL_LOG) * 4 + (last >> (log - 2)) - 4
            }
        };
        let aligned = |class: &Self| class.bytes().is_multiple_of(align);
        (first..Self::COUNT).map(Self::at).find(aligned)
    }

    /// Bytes of a block.
    pub(crate) fn bytes(self) -> usize {
        BYTES[self.index()]
    }

    pub(crate) fn index(self) -> usize {
        self.0.into()
    }

    fn at(index: usize) -> Self {
        Self(u8::try_from(index).expect("there are few classes"))
    }
}

const fn table() -> [usize; SMALL / STEP + DOUBLINGS * 4] {
    let mut table = [0; SMALL / STEP + DOUBLINGS * 4];
    let mut bytes = 0;
    let mut index = 0;
    while index < table.len() {
        bytes += if bytes < SMALL { STEP } else { (1 << bytes.ilog2()) / 4 };
        table[index] = bytes;
        index += 1;
    }
    table
}

const BYTES: [usize; SMALL / STEP + DOUBLINGS * 4] = table();
const STEP: usize = 16;
const SMALL_LOG: usize = 7;
const SMALL: usize = 1 << SMALL_LOG;
const DOUBLINGS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: usize, align: usize, expected: Option<usize>) {
        let found = SizeClass::fitting(bytes, align).map(SizeClass::bytes);
        assert_eq!(found, expected, "{bytes} bytes at {align}");
    }

    #[test]
    fn every_size_has_the_smallest_class_that_fits() {
        assert_eq!(SizeClass::COUNT, 40);
        for bytes in 0..=LARGEST {
            for align in (0..=16).map(|log| 1 << log) {
                let fits = |class: &usize| *class >= bytes && class.is_multiple_of(align);
                check(bytes, align, BYTES.into_iter().find(fits));
            }
        }
        check(LARGEST + 1, 1, None);
        check(usize::MAX, 1, None);
        check(1, LARGEST, Some(LARGEST));
        check(1, 2 * LARGEST, None);
    }

    #[test]
    fn little_is_lost_by_rounding_up() {
        let lost = |bytes| SizeClass::fitting(bytes, 1).unwrap().bytes() - bytes;
        assert!((1..=SMALL).all(|bytes| lost(bytes) < STEP));
        assert!((SMALL + 1..=LARGEST).all(|bytes| lost(bytes) * 4 < bytes));
        let above = SMALL + 1..=LARGEST;
        let (asked, more) = (above.clone().sum::<usize>(), above.map(lost).sum::<usize>());
        println!("129 to 32768 bytes, each once: {} % more", more * 100 / asked);
        assert!(more * 10 < asked);
    }

    const LARGEST: usize = BYTES[SizeClass::COUNT - 1];
}
