//! The macro file and the header by themselves.

use crate::built::{Built, errors, m4, root};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn every_macro_works() {
    let (used, macros) =
        (fs::read_to_string(root().join("tests/parmacs/every_macro.C")).unwrap(), macros());
    let is_used = |name: &str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        used.split(|c| !is_word(c)).any(|word| word == name)
    };
    assert!(macros.len() > 90, "{macros:?}");
    for name in &macros {
        assert!(is_used(name), "every_macro.C does not use {name}");
    }
    for (words, flags) in [
        (&[][..], &["-std=gnu89", "-Wno-return-type"][..]),
        (&["-P"], &["-std=gnu99"]),
        (&[], &["-std=c11", "-D_POSIX_C_SOURCE=200112", "-D_XOPEN_SOURCE=500"]),
        (&["-P"], &["-std=gnu17"]),
    ] {
        let Some(built) = Built::with(&["every_macro.C"], &[], words, flags) else { return };
        for ranks in [1, 2] {
            let ended = built.job(ranks, "auto", &[]);
            assert_eq!(ended.assert_code(0).stdout, "every macro: right\n", "{flags:?}: {ended}");
        }
    }
}

/// The names that the macro file defines for sources, but those of SPLASH-4.
fn macros() -> BTreeSet<String> {
    let file = fs::read_to_string(root().join("share/dsm/c.m4.dsm")).unwrap();
    let splash4 = file.find("m4_ifdef(`SPLASH4'").unwrap();
    let end = splash4 + file[splash4..].find("# ---").unwrap();
    let rest = [&file[..splash4], &file[end..]].concat();
    let name = |line: &str| {
        let line =
            line.strip_prefix("m4_dsm_macro(`").or_else(|| line.strip_prefix("m4_define(`"))?;
        let (name, _) = line.split_once('\'')?;
        (!name.starts_with("m4_")).then(|| name.to_owned())
    };
    rest.lines().filter_map(name).collect()
}

#[test]
fn macros_with_and_without_prefixed_builtins_expand_alike() {
    let source = root().join("tests/parmacs/phases.C");
    let expanded = |words: &[&str]| {
        let text = String::from_utf8(m4(words, &source)?.stdout).unwrap();
        // The macro file's first line is a comment in both, of different length.
        Some(text.split_once("docs/parmacs.md */").unwrap().1.to_owned())
    };
    assert_eq!(expanded(&[]), expanded(&["-P"]));
}

#[test]
fn what_is_no_macro_call_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let source = dir.path().join("words.C");
    let text = "int LOCK, CLOCK, DELAY, len(int), index, shift; /* CREATE WAITPAUSE */\n\
                char c = 'a'; const char *unix = \"define\"; int x = len (2) + eval(3) + LOAD(4);\n";
    fs::write(&source, text).unwrap();
    let Some(output) = m4(&[], &source) else { return };
    let expanded = String::from_utf8(output.stdout).unwrap();
    let (_, behind) = expanded.split_once("docs/parmacs.md */").unwrap();
    let lines: Vec<_> = behind.lines().filter(|line| !line.starts_with("#line")).collect();
    assert_eq!(lines, text.lines().collect::<Vec<_>>());
}

#[test]
fn macros_that_are_missing_end_m4_and_wrong_counts_do_not_compile() {
    let dir = TempDir::new().unwrap();
    let source = dir.path().join("missing.C");
    for words in [&[][..], &["-P"]] {
        fs::write(&source, "int x;\nMENTER(monitor)\n").unwrap();
        let Some(output) = m4(words, &source) else { return };
        assert_eq!(output.status.code(), Some(1));
        let said = format!("{}:2: c.m4.dsm does not have the macro MENTER\n", source.display());
        assert_eq!(errors(&output), said);
        fs::write(&source, "LOCK(a, b)\n").unwrap();
        let output = m4(words, &source).unwrap();
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("m4_dsm_LOCK_2(a,b)"),
            "{output:?}"
        );
    }
}

#[test]
fn the_header_compiles_in_every_dialect() {
    for (compiler, standard) in [
        ("cc", "c99"),
        ("cc", "c11"),
        ("cc", "c17"),
        ("cc", "gnu89"),
        ("c++", "c++11"),
        ("c++", "c++17"),
        ("c++", "c++20"),
    ] {
        let language = if compiler == "cc" { "c" } else { "c++" };
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-x", language]);
        command.arg(format!("-std={standard}")).arg(root().join("include/dsm_parmacs.h"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?} fails:\n{}", errors(&output));
    }
}
