use super::record::name_field;
use super::{
    FormatError, MACHINE_BYTES, RECORD_BYTES, Record, name_of, number_at, port_of, rank_of,
    to_bytes,
};

/// How a member's launcher and wrapper speak to each other. The wrapper connects.
///
/// | profile | arguments of dsmwrap | who says what |
/// |---|---|---|
/// | [`Ref`](Self::Ref) | `HOST PORT TOKEN1 TOKEN2 PROGRAM ARGS...` | wrapper: length of its name with the NUL, name, pid, port, both tokens; launcher: the block |
/// | [`Seed`](Self::Seed) | `IPv4 PORT PROGRAM ARGS...` | launcher: N, rank; wrapper: name in 1024 bytes, pid, port; launcher: the records |
/// | [`Rank`](Self::Rank) | `HOST PORT RANK PROGRAM ARGS...` | launcher: N; wrapper: its record; launcher: the records |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WrapProfile {
    /// The reference binaries of 2021, 2022 and 2024.
    Ref,
    /// A member whose wrapper is told its rank on the connection.
    Seed,
    /// A member whose wrapper is told its rank as an argument.
    Rank,
}

/// How a wrapper presents itself to its launcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The name of its host, at most [`MACHINE_BYTES`] - 1 bytes.
    pub machine: String,
    /// Its process id; [`WrapProfile::Rank`] does not tell it.
    pub pid: Option<i32>,
    /// The port of the rank's bound socket.
    pub port: u16,
    /// The two opaque arguments of [`WrapProfile::Ref`], given back.
    pub tokens: [i32; 2],
    /// Its rank; only [`WrapProfile::Rank`] tells it.
    pub rank: Option<u16>,
}

impl WrapProfile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Ref, Self::Seed, Self::Rank];

    /// Its name on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ref => "ref",
            Self::Seed => "seed",
            Self::Rank => "rank",
        }
    }
}

impl Announcement {
    /// Its bytes in a profile.
    ///
    /// # Panics
    /// If the name is too long or has a NUL.
    #[must_use]
    pub fn encode(&self, profile: WrapProfile) -> Vec<u8> {
        let (pid, port) = (to_bytes(self.pid.unwrap_or_default()), to_bytes(self.port));
        let field = name_field(&self.machine);
        match profile {
            WrapProfile::Ref => {
                let name = &field[..=self.machine.len()];
                let length = i32::try_from(name.len()).expect("a name fits its field");
                let tokens = self.tokens.map(to_bytes).concat();
                [&to_bytes(length), name, &pid, &port, &tokens].concat()
            }
            WrapProfile::Seed => [&field[..], &pid, &port].concat(),
            WrapProfile::Rank => {
                let rank = self.rank.unwrap_or_default();
                let record = Record { rank, machine: self.machine.clone(), port: self.port };
                record.encode().to_vec()
            }
        }
    }
}

/// Takes an announcement as it arrives, in any segmentation, and nothing that follows it.
#[derive(Clone, Debug)]
pub struct AnnouncementReader {
    profile: WrapProfile,
    nodes: u16,
    bytes: Vec<u8>,
}

impl AnnouncementReader {
    /// A reader of what a wrapper says in a job of `nodes` ranks.
    #[must_use]
    pub fn new(profile: WrapProfile, nodes: u16) -> Self {
        Self { profile, nodes, bytes: Vec::new() }
    }

    /// How many bytes to read next at most: 0 once the announcement is complete.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.expected() - self.bytes.len()
    }

    /// Adds bytes read, at most [`wanted`](Self::wanted); gives the announcement when it is complete.
    ///
    /// # Errors
    /// As soon as a field is read that cannot be.
    ///
    /// # Panics
    /// If there are more bytes than wanted.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Announcement>, FormatError> {
        assert!(bytes.len() <= self.wanted(), "a reader takes nothing behind its announcement");
        self.bytes.extend_from_slice(bytes);
        if self.profile == WrapProfile::Ref && self.bytes.len() >= 4 {
            let length = number_at(&self.bytes, 0);
            let fits = usize::try_from(length).is_ok_and(|it| (1..=MACHINE_BYTES).contains(&it));
            if !fits {
                let bytes = u64::from(length.cast_unsigned());
                return Err(FormatError::TooLong { what: "a name", bytes, limit: MACHINE_BYTES });
            }
        }
        if self.wanted() > 0 { Ok(None) } else { self.decode().map(Some) }
    }

    /// What to say when the stream has ended before the announcement was complete.
    #[must_use]
    pub fn short(&self) -> FormatError {
        let (got, expected) = (self.bytes.len(), self.expected());
        FormatError::Short { what: "a wrapper's announcement", got, expected }
    }

    fn decode(&self) -> Result<Announcement, FormatError> {
        if self.profile == WrapProfile::Rank {
            let record = self.bytes.first_chunk().expect("the record is complete");
            rank_of(number_at(record, 0), self.nodes)?;
            let Record { rank, machine, port } = Record::decode(record, self.nodes)?;
            return Ok(Announcement { machine, pid: None, port, tokens: [0; 2], rank: Some(rank) });
        }
        let name_at = if self.profile == WrapProfile::Ref { 4 } else { 0 };
        let pid_at = name_at + self.name_bytes();
        let machine = name_of(&self.bytes[name_at..pid_at])?;
        let pid = Some(number_at(&self.bytes, pid_at));
        let port = port_of(number_at(&self.bytes, pid_at + 4), &machine)?;
        let tokens = match self.profile {
            WrapProfile::Ref => [8, 12].map(|offset| number_at(&self.bytes, pid_at + offset)),
            WrapProfile::Seed | WrapProfile::Rank => [0; 2],
        };
        Ok(Announcement { machine, pid, port, tokens, rank: None })
    }

    fn expected(&self) -> usize {
        match self.profile {
            WrapProfile::Ref if self.bytes.len() < 4 => 4,
            WrapProfile::Ref => 4 + self.name_bytes() + 16,
            WrapProfile::Seed => MACHINE_BYTES + 8,
            WrapProfile::Rank => RECORD_BYTES,
        }
    }

    fn name_bytes(&self) -> usize {
        match self.profile {
            // A length that cannot be was refused when it came.
            WrapProfile::Ref => {
                usize::try_from(number_at(&self.bytes, 0)).unwrap_or(0).min(MACHINE_BYTES)
            }
            WrapProfile::Seed | WrapProfile::Rank => MACHINE_BYTES,
        }
    }
}
