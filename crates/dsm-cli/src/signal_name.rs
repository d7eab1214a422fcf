use std::fmt;

/// Shows a signal as `9 (SIGKILL)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalName(pub(crate) i32);

impl SignalName {
    /// As `SIGKILL`, or `signal 40` where it has no name.
    pub(crate) fn alone(self) -> String {
        match self.name() {
            Some(name) => format!("SIG{name}"),
            None => format!("signal {}", self.0),
        }
    }

    fn name(self) -> Option<&'static str> {
        let position = usize::try_from(self.0 - 1).ok();
        position.and_then(|position| NAMES.get(position)).copied()
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0;
        match self.name() {
            Some(name) => write!(f, "{number} (SIG{name})"),
            None => write!(f, "{number}"),
        }
    }
}

/// Linux's numbers, from 1, on the machines dsm runs on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        let check = |number, shown: &str| assert_eq!(SignalName(number).to_string(), shown);
        check(1, "1 (SIGHUP)");
        check(9, "9 (SIGKILL)");
        check(11, "11 (SIGSEGV)");
        check(31, "31 (SIGSYS)");
        check(40, "40");
        check(0, "0");
        assert_eq!(SignalName(19).alone(), "SIGSTOP");
        assert_eq!(SignalName(40).alone(), "signal 40");
    }
}
