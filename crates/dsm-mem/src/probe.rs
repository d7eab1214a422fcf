use crate::faults::map_count_limit;
use crate::fence::Fence;
use crate::region::Region;
use crate::uffd::try_read_only_install;
use crate::userfault::{FEATURES, Userfault, Way, missing_features};

/// What a trial of this machine found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub what: &'static str,
    /// Whether nothing is missing.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What a person can do about it.
    pub mend: Option<String>,
}

/// Tries what dsm needs of this machine: nothing is taken from version numbers.
///
/// A finding that is not ok costs something (a slower or lesser fault mechanism, a limit on the size
/// of the region); its text says what.
#[must_use]
pub fn probe() -> Vec<Finding> {
    vec![
        kernel(),
        page_size(),
        memory_file(),
        user_fault(),
        user_fault_features(),
        read_only_install(),
        map_count(),
        membarrier(),
        address_space(),
    ]
}

impl Finding {
    fn good(what: &'static str, detail: String) -> Self {
        Self { what, ok: true, detail, mend: None }
    }

    fn bad(what: &'static str, detail: String, mend: &str) -> Self {
        Self { what, ok: false, detail, mend: Some(mend.into()) }
    }
}

fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let detail =
        format!("{} {} on {}", word(uname.sysname()), word(uname.release()), word(uname.machine()));
    Finding::good("kernel", detail)
}

fn page_size() -> Finding {
    Finding::good("page size", format!("{} bytes", rustix::param::page_size()))
}

fn memory_file() -> Finding {
    match Region::scratch(1) {
        Ok(_) => Finding::good("memory file", "memfd_create works, mapped twice".into()),
        Err(error) => Finding::bad(
            "memory file",
            error.to_string(),
            "nothing works without it: allow memfd_create in the container's seccomp profile, and a larger ulimit -f",
        ),
    }
}

fn user_fault() -> Finding {
    const WHAT: &str = "userfaultfd";
    let mut refusals = Vec::new();
    for way in Way::ALL {
        match Userfault::open(way) {
            Ok(_) if way == Way::UserModeOnly => {
                let refused = refusals.join("; ");
                return Finding::bad(
                    WHAT,
                    format!(
                        "by {way} ({refused}): read(2) and the like on a shared page that is not here fail with EFAULT"
                    ),
                    MEND_RIGHTS,
                );
            }
            Ok(_) => return Finding::good(WHAT, format!("by {way}: system calls are served too")),
            Err(errno) => refusals.push(format!("{way}: {errno}")),
        }
    }
    let detail = format!(
        "{}: dsm falls back to SIGSEGV, where read(2) and the like on a shared page that is not here fail with EFAULT",
        refusals.join("; ")
    );
    Finding::bad(WHAT, detail, MEND_RIGHTS)
}

fn user_fault_features() -> Finding {
    const WHAT: &str = "userfaultfd features";
    let opened = Way::ALL.into_iter().find_map(|way| Userfault::open(way).ok());
    match opened.map(|userfault| userfault.enable(0)) {
        None => Finding::bad(WHAT, "not tried, without a userfaultfd".into(), MEND_RIGHTS),
        Some(Err(errno)) => Finding::bad(WHAT, errno.to_string(), MEND_KERNEL),
        Some(Ok(have)) if have & FEATURES == FEATURES => Finding::good(
            WHAT,
            format!("missing, minor and write-protect faults on shared memory ({have:#x})"),
        ),
        Some(Ok(have)) => {
            let missing = missing_features(FEATURES, have);
            Finding::bad(WHAT, format!("without {missing} ({have:#x})"), MEND_KERNEL)
        }
    }
}

fn read_only_install() -> Finding {
    const WHAT: &str = "read-only install";
    match try_read_only_install() {
        Ok(()) => Finding::good(WHAT, "a page appears read-only in one step".into()),
        Err(error) => Finding::bad(WHAT, error.to_string(), MEND_KERNEL),
    }
}

fn map_count() -> Finding {
    const WHAT: &str = "vm.max_map_count";
    let pages = (DEFAULT_REGION_BYTES / rustix::param::page_size()) as u64;
    let Some(limit) = map_count_limit() else {
        return Finding::bad(WHAT, "cannot be read".into(), "mount /proc");
    };
    let detail = format!(
        "{limit}; with SIGSEGV, neighbouring pages of unlike access each count, up to {pages} for a region of 1 GiB"
    );
    // With userfaultfd a region is two mappings whatever its pages' access is.
    if limit > pages || try_read_only_install().is_ok() {
        return Finding::good(WHAT, detail);
    }
    Finding::bad(WHAT, detail, &format!("sysctl vm.max_map_count={}", 2 * pages))
}

fn membarrier() -> Finding {
    const WHAT: &str = "membarrier";
    const MEND: &str = "allow membarrier(2) in the container's seccomp profile, or use a kernel with CONFIG_MEMBARRIER";
    match Fence::prepare() {
        Some(Fence::Membarrier) => Finding::good(WHAT, "private expedited".into()),
        Some(Fence::Shootdown) => Finding::bad(
            WHAT,
            "not in this kernel: dsm relies on interrupts that processors get when a permission goes"
                .into(),
            MEND,
        ),
        None => Finding::bad(WHAT, "not in this kernel: dsm cannot run".into(), MEND),
    }
}

fn address_space() -> Finding {
    const WHAT: &str = "address space";
    match Region::scratch(LARGE_REGION_BYTES / rustix::param::page_size()) {
        Ok(_) => Finding::good(WHAT, "a region of 1 TiB can be reserved".into()),
        Err(error) => Finding::bad(
            WHAT,
            format!("no region of 1 TiB: {error}"),
            "ulimit -v unlimited, ulimit -f unlimited; or use a smaller --size",
        ),
    }
}

/// The size of a region unless the user says otherwise.
const DEFAULT_REGION_BYTES: usize = 1 << 30;
/// The largest size that dsm is tested with.
const LARGE_REGION_BYTES: usize = 1 << 40;

const MEND_RIGHTS: &str = "give the user access to /dev/userfaultfd (as root: setfacl -m u:NAME:rw /dev/userfaultfd), or sysctl vm.unprivileged_userfaultfd=1; without, -x LD_PRELOAD=libdsm_syscalls.so makes such calls work";
const MEND_KERNEL: &str = "use Linux 6.4 or later; until then dsm uses SIGSEGV";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_has_a_finding_and_every_lack_a_remedy() {
        let findings = probe();
        assert_eq!(findings.len(), 9);
        for finding in findings {
            assert_eq!(finding.ok, finding.mend.is_none(), "{finding:?}");
            assert!(!finding.detail.is_empty(), "{finding:?}");
            println!("{finding:?}");
        }
    }
}
