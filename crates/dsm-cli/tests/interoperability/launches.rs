//! The rows of the matrix.

use crate::cells::{ALL, Column, Launch, Launcher, VALUES, Wrapper, check};
use crate::ranks::{Peer, Ranks};

const fn ours(options: &'static [&'static str], wrapper: Option<Wrapper>) -> Launch {
    Launch { launcher: Launcher::Ours, options, wrapper }
}

const fn stub(options: &'static [&'static str], wrapper: Option<Wrapper>) -> Launch {
    Launch { launcher: Launcher::Stub, options, wrapper }
}

#[test]
fn our_dsmexec_and_our_dsmwrap() {
    check(&ours(&["--launch=pr204"], None), ALL);
}

#[test]
fn our_dsmexec_and_our_dsmwrap_in_form_ref() {
    check(&ours(&["--wrap=ref"], Some(Wrapper::Ours)), ALL);
}

#[test]
fn our_dsmexec_and_our_dsmwrap_in_form_seed() {
    check(&ours(&["--wrap=seed"], Some(Wrapper::Ours)), ALL);
}

#[test]
fn our_dsmexec_and_our_dsmwrap_in_form_rank() {
    check(&ours(&["--wrap=rank"], Some(Wrapper::Ours)), ALL);
}

#[test]
fn our_dsmexec_and_a_wrapper_of_form_ref() {
    check(&ours(&["--wrap=ref"], Some(Wrapper::Stub("ref"))), ALL);
}

#[test]
fn our_dsmexec_and_a_wrapper_of_form_seed() {
    check(&ours(&["--wrap=seed"], Some(Wrapper::Stub("seed"))), ALL);
}

#[test]
fn our_dsmexec_and_a_wrapper_of_form_rank() {
    check(&ours(&["--wrap=rank"], Some(Wrapper::Stub("rank"))), ALL);
}

#[test]
fn our_dsmexec_and_programs_of_2025() {
    check(&ours(&["--launch=ete7"], None), ALL);
}

#[test]
fn a_launcher_of_form_ref_and_our_dsmwrap() {
    check(&stub(&["--wrap", "ref"], Some(Wrapper::Ours)), ALL);
}

#[test]
fn a_launcher_of_form_seed_and_our_dsmwrap() {
    check(&stub(&["--wrap", "seed"], Some(Wrapper::Ours)), ALL);
}

#[test]
fn a_launcher_of_form_rank_and_our_dsmwrap() {
    check(&stub(&["--wrap", "rank"], Some(Wrapper::Ours)), ALL);
}

#[test]
fn a_launcher_and_a_wrapper_of_form_ref() {
    check(&stub(&["--wrap", "ref"], Some(Wrapper::Stub("ref"))), ALL);
}

#[test]
fn a_launcher_and_a_wrapper_of_form_seed() {
    check(&stub(&["--wrap", "seed"], Some(Wrapper::Stub("seed"))), ALL);
}

#[test]
fn a_launcher_and_a_wrapper_of_form_rank() {
    check(&stub(&["--wrap", "rank"], Some(Wrapper::Stub("rank"))), ALL);
}

#[test]
fn a_launcher_without_a_wrapper() {
    check(&stub(&["--launch", "bare"], None), ALL);
}

#[test]
fn a_launcher_of_programs_of_2025() {
    check(&stub(&["--launch", "ete7"], None), ALL);
}

#[test]
fn a_launcher_without_variables() {
    check(&stub(&["--launch", "bare", "--no-variables"], None), ODD);
}

#[test]
fn sockets_that_do_not_listen_yet() {
    check(&stub(&["--launch", "bare", "--listen-later"], None), ODD);
    check(&stub(&["--wrap", "ref", "--listen-later"], Some(Wrapper::Stub("ref"))), ODD);
}

#[test]
fn wrappers_that_read_their_greeting_first_or_do_not_listen() {
    let seed = Some(Wrapper::Stub("seed"));
    check(&ours(&["--wrap=seed", "-x", "PR204_EAGER=1"], seed), ODD);
    check(&stub(&["--wrap", "seed", "--env", "PR204_EAGER=1"], seed), ODD);
    let rank = Some(Wrapper::Stub("rank"));
    check(&ours(&["--wrap=rank", "-x", "PR204_LISTEN_LATER=1"], rank), ODD);
}

#[test]
fn machines_that_have_names() {
    check(&stub(&["--launch", "bare", "--host", "localhost"], None), ODD);
    check(&stub(&["--launch", "ete7", "--host", "localhost"], None), ODD);
    check(&stub(&["--wrap", "ref", "--host", "localhost"], Some(Wrapper::Ours)), ODD);
    check(&stub(&["--wrap", "rank", "--host", "localhost"], Some(Wrapper::Ours)), ODD);
}

#[test]
fn streams_in_small_segments() {
    check(&stub(&["--launch", "bare", "--split", "7"], None), ODD);
    check(&stub(&["--launch", "ete7", "--split", "100"], None), ODD);
    check(&stub(&["--wrap", "rank", "--split", "3"], Some(Wrapper::Ours)), ODD);
}

#[test]
fn a_launcher_that_closes_at_once() {
    check(&stub(&["--launch", "bare", "--close"], None), ODD);
    check(&stub(&["--wrap", "seed", "--close"], Some(Wrapper::Ours)), ODD);
}

#[test]
fn eight_ranks() {
    let mixed = [Column { ranks: Ranks::Mixed(Peer::Bcast, "1,2,7"), ..EIGHT }, EIGHT];
    check(&stub(&["--launch", "bare"], None), &mixed);
    check(&ours(&["--launch=pr204"], None), &mixed);
}

#[test]
fn either_fault_engine_beside_foreign_ranks() {
    for engine in ["DSM_FAULT=sigsegv", "DSM_FAULT=uffd"] {
        let options: &'static [&'static str] = match engine {
            "DSM_FAULT=uffd" => &["--launch", "bare", "--env", "DSM_FAULT=uffd"],
            _ => &["--launch", "bare", "--env", "DSM_FAULT=sigsegv"],
        };
        check(&stub(options, None), MIXED);
    }
}

/// For launches that differ from others in how they say the same.
const ODD: &[Column] = &[
    Column { ranks: Ranks::Ours, programs: VALUES, nodes: &[1, 2, 3] },
    Column { ranks: Ranks::Stub(Peer::Bcast), programs: VALUES, nodes: &[2] },
    Column { ranks: Ranks::Mixed(Peer::Bcast, "1"), programs: VALUES, nodes: &[3] },
];

const MIXED: &[Column] = &[
    Column { ranks: Ranks::Mixed(Peer::Bcast, "0"), programs: VALUES, nodes: &[2, 3] },
    Column { ranks: Ranks::Mixed(Peer::Bcast, "1,2"), programs: VALUES, nodes: &[3, 4] },
    Column { ranks: Ranks::Mixed(Peer::Bcast, "2"), programs: VALUES, nodes: &[3, 4] },
    Column { ranks: Ranks::Mixed(Peer::Bcast, "3"), programs: VALUES, nodes: &[4] },
    Column { ranks: Ranks::Mixed(Peer::Seed8, "0"), programs: VALUES, nodes: &[2] },
    Column { ranks: Ranks::Mixed(Peer::Seed8, "1"), programs: VALUES, nodes: &[2] },
    Column { ranks: Ranks::Mixed(Peer::Seed8, "0,1"), programs: VALUES, nodes: &[2] },
];

const EIGHT: Column =
    Column { ranks: Ranks::Mixed(Peer::Bcast, "0"), programs: VALUES, nodes: &[8] };
