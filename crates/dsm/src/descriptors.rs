use crate::node::JoinError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// Makes sure that this process may open what a rank of a job of so many ranks needs, beside what is open
/// already; raises its limit as far as it needs and may.
pub(crate) fn provide(ranks: usize) -> Result<(), JoinError> {
    let Some(open) = open_descriptors() else { return Ok(()) };
    let needed = (open + OWN).saturating_add(ranks as u64);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match (current, maximum) {
        (None, _) => Ok(()),
        (Some(current), _) if needed <= current => Ok(()),
        (Some(_), maximum) if maximum.is_none_or(|maximum| needed <= maximum) => {
            let wanted = Rlimit { current: Some(needed), maximum };
            let set = setrlimit(Resource::Nofile, wanted);
            set.map_err(|errno| JoinError::System {
                operation: "raise the limit on descriptors",
                source: errno.into(),
            })
        }
        (Some(_), maximum) => Err(JoinError::Descriptors {
            needed,
            limit: maximum.expect("there is one that is too low"),
        }),
    }
}

/// How many are open; none where that cannot be told.
fn open_descriptors() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // One of them is that of the directory.
    Some((entries.count() as u64).saturating_sub(1))
}

/// What the runtime opens beside a connection to every other rank; a few of them are closed again.
const OWN: u64 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_ranks_than_descriptors_are_refused_with_the_number_needed() {
        assert!(provide(2).is_ok());
        let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let Ok(ranks) = usize::try_from(most) else { return };
        let Some(ranks) = ranks.checked_sub(1) else { return };
        let error = provide(ranks).unwrap_err();
        assert!(matches!(error, JoinError::Descriptors { limit, .. } if limit == most), "{error}");
        assert_eq!(error.exit_code(), 71);
    }
}
