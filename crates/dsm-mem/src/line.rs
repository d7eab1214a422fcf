/// A line put together without allocating.
pub(crate) struct Line {
    bytes: [u8; 200],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 200], len: 0 }
    }
}

impl Line {
    pub(crate) fn push(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
    }

    pub(crate) fn push_hexadecimal(&mut self, number: usize) {
        let digits = number.checked_ilog(16).map_or(1, |log| log + 1);
        for place in (0..digits).rev() {
            let digit = number >> (4 * place) & 0xf;
            self.push(&[b"0123456789abcdef"[digit]]);
        }
    }

    pub(crate) fn push_decimal(&mut self, number: usize) {
        let digits = number.checked_ilog10().map_or(1, |log| log + 1);
        for place in (0..digits).rev() {
            let digit = number / 10_usize.pow(place) % 10;
            self.push(&[b"0123456789"[digit]]);
        }
    }

    pub(crate) fn write_to_stderr(&self) {
        // SAFETY: the first `len` bytes are inside the array, valid for reads. A failure is ignored:
        // whoever writes is about to end.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_without_allocating() {
        for number in [0, 9, 0x10, 0x2000_0000_0fff, usize::MAX] {
            let mut line = Line::default();
            line.push(b"at 0x");
            line.push_hexadecimal(number);
            line.push(b", ");
            line.push_decimal(number);
            let expected = format!("at {number:#x}, {number}");
            assert_eq!(&line.bytes[..line.len], expected.as_bytes());
        }
        let mut line = Line::default();
        line.push(&[b'x'; 300]);
        assert_eq!(line.len, line.bytes.len());
    }
}
