//! What launchers and wrappers of both kinds say, byte for byte, as somebody between them hears it.

use crate::cells::{GONE, LIMIT, Launch, Launcher, Wrapper};
use crate::goldens::{Names, golden};
use crate::harness::{Place, Running, Watched, text};
use crate::peer;
use crate::ranks::{Peer, Ranks};
use std::fs;
use std::process::Command;

/// Leaves the launch block in a file.
const BLOCK: &str = r#"
import os, socket
launcher = socket.socket(fileno=int(os.environ["DSMEXEC_FD"]))
launcher.setblocking(True)
block = launcher.recv(8, socket.MSG_WAITALL)
count = 1040 * int.from_bytes(block[:4], "little")
while count and (piece := launcher.recv(count)):
    block, count = block + piece, count - len(piece)
open("block %d" % block[4], "wb").write(block)
"#;

/// Launches that tell programs on a descriptor.
const LAUNCHES: &[(Launcher, &[&str], Option<Wrapper>)] = &[
    (Launcher::Ours, &["--launch=pr204"], None),
    (Launcher::Ours, &["--wrap=ref"], Some(Wrapper::Ours)),
    (Launcher::Ours, &["--wrap=seed"], Some(Wrapper::Ours)),
    (Launcher::Ours, &["--wrap=rank"], Some(Wrapper::Ours)),
    (Launcher::Ours, &["--wrap=ref"], Some(Wrapper::Stub("ref"))),
    (Launcher::Ours, &["--wrap=seed"], Some(Wrapper::Stub("seed"))),
    (Launcher::Ours, &["--wrap=rank"], Some(Wrapper::Stub("rank"))),
    (Launcher::Stub, &["--wrap", "ref"], Some(Wrapper::Ours)),
    (Launcher::Stub, &["--wrap", "seed"], Some(Wrapper::Ours)),
    (Launcher::Stub, &["--wrap", "rank"], Some(Wrapper::Ours)),
    (Launcher::Stub, &["--launch", "bare"], None),
];

#[test]
fn programs_read_the_golden_launch_block_everywhere() {
    for (launcher, options, wrapper) in LAUNCHES {
        let launch = Launch { launcher: *launcher, options, wrapper: *wrapper };
        for (nodes, rank, file) in [(1, 0, "launch_1"), (2, 1, "launch_2"), (4, 2, "launch_4")] {
            let place = Place::local(nodes);
            let words = [&python(), "-c", BLOCK];
            run(launch.command(&place, nodes, Ranks::Strangers, &words)).assert_code(0);
            let block = fs::read(place.path(&format!("block {rank}"))).unwrap();
            let (mut names, what) = (Names::default(), format!("{file}, {}", launch.name()));
            golden(file)[0].assert_is(&mut names, &block, &what);
            names.assert_are_names();
        }
    }
}

#[test]
fn wrappers_and_launchers_say_the_golden_dialogues() {
    for (form, options) in
        [("ref", &["--wrap", "ref"]), ("seed", &["--wrap", "seed"]), ("rank", &["--wrap", "rank"])]
    {
        for launcher in [Launcher::Ours, Launcher::Stub] {
            for wrapper in [Wrapper::Ours, Wrapper::Stub(form)] {
                // PATH finds the relay in the place of the wrapper.
                let launch = Launch { launcher, options, wrapper: None };
                check_dialogue(form, &launch, wrapper);
            }
        }
    }
}

#[track_caller]
fn check_dialogue(form: &str, launch: &Launch, wrapper: Wrapper) {
    let place = Place::local(2);
    let dsmwrap = wrapper.directory().join("dsmwrap");
    place.script("dsmwrap", &format!("{} wrap '{}' \"$@\"", relay(&place), text(&dsmwrap)));
    let words = [&python(), "-c", BLOCK];
    let mut command = launch.command(&place, 2, Ranks::Strangers, &words);
    command.env("PATH", format!("{}:/usr/bin:/bin", text(place.dir())));
    run(command).assert_code(0);

    let files = relayed(&place);
    assert_eq!(files.len(), 2, "{}", launch.name());
    let dialogue = files.iter().find(|(_, turns)| rank_of(form, turns) == 1).unwrap();
    let (arguments, turns) = dialogue;
    let what = format!("{form}, {}", launch.name());
    // What the wrapper says to the program goes past the relay.
    let expected: Vec<_> =
        golden(&format!("wrap_{form}")).into_iter().filter(|turn| turn.speaker != SERVED).collect();
    let mut names = Names::default();
    for (speaker, golden) in [("launcher", "launcher -> "), ("guest", "wrapper -> ")] {
        // Ours may announce itself before it has been greeted: both speak at once.
        let said: Vec<u8> = turns
            .iter()
            .filter(|(name, _)| name == speaker)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        let mut rest = &said[..];
        let turns: Vec<_> =
            expected.iter().filter(|turn| turn.speaker.starts_with(golden)).collect();
        let (last, before) = turns.split_last().unwrap();
        for turn in before {
            let piece;
            (piece, rest) = rest.split_at(turn.bytes());
            turn.assert_is(&mut names, piece, &what);
        }
        last.assert_is(&mut names, rest, &what);
    }
    names.assert_are_names();
    let tokens: Vec<i32> = arguments.iter().map_while(|word| word.parse().ok()).collect();
    match form {
        "ref" => assert_eq!(tokens, [names.of(17), names.of(-4)], "{what}"),
        "rank" => assert_eq!(tokens, [1], "{what}"),
        _ => assert_eq!(tokens, [], "{what}"),
    }
}

#[test]
fn programs_of_2025_and_launchers_say_the_golden_dialogue() {
    for (launcher, options) in
        [(Launcher::Ours, &["--launch=ete7"][..]), (Launcher::Stub, &["--launch", "ete7"])]
    {
        for program in ["idle-ours", "idle-stub"] {
            let launch = Launch { launcher, options, wrapper: None };
            let place = Place::local(2);
            let script = place
                .script("program", &format!("{} ete7 '{}'", relay(&place), text(&peer(program))));
            run(launch.command(&place, 2, Ranks::Mixed(Peer::Bcast, ""), &[script])).assert_code(0);
            let what = format!("{program}, {}", launch.name());
            let [zero, one, told] = &golden("ete7")[..] else { panic!("{what}") };
            let mut names = Names::default();
            let files = relayed(&place);
            assert_eq!(files.len(), 2, "{what}");
            for (_, turns) in &files {
                let [(guest, said), (launcher, answer)] = &turns[..] else { panic!("{turns:?}") };
                assert_eq!([guest.as_str(), launcher], ["guest", "launcher"], "{what}");
                let rank = if said[0] == 0 { zero } else { one };
                rank.assert_is(&mut names, said, &what);
                told.assert_is(&mut names, answer, &what);
            }
            names.assert_are_names();
        }
    }
}

/// A command that relays and leaves its files in the place.
fn relay(place: &Place) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interoperability/relay.py");
    format!("exec '{}' '{script}' '{}'", python(), text(place.dir()))
}

/// The interpreter itself, for environments without PATH.
fn python() -> String {
    let output =
        Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn run(command: Command) -> crate::harness::Ended {
    let directory = command.get_current_dir().unwrap().to_owned();
    let ended = Running::start(command).end_within(LIMIT).unwrap_or_else(|hung| panic!("{hung}"));
    Watched::assert_gone_within(&Watched::all_in(&directory), GONE);
    ended
}

/// Arguments and turns of every file a relay has left.
type Relayed = (Vec<String>, Vec<(String, Vec<u8>)>);

fn relayed(place: &Place) -> Vec<Relayed> {
    let files = place.dir().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| text(path).contains("/relayed "));
    let read = |path| {
        let content = fs::read_to_string(path).unwrap();
        let mut lines = content.lines();
        let arguments = lines.next().unwrap().split(' ').map(str::to_owned).collect();
        let turns = lines.map(|line| line.split_once(' ').unwrap());
        (arguments, turns.map(|(speaker, hex)| (speaker.to_owned(), unhex(hex))).collect())
    };
    files.map(read).collect()
}

/// Whose dialogue this is.
fn rank_of(form: &str, turns: &[(String, Vec<u8>)]) -> u8 {
    let of = |speaker| turns.iter().find(|(name, _)| name == speaker).unwrap().1.clone();
    match form {
        "rank" => of("guest")[0],
        _ => of("launcher")[4],
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let octets = text.as_bytes().chunks(2);
    octets.map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap()).collect()
}

/// In form rank the program reads what the wrapper has put together.
const SERVED: &str = "wrapper -> program";
