//! Jobs where something is missing: rights, userfaultfd, and a little of everything else. They do with what is there and tell
//! it. Those that cannot are in `tests/failures`.

use crate::harness::{Ended, Place, Running, text};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn an_ordinary_user_has_uffd_in_user_mode() {
    let Some(place) = Installed::for_nobody() else { return };
    let ended = place.run(&[], &[], &["rotation", "4", "2"]);
    assert_rotated(&ended);
    place.assert_engine("uffd, user mode only: system calls on missing pages fail with EFAULT");
    let doctor = place.doctor(&[]);
    for words in [
        "--  userfaultfd            by the system call, user mode only (/dev/userfaultfd: ",
        "read(2) and the like on a shared page that is not here fail with EFAULT",
        "-> give the user access to /dev/userfaultfd",
        "\njobs can run here\n",
    ] {
        assert!(doctor.contains(words), "no {words:?} in\n{doctor}");
    }
}

#[test]
fn without_userfaultfd_faults_are_served_by_sigsegv() {
    for (error, words) in
        [("EPERM", "Operation not permitted"), ("ENOSYS", "Function not implemented")]
    {
        let place = Installed::for_us();
        let ended = place.run(&[], &["no_uffd", error], &["rotation", "4", "2"]);
        assert_rotated(&ended);
        let begin = "sigsegv: system calls on missing pages fail with EFAULT \
                     (not uffd: cannot open a userfaultfd (/dev/userfaultfd: ";
        place.assert_engine(&format!("{begin}{words}"));
        let doctor = place.doctor(&["no_uffd", error]);
        for line in [
            "--  userfaultfd            /dev/userfaultfd: ",
            ": dsm falls back to SIGSEGV, where read(2) and the like",
            "\njobs can run here\n",
        ] {
            assert!(doctor.contains(line), "no {line:?} in\n{doctor}");
        }
        // Who insists is told.
        let ended = place.run(&["--fault", "uffd"], &["no_uffd", error], &["rotation", "4", "2"]);
        ended.assert_code(71).assert_stderr(&[
            "dsmexec: rank ",
            "cannot open a userfaultfd",
            words,
        ]);
    }
}

#[test]
fn limits_that_are_small_are_enough() {
    let place = Installed::for_us();
    for limit in ["ulimit -n 64", "ulimit -Sn 8", "ulimit -l 0", "ulimit -s 64", "ulimit -c 0"] {
        for engine in ["uffd", "sigsegv"] {
            let script = format!("{limit} && exec \"$0\" \"$@\"");
            let options = ["--fault", engine, "--size", "64M", "--heap", "64M"];
            assert_rotated(&place.run(&options, &["sh", "-c", &script], &["rotation", "4", "2"]));
        }
    }
    let script = "ulimit -v 1000000 && exec \"$0\" \"$@\"";
    let options = ["--size", "64M", "--heap", "64M"];
    assert_rotated(&place.run(&options, &["sh", "-c", script], &["rotation", "4", "2"]));
    // The launcher, too, does with 64 descriptors.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]);
    assert_rotated(&place.start(limited, &[], &[], &["rotation", "4", "2"]));
}

#[test]
fn a_user_without_room_for_threads_is_told() {
    let Some(place) = Installed::for_nobody() else { return };
    let ended = place.run(&[], &["prlimit", "--nproc=0:0"], &["rotation", "4", "2"]);
    ended.assert_code(71).assert_stderr(&[
        "dsmexec: rank ",
        "the runtime needs ",
        " processes and threads ",
        "the limit is 0 (of the user, ulimit -u)",
    ]);
}

#[test]
fn system_calls_take_shared_buffers_with_libdsm_syscalls() {
    let nobody = Installed::for_nobody();
    let jobs = [(Some(Installed::for_us()), "uffd"), (Some(Installed::for_us()), "sigsegv")];
    for (place, engine) in jobs.into_iter().chain([(nobody, "uffd")]) {
        let Some(place) = place else { continue };
        let library = format!("LD_LIBRARY_PATH={}", place.place.path("lib").display());
        let options =
            ["--fault", engine, "-x", "LD_PRELOAD=libdsm_syscalls.so", "-x", library.as_str()];
        for (program, line) in
            [("buffers", "buffers: right"), ("syscalls", "system calls are right")]
        {
            let ended = place.run(&options, &[], &[program]);
            ended.assert_code(0);
            assert_eq!(ended.stdout.lines().filter(|it| *it == line).count(), 2, "{ended}");
        }
        let without = place.run(&["--fault", engine], &[], &["buffers"]);
        let is_served = place.user.is_none() && engine == "uffd";
        assert_eq!(without.status.success(), is_served, "without the library: {without}");
    }
}

/// A directory with everything that jobs need, from which they run as some user.
struct Installed {
    place: Place,
    user: Option<u32>,
}

impl Installed {
    fn for_us() -> Self {
        let place = Place::local(2);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for dir in ["bin/test", "lib"] {
            fs::create_dir_all(place.path(dir)).unwrap();
        }
        for (from, to) in [
            (PathBuf::from(env!("CARGO_BIN_EXE_dsmexec")), "bin/dsmexec"),
            (PathBuf::from(env!("CARGO_BIN_EXE_dsmwrap")), "bin/dsmwrap"),
            (PathBuf::from(env!("CARGO_BIN_EXE_dsm")), "bin/dsm"),
            (root.join("lib/libdsm.so.0"), "lib/libdsm.so.0"),
            (root.join("lib/libdsm_syscalls.so"), "lib/libdsm_syscalls.so"),
        ] {
            copy(&from, &place.path(to));
        }
        for name in ["rotation", "no_uffd", "buffers", "syscalls"] {
            let program = Path::new("bin/test").join(name);
            copy(&root.join(&program), &place.path(text(&program)));
        }
        Self { place, user: None }
    }

    /// For the user nobody; only root can become that.
    fn for_nobody() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return cannot_run("root, to become an ordinary user");
        }
        let installed = Self::for_us();
        let dir = installed.place.path("");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        Some(Self { user: Some(NOBODY), ..installed })
    }

    /// A job of two ranks, each of which runs `prelude` with the program behind it.
    fn run(&self, options: &[&str], prelude: &[&str], program: &[&str]) -> Ended {
        self.start(Command::new("env"), options, prelude, program)
    }

    fn start(
        &self,
        mut command: Command,
        options: &[&str],
        prelude: &[&str],
        program: &[&str],
    ) -> Ended {
        command.arg(self.place.path("bin/dsmexec")).args(["--tag", "none"]).args(options);
        command.arg("machines").args(self.found(prelude)).arg(self.program(program[0]));
        command.args(&program[1..]);
        Running::start(self.prepared(command)).wait()
    }

    fn doctor(&self, prelude: &[&str]) -> String {
        let mut command = Command::new("env");
        command.args(self.found(prelude)).arg(self.place.path("bin/dsm")).arg("doctor");
        let ended = Running::start(self.prepared(command)).wait();
        ended.assert_code(0);
        ended.stdout
    }

    /// The first word is a test program if there is one of this name.
    fn found(&self, prelude: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = prelude.iter().map(|&word| word.to_owned()).collect();
        if let Some(first) = words.first_mut()
            && self.program(first).is_file()
        {
            text(&self.program(first)).clone_into(first);
        }
        words
    }

    fn program(&self, name: &str) -> PathBuf {
        self.place.path("bin/test").join(name)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.place.path("")).env("HOME", self.place.path(""));
        for name in ["DSM_BIN", "DSM_SIZE", "DSM_HEAP", "DSM_BASE", "DSM_FAULT"] {
            command.env_remove(name);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// The log says for each rank once how its faults are served.
    #[track_caller]
    fn assert_engine(&self, words: &str) {
        let log = self.place.read("logs/dsm_output.log");
        let told = log.lines().filter(|line| line.contains(words));
        assert_eq!(told.count(), 2, "no {words:?} for both ranks in\n{log}");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = fs::copy(from, to);
    copied.unwrap_or_else(|error| panic!("cannot copy {from:?}: {error}; run make first"));
}

#[track_caller]
fn assert_rotated(ended: &Ended) {
    ended.assert_code(0);
    let right = "1024 pages, 2 rounds, 0 wrong, ";
    assert_eq!(ended.stdout.lines().filter(|line| line.starts_with(right)).count(), 2, "{ended}");
}

fn cannot_run<T>(needs: &str) -> Option<T> {
    println!("NOT RUN: this test needs {needs}");
    assert!(std::env::var_os("CI").is_none(), "CI=true and no {needs}");
    None
}

const NOBODY: u32 = 65534;
