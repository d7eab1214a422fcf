/// Whether ranks read and then write a page one after the other, as its home sees it: it then goes to whoever
/// reads it as the only copy, so that the write that follows costs nothing.
///
/// A choice between two answers that are right at any time, so what is here can be wrong without harm. After Per
/// Stenström, Mats Brorsson and Lars Sandberg, *An Adaptive Cache Coherence Protocol Optimized for Migratory Sharing*, and
/// Alan Cox and Robert Fowler, *Adaptive Cache Coherency for Detecting Migratory Shared Data*, both ISCA 1993.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Moves {
    /// Writes in a row by a rank that had read the page and was alone with the owner.
    in_a_row: u8,
    /// Whether the page ever moved to a rank that did not write it: the next try takes twice as many.
    in_vain: bool,
}

impl Moves {
    /// Whether the next reader gets the only copy, where so many writes in a row are asked for at first.
    pub(super) fn is_expected(self, after: u8) -> bool {
        self.in_a_row >= self.needed(after)
    }

    /// A rank that had read the page writes it, and nobody but the owner has another copy.
    pub(super) fn on_move(&mut self, after: u8) {
        self.in_a_row = self.in_a_row.saturating_add(1).min(self.needed(after));
    }

    /// A rank writes the page while others read it.
    pub(super) fn on_shared(&mut self) {
        self.in_a_row = 0;
    }

    /// A rank got the only copy and gave it up unwritten.
    pub(super) fn on_unwritten(&mut self, after: u8) {
        // Late news of a copy that moved before the last try is none.
        if self.is_expected(after) && after > 0 {
            self.in_a_row = 0;
            self.in_vain = true;
        }
    }

    fn needed(self, after: u8) -> u8 {
        if self.in_vain { after.saturating_mul(2) } else { after }
    }
}

/// So many writes in a row, the first time.
pub(super) const MOVES_AFTER: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn moves_until_expected(moves: &mut Moves) -> u32 {
        let mut count = 0;
        while !moves.is_expected(MOVES_AFTER) {
            moves.on_move(MOVES_AFTER);
            count += 1;
        }
        count
    }

    #[test]
    fn a_page_that_moved_in_vain_is_tried_again_after_twice_as_many_writes() {
        let mut moves = Moves::default();
        for expected in [2, 4, 4] {
            assert_eq!(moves_until_expected(&mut moves), expected);
            moves.on_unwritten(MOVES_AFTER);
            moves.on_unwritten(MOVES_AFTER);
        }
    }

    #[test]
    fn readers_beside_begin_the_count_anew() {
        let mut moves = Moves::default();
        moves.on_move(MOVES_AFTER);
        moves.on_shared();
        assert_eq!(moves_until_expected(&mut moves), 2);
    }
}
