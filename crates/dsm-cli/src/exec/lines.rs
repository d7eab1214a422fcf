/// Makes whole lines of the bytes of one stream, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

/// A line, or as much of it as there will be in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Without its newline.
    Whole(&'a [u8]),
    /// The stream has written this much without a newline: it is cut here.
    TooLong(&'a [u8]),
}

impl Lines {
    /// Gives every line that `bytes` completes.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (last, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.begun.is_empty() {
                line(Line::Whole(last));
            } else {
                self.begun.extend_from_slice(last);
                line(Line::Whole(&self.begun));
                self.forget();
            }
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
        while self.begun.len() >= MAX_LINE_BYTES {
            line(Line::TooLong(&self.begun[..MAX_LINE_BYTES]));
            self.begun.drain(..MAX_LINE_BYTES);
        }
    }

    /// The stream has ended: gives what it wrote after its last newline.
    pub(crate) fn end(&mut self, line: impl FnOnce(Line<'_>)) {
        if !self.begun.is_empty() {
            line(Line::Whole(&self.begun));
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.begun.clear();
        self.begun.shrink_to(KEPT_BYTES);
    }
}

const MAX_LINE_BYTES: usize = 64 << 20;
/// Memory kept for the next line.
const KEPT_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut see = |line: Line<'_>| {
            let Line::Whole(bytes) = line else { panic!("no line is too long") };
            seen.push(String::from_utf8(bytes.to_vec()).unwrap());
        };
        chunks.iter().for_each(|chunk| lines.push(chunk, &mut see));
        lines.end(&mut see);
        seen
    }

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        let text = b"one\n\ntwo and more\nlast";
        for size in 1..=text.len() {
            let chunks: Vec<_> = text.chunks(size).collect();
            assert_eq!(collect(&chunks), ["one", "", "two and more", "last"], "by {size}");
        }
        assert!(collect(&[b""]).is_empty());
        assert_eq!(collect(&[b"\n"]), [""]);
        assert_eq!(collect(&[b"a\n"]), ["a"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = Lines::default();
        let mut cuts = 0;
        for _ in 0..129 {
            lines.push(&vec![b'x'; 1 << 20], |line| {
                assert_eq!(line, Line::TooLong(&vec![b'x'; MAX_LINE_BYTES]));
                cuts += 1;
            });
        }
        assert_eq!(cuts, 2);
        lines.end(|line| assert_eq!(line, Line::Whole(&vec![b'x'; 1 << 20])));
    }
}
