use super::Mode;
use super::thread::Thread;
use dsm_core::Access;

/// Which threads of this rank have a lock. One reader, the usual case, takes no memory of its own.
///
/// Invariant: a thread is in it at most once, and has entered at least once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Users {
    #[default]
    Nobody,
    Writer(Thread),
    Reader(Reader),
    Readers(Vec<Reader>),
}

/// A thread that reads, and how often it has entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reader {
    thread: Thread,
    times: u32,
}

impl Users {
    /// Whether another thread may enter beside those that are there.
    pub(super) fn admit(&self, mode: Mode) -> bool {
        match (self, mode) {
            (Self::Nobody, _) | (Self::Reader(_) | Self::Readers(_), Mode::Read) => true,
            (Self::Writer(_), _) | (_, Mode::Write) => false,
        }
    }

    /// How a thread has entered, if it has.
    pub(super) fn mode_of(&self, thread: Thread) -> Option<Mode> {
        match self {
            Self::Nobody => None,
            Self::Writer(writer) => (*writer == thread).then_some(Mode::Write),
            Self::Reader(Reader { thread: reader, .. }) => {
                (*reader == thread).then_some(Mode::Read)
            }
            Self::Readers(readers) => {
                readers.iter().any(|reader| reader.thread == thread).then_some(Mode::Read)
            }
        }
    }

    /// Whether a thread of the host has it.
    pub(super) fn has(&self, on_host: u32) -> bool {
        match self {
            Self::Nobody => false,
            Self::Writer(writer) => writer.on_host() == on_host,
            Self::Reader(reader) => reader.thread.on_host() == on_host,
            Self::Readers(readers) => readers.iter().any(|it| it.thread.on_host() == on_host),
        }
    }

    /// The right to the token that these threads rely on.
    pub(super) fn access(&self) -> Access {
        match self {
            Self::Nobody => Access::None,
            Self::Writer(_) => Access::Write,
            Self::Reader(_) | Self::Readers(_) => Access::Read,
        }
    }

    /// Those that keep a thread from entering this way.
    pub(super) fn against(&self, access: Access) -> Vec<Thread> {
        match self {
            Self::Writer(writer) if access > Access::None => vec![*writer],
            Self::Reader(reader) if access == Access::Write => vec![reader.thread],
            Self::Readers(readers) if access == Access::Write => {
                readers.iter().map(|reader| reader.thread).collect()
            }
            _ => Vec::new(),
        }
    }

    /// # Panics
    /// If the thread may not.
    pub(super) fn enter(&mut self, thread: Thread, mode: Mode) {
        let new = Reader { thread, times: 1 };
        match (&mut *self, mode) {
            (Self::Nobody, Mode::Write) => *self = Self::Writer(thread),
            (Self::Nobody, Mode::Read) => *self = Self::Reader(new),
            (Self::Reader(reader), Mode::Read) if reader.thread == thread => reader.enter(),
            (Self::Reader(reader), Mode::Read) => *self = Self::Readers(vec![*reader, new]),
            (Self::Readers(readers), Mode::Read) => {
                match readers.iter_mut().find(|reader| reader.thread == thread) {
                    Some(reader) => reader.enter(),
                    None => readers.push(new),
                }
            }
            (Self::Writer(_), _) | (_, Mode::Write) => {
                panic!("a lock has one writer or any number of readers")
            }
        }
    }

    /// Takes back one entry of a thread; `false` if it has none.
    pub(super) fn leave(&mut self, thread: Thread) -> bool {
        match self {
            Self::Writer(writer) if *writer == thread => *self = Self::Nobody,
            Self::Reader(reader) if reader.thread == thread => {
                if reader.leave() {
                    *self = Self::Nobody;
                }
            }
            Self::Readers(readers) => {
                let Some(at) = readers.iter().position(|reader| reader.thread == thread) else {
                    return false;
                };
                if readers[at].leave() {
                    readers.swap_remove(at);
                }
                if readers.is_empty() {
                    *self = Self::Nobody;
                }
            }
            _ => return false,
        }
        true
    }
}

impl Reader {
    fn enter(&mut self) {
        self.times =
            self.times.checked_add(1).expect("a thread reads fewer than 2^32 times at once");
    }

    /// Whether that was the last time.
    fn leave(&mut self) -> bool {
        self.times -= 1;
        self.times == 0
    }
}
