//! `lib/libdsm.*` as `make` builds them, seen from C: what they export, and that dsm.h tells the truth.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let exported: BTreeSet<String> = output(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(library("libdsm.so.0")),
    )
    .lines()
    .map(|line| line.split(' ').next().unwrap().to_owned())
    .collect();
    assert_eq!(exported, declared());
}

#[test]
fn programs_look_the_library_up_by_its_soname() {
    let headers = output(Command::new("objdump").arg("-p").arg(library("libdsm.so.0")));
    let soname = headers.lines().find(|line| line.contains("SONAME")).unwrap();
    assert_eq!(soname.split_whitespace().last(), Some("libdsm.so.0"));
}

#[test]
fn every_declaration_holds() {
    let source = source("every_declaration.c");
    let text = fs::read_to_string(&source).unwrap();
    for name in declared() {
        assert!(text.contains(&name), "every_declaration.c does not use {name}");
    }
    let compilers: [(&str, &[&str]); 4] = [
        ("cc", &["-std=c99"]),
        ("cc", &["-std=c11", "-fPIE", "-pie"]),
        ("cc", &["-std=c11", "-fno-pie", "-no-pie"]),
        ("c++", &["-std=c++17", "-x", "c++"]),
    ];
    for (compiler, flags) in compilers {
        for link in [Link::Shared, Link::Static] {
            let built = Built::from(compiler, flags, &source, link);
            let output = built.run(&[]);
            assert!(output.status.success(), "{compiler} {flags:?} {link:?}: {output:?}");
            assert_eq!(output.stdout, b"all declarations hold\n");
            let complaints = String::from_utf8(output.stderr).unwrap();
            let about_free =
                complaints.lines().filter(|line| line.starts_with("dsm: cannot free 0x"));
            assert_eq!(about_free.count(), 1, "{complaints}");
        }
    }
}

#[test]
fn a_program_of_the_course_builds_unchanged_and_runs_alone() {
    let output = Built::from("cc", &[], &source("course_program.c"), Link::Shared).run(&["3"]);
    assert_eq!(output.status.code(), Some(1), "its own code: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("[0] Coucou, mon adresse de base est : 0x"), "{text}");
    assert_eq!(
        lines[1..],
        ["[0] valeur de l'entier : 0", "page 0 : 1", "page 1 : 2", "page 2 : 3"]
    );
}

#[test]
fn a_bad_setting_is_one_line_an_errno_and_null() {
    let dir = TempDir::new().unwrap();
    let source = dir.path().join("refused.c");
    let text = r#"
        #include <dsm.h>
        #include <errno.h>
        int main(void) {
            int failed = dsm_init(0, NULL) == NULL && errno == EINVAL;
            puts(dsm_last_error());
            errno = 0;
            return !(failed && dsm_init(0, NULL) == NULL && errno == EALREADY);
        }"#;
    fs::write(&source, text).unwrap();
    let built = Built::from("cc", &[], &source, Link::Shared);
    let output = Command::new(&built.program).env("DSM_SIZE", "many").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains(r#"cannot join the job: DSM_SIZE is "many", expected"#), "{words}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("dsm: {words}"),
        "once, with the same words"
    );
}

#[test]
fn the_manual_has_every_declaration() {
    for name in declared() {
        let page = root().join("man").join(&name).with_extension("3");
        let text = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        let text = match text.strip_prefix(".so man3/") {
            Some(other) => fs::read_to_string(root().join("man").join(other.trim())).unwrap(),
            None => text,
        };
        let named = text.lines().any(|line| line.starts_with(".Nm ") && line.contains(&name));
        assert!(named, "{} is not about {name}", page.display());
    }
}

#[test]
fn the_examples_of_the_manual_run() {
    let mut examples = 0;
    for page in fs::read_dir(root().join("man")).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        for example in text.split(".Bd -literal").skip(1) {
            let (_, example) = example.split_once('\n').unwrap();
            let (example, _) = example.split_once(".Ed").unwrap();
            if !example.starts_with("#include") {
                continue;
            }
            examples += 1;
            let dir = TempDir::new().unwrap();
            let source = dir.path().join("example.c");
            fs::write(&source, example.replace("\\e", "\\")).unwrap();
            let output = Built::from("cc", &["-std=c11"], &source, Link::Shared).run(&[]);
            assert!(output.status.success(), "{}: {output:?}", page.display());
            assert!(!output.stdout.is_empty(), "{} says nothing", page.display());
        }
    }
    assert!(examples >= 11, "only {examples} pages have an example");
}

/// A C program built against the header and the library.
struct Built {
    program: PathBuf,
    _dir: TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Shared,
    Static,
}

impl Built {
    fn from(compiler: &str, flags: &[&str], source: &Path, link: Link) -> Self {
        let dir = TempDir::new().unwrap();
        let program = dir.path().join("program");
        let mut command = Command::new(compiler);
        command.args(flags).args(["-Wall", "-Wextra", "-Werror", "-D_DEFAULT_SOURCE"]);
        command.arg("-I").arg(root().join("include")).arg(source).arg("-o").arg(&program);
        if link == Link::Shared {
            let lib = root().join("lib");
            command
                .arg("-L")
                .arg(&lib)
                .arg("-ldsm")
                .arg("-lpthread")
                .arg(format!("-Wl,-rpath,{}", lib.display()));
        } else {
            // `-x c++` would make the archive a source, too.
            command.args(["-x", "none"]).arg(library("libdsm.a")).args([
                "-lpthread",
                "-ldl",
                "-lm",
            ]);
        }
        output(&mut command);
        Self { program, _dir: dir }
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(&self.program).args(args).output().unwrap()
    }
}

/// The functions and objects of dsm.h.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(root().join("include/dsm.h")).unwrap();
    let declarations = header.lines().filter(|line| {
        line.ends_with(';') && !line.starts_with(' ') && !line.starts_with("typedef")
    });
    let names = declarations.filter_map(|line| {
        let before = line.split(['(', ';']).next()?;
        before.rsplit([' ', '*']).next().map(str::to_owned)
    });
    names.filter(|name| name.starts_with("dsm_") || name.starts_with("DSM_")).collect()
}

fn library(name: &str) -> PathBuf {
    let path = root().join("lib").join(name);
    assert!(path.exists(), "there is no lib/{name}: run `make` first");
    path
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs a tool that must succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} fails:\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}
