use std::fmt;

/// Shows a signal as `9 (SIGKILL)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalName(pub(crate) i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0;
        let position = usize::try_from(number - 1).ok();
        match position.and_then(|position| NAMES.get(position)) {
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
    }
}
