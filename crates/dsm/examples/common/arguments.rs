#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what an example does")]

use std::collections::VecDeque;
use std::env;
use std::fmt::{Display, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;

/// The command line, taken apart word by word: `number` and `text` take the next word that does not begin with
/// `--`, and give the default if there is none. Call [`end`](Self::end) before anything is done.
pub(crate) struct Arguments {
    program: &'static str,
    /// Those not taken yet.
    words: VecDeque<String>,
    wants_help: bool,
    /// The first one.
    mistake: Option<String>,
    names: String,
    help: String,
}

impl Arguments {
    pub(crate) fn new(program: &'static str, purpose: &str) -> Self {
        let words: VecDeque<String> = env::args().skip(1).collect();
        let wants_help = words.iter().any(|word| word == "--help");
        let (names, help) = (String::new(), format!("{purpose}\n"));
        Self { program, words, wants_help, mistake: None, names, help }
    }

    pub(crate) fn number(
        &mut self,
        name: &str,
        meaning: &str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        let (min, max) = (range.start(), range.end());
        self.describe(name, format_args!("{meaning}, {min} to {max} ({default})"));
        let Some(word) = self.next() else { return default };
        let number = word.parse().ok().filter(|number| range.contains(number));
        number.unwrap_or_else(|| {
            let mistake = self.cannot_take(&word);
            self.mistake.get_or_insert(mistake);
            default
        })
    }

    pub(crate) fn text(&mut self, name: &str, meaning: &str, default: &str) -> String {
        self.describe(name, format_args!("{meaning} ({default})"));
        self.next().unwrap_or_else(|| default.to_owned())
    }

    /// Whether `name`, which begins with `--`, is there.
    pub(crate) fn switch(&mut self, name: &str, meaning: &str) -> bool {
        self.describe(name, meaning);
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// What must hold of the values.
    pub(crate) fn check(&mut self, holds: bool, mistake: impl FnOnce() -> String) {
        if !holds && self.mistake.is_none() {
            self.mistake = Some(mistake());
        }
    }

    /// The exit code if the program is not to run: after `--help`, which is answered, and after a mistake, which
    /// is told.
    pub(crate) fn end(self) -> Option<ExitCode> {
        let Self { program, names, help, .. } = &self;
        if self.wants_help {
            print!("usage: {program}{names}\n{help}");
            return Some(ExitCode::SUCCESS);
        }
        let left_over = || self.words.front().map(|word| self.cannot_take(word));
        let mistake = self.mistake.clone().or_else(left_over)?;
        eprintln!("{program}: {mistake}");
        Some(ExitCode::from(EXIT_USAGE))
    }

    fn cannot_take(&self, word: &str) -> String {
        format!("cannot take the argument '{word}'; try {} --help", self.program)
    }

    fn next(&mut self) -> Option<String> {
        let at = self.words.iter().position(|word| !word.starts_with("--"))?;
        self.words.remove(at)
    }

    fn describe(&mut self, name: &str, meaning: impl Display) {
        write!(self.names, " [{name}]").expect("strings grow");
        writeln!(self.help, "  {name:<10} {meaning}").expect("strings grow");
    }
}

const EXIT_USAGE: u8 = 64;
