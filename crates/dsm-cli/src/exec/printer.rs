use super::lines::{Line, Lines};
use super::rank_set::RankSet;
use super::sink::Sink;
use super::waker::Waker;
use dsm_net::launch::Stream;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// Hands output to the thread that writes it. That thread may be stuck for as long as the terminal
/// is; nobody else ever is.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    pieces: Sender<Piece>,
    backlog: Arc<Mutex<Backlog>>,
}

/// What is printed, and how.
#[derive(Debug)]
pub(crate) struct Style {
    /// The host of each rank, as the machine file has it.
    pub(crate) hosts: Vec<String>,
    pub(crate) tag: Tag,
    pub(crate) only: Option<RankSet>,
    pub(crate) stream: Option<Stream>,
    /// Whether standard output and standard error get colours.
    pub(crate) colours: [Colour; 2],
}

/// What stands before a line of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tag {
    /// Nothing.
    None,
    /// `[0] `.
    Rank,
    /// `[Proc 0 : host : stdout] `.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Plain,
    PerRank,
}

/// Where printed things go.
#[derive(Debug)]
pub(crate) struct Sinks {
    pub(crate) stdout: Sink,
    pub(crate) stderr: Sink,
    pub(crate) log: Option<Sink>,
}

#[derive(Debug)]
enum Piece {
    Output { rank: u16, stream: Stream, bytes: Vec<u8> },
    EndOfRank(u16),
    Note(String),
    Record(String),
    End { last: Option<String> },
}

/// Bytes handed over and not yet printed, and who waits for them to become fewer.
#[derive(Debug, Default)]
struct Backlog {
    bytes: usize,
    waiting: Vec<Waker>,
}

#[derive(Debug)]
struct Worker {
    style: Style,
    sinks: Sinks,
    begun: BTreeMap<(u16, Stream), Lines>,
    scratch: Vec<u8>,
    cut: u64,
}

impl Printer {
    /// Starts the thread; it ends after [`Self::end`] and calls `done` then.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn start(
        style: Style,
        sinks: Sinks,
        done: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let printer = Self { pieces: sender, backlog: Arc::default() };
        let backlog = Arc::clone(&printer.backlog);
        let (begun, scratch) = (BTreeMap::new(), Vec::new());
        let worker = Worker { style, sinks, begun, scratch, cut: 0 };
        let thread = thread::Builder::new().name("printer".into()).spawn(move || {
            worker.run(&receiver, &backlog);
            done();
        })?;
        Ok((printer, thread))
    }

    /// Bytes a rank wrote.
    pub(crate) fn output(&self, rank: u16, stream: Stream, bytes: Vec<u8>) {
        lock(&self.backlog).bytes += bytes.len();
        self.give(Piece::Output { rank, stream, bytes });
    }

    /// The rank writes no more: what it wrote after its last newline is a line.
    pub(crate) fn end_of_rank(&self, rank: u16) {
        self.give(Piece::EndOfRank(rank));
    }

    /// A line of dsmexec's own.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.give(Piece::Note(text.into()));
    }

    /// A line of dsmexec's own for the log alone.
    pub(crate) fn record(&self, text: impl Into<String>) {
        self.give(Piece::Record(text.into()));
    }

    /// Everything has been handed over; `last` is dsmexec's last line.
    pub(crate) fn end(&self, last: Option<String>) {
        self.give(Piece::End { last });
    }

    /// Whether more output may be handed over; if not, `waker` is woken when it may.
    pub(crate) fn has_room(&self, waker: &Waker) -> bool {
        let mut backlog = lock(&self.backlog);
        let room = backlog.bytes < BACKLOG_BYTES;
        if !room {
            backlog.waiting.push(waker.clone());
        }
        room
    }

    fn give(&self, piece: Piece) {
        // After the end nobody prints, and nobody waits for it.
        let _ = self.pieces.send(piece);
    }
}

impl Worker {
    fn run(mut self, pieces: &Receiver<Piece>, backlog: &Mutex<Backlog>) {
        for piece in pieces {
            match piece {
                Piece::Output { rank, stream, bytes } => {
                    self.on_output(rank, stream, &bytes);
                    give_back(backlog, bytes.len());
                }
                Piece::EndOfRank(rank) => self.on_end_of_rank(rank),
                Piece::Note(text) => self.note(&text),
                Piece::Record(text) => self.record(&text),
                Piece::End { last } => return self.on_end(last),
            }
        }
    }

    fn on_output(&mut self, rank: u16, stream: Stream, bytes: &[u8]) {
        let mut lines = self.begun.remove(&(rank, stream)).unwrap_or_default();
        lines.push(bytes, |line| self.on_line(rank, stream, line));
        self.begun.insert((rank, stream), lines);
    }

    fn on_end_of_rank(&mut self, rank: u16) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(mut lines) = self.begun.remove(&(rank, stream)) {
                lines.end(|line| self.on_line(rank, stream, line));
            }
        }
    }

    fn on_line(&mut self, rank: u16, stream: Stream, line: Line<'_>) {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong(bytes) => {
                if self.cut == 0 {
                    let host = &self.style.hosts[usize::from(rank)];
                    let warning = format!(
                        "warning: rank {rank} ({host}) wrote a line of over {} bytes; such lines are cut",
                        bytes.len()
                    );
                    self.note(&warning);
                }
                self.cut += 1;
                bytes
            }
        };
        // First the log: the terminal may be stuck.
        let style = &self.style;
        if let Some(log) = &mut self.sinks.log {
            let tag = tag(style, Tag::Full, rank, stream);
            print(log, &mut self.scratch, &tag, None, bytes);
        }
        let wanted = style.only.as_ref().is_none_or(|only| only.contains(rank))
            && style.stream.is_none_or(|only| only == stream);
        if wanted {
            let (sink, colour) = match stream {
                Stream::Stdout => (&mut self.sinks.stdout, style.colours[0]),
                Stream::Stderr => (&mut self.sinks.stderr, style.colours[1]),
            };
            let tag = tag(style, style.tag, rank, stream);
            print(sink, &mut self.scratch, &tag, colour_of(colour, rank), bytes);
        }
    }

    fn note(&mut self, text: &str) {
        self.record(text);
        print(&mut self.sinks.stderr, &mut self.scratch, PREFIX, None, text.as_bytes());
    }

    fn record(&mut self, text: &str) {
        if let Some(log) = &mut self.sinks.log {
            print(log, &mut self.scratch, PREFIX, None, text.as_bytes());
        }
    }

    fn on_end(&mut self, last: Option<String>) {
        while let Some(((rank, stream), mut lines)) = self.begun.pop_first() {
            lines.end(|line| self.on_line(rank, stream, line));
        }
        let sinks = [Some(&self.sinks.stdout), Some(&self.sinks.stderr), self.sinks.log.as_ref()];
        let complaints: Vec<_> = sinks.into_iter().flatten().filter_map(Sink::complaint).collect();
        complaints.iter().for_each(|complaint| self.note(complaint));
        if let Some(last) = last {
            self.note(&last);
        }
    }
}

fn print(sink: &mut Sink, scratch: &mut Vec<u8>, tag: &str, colour: Option<u8>, line: &[u8]) {
    scratch.clear();
    // Writing to a vector cannot fail.
    let _ = match colour {
        Some(colour) if !tag.is_empty() => write!(scratch, "\x1b[{colour}m{tag}\x1b[0m"),
        _ => write!(scratch, "{tag}"),
    };
    scratch.extend_from_slice(line);
    scratch.push(b'\n');
    sink.write_line(scratch);
    scratch.shrink_to(SCRATCH_BYTES);
}

fn tag(style: &Style, tag: Tag, rank: u16, stream: Stream) -> String {
    match tag {
        Tag::None => String::new(),
        Tag::Rank => format!("[{rank}] "),
        Tag::Full => format!("[Proc {rank} : {} : {stream}] ", style.hosts[usize::from(rank)]),
    }
}

fn colour_of(colour: Colour, rank: u16) -> Option<u8> {
    let of_rank = || COLOURS[usize::from(rank) % COLOURS.len()];
    (colour == Colour::PerRank).then(of_rank)
}

fn give_back(backlog: &Mutex<Backlog>, bytes: usize) {
    let mut backlog = lock(backlog);
    backlog.bytes -= bytes;
    if backlog.bytes < BACKLOG_BYTES / 2 {
        backlog.waiting.drain(..).for_each(|waker| waker.wake());
    }
}

fn lock(backlog: &Mutex<Backlog>) -> MutexGuard<'_, Backlog> {
    backlog.lock().expect("nobody panics who counts bytes")
}

const PREFIX: &str = "dsmexec: ";
/// ANSI foreground colours that read on dark and on light.
const COLOURS: [u8; 6] = [32, 36, 35, 33, 34, 31];
/// With more than this to be printed, ranks are not read; their programs wait as for any full pipe.
const BACKLOG_BYTES: usize = 32 << 20;
/// Memory kept for the next line.
const SCRATCH_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::path::Path;
    use tempfile::TempDir;

    /// Prints what two ranks write, with colours on standard output; gives what came out.
    fn print(tag: Tag, write: impl FnOnce(&Printer)) -> (String, String, String) {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let sink = |name: &str| Sink::new(name, File::create(path(name)).unwrap());
        let sinks = Sinks { stdout: sink("out"), stderr: sink("err"), log: Some(sink("log")) };
        let style = Style {
            hosts: vec!["a".into(), "b".into()],
            tag,
            only: None,
            stream: None,
            colours: [Colour::PerRank, Colour::Plain],
        };
        let (printer, thread) = Printer::start(style, sinks, || ()).unwrap();
        write(&printer);
        printer.end(Some("over".into()));
        thread.join().unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        (read(&path("out")), read(&path("err")), read(&path("log")))
    }

    #[test]
    fn tags_have_the_colour_of_their_rank_and_the_log_has_none() {
        let write = |printer: &Printer| {
            printer.output(0, Stream::Stdout, b"x\ny".to_vec());
            printer.output(1, Stream::Stdout, b"z\n".to_vec());
            printer.output(1, Stream::Stderr, b"e\n".to_vec());
        };
        let (out, err, log) = print(Tag::Rank, write);
        assert_eq!(out, "\x1b[32m[0] \x1b[0mx\n\x1b[36m[1] \x1b[0mz\n\x1b[32m[0] \x1b[0my\n");
        assert_eq!(err, "[1] e\ndsmexec: over\n");
        let lines =
            ["[Proc 0 : a : stdout] x", "[Proc 1 : b : stdout] z", "[Proc 1 : b : stderr] e"];
        let rest = ["[Proc 0 : a : stdout] y", "dsmexec: over", ""];
        assert_eq!(log, [lines, rest].concat().join("\n"));
        let (out, ..) =
            print(Tag::None, |printer| printer.output(0, Stream::Stdout, b"x".to_vec()));
        assert_eq!(out, "x\n");
    }

    #[test]
    fn who_finds_no_room_is_woken_when_there_is_some() {
        let waker = Waker::new().unwrap();
        let (printer, pieces) = {
            let (sender, receiver) = channel();
            (Printer { pieces: sender, backlog: Arc::default() }, receiver)
        };
        let piece = BACKLOG_BYTES / 4;
        for _ in 0..4 {
            assert!(printer.has_room(&waker));
            printer.output(0, Stream::Stdout, vec![0; piece]);
        }
        assert!(!printer.has_room(&waker));
        let is_woken = || {
            let wanted = [crate::nonblocking::Wanted((), waker.as_fd(), PollFlags::IN)];
            !crate::nonblocking::wait(&wanted, std::time::Instant::now()).unwrap().is_empty()
        };
        for printed in 1..=3 {
            assert!(pieces.recv().is_ok());
            give_back(&printer.backlog, piece);
            assert_eq!(is_woken(), printed == 3, "after {printed} pieces");
        }
        assert!(printer.has_room(&waker));
    }
}
