//! One job in a directory of its own, with a `/tmp` and a `/dev/shm` of its own, and what must be seen when it fails.

use dsm_lab::{Ended, Line, Process, Stream, cannot_run};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, kill_process, pidfd_open};
use std::fmt::Write as _;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where a job is started from.
#[derive(Debug)]
pub(crate) struct Place {
    dir: TempDir,
    prelude: String,
}

/// A dsmexec under way.
#[derive(Debug)]
pub(crate) struct Job<'place> {
    place: &'place Place,
    process: Process,
}

/// A dsmexec that has ended, and everything of its job with it.
#[derive(Debug)]
pub(crate) struct Over {
    ended: Ended,
    /// When no process of the job was there any more, since its start.
    gone_at: Duration,
    left_behind: Vec<PathBuf>,
}

/// Promise F0 for one failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    /// When it was, since the start of the job.
    pub(crate) at: Duration,
    pub(crate) told_within: Duration,
    pub(crate) code: i32,
    /// In dsmexec's first line.
    pub(crate) words: &'a [&'a str],
}

impl Place {
    /// For a job with this machine file.
    pub(crate) fn new(machines: &str) -> Self {
        let dir = TempDir::with_prefix_in("failures ", env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(dir.path().join("machines"), machines).unwrap();
        for own in OWN {
            fs::create_dir_all(dir.path().join(own)).unwrap();
        }
        for built in built_in_tmp() {
            fs::create_dir_all(dir.path().join("tmp").join(built)).unwrap();
        }
        Self { dir, prelude: String::new() }
    }

    /// For so many ranks on this machine.
    pub(crate) fn local(ranks: usize) -> Self {
        Self::new(&"localhost\n".repeat(ranks))
    }

    /// Lets a shell do this first, as root and in the place; mounts it makes are the job's alone. `None`, after saying why, where
    /// that cannot be.
    pub(crate) fn prepared(mut self, prelude: &str) -> Option<Self> {
        if !geteuid().is_root() {
            return cannot_run("mounts of a job's own need root");
        }
        self.prelude = format!("{prelude} && ");
        Some(self)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// dsmexec with these options, the machine file, and a program, started by way of the words before.
    pub(crate) fn command(&self, before: &[&str], options: &[&str], program: &[&str]) -> Command {
        let mut command = Command::new(if geteuid().is_root() { "unshare" } else { "sh" });
        if geteuid().is_root() {
            let built = built_in_tmp().into_iter().map(|built| {
                let built = built.to_str().unwrap();
                format!("mount --bind '/tmp/{built}' 'tmp/{built}' && ")
            });
            let built: String = built.collect();
            let mounts = OWN.map(|own| format!("mount --rbind '{own}' /{own} && ")).concat();
            // The shell is still below the /tmp that is hidden now.
            let script = format!("{built}{mounts}cd \"$PWD\" && {}exec \"$@\"", self.prelude);
            command.args(["--mount", "sh", "-c", &script, "sh"]);
        } else {
            command.args(["-c", "exec \"$@\"", "sh"]);
        }
        command.args(before).arg(env!("CARGO_BIN_EXE_dsmexec")).args(options).arg("machines");
        command.args(program).current_dir(self.dir.path()).env(MARK, self.dir.path());
        let settings =
            ["DSM_BIN", "DSM_SSH", "DSM_SIZE", "DSM_HEAP", "DSM_BASE", "DSM_FAULT", "NO_COLOR"];
        for name in settings {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn start(&self, options: &[&str], program: &[&str]) -> Job<'_> {
        self.start_command(self.command(&[], options, program))
    }

    /// Starts what [`command`](Self::command) made.
    pub(crate) fn start_command(&self, command: Command) -> Job<'_> {
        Job { place: self, process: Process::start(command) }
    }

    /// The processes of the job, dsmexec too.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let mark = format!("{MARK}={}", self.dir.path().display());
        let of_this = |pid: &Pid| {
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
            // Whoever has ended meanwhile has none.
            environment.unwrap_or_default().split(|byte| *byte == 0).any(|it| it == mark.as_bytes())
        };
        let names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let pids = names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
        pids.filter(of_this).collect()
    }

    /// The processes of the job whose program has this name.
    pub(crate) fn processes_of(&self, name: &str) -> Vec<Pid> {
        let is = |pid: &Pid| {
            let exe = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
            exe.is_ok_and(|exe| exe.file_name().is_some_and(|it| it == name))
        };
        self.processes().into_iter().filter(is).collect()
    }

    /// # Panics
    /// If one is there at the deadline; all are killed then.
    pub(crate) fn await_gone(&self, deadline: Instant) {
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            if Instant::now() >= deadline {
                let states = left.iter().map(|pid| {
                    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
                    fs::read_to_string(stat).unwrap_or_default()
                });
                let states: String = states.collect();
                left.iter().for_each(|pid| {
                    let _ = kill_process(*pid, Signal::KILL);
                });
                panic!("processes are left:\n{states}");
            }
            for pid in left {
                is_gone_within(pid, deadline.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn left_behind(&self) -> Vec<PathBuf> {
        let entries = OWN.iter().flat_map(|own| fs::read_dir(self.path(own)).unwrap());
        let built = built_in_tmp().into_iter().map(|built| {
            let first = built.iter().next().expect("it is below /tmp");
            self.path("tmp").join(first)
        });
        let built: Vec<PathBuf> = built.collect();
        entries.map(|entry| entry.unwrap().path()).filter(|path| !built.contains(path)).collect()
    }
}

impl Job<'_> {
    /// Waits for a line of any stream that holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> Line {
        let wanted = |line: &Line| line.text.contains(text);
        self.process.wait_for(&format!("line with {text:?}"), LIMIT, wanted)
    }

    /// Waits until each of so many ranks has written a line with `text`; gives the numbers at their ends, in the order of the ranks.
    pub(crate) fn wait_for_pids(&mut self, text: &str, ranks: usize) -> Vec<Pid> {
        let words = |rank| format!("[Proc {rank} : localhost : stdout] {text}");
        let lines = (0..ranks).map(|rank| self.wait_for(&words(rank)).text);
        let pids = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap());
        pids.map(|pid| Pid::from_raw(pid).unwrap()).collect()
    }

    /// Waits for the end of dsmexec and of all other processes of the job.
    pub(crate) fn finish(self) -> Over {
        let Self { place, process } = self;
        let began = Instant::now().checked_sub(process.elapsed()).unwrap();
        let ended = process.finish(LIMIT);
        // Checked against the line that told of the failure; this only bounds the test.
        place.await_gone(Instant::now() + GONE);
        let (gone_at, left_behind) = (began.elapsed(), place.left_behind());
        Over { ended, gone_at, left_behind }
    }
}

impl Deref for Job<'_> {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Job<'_> {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Deref for Over {
    type Target = Ended;

    fn deref(&self) -> &Ended {
        &self.ended
    }
}

impl Over {
    /// The job ended well, and nothing is left of it.
    #[track_caller]
    pub(crate) fn expect_success(&self) -> &Self {
        self.expect_code(0);
        self.expect_nothing_left()
    }

    /// Each of so many ranks wrote this line once.
    #[track_caller]
    pub(crate) fn expect_from_all(&self, ranks: usize, line: &str) -> &Self {
        for rank in 0..ranks {
            let count = self.rank(rank).into_iter().filter(|it| *it == line).count();
            assert_eq!(count, 1, "{line:?} of rank {rank}\n{}", self.report());
        }
        self
    }

    /// Everything that promise F0 says of a failure. Gives the times for people.
    #[track_caller]
    pub(crate) fn expect_failure(&self, failure: Failure<'_>) -> String {
        let Failure { at, told_within, code, words } = failure;
        self.expect_code(code).expect_nothing_left();
        let own = self.lines.iter().filter(|line| {
            line.stream == Stream::Stderr
                && line.text.starts_with("dsmexec: ")
                && !line.text.starts_with("dsmexec: warning: ")
        });
        let own: Vec<&Line> = own.collect();
        let (Some(first), Some(last)) = (own.first(), own.last()) else {
            panic!("dsmexec said nothing\n{}", self.report());
        };
        for word in words {
            assert!(first.text.contains(word), "no {word:?} in {first:?}\n{}", self.report());
        }
        let verdict = format!(" failed with exit code {code}: ");
        let whole = last.text.starts_with("dsmexec: job ") && last.text.contains(&verdict);
        assert!(whole, "no {verdict:?} in {last:?}\n{}", self.report());
        let told = first.at.saturating_sub(at);
        assert!(told <= told_within, "told after {told:?}\n{}", self.report());
        let gone = self.gone_at.saturating_sub(first.at);
        assert!(gone <= GONE, "gone {gone:?} after that line\n{}", self.report());
        format!(
            "told after {:.3} s, all gone {:.3} s later",
            told.as_secs_f64(),
            gone.as_secs_f64()
        )
    }

    /// How long after this time no process was there any more.
    pub(crate) fn gone_after(&self, at: Duration) -> Duration {
        self.gone_at.saturating_sub(at)
    }

    #[track_caller]
    pub(crate) fn expect_nothing_left(&self) -> &Self {
        assert!(self.left_behind.is_empty(), "{:?} is left\n{}", self.left_behind, self.report());
        self
    }

    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) -> &Self {
        self.ended.expect_code(code);
        self
    }
}

/// Waits for the end of a process; false if it is there after this time.
pub(crate) fn is_gone_within(pid: Pid, time: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let timeout = Timespec::try_from(time).unwrap();
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

/// Runs every case, some side by side: most of the time they wait. Prints what each gives.
pub(crate) fn side_by_side<T: Sync>(cases: &[T], check: impl Fn(&T) -> String + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut line = check(case);
            let _ = writeln!(line);
            print!("{line}");
        }
    };
    thread::scope(|scope| {
        for _ in 0..cases.len().min(AT_ONCE) {
            scope.spawn(run);
        }
    });
}

/// The directory of the whole source.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A C program of the tests.
pub(crate) fn program(name: &str) -> String {
    let path = root().join("bin/test").join(name).canonicalize();
    let path = path.unwrap_or_else(|e| panic!("no {name}: {e}: run `make test-programs` first"));
    path.into_os_string().into_string().unwrap()
}

pub(crate) const ENGINES: [&str; 2] = ["uffd", "sigsegv"];
/// All processes are gone so long after the line that tells of the failure.
pub(crate) const GONE: Duration = Duration::from_secs(3);
/// Nothing here takes so long.
/// Where what is tested was built, below `/tmp`: a job's own has that too.
fn built_in_tmp() -> Vec<PathBuf> {
    let places = [concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), env!("CARGO_TARGET_TMPDIR")];
    let places = places.map(|place| fs::canonicalize(place).unwrap());
    let below = places.iter().filter_map(|place| Some(place.strip_prefix("/tmp").ok()?.to_owned()));
    below.collect()
}

const LIMIT: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 4;
/// In the environment of every process of a job.
const MARK: &str = "DSM_TEST_PLACE";
/// What a job has of its own, below its place and below the root of its file system.
const OWN: [&str; 2] = ["tmp", "dev/shm"];
