//! What ranks may do as processes, and what happens then: the table of `docs/running.md`; fork and storms of signals are in
//! `tests/failures`. Every job runs with both fault engines; nothing is left of any.

use crate::harness::{Ended, Place, Watched, text};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[test]
fn a_rank_that_ends_in_the_middle_is_named_with_the_way() {
    const EARLY: &str = "exited with code 0 without dsm_finalize";
    for (way, code, words) in [
        ("return", 76, EARLY),
        ("exit", 76, EARLY),
        ("_exit", 76, EARLY),
        ("quick_exit", 76, EARLY),
        ("exit 3", 3, "exited with code 3"),
        ("_exit 3", 3, "exited with code 3"),
        ("quick_exit 3", 3, "exited with code 3"),
        ("exit of a thread", 4, "exited with code 4"),
        ("abort", 134, "was killed by signal 6 (SIGABRT)"),
        ("kill", 137, "was killed by signal 9 (SIGKILL)"),
        ("null", 139, "was killed by signal 11 (SIGSEGV)"),
        ("late touch", 139, "was killed by signal 11 (SIGSEGV)"),
    ] {
        for engine in ENGINES {
            ended(engine, &program("ends"), way, code, words);
        }
    }
}

#[test]
fn a_rank_that_executes_another_program_ends_the_job_and_is_named_with_it() {
    for engine in ENGINES {
        // Told after two seconds, as a contact lost, it once was.
        let words = "executed /usr/bin/tail without dsm_finalize";
        let job = ended(engine, &program("ends"), "exec", 76, words);
        assert!(job.took < Duration::from_secs(2), "{job}");
        // Whether it is seen as executing or as ended is a race.
        ended(engine, &program("ends"), "exec true", 76, "without dsm_finalize");
    }
}

#[test]
fn ranks_may_leave_by_atexit_from_another_thread_and_beside_detached_ones() {
    for (way, line) in [
        ("atexit", "stored after main"),
        ("pthread_exit", "left from another thread"),
        ("detached", "left beside a thread"),
    ] {
        for engine in ENGINES {
            let job = run(engine, &program("ends"), &[way]);
            job.assert_code(0);
            assert_eq!(job.lines(), [line; 2], "{job}");
        }
    }
}

#[test]
fn an_uncaught_exception_of_cpp_ends_the_job() {
    let place = Place::local(2);
    let (source, program) = (place.path("throws.cpp"), place.path("throws"));
    let words = "#include <dsm.h>\n#include <stdexcept>\nint main(int argc, char **argv)\n{\n    \
                 volatile char *area = dsm_init(argc, argv);\n    if (DSM_NODE_ID == 1)\n        \
                 throw std::runtime_error(\"on purpose\");\n    while (area[0] == 0)\n        ;\n}\n";
    std::fs::write(&source, words).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lib = root.join("lib");
    let mut compiler = Command::new("c++");
    compiler.arg("-I").arg(root.join("include")).args([&source, Path::new("-o"), &program]);
    compiler.arg("-L").arg(&lib).arg(format!("-Wl,-rpath,{}", lib.display())).arg("-ldsm");
    match compiler.output() {
        Ok(output) if output.status.success() => (),
        Ok(output) => panic!("{compiler:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            println!("NOT RUN: no C++ compiler here: {error}");
            assert!(std::env::var_os("CI").is_none(), "CI=true and no C++ compiler");
            return;
        }
    }
    for engine in ENGINES {
        let words = "was killed by signal 6 (SIGABRT)";
        let job = ended(engine, &program, "", 134, words);
        assert!(job.stderr.contains("on purpose"), "{job}");
    }
}

#[test]
fn ranks_in_rust_end_as_their_programs_do() {
    let program = rust_program();
    for engine in ENGINES {
        let job = ended(engine, &program, "panic", 101, "exited with code 101");
        assert!(job.stderr.contains("on purpose"), "{job}");
        let job = ended(engine, &program, "overflow", 134, "was killed by signal 6 (SIGABRT)");
        // Said by the handler of Rust's own, to which dsm passes on.
        assert!(job.stderr.contains("has overflowed its stack"), "{job}");
        ended(engine, &program, "exit", 5, "exited with code 5");
        for way in ["drop", "panic of a thread"] {
            let job = run(engine, &program, &[way]);
            job.assert_code(0);
            assert_eq!(job.lines(), ["rust_life: right"; 2], "{job}");
        }
    }
}

/// The kernel puts the frame of a handler on its stack, and waits there for a page only where system calls do.
#[test]
fn stacks_in_shared_memory_end_a_rank_where_the_kernel_cannot_wait() {
    let job = run("sigsegv", &program("storm"), &["shared stack", "300"]);
    job.assert_code(139).assert_stderr(&["dsmexec: rank ", " was killed by signal 11 (SIGSEGV)"]);
    if rustix::process::geteuid().is_root() {
        right("uffd", "storm", &["shared stack", "300"]);
    }
}

#[test]
fn programs_keep_their_own_handlers_of_sigsegv_and_sigbus() {
    for engine in ENGINES {
        for how in ["before", "old", "after", "stack", "jump"] {
            right(engine, "strangers", &[how, "1000"]);
        }
    }
}

#[test]
fn a_handler_that_passes_nothing_on_works_with_uffd_only() {
    right("uffd", "strangers", &["deaf", "100"]);
    let job = run("sigsegv", &program("strangers"), &["deaf", "100"]);
    job.assert_code(9).assert_stderr(&["dsmexec: rank ", " exited with code 9; ending"]);
}

/// A job of two ranks, of which rank 1 ends so and is named with it.
#[track_caller]
fn ended(engine: &str, program: &Path, way: &str, code: i32, words: &str) -> Ended {
    let job = run(engine, program, &[way]);
    job.assert_code(code)
        .assert_stderr(&["dsmexec: rank 1 (localhost) pid ", words])
        .assert_stderr(&[
            "dsmexec: job ",
            &format!("failed with exit code {code}: rank 1 (localhost)"),
            words,
        ]);
    println!("{way:18} {engine:8} {:.2} s", job.took.as_secs_f64());
    job
}

/// A job of two ranks that both say at the end that nothing was wrong.
#[track_caller]
fn right(engine: &str, name: &str, arguments: &[&str]) -> Ended {
    let job = run(engine, &program(name), arguments);
    job.assert_code(0);
    let right = job.stdout.lines().filter(|line| *line == format!("{name}: right"));
    assert_eq!(right.count(), 2, "{job}");
    job
}

/// Runs a job of two ranks to its end; nothing of it is left then.
#[track_caller]
fn run(engine: &str, program: &Path, arguments: &[&str]) -> Ended {
    let place = Place::local(2);
    let program = [text(program)];
    let command: Vec<&str> = program.into_iter().chain(arguments.iter().copied()).collect();
    let ended = place.run(&["--tag", "none", "--fault", engine], &command);
    Watched::assert_gone_within(&Watched::all_in(place.dir()), GONE);
    ended
}

/// What `make test-programs` built.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test").join(name);
    assert!(path.is_file(), "there is no {}: run `make test-programs` first", path.display());
    path
}

/// What cargo builds with the tests of this package.
fn rust_program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().with_file_name("examples").join("rust_life");
    assert!(
        path.is_file(),
        "there is no {}: run `cargo build -p dsm-cli --examples`",
        path.display()
    );
    path
}

/// How long the kernel may take to remove what was killed.
const GONE: Duration = Duration::from_secs(1);
const ENGINES: [&str; 2] = ["uffd", "sigsegv"];
