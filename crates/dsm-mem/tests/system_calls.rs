//! System calls whose buffers are shared pages that are not here.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "the kernel is to write into shared pages, by their address")]

mod support;

use dsm_core::{Access, PageId};
use dsm_mem::Choice;
use std::ffi::c_void;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::{World, ending, role, run_child, start, stderr};

/// What read(2) into or write(2) from `bytes` bytes of the region returned.
#[derive(Clone, Copy)]
enum Call {
    Read,
    Write,
}

fn call(call: Call, fd: &UnixStream, address: usize, bytes: usize) -> Result<usize, i32> {
    let buffer: *mut c_void = std::ptr::with_exposed_provenance_mut(address);
    let result = match call {
        // SAFETY: the range is inside the region, which the callers keep mapped, and only atomics
        // and system calls access it.
        Call::Read => unsafe { libc::read(fd.as_raw_fd(), buffer, bytes) },
        // SAFETY: as above.
        Call::Write => unsafe { libc::write(fd.as_raw_fd(), buffer, bytes) },
    };
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap())
}

/// Three pages are not here when the kernel fills and then reads them; half a page at either end.
fn calls_are_served(world: &mut World) {
    let page_bytes = world.region.page_bytes();
    let (first, bytes) = (world.region.base() + page_bytes / 2, 2 * page_bytes);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let sent: Vec<u8> = (0..bytes).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
    theirs.write_all(&sent).unwrap();
    let reader = start({
        let ours = ours.try_clone().unwrap();
        move || call(Call::Read, &ours, first, bytes)
    });
    assert_eq!(world.serve(reader), Ok(bytes));

    for page in 0..3 {
        world.faults.protect(PageId(page), Access::None).unwrap();
    }
    let writer = start(move || call(Call::Write, &ours, first, bytes));
    assert_eq!(world.serve(writer), Ok(bytes));
    let mut received = vec![0; bytes];
    theirs.read_exact(&mut received).unwrap();
    assert_eq!(received, sent);
}

fn calls_fail(world: &mut World) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&[1; 8]).unwrap();
    let base = world.region.base();
    assert_eq!(call(Call::Read, &ours, base, 8), Err(libc::EFAULT));
    assert_eq!(call(Call::Write, &ours, base, 8), Err(libc::EFAULT));
    // A page that is here is like any memory.
    world.install(PageId(0), Access::Write);
    assert_eq!(call(Call::Read, &ours, base, 8), Ok(8));
    assert_eq!(world.copy(PageId(0))[0].to_ne_bytes(), [1; 8]);
}

#[test]
fn uffd_with_full_rights_serves_system_calls() {
    let mut world = World::new(Choice::Uffd, 4);
    if !world.faults.serves_system_calls() {
        support::cannot_run("a userfaultfd with full rights");
        return;
    }
    assert_eq!(world.faults.describe(), "uffd, system calls served");
    calls_are_served(&mut world);
}

#[test]
fn sigsegv_fails_system_calls() {
    let mut world = World::new(Choice::Sigsegv, 4);
    assert!(!world.faults.serves_system_calls());
    assert_eq!(world.faults.describe(), "sigsegv: system calls on missing pages fail with EFAULT");
    calls_fail(&mut world);
}

#[test]
fn an_ordinary_user_has_uffd_in_user_mode() {
    const TEST: &str = "an_ordinary_user_has_uffd_in_user_mode";
    if role().is_some() {
        let mut world = World::new(Choice::Auto, 4);
        println!("{}", world.faults.describe());
        if world.faults.serves_system_calls() {
            return calls_are_served(&mut world);
        }
        let words = world.words();
        let writer = start(move || words[0].fetch_add(3, std::sync::atomic::Ordering::Relaxed));
        assert_eq!(world.serve(writer), 0);
        world.faults.protect(PageId(0), Access::None).unwrap();
        return calls_fail(&mut world);
    }
    if !rustix::process::geteuid().is_root() {
        support::cannot_run("root, to become an ordinary user");
        return;
    }
    // The build directory may be out of an ordinary user's reach.
    let program = tempfile::Builder::new().prefix("dsm-mem-test-").tempdir().unwrap();
    let copy = program.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    rustix::fs::chmod(program.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    let mut command = Command::new(copy);
    command.uid(NOBODY).gid(NOBODY);
    let output = run_child(command, TEST, "user");
    assert_eq!(ending(&output), Ok(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(said.contains("uffd, ") || said.contains("sigsegv: "), "{said}");
}

const NOBODY: u32 = 65534;
