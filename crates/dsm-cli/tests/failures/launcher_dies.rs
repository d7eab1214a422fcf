//! Row: dsmwrap, dsmexec or ssh are killed, the terminal is closed, Ctrl-C, and a second one: all ranks are gone.

use crate::TOOLS;
use crate::case::{ENGINES, Failure, GONE, Job, Place, is_gone_within, program, side_by_side};
use dsm_lab::{Lab, User, cannot_run};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

#[test]
fn dsmwrap_is_killed() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let mut job = place.start(&["--fault", engine], &[&program("fail_work"), "endless"]);
        let rank = job.wait_for_pids("working ", 3)[1];
        let wrapper = parent_of(rank);
        let at = job.elapsed();
        kill_process(wrapper, Signal::KILL).unwrap();
        let over = job.finish();
        let pid = format!("pid {} ", rank.as_raw_nonzero());
        let cause = "is lost: its dsmwrap was killed by signal 9 (SIGKILL)";
        let words = ["rank 1 (localhost) ", &pid, cause];
        let failure = Failure { at, told_within: WITHIN, code: 75, words: &words };
        format!("dsmwrap killed {engine:8} {}", over.expect_failure(failure))
    });
}

#[test]
fn dsmexec_is_killed() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let mut job = place.start(&["--fault", engine], &[&program("fail_work"), "endless"]);
        job.wait_for_pids("working ", 3);
        let at = Instant::now();
        job.signal(Signal::KILL);
        place.await_gone(at + GONE);
        let gone = at.elapsed();
        let over = job.finish();
        over.expect_code(137).expect_nothing_left();
        format!("dsmexec killed {engine:8} all gone after {:.3} s", gone.as_secs_f64())
    });
}

/// The ssh of one rank, on this machine, between dsmexec and an sshd.
#[test]
fn ssh_is_killed() {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    if !User::all().contains(&User::Root) {
        // Only then are the lab's processes alone in what pgrep sees.
        let _: Option<()> = cannot_run("finding a job's ssh needs root");
        return;
    }
    for engine in ENGINES {
        let job = lab.job(User::Ordinary, &lab.machines(3)).options(&["--fault", engine]);
        let mut running = job.start("fail_work", &["endless"]);
        for rank in 0..3 {
            running.wait_for_output(&format!("[Proc {rank} : localhost : stdout] working "));
        }
        let at = running.elapsed();
        let mut kill = lab.on_host(0);
        kill.args(["sh", "-c", "kill -KILL $(pgrep -x ssh | head -n 1)"]);
        lab.run(kill);
        let ended = running.finish(Duration::from_secs(30));
        ended.expect_code(75);
        let words = ["dsmexec: rank ", " is lost: its ssh was killed by signal 9 (SIGKILL)"];
        let line = ended.expect_error(&words);
        let told = line.at.saturating_sub(at);
        assert!(told <= WITHIN, "told after {told:?}\n{}", ended.report());
        let gone = Instant::now();
        lab.expect_no_processes(GONE.saturating_sub(ended.took.saturating_sub(line.at)));
        let gone = ended.took.saturating_sub(line.at) + gone.elapsed();
        println!(
            "ssh killed {engine:8} told after {:.3} s, all gone {:.3} s later",
            told.as_secs_f64(),
            gone.as_secs_f64()
        );
    }
}

#[test]
fn the_terminal_is_closed() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let mut terminal = Terminal::open();
        // What the ranks write goes to the terminal too.
        let mut job = terminal.start(&place, "<\"$0\" >\"$0\"", &["--fault", engine], &endless());
        terminal.await_output("working ", 3);
        let at = job.elapsed();
        drop(terminal);
        job.wait_for("dsmexec: ");
        let over = job.finish();
        let words = ["interrupted by signal 1 (SIGHUP); ending all ranks"];
        let failure = Failure { at, told_within: WITHIN, code: 129, words: &words };
        format!("terminal closed {engine:8} {}", over.expect_failure(failure))
    });
}

#[test]
fn ctrl_c_is_typed() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let mut terminal = Terminal::open();
        let mut job = terminal.start(&place, "<\"$0\"", &["--fault", engine], &endless());
        job.wait_for_pids("working ", 3);
        let at = job.elapsed();
        terminal.ctrl_c();
        let over = job.finish();
        let words = ["interrupted by signal 2 (SIGINT); ending all ranks"];
        let failure = Failure { at, told_within: WITHIN, code: 130, words: &words };
        format!("Ctrl-C {engine:8} {}", over.expect_failure(failure))
    });
}

/// The ranks do not end at SIGTERM, and have a minute to do so.
#[test]
fn a_second_ctrl_c_kills_now() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let mut terminal = Terminal::open();
        let options = ["--kill-after=60", "--fault", engine];
        let [program, argument] = endless();
        let deaf = ["sh", "-c", "trap '' TERM; exec \"$0\" \"$1\"", &program, &argument];
        let deaf = deaf.map(str::to_owned);
        let mut job = terminal.start(&place, "<\"$0\"", &options, &deaf);
        let ranks = job.wait_for_pids("working ", 3);
        let at = job.elapsed();
        terminal.ctrl_c();
        job.wait_for("ending all ranks");
        // Sooner, a second one would be taken for an echo of the first.
        assert!(!is_gone_within(ranks[0], Duration::from_millis(300)), "{}", job.report());
        let second = job.elapsed();
        terminal.ctrl_c();
        let over = job.finish();
        let words = ["interrupted by signal 2 (SIGINT); ending all ranks"];
        let failure = Failure { at, told_within: WITHIN, code: 130, words: &words };
        over.expect_failure(failure);
        over.expect_error(&["dsmexec: killing what is left"]);
        let gone = over.gone_after(second);
        assert!(gone <= WITHIN, "gone after {gone:?}\n{}", over.report());
        format!("second Ctrl-C {engine:8} all gone after {:.3} s", gone.as_secs_f64())
    });
}

/// A terminal of which a job is the foreground.
struct Terminal {
    person: File,
    path: String,
}

impl Terminal {
    fn open() -> Self {
        let person =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let path = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        Self { person: File::from(person), path }
    }

    /// Starts a job here; `streams` are a shell's words that say which of its streams are the terminal.
    fn start<'place>(
        &self,
        place: &'place Place,
        streams: &str,
        options: &[&str],
        program: &[String],
    ) -> Job<'place> {
        let script = format!("exec setsid --ctty \"$@\" {streams}");
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        let before = ["sh", "-c", &script, &self.path];
        place.start_command(place.command(&before, options, &program))
    }

    fn ctrl_c(&mut self) {
        self.person.write_all(b"\x03").unwrap();
    }

    /// Waits until so many lines with this text have come.
    fn await_output(&mut self, text: &str, count: usize) {
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        while String::from_utf8_lossy(&seen).matches(text).count() < count {
            let timeout = Timespec { tv_sec: 30, tv_nsec: 0 };
            let mut ready = [PollFd::new(&self.person, PollFlags::IN)];
            assert_eq!(poll(&mut ready, Some(&timeout)), Ok(1), "{:?}", str::from_utf8(&seen));
            let read = self.person.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..read]);
        }
    }
}

fn endless() -> [String; 2] {
    [program("fail_work"), "endless".to_owned()]
}

fn parent_of(pid: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    Pid::from_raw(fields.split(' ').nth(1).unwrap().parse().unwrap()).unwrap()
}

const WITHIN: Duration = Duration::from_secs(3);
