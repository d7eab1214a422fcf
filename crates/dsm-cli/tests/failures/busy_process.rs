//! Row: a rank forks, gets signals a thousand times a second in its faults, has a thousand threads, or 64 that go for one page:
//! correct.

use crate::case::{ENGINES, Over, Place, program, side_by_side};

/// Children of every kind are made while pages move. One that called the library once spoke to the other ranks on its parent's
/// sockets. The child that stays at the end is killed with its group.
#[test]
fn forks() {
    side_by_side(&ENGINES, |engine| {
        let over = right(engine, 2, "forks", &["10"]);
        let told = over.lines.iter().filter(|line| {
            let words = " touched shared memory at 0x200000000000, but it is a forked child of";
            line.text.contains(words)
        });
        assert_eq!(told.count(), 10, "{}", over.report());
        figures("forks", engine, &over)
    });
}

/// A thread that a handler stopped on a page in the middle of free(3) once kept the driver from allocating.
#[test]
fn gets_signals_at_1_khz_during_faults() {
    let hows = ["restart", "interrupt", "stack", "jump"];
    let cases: Vec<_> = ENGINES.iter().flat_map(|engine| hows.map(|how| (*engine, how))).collect();
    side_by_side(&cases, |(engine, how)| {
        let over = right(engine, 2, "storm", &[how, "300"]);
        figures(&format!("storm {how}: {}", over.rank(0)[0]), engine, &over)
    });
}

#[test]
fn has_a_thousand_threads() {
    for engine in ENGINES {
        let over = right(engine, 2, "fail_thousand", &["1000", "5"]);
        println!("{}", figures("1000 threads", engine, &over));
    }
}

#[test]
fn has_64_threads_on_one_page() {
    for engine in ENGINES {
        for ranks in [2, 4] {
            let place = Place::local(ranks);
            let program = [&program("threads"), "64", "20"];
            let over = place.start(&["--fault", engine], &program).finish();
            over.expect_success().expect_from_all(ranks, "64 threads, 20 rounds, right");
            println!("{}", figures(&format!("64 threads, {ranks} ranks"), engine, &over));
        }
    }
}

/// A job all of whose ranks say that nothing was wrong.
#[track_caller]
fn right(engine: &str, ranks: usize, name: &str, arguments: &[&str]) -> Over {
    let place = Place::local(ranks);
    let program = program(name);
    let words = [&[program.as_str()], arguments].concat();
    let over = place.start(&["--fault", engine], &words).finish();
    over.expect_success().expect_from_all(ranks, &format!("{name}: right"));
    over
}

fn figures(what: &str, engine: &str, over: &Over) -> String {
    format!("{what}, {engine}: {:.2} s", over.took.as_secs_f64())
}
