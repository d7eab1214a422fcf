//! wordcount: how often each word occurs in a text.
//!
//! ```text
//! dsmexec machine_file wordcount-rs [INPUT]
//! ```
//! INPUT is a file, which rank 0 reads, or a number of words, which rank 0 makes up. A word is a run of the letters
//! a to z, small or capital. Each rank counts the words that begin in its part of the text, in a map of its own, in
//! private memory. Then it adds its counts to those of all, piece by piece: a piece has a mutex, and the ranks
//! begin at different pieces.
//!
//! Worth a look: one rank makes the text, a vector in shared memory, and hands it out through a `OnceLock`: from then
//! on everyone has it as a plain `&[u8]`. And private work is done in private memory, with the collections of
//! `std`: what is shared is locked once per piece, not once per word.
//!
//! Rank 0 then counts all words alone, and compares. Exit code 0; 1 if the job cannot be joined, the input cannot
//! be read, or the result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "it is what an example does")]

mod common;

use common::{Arguments, Run, below, scramble};
use dsm::{Mutex, OnceLock, Shareable};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::ops::Range;
use std::process::{self, ExitCode};

/// A word, and how often it occurs. A `String` would be in the memory of one rank.
#[derive(Shareable)]
struct Word {
    letters: dsm::Vec<u8>,
    count: u64,
}

/// The words that have the same `piece_of`, in alphabetical order.
type Piece = Mutex<dsm::Vec<Word>>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("wordcount", "How often each word occurs in a text.");
    let input = arguments.text("INPUT", "a file, or how many words to make up", "100000");
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = dsm::Node::join()?;
    let text = node.named::<OnceLock<dsm::Vec<u8>>>("text")?;
    let pieces = node.named_array::<Piece>("pieces", PIECES)?;
    let (rank, nodes) = (usize::from(node.rank()), usize::from(node.nodes()));
    if rank == 0 {
        let letters = input.parse().map_or_else(|_| fs::read(&input), |words| Ok(made_up(words)));
        let letters = letters.unwrap_or_else(|error| {
            eprintln!("wordcount: cannot read {input}: {error}");
            process::exit(1); // returning would leave the job first, and that would be told instead
        });
        text.get_or_init(|| letters.iter().map(u8::to_ascii_lowercase).collect());
    }

    let mut run = Run::begin("wordcount", &node)?;
    let text = text.get().expect("rank 0 made the text before the run began");
    let counts = counted(text, text.len() * rank / nodes..text.len() * (rank + 1) / nodes);
    let mut by_piece = vec![Vec::new(); PIECES];
    for (letters, count) in counts {
        by_piece[piece_of(letters)].push((letters, count));
    }
    for at in (0..PIECES).map(|at| (PIECES * rank / nodes + at) % PIECES) {
        add(&pieces[at], &by_piece[at]);
    }
    run.end()?;

    let mut size = format!("{} bytes", text.len());
    if rank == 0 {
        let expected = run.alone(|| counted(text, 0..text.len()));
        check(&mut run, pieces, &expected);
        if let Some((letters, count)) = expected.iter().max_by_key(|(_, count)| **count) {
            size += &format!(", most often '{}' ({count})", String::from_utf8_lossy(letters));
        }
    }
    let code = run.report(size);
    node.finalize()?;
    Ok(code)
}

/// Counts the words that begin in a part of the text; the last one may go on behind.
fn counted(text: &[u8], part: Range<usize>) -> BTreeMap<&[u8], u64> {
    let is_letter = |at: usize| text.get(at).is_some_and(u8::is_ascii_lowercase);
    let mut counts = BTreeMap::new();
    let mut at = part.start;
    while at > 0 && is_letter(at - 1) && is_letter(at) {
        at += 1; // it began before: another rank counts it
    }
    while at < part.end {
        let first = at;
        while is_letter(at) {
            at += 1;
        }
        if at > first {
            *counts.entry(&text[first..at]).or_default() += 1;
        }
        at += 1;
    }
    counts
}

fn piece_of(letters: &[u8]) -> usize {
    let hash = letters.iter().fold(0, |hash, letter| scramble(hash ^ u64::from(*letter)));
    below(PIECES, hash)
}

/// Adds this rank's counts to those of all.
fn add(piece: &Piece, counts: &[(&[u8], u64)]) {
    let mut words = piece.lock();
    let known = words.len();
    for (letters, count) in counts {
        match words[..known].binary_search_by(|word| word.letters.as_ref().cmp(letters)) {
            Ok(at) => words[at].count += count,
            Err(_) => {
                words.push(Word { letters: letters.iter().copied().collect(), count: *count });
            }
        }
    }
    words.sort_by(|a, b| a.letters.cmp(&b.letters)); // two sorted runs
}

fn check(run: &mut Run, pieces: &[Piece], expected: &BTreeMap<&[u8], u64>) {
    let mut words = 0;
    for (number, piece) in pieces.iter().enumerate() {
        for word in piece.lock().iter() {
            let count = expected.get(&word.letters[..]).copied().unwrap_or(0);
            if word.count != count || piece_of(&word.letters) != number {
                let letters = String::from_utf8_lossy(&word.letters);
                run.wrong(format_args!("'{letters}' occurs {} times, not {count}", word.count));
            }
            words += 1;
        }
    }
    if words != expected.len() {
        run.wrong(format_args!("{words} different words, not {}", expected.len()));
    }
}

/// Words of one to three letters; as in any language some are much more frequent than others.
fn made_up(words: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for at in 0..words {
        let mut number = below(1 + below(5000, 2 * at + 1), 2 * at);
        loop {
            text.push(LETTERS[number % LETTERS.len()]);
            number /= LETTERS.len();
            if number == 0 {
                break;
            }
        }
        text.push(b' ');
    }
    text
}

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const PIECES: usize = 16;
