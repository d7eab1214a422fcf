//! How things are said to people.

use std::io;

/// The kernel's reason, in lower case and without the number behind it.
pub(crate) fn of_error(error: &io::Error) -> String {
    let mut words = error.to_string();
    if let Some(number) = words.find(" (os error") {
        words.truncate(number);
    }
    let mut letters = words.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            words.replace_range(..first.len_utf8(), &first.to_lowercase().to_string());
            words
        }
        _ => words,
    }
}

/// One line of somebody else's text, fit for a terminal: nothing that is not printable is left.
pub(crate) fn of_stranger(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let clean = |symbol: char| if symbol.is_control() { ' ' } else { symbol };
    text.trim().chars().map(clean).take(MAX_CHARS).collect()
}

const MAX_CHARS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_lose_capital_and_number() {
        let check = |number, words: &str| {
            assert_eq!(of_error(&io::Error::from_raw_os_error(number)), words);
        };
        check(2, "no such file or directory");
        check(5, "input/output error");
        check(8, "exec format error");
        check(98, "address already in use");
    }

    #[test]
    fn a_stranger_cannot_move_the_cursor() {
        assert_eq!(of_stranger(b" a\x1b[2Jb\r\n"), "a [2Jb");
        assert_eq!(of_stranger(&[b'x'; 600]).len(), 500);
    }
}
