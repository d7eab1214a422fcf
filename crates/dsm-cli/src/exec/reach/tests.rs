use super::*;
use std::net::SocketAddr;

/// What happens to a job of three ranks.
enum Happens {
    Joining(u16),
    Joined(u16),
    Finalized(u16),
    /// Unasked, or when the rank was asked.
    Unheard(u16, &'static [u16]),
    /// A rank misses others, the lower of which were silent for so long.
    Unmet(u16, &'static [u16], u64),
    Besieged(u16, &'static [u16]),
    Over(u16),
    Ms(u64),
    /// By now, these ranks are asked.
    Asks(&'static [u16]),
}

use Happens::*;

#[track_caller]
fn check(story: &[Happens], expected: Option<&str>) {
    let begun = Instant::now();
    let mut now = begun;
    let mut reach = Reach::new(3, now);
    let mut found = None;
    for happens in story {
        match happens {
            Joining(rank) => reach.on_status(*rank, &Status::Joining, now),
            Joined(rank) => {
                let fault_engine = "uffd".to_owned();
                reach.on_status(*rank, &Status::Joined { fault_engine }, now);
            }
            Finalized(rank) => reach.on_status(*rank, &Status::Finalized, now),
            Unheard(rank, of) => reach.on_status(*rank, &unheard(of), now),
            Unmet(rank, of, ms) => reach.on_status(*rank, &unmet(*rank, of, *ms, false), now),
            Besieged(rank, of) => reach.on_status(*rank, &unmet(*rank, of, 9_000, true), now),
            Over(rank) => reach.on_over(*rank, now),
            Ms(ms) => now += Duration::from_millis(*ms),
            Asks(ranks) => {
                assert_eq!(reach.questions(now), *ranks, "{:?}", now - begun);
                continue;
            }
        }
        found = found.or_else(|| reach.parted(now));
    }
    assert_eq!(found.map(|it| it.cause).as_deref(), expected);
}

fn unheard(of: &[u16]) -> Status {
    let one = |rank: &u16| dsm_net::launch::Unheard { rank: *rank, silent_ms: 3_200 };
    Status::Unheard(of.iter().map(one).collect())
}

fn unmet(rank: u16, of: &[u16], ms: u64, is_besieged: bool) -> Status {
    let address = |of: u16| SocketAddr::from(([10, 0, 0, 1], 7000 + of));
    let one = |of: &u16| dsm_net::launch::Unmet {
        rank: *of,
        address: address(*of),
        silent_ms: (*of < rank).then_some(ms),
    };
    Status::Unmet { ranks: of.iter().map(one).collect(), is_besieged }
}

const SILENT: &str = "rank 0 has had no answer from rank 1 for 3.6 s, though dsmexec reaches both";

#[test]
fn ranks_that_answer_dsmexec_and_not_each_other_are_parted() {
    let start = || vec![Joined(0), Joined(1), Joined(2), Unheard(0, &[1]), Asks(&[1])];
    let with = |rest: Vec<Happens>| start().into_iter().chain(rest).collect::<Vec<_>>();
    let story = with(vec![Unheard(1, &[]), Asks(&[]), Ms(400), Asks(&[0]), Unheard(0, &[1])]);
    check(&story, Some(SILENT));
    // The other does not hear the one either, and says so by itself.
    let story = with(vec![Unheard(1, &[0]), Ms(400), Asks(&[0, 1]), Unheard(0, &[1])]);
    check(&story, Some(SILENT));
}

#[test]
fn a_rank_that_cannot_answer_dsmexec_is_not_to_blame_the_network_for() {
    let story = [
        Joined(0),
        Joined(1),
        Unheard(0, &[1]),
        Asks(&[1]),
        Ms(60_000),
        Asks(&[]),
        Unheard(0, &[1]),
    ];
    check(&story, None);
}

/// It was stopped, and has answered its peer before it answers dsmexec.
#[test]
fn a_rank_that_goes_on_is_heard_again() {
    let story = [
        Joined(0),
        Joined(1),
        Unheard(0, &[1]),
        Asks(&[1]),
        Ms(60_000),
        Unheard(1, &[]),
        Ms(400),
        Asks(&[0]),
        Unheard(0, &[]),
        Ms(1_000),
        Asks(&[]),
    ];
    check(&story, None);
}

#[test]
fn a_rank_that_has_no_processor_is_waited_for() {
    let story = [
        Joined(0),
        Joined(1),
        Unheard(0, &[1]),
        Asks(&[1]),
        Unheard(1, &[]),
        Ms(400),
        Asks(&[0]),
        Ms(60_000),
        Asks(&[]),
        Unheard(0, &[]),
    ];
    check(&story, None);
}

#[test]
fn a_rank_that_does_not_hear_of_the_others_end_is_parted_from_it() {
    let story = [
        Joined(0),
        Joined(1),
        Unheard(0, &[1]),
        Asks(&[1]),
        Finalized(1),
        Over(1),
        Ms(400),
        Asks(&[0]),
        Unheard(0, &[1]),
    ];
    check(&story, Some(SILENT));
}

#[test]
fn ranks_that_both_wait_in_dsm_init_are_parted() {
    let line =
        "rank 0 does not answer rank 1 at 10.0.0.1:7000 for 5 s, though both are in dsm_init";
    let mut story = vec![Joining(0), Joining(1)];
    for second in 2..=6 {
        story.extend([Ms(1_000), Unmet(0, &[1], 0), Unmet(1, &[0], second * 1_000 - 1_000)]);
    }
    check(&story, Some(line));
}

#[test]
fn a_rank_that_comes_late_is_waited_for() {
    let mut story = vec![Joining(1)];
    for second in 2..=60 {
        story.extend([Ms(1_000), Unmet(1, &[0], second * 1_000)]);
    }
    story.push(Joining(0));
    for _ in 0..4 {
        story.extend([Ms(1_000), Unmet(1, &[0], 60_000), Unmet(0, &[1], 0)]);
    }
    check(&story, None);
}

#[test]
fn a_rank_that_was_stopped_in_dsm_init_has_all_the_time_again() {
    let mut story = vec![Joining(0), Joining(1)];
    let both = |ms| [Ms(1_000), Unmet(0, &[1], 0), Unmet(1, &[0], ms)];
    (0..4).for_each(|_| story.extend(both(1_000)));
    story.push(Ms(10_000));
    (0..4).for_each(|_| story.extend(both(14_000)));
    check(&story, None);
}

#[test]
fn strangers_at_the_door_are_no_cut() {
    let mut story = vec![Joining(0), Joining(1)];
    for second in 2..=20 {
        story.extend([Ms(1_000), Besieged(0, &[1]), Unmet(1, &[0], second * 1_000)]);
    }
    check(&story, None);
}

#[test]
fn the_last_word_of_a_handshake_that_is_lost_is_found_out() {
    let mut story = vec![Joining(0), Joining(1), Joined(1)];
    for _ in 0..5 {
        story.extend([Ms(1_000), Unmet(0, &[1], 0)]);
    }
    check(&story, Some("rank 0 at 10.0.0.1:7001 waits for rank 1 in dsm_init"));
}
