//! Finding the program of a job before anything is started, so that what is wrong can be said well.

use super::elf;
use crate::words;
use dsm_net::launch::{StartFailure, StartStep};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What decides where a program is.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    directory: PathBuf,
    bin: Option<OsString>,
    path: Option<OsString>,
}

impl Surroundings {
    /// From the job's directory and environment, on top of this process's own.
    pub(super) fn new(directory: &[u8], environment: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let variable = |name: &str| {
            let ordered =
                environment.iter().rev().find(|(candidate, _)| candidate == name.as_bytes());
            ordered.map(|(_, value)| OsString::from_vec(value.clone())).or(std::env::var_os(name))
        };
        let bin = variable("DSM_BIN").filter(|bin| !bin.is_empty());
        let directory = PathBuf::from(OsStr::from_bytes(directory));
        Self { directory, bin, path: variable("PATH") }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The PATH of the program: `DSM_BIN`, then what it was; `None` leaves it alone.
    pub(super) fn path(&self) -> Option<OsString> {
        let mut path = self.bin.clone()?;
        path.push(":");
        path.push(self.path.as_deref().unwrap_or(OsStr::new(DEFAULT_PATH)));
        Some(path)
    }

    /// The file to execute for `program`.
    ///
    /// # Errors
    /// Names the step and what it was about.
    pub(super) fn find(&self, program: &[u8]) -> Result<PathBuf, StartFailure> {
        self.check_directory()?;
        let path = self.locate(program)?;
        match elf::objection(&path) {
            None => Ok(path),
            Some(cause) => Err(StartFailure {
                step: StartStep::Execute,
                subject: String::from_utf8_lossy(program).into_owned(),
                cause,
                errno: Some(Errno::NOEXEC.raw_os_error()),
            }),
        }
    }

    fn locate(&self, program: &[u8]) -> Result<PathBuf, StartFailure> {
        let program = Path::new(OsStr::from_bytes(program));
        if program.as_os_str().as_bytes().contains(&b'/') {
            let path = self.directory.join(program);
            return match executable(&path) {
                Ok(()) => Ok(path),
                Err(error) => Err(failure(StartStep::Find, program, &error)),
            };
        }
        let search = self.path().or(self.path.clone()).unwrap_or_else(|| DEFAULT_PATH.into());
        self.search(program, &search)
    }

    fn search(&self, program: &Path, search: &OsStr) -> Result<PathBuf, StartFailure> {
        let mut refused = None;
        for entry in std::env::split_paths(search) {
            let path = self.directory.join(entry).join(program);
            match executable(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => {
                    refused.get_or_insert((path, error));
                }
                Err(_) => (),
            }
        }
        Err(match refused {
            Some((path, error)) => failure(StartStep::Find, &path, &error),
            None => StartFailure {
                step: StartStep::Find,
                subject: program.display().to_string(),
                cause: format!("not found on PATH ({})", search.display()),
                errno: None,
            },
        })
    }

    fn check_directory(&self) -> Result<(), StartFailure> {
        let allowed = rustix::fs::access(&self.directory, rustix::fs::Access::EXEC_OK);
        let checked = fs::metadata(&self.directory).and_then(|directory| {
            if !directory.is_dir() {
                return Err(Errno::NOTDIR.into());
            }
            Ok(allowed?)
        });
        checked.map_err(|error| failure(StartStep::Directory, &self.directory, &error))
    }
}

/// Makes a failure of what the kernel said about `subject`.
pub(super) fn failure(step: StartStep, subject: &Path, error: &io::Error) -> StartFailure {
    StartFailure {
        step,
        subject: subject.display().to_string(),
        cause: words::of_error(error),
        errno: error.raw_os_error(),
    }
}

fn executable(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    Ok(rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?)
}

/// What the C library takes when PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    fn surroundings(directory: &Path, path: &str, bin: &str) -> Surroundings {
        let environment = [("PATH", path), ("DSM_BIN", bin)]
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Surroundings::new(directory.as_os_str().as_bytes(), &environment)
    }

    fn touch(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_path_is_relative_to_the_directory_and_a_name_is_looked_up_with_dsm_bin_first() {
        let here = TempDir::new().unwrap();
        for name in ["run", "one/tool", "bin/tool", "two/other"] {
            touch(&here.path().join(name), 0o755);
        }
        let around = surroundings(here.path(), "one:two", "bin");
        let check = |program: &str, found: &str| {
            assert_eq!(around.find(program.as_bytes()).unwrap(), here.path().join(found));
        };
        check("./run", "./run");
        check("one/tool", "one/tool");
        check("tool", "bin/tool");
        check("other", "two/other");
        assert_eq!(around.path().unwrap(), "bin:one:two");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let here = TempDir::new().unwrap();
        touch(&here.path().join("one/plain"), 0o644);
        let around = surroundings(here.path(), "one:two", "");
        let check = |program: &str, step: StartStep, cause: &str| {
            let failure = around.find(program.as_bytes()).unwrap_err();
            assert_eq!((failure.step, failure.cause.as_str()), (step, cause), "{program}");
        };
        check("./none", StartStep::Find, "no such file or directory");
        check("./one", StartStep::Find, "is a directory");
        check("./one/plain", StartStep::Find, "permission denied");
        check("plain", StartStep::Find, "permission denied");
        check("none", StartStep::Find, "not found on PATH (one:two)");
        let around = surroundings(&here.path().join("nowhere"), "one", "");
        let failure = around.find(b"plain").unwrap_err();
        assert_eq!(failure.step, StartStep::Directory);
        assert_eq!(failure.cause, "no such file or directory");
        assert!(failure.subject.ends_with("nowhere"), "{failure:?}");
    }
}
