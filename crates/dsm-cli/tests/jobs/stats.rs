//! The table that `--stats` prints.

use crate::harness::{Ended, Place, text};
use std::path::{Path, PathBuf};

/// Every count of a program whose counts are known; `tests/programs/counts.c` says why they are what they are.
#[test]
fn every_rank_tells_what_it_did() {
    for engine in ["uffd", "sigsegv"] {
        let place = Place::local(3);
        let ended = place.run(&["--stats", "--tag=rank", "--fault", engine], &[built()]);
        ended.assert_code(0);
        let page = rustix::param::page_size();
        let with_page = format!("{}.{}", (360 + page) / 1024, (360 + page) % 1024 * 10 / 1024);
        let rows = [
            format!("0 localhost 0 0 0 0 0 0 15 600 B 0 1 4 {ENDS}"),
            format!("1 localhost 1 0 1 0 0 1 9 {with_page} KiB 2 1 4 {ENDS}"),
            format!("2 localhost 2 1 0 1 1 0 7 280 B 0 0 4 {ENDS}"),
        ];
        for row in &rows {
            assert_row(&ended, row);
        }
        assert_row(&ended, &format!("total 3 1 1 1 1 1 31 {ENDS}"));
    }
}

/// The table comes after all that ranks wrote, in whole lines of equal shape, and is in the log too.
#[test]
fn the_table_is_the_last_word_and_is_logged() {
    let place = Place::local(4);
    let program = text(&built()).to_owned();
    let script = format!("'{program}'; printf 'no newline' >&2");
    let ended = place.sh(&["--stats"], &script);
    ended.assert_code(0);
    let lines: Vec<_> = ended.stderr.lines().collect();
    let header = lines.iter().position(|line| line.starts_with("dsmexec:  rank  host"));
    let header = header.unwrap_or_else(|| panic!("no header: {ended}"));
    assert_eq!(lines[..header].iter().filter(|line| line.ends_with("no newline")).count(), 4);
    let table = &lines[header..];
    // Header, four ranks, the sum, two lines that explain.
    assert_eq!(table.len(), 8, "{ended}");
    let ends: Vec<_> = table[..6].iter().map(|line| line.len()).collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "{ended}");
    assert!(table[6..].iter().all(|line| line.starts_with("dsmexec: ")), "{ended}");
    let log = place.read("logs/dsm_output.log");
    assert!(log.ends_with(&format!("{}\n", table.join("\n"))), "{log}");
}

#[test]
fn without_the_option_there_is_no_table() {
    let ended = Place::local(3).run(&[], &[built()]);
    assert!(!ended.assert_code(0).stderr.contains("misses"), "{ended}");
}

#[test]
fn a_rank_that_does_not_join_or_leave_has_no_counts() {
    let ended = Place::local(2).sh(&["--stats"], "true");
    ended.assert_code(0);
    for rank in 0..2 {
        assert_row(&ended, &format!("{rank} localhost did not call dsm_init"));
    }
    assert!(!ended.stderr.contains("total"), "{ended}");

    let program = built();
    let ended = Place::local(3).run(&["--stats"], &[text(&program), "leave"]);
    ended.assert_code(3);
    assert_row(&ended, "1 localhost did not call dsm_finalize: no counts");
    assert!(!ended.stderr.contains("total"), "{ended}");
}

/// Standard error has a line with these words one after the other, however far apart.
#[track_caller]
fn assert_row(ended: &Ended, row: &str) {
    let mut words: Vec<_> = ["dsmexec:"].into_iter().chain(row.split(' ')).collect();
    let is_open = words.last() == Some(&ENDS);
    words.truncate(words.len() - usize::from(is_open));
    let matches = |line: &str| {
        let found: Vec<_> = line.split_whitespace().collect();
        found.starts_with(&words) && (is_open || found.len() == words.len())
    };
    assert!(ended.stderr.lines().any(matches), "no row {row:?}: {ended}");
}

/// In a row: what follows varies from run to run.
const ENDS: &str = "...";

fn built() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test/counts");
    assert!(path.is_file(), "there is no {}: run `make test-programs` first", path.display());
    path
}
