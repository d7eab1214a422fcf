use crate::words;
use dsm_net::launch::PREAMBLE;

/// Finds the beginning of dsmwrap's frames behind what a login shell printed.
#[derive(Debug, Default)]
pub(crate) struct Preamble {
    noise: Vec<u8>,
}

/// What bytes before the frames come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    NotYet,
    /// The frames begin with these bytes.
    Found(Vec<u8>),
    /// This is no dsmwrap.
    TooMuchNoise,
}

impl Preamble {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Sight {
        self.noise.extend_from_slice(bytes);
        let found = self.noise.windows(PREAMBLE.len()).position(|window| window == PREAMBLE);
        match found {
            Some(start) => Sight::Found(self.noise.split_off(start + PREAMBLE.len())),
            None if self.noise.len() > MAX_NOISE_BYTES => Sight::TooMuchNoise,
            None => Sight::NotYet,
        }
    }

    /// The last line of what is not dsmwrap's.
    pub(crate) fn last_line(&self) -> String {
        last_line(&self.noise)
    }
}

/// The last line with something in it, fit for people.
pub(crate) fn last_line(text: &[u8]) -> String {
    let lines = text.split(|byte| *byte == b'\n' || *byte == b'\r');
    lines.rev().map(words::of_stranger).find(|line| !line.is_empty()).unwrap_or_default()
}

const MAX_NOISE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_behind_noise_however_it_is_cut() {
        let mut text = b"Welcome!\n\0dsmwra\0".to_vec();
        text.extend_from_slice(&PREAMBLE);
        text.extend_from_slice(b"frames");
        for size in 1..=text.len() {
            let mut preamble = Preamble::default();
            let mut frames = None;
            for chunk in text.chunks(size) {
                match (&mut frames, preamble.push(chunk)) {
                    (Some(frames), _) => Vec::extend_from_slice(frames, chunk),
                    (None, Sight::Found(rest)) => frames = Some(rest),
                    (None, sight) => assert_eq!(sight, Sight::NotYet),
                }
                if frames.is_some() {
                    preamble = Preamble::default();
                }
            }
            assert_eq!(frames.unwrap(), b"frames", "by {size}");
        }
    }

    #[test]
    fn noise_has_a_limit_and_a_last_line() {
        let mut preamble = Preamble::default();
        assert_eq!(preamble.push(b"motd\r\nThis account is closed.\r\n\n"), Sight::NotYet);
        assert_eq!(preamble.last_line(), "This account is closed.");
        assert_eq!(preamble.push(&vec![b'x'; 65_536]), Sight::TooMuchNoise);
    }
}
