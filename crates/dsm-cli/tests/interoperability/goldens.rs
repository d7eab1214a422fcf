//! The dialogues of `dsm-net/testdata/pr204`, written out from the description of the bytes, against what was really said.

use std::collections::BTreeMap;
use std::fs;

/// What is said in one turn, field by field.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) speaker: String,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    bytes: Vec<u8>,
    /// Real jobs have other ports, pids and tokens, but one for each of these.
    is_renamed: bool,
}

/// What stands for a port, pid or token of the golden file in a real job.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<i32, i32>);

/// The turns of a golden file, with the machine all ranks of these tests are on.
pub(crate) fn golden(name: &str) -> Vec<Turn> {
    let path = format!("{}/../dsm-net/testdata/pr204/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let mut turns: Vec<Turn> = Vec::new();
    let mut machine = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(speaker) = line.strip_suffix(':').filter(|line| line.contains(" -> ")) {
            turns.push(Turn { speaker: speaker.to_owned(), fields: Vec::new() });
            continue;
        }
        let (bytes, what) = field(line);
        let fields = &mut turns.last_mut().unwrap().fields;
        let is_renamed =
            ["i32 port ", "i32 pid ", "i32 TOKEN"].iter().any(|name| what.starts_with(name));
        match machine {
            Some(count) if what.starts_with("rest of machine") => {
                let name = MACHINE.iter().copied().chain(std::iter::repeat(0));
                let bytes = name.take(count + bytes.len()).collect();
                fields.push(Field { bytes, is_renamed });
                machine = None;
            }
            Some(count) => machine = Some(count + bytes.len()),
            None if what.starts_with("char machine[1024]")
                || what.starts_with("char host[1024]") =>
            {
                machine = Some(bytes.len());
            }
            None if what.starts_with("i32 L,") => {
                fields.push(Field {
                    bytes: vec![u8::try_from(MACHINE.len()).unwrap(), 0, 0, 0],
                    is_renamed,
                });
            }
            None if what == "the name" => {
                fields.push(Field { bytes: MACHINE.to_vec(), is_renamed });
            }
            None => fields.push(Field { bytes, is_renamed }),
        }
    }
    turns
}

impl Turn {
    /// How many bytes are said.
    pub(crate) fn bytes(&self) -> usize {
        self.fields.iter().map(|field| field.bytes.len()).sum()
    }

    /// The bytes are those of the golden turn but for names, and those are one for each.
    #[track_caller]
    pub(crate) fn assert_is(&self, names: &mut Names, said: &[u8], what: &str) {
        let mut rest = said;
        for field in &self.fields {
            let at = said.len() - rest.len();
            let found;
            (found, rest) = rest.split_at_checked(field.bytes.len()).unwrap_or_else(|| {
                panic!("{what}: {} ends after {} bytes", self.speaker, said.len())
            });
            if !field.is_renamed {
                assert_eq!(found, field.bytes, "{what}: {} at {at:#x}", self.speaker);
                continue;
            }
            let number = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().unwrap());
            let name = *names.0.entry(number(&field.bytes)).or_insert(number(found));
            assert_eq!(number(found), name, "{what}: {} at {at:#x}", self.speaker);
        }
        assert_eq!(rest, b"", "{what}: {} says more", self.speaker);
    }
}

impl Names {
    /// What stands for a name of the golden file.
    pub(crate) fn of(&self, golden: i32) -> i32 {
        self.0[&golden]
    }

    /// No two of the golden file are one, and all can be a port, pid or token.
    #[track_caller]
    pub(crate) fn assert_are_names(&self) {
        let mut found: Vec<_> = self.0.values().collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), self.0.len(), "{self:?}");
    }
}

/// Bytes and meaning of `0016  00*1014  rest of machine[1024]`.
fn field(line: &str) -> (Vec<u8>, &str) {
    let (_, line) = line.split_once("  ").unwrap();
    let (octets, what) = line.split_once("  ").unwrap();
    let mut bytes = Vec::new();
    for octet in octets.split_whitespace() {
        let (octet, count) = octet.split_once('*').unwrap_or((octet, "1"));
        let byte = u8::from_str_radix(octet, 16).unwrap();
        bytes.extend(std::iter::repeat_n(byte, count.parse().unwrap()));
    }
    (bytes, what.trim())
}

const MACHINE: &[u8] = b"127.0.0.1\0";
