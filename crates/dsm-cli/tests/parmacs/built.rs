use crate::harness::{Ended, Place, text};
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A program made from sources with macros, in a directory of its own.
pub(crate) struct Built {
    pub(crate) program: PathBuf,
    _dir: TempDir,
}

impl Built {
    /// Sources and headers of `tests/parmacs`, with these words more for the C compiler. `None` if there is no m4.
    pub(crate) fn of(sources: &[&str], headers: &[&str], compiler: &[&str]) -> Option<Self> {
        Self::with(sources, headers, &[], compiler)
    }

    /// The same with these words more for m4.
    pub(crate) fn with(
        sources: &[&str],
        headers: &[&str],
        m4: &[&str],
        compiler: &[&str],
    ) -> Option<Self> {
        let dir = TempDir::with_prefix("dsm parmacs ").unwrap();
        for header in headers {
            expand(m4, header, &dir.path().join(header.replace(".H", ".h")))?;
        }
        let mut expanded = Vec::new();
        for source in sources {
            let to = dir.path().join(source.replace(".C", ".c"));
            expand(m4, source, &to)?;
            expanded.push(to);
        }
        let program = dir.path().join("program");
        let mut command = Command::new("cc");
        command
            .args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(root().join("include"));
        command.arg("-I").arg(dir.path()).args(&expanded).arg("-o").arg(&program);
        command.arg(library("libdsm_parmacs.a"));
        if compiler.contains(&STATIC) {
            command.arg(library("libdsm.a"));
        } else {
            command.arg(library("libdsm.so")).arg(format!("-Wl,-rpath,{}", lib().display()));
        }
        command.args(compiler.iter().filter(|word| **word != STATIC)).args(LIBRARIES);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?} fails:\n{}", errors(&output));
        Some(Self { program, _dir: dir })
    }

    pub(crate) fn alone(&self, arguments: &[&str]) -> Output {
        let output = Command::new(&self.program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?} alone: {output:?}");
        output
    }

    pub(crate) fn job(&self, ranks: usize, engine: &str, arguments: &[&str]) -> Ended {
        let mut words = vec![text(&self.program)];
        words.extend(arguments);
        Place::local(ranks).run(&["--tag", "none", "--fault", engine], &words)
    }
}

/// In the place of words for the compiler: link libdsm.a.
pub(crate) const STATIC: &str = "static libdsm";

/// Puts a source through m4. `None` if there is no m4; that fails where everything must run.
pub(crate) fn expand(words: &[&str], source: &str, to: &Path) -> Option<()> {
    let output = m4(words, &root().join("tests/parmacs").join(source))?;
    assert!(output.status.success(), "m4 {source} fails:\n{}", errors(&output));
    fs::write(to, output.stdout).unwrap();
    Some(())
}

pub(crate) fn m4(words: &[&str], source: &Path) -> Option<Output> {
    let mut command = Command::new("m4");
    command.arg("-s").args(words).arg(root().join("share/dsm/c.m4.dsm")).arg(source);
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let is_ci = env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(!is_ci, "this test cannot run here: there is no m4");
            eprintln!("NOT TESTED: there is no m4");
            None
        }
        output => Some(output.unwrap()),
    }
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn lib() -> PathBuf {
    root().join("lib")
}

fn library(name: &str) -> PathBuf {
    let path = lib().join(name);
    assert!(path.exists(), "there is no lib/{name}: run `make` first");
    path
}

/// What programs and libdsm.a need.
const LIBRARIES: [&str; 3] = ["-lpthread", "-ldl", "-lm"];
