//! What launching needs of this machine; `dsm::probe` tries the rest.

use crate::words;
use dsm::Finding;
use dsm_net::EncryptionCost;
use rustix::process::{Resource, getrlimit};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(super) fn of_this_machine() -> Vec<Finding> {
    let bin = env::var_os("DSM_BIN").map(PathBuf::from);
    vec![wrapper(), bin_directory(bin), ssh(), descriptors(), encryption()]
}

/// A program that was installed beside this one.
pub(super) fn beside(name: &str) -> PathBuf {
    env::current_exe().unwrap_or_default().with_file_name(name)
}

fn wrapper() -> Finding {
    const WHAT: &str = "dsmwrap";
    let path = beside("dsmwrap");
    if is_executable(&path) {
        return good(WHAT, path.display().to_string());
    }
    let mend = "install dsmexec, dsmwrap and dsm into one directory";
    bad(WHAT, format!("{} is not there or not executable", path.display()), mend)
}

fn bin_directory(bin: Option<PathBuf>) -> Finding {
    const WHAT: &str = "DSM_BIN";
    let Some(bin) = bin.filter(|bin| !bin.as_os_str().is_empty()) else {
        let detail = "not set: other machines need dsmwrap at the same path as here, or on PATH";
        return good(WHAT, detail.into());
    };
    if is_executable(&bin.join("dsmwrap")) {
        return good(WHAT, format!("{}: dsmwrap is there", bin.display()));
    }
    let mend = "unset it, or set it to the directory that has dsmwrap on every machine";
    bad(WHAT, format!("{} has no dsmwrap here", bin.display()), mend)
}

fn ssh() -> Finding {
    const WHAT: &str = "ssh";
    const MEND: &str = "install OpenSSH's client; ranks on this machine do without";
    let asked = Command::new("ssh").arg("-V").stdin(Stdio::null()).output();
    match asked {
        Ok(output) if output.status.success() => {
            let version = words::of_stranger(&output.stderr);
            good(WHAT, format!("{version}; no sshd is needed on this machine"))
        }
        Ok(output) => bad(WHAT, format!("ssh -V: {}", output.status), MEND),
        Err(error) => bad(WHAT, format!("cannot run ssh: {}", words::of_error(&error)), MEND),
    }
}

fn descriptors() -> Finding {
    const WHAT: &str = "descriptors";
    let Some(limit) = getrlimit(Resource::Nofile).maximum else {
        return good(WHAT, "no limit".into());
    };
    let ranks = limit.saturating_sub(crate::DESCRIPTORS) / crate::DESCRIPTORS_PER_RANK;
    let detail = format!("at most {limit}, enough for jobs of {ranks} ranks started from here");
    if ranks >= ENOUGH_RANKS {
        return good(WHAT, detail);
    }
    bad(WHAT, detail, "raise the hard limit: ulimit -Hn, or nofile in /etc/security/limits.conf")
}

/// What it costs here that nobody on the way reads along.
fn encryption() -> Finding {
    const WHAT: &str = "encryption";
    match EncryptionCost::of_page(PAGE_BYTES) {
        Ok(EncryptionCost { seal, open }) => {
            let us = |time: Duration| time.as_secs_f64() * 1e6;
            let (seal, open) = (us(seal), us(open));
            let cost = format!("a page is sealed in {seal:.1} us and opened in {open:.1} us");
            good(WHAT, format!("{cost}; between hosts, unless --encrypt says otherwise"))
        }
        Err(error) => bad(WHAT, error.to_string(), "no job of several ranks can run here"),
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

fn good(what: &'static str, detail: String) -> Finding {
    Finding { what, ok: true, detail, mend: None }
}

pub(super) fn bad(what: &'static str, detail: String, mend: &str) -> Finding {
    Finding { what, ok: false, detail, mend: Some(mend.into()) }
}

/// Of the pages whose encryption is timed.
const PAGE_BYTES: usize = 4096;
/// Fewer are worth a word.
const ENOUGH_RANKS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_dsmwrap_is_found_out() {
        let empty = tempfile::TempDir::new().unwrap();
        assert!(!bin_directory(Some(empty.path().into())).ok);
        assert!(bin_directory(None).ok);
        assert!(bin_directory(Some(PathBuf::new())).ok);
    }
}
