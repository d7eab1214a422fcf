//! Streams that lie or end early: a clear error, an exit code, and nothing left behind.

use crate::cells::{GONE, LIMIT, Launch, Launcher, Wrapper, words_of_a_rank};
use crate::harness::{Place, Running, Watched, text};
use crate::peer;
use crate::ranks::Ranks;
use std::time::Instant;

/// What the stub launcher does wrong, and what is to be said of it.
type Lie = (&'static [&'static str], &'static str);

const ABOUT_THE_JOB: &[Lie] = &[
    (&["--hostile", "nodes-zero"], "a job of 0 ranks, expected 1 to 256"),
    (&["--hostile", "nodes-negative"], "a job of -1 ranks, expected 1 to 256"),
    (&["--hostile", "nodes-huge"], "a job of 2147483647 ranks, expected 1 to 256"),
    (&["--cut", "3"], "the stream ended after 3 of "),
];

const ABOUT_RANKS: &[Lie] = &[
    (&["--hostile", "rank-range"], " in a job of 2 ranks"),
    (&["--hostile", "no-nul"], "a machine name that does not end"),
    (&["--hostile", "port-zero"], "port 0 of 127.0.0.1, expected 1 to 65535"),
];

const CUT_BEHIND_THE_HEAD: &[Lie] = &[(&["--cut", "8"], "the stream ended after 8 of ")];

const CUT: &[Lie] = &[
    (&["--cut", "1500"], "the stream ended after 1500 of "),
    (&["--cut", "2079"], "the stream ended after 2079 of "),
];

/// Without a stream these are told by variables.
const BY_VARIABLES: &[Lie] = &[
    (&["--hostile", "nodes-zero"], "DSMEXEC_RANKNUM is \"0\", expected a number of ranks"),
    (&["--hostile", "nodes-negative"], "DSMEXEC_RANKNUM is \"-1\", expected a number of ranks"),
    (&["--hostile", "nodes-huge"], "DSMEXEC_RANKNUM is \"2147483647\", expected"),
    (&["--hostile", "rank-range"], "expected a rank, 0 up to less than the number of ranks"),
    (&["--hostile", "no-nul"], "a machine name that does not end"),
    (&["--hostile", "port-zero"], "port 0 of 127.0.0.1, expected 1 to 65535"),
    (&["--cut", "3"], "the stream ended after 3 of 2080 bytes"),
];

#[test]
fn our_library_refuses_streams_that_lie() {
    for options in [&["--launch", "bare"][..], &["--launch", "bare", "--no-variables"]] {
        check(options, None, &[ABOUT_THE_JOB, ABOUT_RANKS, CUT_BEHIND_THE_HEAD, CUT], LIBRARY);
    }
    check(&["--launch", "ete7"], None, &[BY_VARIABLES, CUT_BEHIND_THE_HEAD, CUT], LIBRARY);
}

#[test]
fn our_library_refuses_streams_that_lie_behind_a_foreign_wrapper() {
    let all = &[ABOUT_THE_JOB, ABOUT_RANKS, CUT_BEHIND_THE_HEAD, CUT];
    check(&["--wrap", "ref"], Some(Wrapper::Stub("ref")), all, LIBRARY);
    check(&["--wrap", "seed"], Some(Wrapper::Stub("seed")), all, LIBRARY);
    // In this form the wrapper takes the number of ranks, and all bytes.
    check(&["--wrap", "rank"], Some(Wrapper::Stub("rank")), &[ABOUT_RANKS], LIBRARY);
}

#[test]
fn our_dsmwrap_refuses_streams_that_lie() {
    let all = &[ABOUT_THE_JOB, ABOUT_RANKS, CUT];
    for form in ["ref", "seed", "rank"] {
        check(&["--wrap", form], Some(Wrapper::Ours), all, DSMWRAP);
    }
    for form in ["ref", "rank"] {
        check(&["--wrap", form], Some(Wrapper::Ours), &[CUT_BEHIND_THE_HEAD], DSMWRAP);
    }
    // In form seed that is a whole greeting, behind which nothing comes.
    let closed: &[Lie] = &[(&["--cut", "8"], "who the ranks are: it closed the connection")];
    let lost = ("dsmwrap: lost the launcher at 127.0.0.1:", 75);
    check(&["--wrap", "seed"], Some(Wrapper::Ours), &[closed], lost);
}

/// How a line of ours begins, and the exit code with it.
type Refusal = (&'static str, i32);

const LIBRARY: Refusal = ("dsm: cannot join the job: ", 1);
const DSMWRAP: Refusal = ("dsmwrap: cannot understand the launcher at 127.0.0.1:", 76);

/// Both ranks say what is wrong in one line each and end with the code.
#[track_caller]
fn check(options: &[&str], wrapper: Option<Wrapper>, lies: &[&[Lie]], (begin, code): Refusal) {
    let launch = Launch { launcher: Launcher::Stub, options: &[], wrapper };
    let (place, program) = (Place::local(2), peer("idle-ours"));
    let (mut slowest, mut refused) = (0, 0);
    for (lie, message) in lies.iter().copied().flatten() {
        let words = [options, lie, &[text(&program)]].concat();
        let began_at = Instant::now();
        let running = Running::start(launch.command(&place, 2, Ranks::Ours, &words));
        let ended = running.end_within(LIMIT).unwrap_or_else(|hung| panic!("{hung}"));
        slowest = slowest.max(began_at.elapsed().as_millis());
        refused += 1;
        ended.assert_code(code);
        for rank in 0..2 {
            let said = ended.stdout.lines().filter_map(words_of_a_rank);
            let said: Vec<_> = said.filter(|(of, ..)| *of == rank).map(|(.., text)| text).collect();
            let [error] = said
                .into_iter()
                .filter(|text| !text.ends_with("plaintext and unauthenticated"))
                .collect::<Vec<_>>()[..]
            else {
                panic!("rank {rank} does not say one thing: {ended}")
            };
            assert!(error.starts_with(begin) && error.contains(message), "{message}: {ended}");
        }
        assert!(!ended.stderr.contains("signal"), "{ended}");
    }
    Watched::assert_gone_within(&Watched::all_in(place.dir()), GONE);
    println!("{}: {refused} refused, slowest {slowest} ms", options.join(" "));
}
