//! Row: read, write, recv, sendmsg into and from shared pages that are stolen meanwhile: the same bytes as with a private
//! buffer, and never EFAULT with userfaultfd; `dsm doctor` names what a lesser mode cannot do.

use crate::case::{ENGINES, Place, program, root, side_by_side};
use dsm_lab::cannot_run;
use rustix::process::geteuid;
use std::process::Command;

#[test]
fn move_the_bytes_of_a_private_buffer_with_uffd() {
    if !geteuid().is_root() {
        let _: Option<()> = cannot_run("serving faults inside system calls needs root");
        return;
    }
    check("uffd", &[]);
}

/// Where the kernel does not wait for pages the preloaded library gives it private memory.
#[test]
fn move_the_bytes_of_a_private_buffer_with_the_library() {
    let preload = format!("LD_PRELOAD={}", root().join("lib/libdsm_syscalls.so").display());
    side_by_side(&ENGINES, |engine| {
        check(engine, &["-x", &preload]);
        String::new()
    });
}

#[test]
fn the_doctor_names_what_a_lesser_mode_cannot_do() {
    for error in ["EPERM", "ENOSYS"] {
        let mut command = Command::new(program("no_uffd"));
        let output = command.args([error, env!("CARGO_BIN_EXE_dsm"), "doctor"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let line =
            text.lines().find(|line| line.starts_with("--  userfaultfd ")).unwrap_or_default();
        for words in ["dsm falls back to SIGSEGV", "read(2) and the like", "EFAULT"] {
            assert!(line.contains(words), "no {words:?} in {line:?} of\n{text}");
        }
        println!("{error}: {line}");
    }
}

/// Rank 1 gives the calls of libc that people use pages that rank 0 takes away all the time.
fn check(engine: &str, options: &[&str]) {
    for (name, line) in [("buffers", "buffers: right"), ("syscalls", "system calls are right")] {
        let place = Place::local(2);
        let options = [&["--fault", engine], options].concat();
        let over = place.start(&options, &[&program(name)]).finish();
        over.expect_success().expect_from_all(2, line);
        let preloaded = if options.len() > 2 { " preloaded" } else { "" };
        println!("{name}, {engine}{preloaded}: {:.2} s", over.took.as_secs_f64());
    }
}
