use std::fmt;
use std::process;

/// What dsmexec exits with: a rank's own code, or one of sysexits.h where the launcher failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitCode(u8);

impl ExitCode {
    pub(crate) const SUCCESS: Self = Self(0);
    /// A flag or argument cannot be used.
    pub(crate) const USAGE: Self = Self(64);
    /// ssh does not know the host.
    pub(crate) const UNKNOWN_HOST: Self = Self(68);
    /// ssh does not reach the host, or dsmwrap is not there.
    pub(crate) const UNREACHABLE: Self = Self(69);
    /// dsm itself is wrong.
    pub(crate) const INTERNAL: Self = Self(70);
    /// The kernel has no more of something.
    pub(crate) const RESOURCES: Self = Self(71);
    /// The log cannot be written.
    pub(crate) const LOG: Self = Self(74);
    /// A host or a connection was lost.
    pub(crate) const CONTACT_LOST: Self = Self(75);
    /// Somebody broke the protocol.
    pub(crate) const PROTOCOL: Self = Self(76);
    /// Something may not be read or executed.
    pub(crate) const PERMISSION: Self = Self(77);
    /// Machine file, settings, program or directory are wrong.
    pub(crate) const CONFIGURATION: Self = Self(78);

    /// As shells have it: 128 + n.
    pub(crate) fn of_signal(signal: i32) -> Self {
        Self(u8::try_from(128 + signal).unwrap_or(u8::MAX))
    }

    /// A process's own code. The kernel keeps 8 bits; what is out of range counts as 1.
    pub(crate) fn of_process(code: i32) -> Self {
        Self(u8::try_from(code).unwrap_or(1))
    }

    /// The code for what the kernel refused; `otherwise` where the number says nothing.
    pub(crate) fn of_errno(errno: Option<i32>, otherwise: Self) -> Self {
        use rustix::io::Errno;
        match errno.map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS | Errno::PERM) => Self::PERMISSION,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => Self::RESOURCES,
            _ => otherwise,
        }
    }
}

impl From<ExitCode> for i32 {
    fn from(code: ExitCode) -> Self {
        code.0.into()
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.0)
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
