use crate::lab::Lab;
use crate::process::{Ended, Line, Process, Stream};
use crate::user::User;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

/// A call of dsmexec in the making.
#[derive(Debug)]
pub struct Job<'lab> {
    lab: &'lab Lab,
    user: User,
    directory: PathBuf,
    ssh: &'static str,
    ssh_options: &'static str,
    before: Vec<String>,
    options: Vec<String>,
}

/// A dsmexec that was started.
#[derive(Debug)]
pub struct Running {
    process: Process,
    /// Whether dsmexec is the child of the process that was started, in a process namespace below it.
    is_inner: bool,
}

impl<'lab> Job<'lab> {
    pub(crate) fn new(lab: &'lab Lab, user: User, machines: &[&str]) -> Self {
        let directory = lab.work_directory(user);
        fs::write(directory.join(MACHINE_FILE), machines.join("\n") + "\n").unwrap();
        Self {
            lab,
            user,
            directory,
            ssh: "always",
            ssh_options: "",
            before: Vec::new(),
            options: Vec::new(),
        }
    }

    /// Uses ssh otherwise than always.
    pub fn ssh(mut self, when: &'static str) -> Self {
        self.ssh = when;
        self
    }

    /// Adds options of ssh.
    pub fn ssh_options(mut self, options: &'static str) -> Self {
        self.ssh_options = options;
        self
    }

    /// Adds options of dsmexec.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().copied().map(str::to_owned));
        self
    }

    /// Starts dsmexec through this command.
    pub fn under(mut self, words: &[&str]) -> Self {
        self.before.extend(words.iter().copied().map(str::to_owned));
        self
    }

    /// Where dsmexec is started.
    pub fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// Starts an example or test program.
    pub fn start(self, program: &str, args: &[&str]) -> Running {
        let program = self.lab.program(program);
        let words: Vec<&str> = [&*program].into_iter().chain(args.iter().copied()).collect();
        self.start_any(&words)
    }

    /// Starts any program.
    pub fn start_any(self, words: &[&str]) -> Running {
        let host = &self.lab.hosts[0];
        let mut command = host.command(self.user, &self.directory);
        command.args(&self.before).arg(self.lab.products.dsmexec());
        let ssh = self.lab.keys.ssh_command(self.user, self.lab.port);
        command.args(["--ssh-command", &format!("{ssh} {}", self.ssh_options)]);
        command.args(["--ssh", self.ssh]).args(&self.options).arg(MACHINE_FILE).args(words);
        let is_inner = command.get_program() == "nsenter";
        // Ctrl-C in a terminal is for who started the lab alone.
        command.process_group(0);
        Running { process: Process::start(command), is_inner }
    }

    /// Runs an example or test program to its end, after which no process may be left.
    pub fn run(self, program: &str, args: &[&str]) -> Ended {
        let lab = self.lab;
        let ended = self.start(program, args).finish(JOB);
        lab.expect_no_processes(Duration::ZERO);
        ended
    }
}

impl Running {
    /// Sends a signal to dsmexec itself.
    pub fn signal_dsmexec(&self, signal: Signal) {
        if !self.is_inner {
            return self.process.signal(signal);
        }
        let outer = self.process.pid().as_raw_nonzero();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
        let inner =
            Pid::from_raw(children.trim().parse().expect("nsenter has one child")).expect("not 0");
        let pidfd = pidfd_open(inner, PidfdFlags::empty()).unwrap();
        pidfd_send_signal(pidfd, signal).unwrap();
    }

    /// Waits for a line of any rank's stdout that holds `text`.
    pub fn wait_for_output(&mut self, text: &str) -> Line {
        self.process.wait_for(&format!("line with {text:?}"), JOB, |line| {
            line.stream == Stream::Stdout && line.text.contains(text)
        })
    }

    /// Waits for the end of dsmexec and of its output.
    pub fn finish(self, within: Duration) -> Ended {
        self.process.finish(within)
    }
}

impl Deref for Running {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

const MACHINE_FILE: &str = "machine_file";
const JOB: Duration = Duration::from_secs(60);
