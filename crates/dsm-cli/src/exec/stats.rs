//! What `--stats` prints: what the runtime of every rank has done, as each told when it left the job.

use dsm_net::launch::{Counts, Status};

/// What is known of each rank's counts.
#[derive(Debug)]
pub(crate) struct Tally {
    ranks: Vec<(String, Known)>,
    /// Connections that were reset and went on.
    resumed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    /// Its runtime has said nothing.
    NotJoined,
    /// It joined, and has not left.
    Joined,
    Counts(Counts),
}

impl Tally {
    pub(crate) fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        let ranks = hosts.into_iter().map(|host| (host, Known::NotJoined)).collect();
        Self { ranks, resumed: 0 }
    }

    pub(crate) fn on_status(&mut self, rank: u16, status: &Status) {
        let known = &mut self.ranks[usize::from(rank)].1;
        match status {
            Status::Joined { .. } => *known = Known::Joined,
            Status::Stats(counts) => *known = Known::Counts(*counts),
            Status::Resumed { .. } => self.resumed += 1,
            _ => (),
        }
    }

    /// A header, a row for each rank and one for their sum, in columns; then what the columns are.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut sum = Counts::default();
        let mut told = 0;
        let mut rows = vec![HEADER.map(String::from).to_vec()];
        for (rank, (host, known)) in self.ranks.iter().enumerate() {
            let mut row = vec![rank.to_string(), host.clone()];
            match known {
                Known::Counts(counts) => {
                    sum = add(&sum, counts);
                    told += 1;
                    row.extend(cells(counts));
                }
                Known::Joined => row.push("did not call dsm_finalize: no counts".into()),
                Known::NotJoined => row.push("did not call dsm_init".into()),
            }
            rows.push(row);
        }
        if told > 0 {
            let of = match self.ranks.len() - told {
                0 => String::new(),
                _ => format!("of {told}"),
            };
            let mut row = vec!["total".into(), of];
            row.extend(cells(&sum));
            rows.push(row);
        }
        let mut lines = align(&rows);
        lines.extend(LEGEND.map(String::from));
        if self.resumed > 0 {
            lines.push(format!("connections that were reset and resumed: {}", self.resumed));
        }
        lines
    }
}

fn cells(counts: &Counts) -> [String; HEADER.len() - 2] {
    let Counts { read_faults, write_faults, upgrades, .. } = *counts;
    [
        (read_faults + write_faults + upgrades).to_string(),
        read_faults.to_string(),
        write_faults.to_string(),
        upgrades.to_string(),
        counts.pages_in.to_string(),
        counts.pages_out.to_string(),
        counts.messages_sent.to_string(),
        in_bytes(counts.bytes_sent),
        counts.lock_local.to_string(),
        counts.lock_remote.to_string(),
        counts.barriers.to_string(),
        format!("{}.{}", counts.fault_ns / 1_000_000, counts.fault_ns / 100_000 % 10),
    ]
}

fn add(a: &Counts, b: &Counts) -> Counts {
    Counts {
        read_faults: a.read_faults.saturating_add(b.read_faults),
        write_faults: a.write_faults.saturating_add(b.write_faults),
        upgrades: a.upgrades.saturating_add(b.upgrades),
        pages_in: a.pages_in.saturating_add(b.pages_in),
        pages_out: a.pages_out.saturating_add(b.pages_out),
        messages_sent: a.messages_sent.saturating_add(b.messages_sent),
        bytes_sent: a.bytes_sent.saturating_add(b.bytes_sent),
        lock_local: a.lock_local.saturating_add(b.lock_local),
        lock_remote: a.lock_remote.saturating_add(b.lock_remote),
        barriers: a.barriers.saturating_add(b.barriers),
        fault_ns: a.fault_ns.saturating_add(b.fault_ns),
    }
}

/// `999 B`, `1.5 KiB`, `20 MiB`: three digits or so.
fn in_bytes(bytes: u64) -> String {
    let Some(exponent) = (1..=4_u32).rev().find(|exponent| bytes >> (10 * exponent) > 0) else {
        return format!("{bytes} B");
    };
    let unit = ["KiB", "MiB", "GiB", "TiB"][exponent as usize - 1];
    let whole = bytes >> (10 * exponent);
    let tenths = ((bytes - (whole << (10 * exponent))) * 10) >> (10 * exponent);
    match whole {
        0..10 => format!("{whole}.{tenths} {unit}"),
        _ => format!("{whole} {unit}"),
    }
}

/// Numbers are set to the right, hosts and sentences to the left. A row may be cut short by a sentence.
fn align(rows: &[Vec<String>]) -> Vec<String> {
    let is_whole = |row: &&Vec<String>| row.len() == HEADER.len();
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| is_whole(row) || column < 2).map(|row| &row[column]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..HEADER.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            match column == HOST || !is_whole(&row) && column > HOST {
                true => format!("{cell:width$}"),
                false => format!("{cell:>width$}"),
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

const HEADER: [&str; 14] = [
    "rank",
    "host",
    "misses",
    "read",
    "write",
    "upgrade",
    "pages in",
    "out",
    "messages",
    "bytes",
    "locks here",
    "remote",
    "barriers",
    "waited ms",
];
const HOST: usize = 1;
const LEGEND: [&str; 2] = [
    "misses: times a thread stopped because the page was not here with the access it needed, to read it, to write it, or to write what was here to be read",
    "waited ms: milliseconds in which at least one thread waited for a page, summed over the pages",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(n: u64) -> Counts {
        Counts {
            read_faults: 1000 * n,
            write_faults: 20,
            upgrades: 3,
            pages_in: 40 * n,
            pages_out: 5,
            messages_sent: 600,
            bytes_sent: (1 << 20) * n,
            lock_local: 7,
            lock_remote: 8,
            barriers: 9,
            fault_ns: 1_250_000 * n,
        }
    }

    fn check(statuses: [Option<Status>; 3], expected: &str) {
        let hosts = ["node1", "user@node2.example", "c"].map(String::from);
        let mut tally = Tally::new(hosts);
        for (rank, status) in (0..).zip(&statuses) {
            if let Some(status) = status {
                tally.on_status(rank, &Status::Joined { fault_engine: String::new() });
                tally.on_status(rank, status);
                tally.on_status(rank, &Status::Finalized);
            }
        }
        let lines = tally.lines();
        let (table, legend) = lines.split_at(lines.len() - LEGEND.len());
        assert_eq!(table.join("\n"), expected.trim_matches('\n'));
        assert_eq!(legend, LEGEND);
    }

    #[test]
    fn numbers_stand_below_each_other_and_are_added_up() {
        let told = |n| Some(Status::Stats(counts(n)));
        check(
            [told(1), told(20), told(300)],
            "
 rank  host                misses    read  write  upgrade  pages in  out  messages    bytes  locks here  remote  barriers  waited ms
    0  node1                 1023    1000     20        3        40    5       600  1.0 MiB           7       8         9        1.2
    1  user@node2.example   20023   20000     20        3       800    5       600   20 MiB           7       8         9       25.0
    2  c                   300023  300000     20        3     12000    5       600  300 MiB           7       8         9      375.0
total                      321069  321000     60        9     12840   15      1800  321 MiB          21      24        27      401.2",
        );
    }

    #[test]
    fn connections_that_were_resumed_are_counted_below() {
        let mut tally = Tally::new(["a", "b"].map(String::from));
        for after_ms in [1, 2, 3] {
            let cause = "reset".to_owned();
            tally.on_status(0, &Status::Resumed { rank: 1, after_ms, cause });
        }
        let last = tally.lines().pop();
        assert_eq!(last.as_deref(), Some("connections that were reset and resumed: 3"));
    }

    #[test]
    fn a_rank_that_told_nothing_has_no_numbers() {
        let finalized = Some(Status::Finalized);
        check(
            [None, Some(Status::Stats(counts(1))), finalized],
            "
 rank  host                misses  read  write  upgrade  pages in  out  messages    bytes  locks here  remote  barriers  waited ms
    0  node1               did not call dsm_init
    1  user@node2.example    1023  1000     20        3        40    5       600  1.0 MiB           7       8         9        1.2
    2  c                   did not call dsm_finalize: no counts
total  of 1                  1023  1000     20        3        40    5       600  1.0 MiB           7       8         9        1.2",
        );
    }

    #[test]
    fn without_any_counts_there_is_no_total() {
        let tally = Tally::new(["a".to_owned()]);
        assert_eq!(tally.lines()[1], "   0  a     did not call dsm_init");
        assert_eq!(tally.lines().len(), 2 + LEGEND.len());
    }

    #[test]
    fn bytes_have_a_unit() {
        let check = |bytes, text: &str| assert_eq!(in_bytes(bytes), text);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(10 * 1024 - 1, "9.9 KiB");
        check(10 * 1024, "10 KiB");
        check((1 << 20) - 1, "1023 KiB");
        check(3 << 29, "1.5 GiB");
        check(u64::MAX, "16777215 TiB");
    }
}
