use crate::mapping::{Mapping, Placement};
use rustix::mm::Advice;
use std::io;
use std::slice;

/// Memory for secrets: no core file has it, no forked child, and nobody after it is dropped.
///
/// A forked child must not touch it: it is not there.
#[derive(Debug)]
pub struct Hidden {
    /// Invariant: no reference into it exists but those that borrow this value.
    mapping: Mapping,
}

impl Hidden {
    /// So many bytes, zero.
    ///
    /// # Errors
    /// If the kernel maps no memory, or does not promise to keep it to itself.
    pub fn new(bytes: usize) -> io::Result<Self> {
        // The kernel maps no nothing.
        let mapping = Mapping::anonymous(bytes.max(1), Placement::Anywhere)?;
        mapping.advise(Advice::LinuxDontDump)?;
        mapping.advise(Advice::LinuxDontFork)?;
        Ok(Self { mapping })
    }
}

impl AsRef<[u8]> for Hidden {
    fn as_ref(&self) -> &[u8] {
        let bytes = self.mapping.bytes();
        // SAFETY: the range is one mapping, readable, zeroed by the kernel, not over isize::MAX bytes, and it lives as
        // long as `self`. Only `as_mut` changes it, which borrows `self` alone; no advice is given after `new`.
        unsafe { slice::from_raw_parts(self.mapping.at(0, bytes), bytes) }
    }
}

impl AsMut<[u8]> for Hidden {
    fn as_mut(&mut self) -> &mut [u8] {
        let bytes = self.mapping.bytes();
        // SAFETY: as for `as_ref`; the mapping is writable, and `self` is borrowed alone, so this is the only
        // reference into it.
        unsafe { slice::from_raw_parts_mut(self.mapping.at(0, bytes), bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What the kernel says of the mapping that has this address.
    fn flags_at(address: usize) -> String {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_there = false;
        for line in smaps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let bound = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(a, b)| (bound(a), bound(b))) {
                is_there = (start..end).contains(&address);
            } else if let (true, Some(flags)) = (is_there, line.strip_prefix("VmFlags:")) {
                return flags.to_owned();
            }
        }
        panic!("no mapping has {address:#x}");
    }

    #[test]
    fn it_is_neither_dumped_nor_inherited() {
        let mut hidden = Hidden::new(100).unwrap();
        assert_eq!(hidden.as_ref(), [0; 100]);
        hidden.as_mut()[99] = 7;
        assert_eq!(hidden.as_ref()[99], 7);
        let flags = flags_at(hidden.as_ref().as_ptr().addr());
        for flag in ["dd", "dc"] {
            assert!(flags.split(' ').any(|it| it == flag), "{flag} is not in{flags}");
        }
        assert!(Hidden::new(0).is_ok());
    }
}
