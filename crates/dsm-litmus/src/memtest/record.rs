use super::TestError;
use dsm_sim::history::{Action, Operation, Span, Value, WordId};

/// What a rank recorded, as bytes for rank 0: how many operations each thread did, then all of them.
pub(super) fn encode(threads: &[Vec<Operation>]) -> Vec<u8> {
    let operations: usize = threads.iter().map(Vec::len).sum();
    let mut bytes = Vec::with_capacity(threads.len() * 8 + operations * OPERATION_BYTES);
    for operations in threads {
        bytes.extend((operations.len() as u64).to_le_bytes());
        for Operation { word, action, span } in operations {
            let kind = match action {
                Action::Read(_) => 0,
                Action::Write(_) => 1,
                Action::Exchange { .. } => 2,
            };
            let numbers = [action.read(), action.wrote()].map(|v| v.unwrap_or(Value::INITIAL).0);
            bytes.push(kind);
            bytes.extend(word.0.to_le_bytes());
            let times = [span.began_ns, span.ended_ns];
            bytes.extend(numbers.into_iter().chain(times).flat_map(u64::to_le_bytes));
        }
    }
    bytes
}

/// The other way round.
pub(super) fn decode(rank: usize, bytes: &[u8]) -> Result<Vec<Vec<Operation>>, TestError> {
    let mut reader = Reader { rest: bytes };
    let mut threads = Vec::new();
    while !reader.rest.is_empty() {
        let thread = reader.thread();
        threads.push(thread.ok_or(TestError::Malformed { rank, bytes: bytes.len() })?);
    }
    Ok(threads)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn thread(&mut self) -> Option<Vec<Operation>> {
        let count = usize::try_from(self.number()?).ok()?;
        if count > self.rest.len() / OPERATION_BYTES {
            return None;
        }
        (0..count).map(|_| self.operation()).collect()
    }

    fn operation(&mut self) -> Option<Operation> {
        let [kind] = self.take()?;
        let word = WordId(u32::from_le_bytes(self.take()?));
        let (read, wrote) = (Value(self.number()?), Value(self.number()?));
        let action = match kind {
            0 => Action::Read(read),
            1 => Action::Write(wrote),
            2 => Action::Exchange { read, wrote },
            _ => return None,
        };
        let span = Span { began_ns: self.number()?, ended_ns: self.number()? };
        Some(Operation { word, action, span })
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }
}

const OPERATION_BYTES: usize = 1 + 4 + 4 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_survives_the_way() {
        let span = Span { began_ns: 5, ended_ns: u64::MAX };
        let operation = |action| Operation { word: WordId(7), action, span };
        let threads = vec![
            vec![operation(Action::Read(Value(1))), operation(Action::Write(Value(2)))],
            vec![],
            vec![operation(Action::Exchange { read: Value(3), wrote: Value(4) })],
        ];
        let bytes = encode(&threads);
        assert_eq!(decode(0, &bytes).unwrap(), threads);
        for length in 1..bytes.len() {
            let whole = [8 + 2 * OPERATION_BYTES, 16 + 2 * OPERATION_BYTES].contains(&length);
            assert_eq!(decode(0, &bytes[..length]).is_ok(), whole, "{length} bytes");
        }
        assert!(decode(0, &[0xff; 64]).is_err());
    }
}
