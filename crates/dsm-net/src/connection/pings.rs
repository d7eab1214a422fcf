use super::ConnectionError;

/// Who has asked whom whether he is there, on one connection, each way.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// How many were sent.
    asked: u64,
    /// The last of them that was answered.
    answered: u64,
    /// How many have come.
    heard: u64,
    /// The last of them that was answered from here.
    told: u64,
}

impl Pings {
    /// The number of one more.
    pub(super) fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered == self.asked
    }

    pub(super) fn on_ping(&mut self, number: u64) -> Result<(), ConnectionError> {
        let expected = self.heard + 1;
        if number != expected {
            return Err(ConnectionError::Ping { number, least: expected, most: expected });
        }
        self.heard = number;
        Ok(())
    }

    pub(super) fn on_pong(&mut self, number: u64) -> Result<(), ConnectionError> {
        let (least, most) = (self.answered + 1, self.asked);
        if !(least..=most).contains(&number) {
            return Err(ConnectionError::Pong { number, least, most });
        }
        self.answered = number;
        Ok(())
    }

    pub(super) fn is_due(&self) -> bool {
        self.told < self.heard
    }

    /// The number to answer with, if that is due: one answer stands for all before it.
    pub(super) fn answer(&mut self) -> Option<u64> {
        let is_due = self.is_due();
        self.told = self.heard;
        is_due.then_some(self.heard)
    }
}
