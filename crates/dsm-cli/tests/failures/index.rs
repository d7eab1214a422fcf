//! The table of the tests tells the truth.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_row_names_tests_that_are_there_and_every_test_has_a_row() {
    let rows = TABLE.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut named = BTreeSet::new();
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let tests: Vec<_> = tests.split_whitespace().map(|name| name.trim_matches('`')).collect();
        assert!(!tests.is_empty(), "a row without a test: {row}");
        for test in tests {
            assert!(is_there(test), "there is no test {test}");
            assert!(named.insert(test), "{test} has two rows");
        }
    }
    let own = tests_of(&directory("failures"));
    let own: Vec<_> = own.iter().filter(|test| !test.starts_with("index::")).collect();
    for test in &own {
        assert!(named.contains(test.as_str()), "{test} has no row");
    }
    println!(
        "{} tests in {} rows, {} of them here",
        named.len(),
        TABLE.matches("\n| ").count() - 1,
        own.len()
    );
}

/// Whether a test of this target, or of the one that is named before its module, is there.
fn is_there(test: &str) -> bool {
    let (target, rest) = test.split_once("::").unwrap();
    match rest.contains("::") {
        true => tests_of(&directory(target)).contains(rest),
        false => tests_of(&directory("failures")).contains(test),
    }
}

fn directory(target: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(target)
}

/// `module::name` of every test in the files of this directory.
fn tests_of(directory: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut tests = BTreeSet::new();
    for file in files.filter(|file| file.extension().is_some_and(|it| it == "rs")) {
        let module = file.file_stem().unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let marked = text.split("#[test]\n").skip(1);
        let names = marked.filter_map(|rest| rest.strip_prefix("fn ")?.split_once('('));
        tests.extend(names.map(|(name, _)| format!("{module}::{name}")));
    }
    tests
}

const TABLE: &str = include_str!("README.md");
