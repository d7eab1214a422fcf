//! Ranks of one library that leave early, seen by those of the other.

use crate::cells::{GONE, Launch, Launcher};
use crate::harness::{Place, Running, Watched};
use crate::peer;
use crate::ranks::{Peer, Ranks};
use std::time::Duration;

#[test]
fn a_foreign_rank_that_leaves_early_is_named() {
    let lost = "dsm: rank 0 pid ";
    let cause = ": contact with rank 1 lost: it closed its connection before it finalized";
    // In seed8 its end is all that some members say when they leave.
    check(Peer::Bcast, "idle-ours", "turns-stub", &[lost, cause]);
    check(Peer::Seed8, "idle-ours", "turns-stub", &["flag in page"]);
}

#[test]
fn a_rank_of_ours_that_leaves_early_is_seen_by_foreign_ones() {
    for profile in [Peer::Bcast, Peer::Seed8] {
        let words = ["libpeer: rank 0 of 2 ", "rank 1, which left before its finalize"];
        check(profile, "idle-stub", "turns-ours", &words);
    }
}

/// Rank 1 gives up after a second, because rank 0 does not take its turn: it leaves without dsm_finalize.
#[track_caller]
fn check(profile: Peer, rank_0: &str, rank_1: &str, words: &[&str]) {
    for launcher in [Launcher::Ours, Launcher::Stub] {
        let options: &[&str] = match launcher {
            Launcher::Ours => &["--launch=pr204"],
            Launcher::Stub => &["--launch", "bare"],
        };
        let launch = Launch { launcher, options, wrapper: None };
        let place = Place::local(2);
        let job = [peer("pick"), "0".into(), peer(rank_0), peer(rank_1), "1".into()];
        let running = Running::start(launch.command(&place, 2, Ranks::Mixed(profile, ""), &job));
        let ended = running.end_within(IN_TIME).unwrap_or_else(|hung| panic!("{hung}"));
        Watched::assert_gone_within(&Watched::all_in(place.dir()), GONE);
        let code = ended.status.code();
        assert!(matches!(code, Some(1 | 75)), "{ended}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        // dsmexec ends rank 0 as soon as it knows of rank 1, who may be faster.
        let is_said = said.lines().any(|line| words.iter().all(|word| line.contains(word)));
        let is_named = said.contains("rank 1 (localhost) exited with code 1");
        assert!(is_said || (launcher == Launcher::Ours && is_named), "{ended}");
    }
}

/// Without this an end would be that of a deadline of the C peers, which is 20 s.
const IN_TIME: Duration = Duration::from_secs(15);
