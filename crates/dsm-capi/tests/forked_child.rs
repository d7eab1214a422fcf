//! A forked child of a process that is in a job, in Rust; `tests/programs/forks.c` is the same in C.
#![allow(unsafe_code, reason = "fork needs it")]

use dsm::{CallError, Node};

#[test]
fn a_forked_child_is_not_in_the_job_and_its_parent_is() {
    let node = Node::join().unwrap();
    assert!(!dsm::is_forked_child());
    // SAFETY: the job of this process has one rank, whose other threads are idle and hold no lock that the
    // child could need.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mistakes = [
            dsm::is_forked_child(),
            matches!(node.barrier(), Err(CallError::Left)),
            // What the parent does to leave, the child must not.
            node.leave().is_ok(),
        ];
        let code = mistakes.iter().position(|is_so| !is_so).map_or(0, |at| at + 1);
        // SAFETY: _exit takes an integer and does not return.
        unsafe { libc::_exit(i32::try_from(code).unwrap()) }
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    node.barrier().unwrap();
    node.finalize().unwrap();
}
