//! Who says what to whom: each file in `testdata` is a scenario, with a comment on why it matters.
//!
//! A line with `>` says what happens; the lines under it are what the engine answers. `UPDATE=1` writes
//! the answers anew.

#![allow(clippy::unwrap_used, reason = "a test")]

mod cluster;
mod words;

use cluster::Cluster;
use dsm_core::{Access, BarrierKind, Call, CallId, Hold, Input, Output, Placement, Space};
use std::path::Path;
use words::{message_of, say_message, say_output};

#[test]
fn every_scenario_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 27, "scenarios are missing: {files:?}");
    let wrong: Vec<_> = files.iter().filter_map(|file| check(file).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(file: &Path) -> Result<(), String> {
    let written = std::fs::read_to_string(file).unwrap();
    let played = play(&written).map_err(|why| format!("{}: {why}", file.display()))?;
    if played == written {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(file, played).unwrap();
        return Ok(());
    }
    Err(format!("{} differs (UPDATE=1 rewrites it); played:\n{played}", file.display()))
}

/// The scenario with the answers that the engines give.
fn play(text: &str) -> Result<String, String> {
    let mut lines = text.lines().filter(|line| !line.starts_with("  "));
    let mut played = String::new();
    let mut cluster = loop {
        let line = lines.next().ok_or("a scenario begins with its ranks and pages")?;
        played.push_str(line);
        played.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            break setting(line).ok_or_else(|| format!("no setting: {line}"))?;
        }
    };
    for line in lines {
        played.push_str(line);
        played.push('\n');
        if let Some(event) = line.strip_prefix("> ") {
            let outputs =
                happen(&mut cluster, event).ok_or_else(|| format!("no event: {event}"))?;
            for output in outputs {
                played.push_str(&format!("  {}\n", say_output(&output)));
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            return Err(format!("neither event nor comment: {line}"));
        }
    }
    if let Some((from, to, message)) = cluster.under_way().next() {
        let message = say_message(&message);
        return Err(format!("still under way from rank {from} to rank {to}: {message}"));
    }
    Ok(played)
}

/// `ranks 3, pages 1, hold timed`, and perhaps `, heap 3` for as many pages behind the others, and a
/// placement of those that are not.
fn setting(line: &str) -> Option<Cluster> {
    let line = line.replace(',', "");
    let words: Vec<_> = line.split(' ').collect();
    let ["ranks", nodes, "pages", pages, "hold", hold, ref rest @ ..] = words[..] else {
        return None;
    };
    let (rest, placement) = match rest {
        [rest @ .., name] if Placement::named(name).is_some() => (rest, Placement::named(name)?),
        rest => (rest, Placement::Cyclic),
    };
    let heap: u64 = match *rest {
        [] => 0,
        ["heap", heap] => heap.parse().ok()?,
        _ => return None,
    };
    let hold = match hold {
        "none" => Hold::None,
        "timed" => Hold::Timed,
        _ => return None,
    };
    let area_pages = pages.parse().ok()?;
    let space = Space::of_pages(nodes.parse().ok()?, area_pages + heap);
    Some(Cluster::new(Space { area_pages, placement, ..space }, hold))
}

fn happen(cluster: &mut Cluster, event: &str) -> Option<Vec<Output>> {
    let (event, said) = match event.split_once(": ") {
        Some((event, said)) => (event, Some(message_of(said)?)),
        None => (event, None),
    };
    let event = event.replace(',', "");
    let words: Vec<_> = event.split(' ').collect();
    let ["rank", rank, rest @ ..] = &words[..] else { return None };
    let rank = words::rank(rank)?;
    match (rest, said) {
        (["is", "told", "by", "rank", from], Some(message)) => {
            let from = words::rank(from)?;
            Some(cluster.handle(rank, Input::Message { from, message }))
        }
        (["hears", "rank", from], None) => cluster.deliver(words::rank(from)?, rank),
        _ => Some(cluster.handle(rank, input_of(rest)?)),
    }
}

/// What a driver tells its engine, of what a thread or the time does.
fn input_of(words: &[&str]) -> Option<Input> {
    let (page, object, access) = (words::page, words::object, words::access);
    Some(match *words {
        ["loads", "page", at] => Input::Fault { page: page(at)?, access: Access::Read },
        ["stores", "page", at] => Input::Fault { page: page(at)?, access: Access::Write },
        ["has", "held", "page", at] => Input::HoldOver { page: page(at)? },
        ["loses", "rank", peer] => Input::PeerLost { rank: words::rank(peer)? },
        ["served", "call", id, "of", "rank", asker, ref answer @ ..] => {
            let (asker, id) = (words::rank(asker)?, words::call(id)?);
            Input::Served { asker, id, answer: words::answer_of(answer)? }
        }
        ["waits", "at", "the", "barrier"] => unanswered(Call::Barrier(BarrierKind::Program)),
        ["finalizes"] => unanswered(Call::Barrier(BarrierKind::Finalize)),
        ["wants", "lock", at, ref how @ ..] => {
            unanswered(Call::Acquire { object: object(at)?, access: access(how)? })
        }
        ["surrenders", "lock", at] => {
            unanswered(Call::Surrender { object: object(at)?, keep: Access::None })
        }
        ["surrenders", "lock", at, "but", ref keep @ ..] => {
            unanswered(Call::Surrender { object: object(at)?, keep: access(keep)? })
        }
        ["carries", "page", what, "with", "lock", at, ref how @ ..] => {
            let (object, page) = (object(at)?, page(what)?);
            unanswered(Call::Carry { object, page, access: access(how)? })
        }
        ["prefetches", pages, "pages", "from", first, ref how @ ..] => {
            let (first, pages) = (page(first)?, pages.parse().ok()?);
            unanswered(Call::Prefetch { first, pages, access: access(how)? })
        }
        ["probes", "lock", at, "call", id, ref how @ ..] => {
            let call = Call::Probe { object: object(at)?, access: access(how)? };
            Input::Call { id: words::call(id)?, call }
        }
        ["frees", "word", at, "of", "rank", owner, "call", id] => {
            let call = Call::Free { owner: words::rank(owner)?, object: object(at)? };
            Input::Call { id: words::call(id)?, call }
        }
        ["asks", "word", at, "call", id, ref ask @ ..] => {
            let call = Call::Ask { object: object(at)?, ask: words::ask_of(ask)? };
            Input::Call { id: words::call(id)?, call }
        }
        _ => return None,
    })
}

/// A call that has no answer, or of which a rank has one at a time.
fn unanswered(call: Call) -> Input {
    Input::Call { id: CallId(0), call }
}

/// A scenario that says something else than the engine does not pass.
#[test]
fn a_wrong_answer_is_noticed() {
    let text = "ranks 2, pages 1, hold none\n\n> rank 0 stores page 0\n  resume page 0\n";
    let played = play(text).unwrap();
    assert_ne!(played, text);
    assert!(played.contains("  install page 0 to write, zero\n  resume page 0\n"), "{played}");
}
