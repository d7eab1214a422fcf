//! Whether the kernel will execute a file that says it is an ELF program. exec itself cannot be
//! asked: the C library hands what the kernel refuses to a shell, which then speaks of syntax errors.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Why this machine cannot execute the file; nothing if it can, or if it is no ELF file.
pub(super) fn objection(path: &Path) -> Option<String> {
    let header = header(path).ok()?;
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let own = header_of_this_program()?;
    match machine(&header) {
        None => Some("exec format error: a broken ELF file".into()),
        Some(other) if other == own || ALSO.contains(&(own, other)) || has_interpreters() => None,
        Some(other) => Some(format!(
            "exec format error: built for ELF machine {other}, and this machine is {own}"
        )),
    }
}

fn header_of_this_program() -> Option<u16> {
    machine(&header(Path::new("/proc/self/exe")).ok()?)
}

fn header(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEADER_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The field `e_machine`, if class and byte order are of this world.
fn machine(header: &[u8]) -> Option<u16> {
    let bytes = [*header.get(18)?, *header.get(19)?];
    match (header[4], header[5]) {
        (1 | 2, 1) => Some(u16::from_le_bytes(bytes)),
        (1 | 2, 2) => Some(u16::from_be_bytes(bytes)),
        _ => None,
    }
}

/// Emulators may be registered with the kernel; then it is theirs to refuse.
fn has_interpreters() -> bool {
    let Ok(entries) = fs::read_dir("/proc/sys/fs/binfmt_misc") else { return false };
    entries
        .flatten()
        .any(|entry| !["register", "status"].map(Into::into).contains(&entry.file_name()))
}

const HEADER_BYTES: u64 = 20;
/// 64-bit machines with the 32-bit ones they are too: x86-64 and 386, AArch64 and ARM.
const ALSO: [(u16, u16); 2] = [(62, 3), (183, 40)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_the_machine() {
        let elf = |class: u8, order: u8, machine: [u8; 2]| {
            let mut header = b"\x7fELF".to_vec();
            header.extend([class, order]);
            header.resize(18, 0);
            header.extend(machine);
            header
        };
        assert_eq!(machine(&elf(2, 1, [62, 0])), Some(62));
        assert_eq!(machine(&elf(2, 2, [0, 21])), Some(21));
        assert_eq!(machine(&elf(9, 1, [62, 0])), None);
        assert_eq!(machine(&elf(2, 1, [62, 0])[..19]), None);
    }

    #[test]
    fn this_program_and_scripts_are_no_objection() {
        assert_eq!(objection(Path::new("/proc/self/exe")), None);
        assert_eq!(objection(Path::new("/dev/null")), None);
        assert_eq!(objection(Path::new("/nowhere")), None);
    }
}
