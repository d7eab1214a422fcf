use super::{Figure, Load, Model, Operation, Workload};
use std::fmt::{self, Write as _};

/// What everything costs, by model and number of ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    ranks: Vec<u16>,
    parts: Vec<Part>,
}

/// The figures of one model: for each operation and each workload one for each number of ranks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) model: Model,
    operations: Vec<(Operation, Vec<Option<Figure>>)>,
    loads: Vec<(Workload, Vec<Load>)>,
    /// The barrier by how many ranks are below one in its tree.
    trees: Vec<(u16, Vec<Figure>)>,
}

/// A document has no place for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpliceError;

impl Report {
    /// Measures everything. At 1,024 ranks it takes some seconds a model.
    ///
    /// # Panics
    /// If the engine breaks a promise.
    #[must_use]
    pub fn measure(models: &[Model], ranks: &[u16]) -> Self {
        let part = |&model: &Model| {
            let of = |operation: Operation| {
                let figures = ranks.iter().map(|&nodes| operation.measure(nodes, model));
                (operation, figures.collect())
            };
            let under = |workload: Workload| {
                let loads = ranks.iter().map(|&nodes| workload.measure(nodes, model));
                (workload, loads.collect())
            };
            let operations = Operation::ALL.into_iter().map(of).collect();
            let loads = Workload::ALL.into_iter().map(under).collect();
            let tree = |fan_in: u16| {
                let of = |&nodes: &u16| Operation::Barrier.measure_with(nodes, model, Some(fan_in));
                (fan_in, ranks.iter().filter_map(of).collect())
            };
            Part { model, operations, loads, trees: FAN_INS.into_iter().map(tree).collect() }
        };
        Self { ranks: ranks.to_vec(), parts: models.iter().map(part).collect() }
    }

    /// The numbers of ranks.
    #[must_use]
    pub fn ranks(&self) -> &[u16] {
        &self.ranks
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// One line a figure: the model, the number of ranks, the operation or workload, the field, the value.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut csv = String::from("model,ranks,what,field,value\n");
        for part in &self.parts {
            let model = part.model.name().unwrap_or("own");
            let mut line = |nodes: u16, what: &str, field: &str, value: f64| {
                let _ = writeln!(csv, "{model},{nodes},\"{what}\",{field},{value}");
            };
            for (operation, figures) in &part.operations {
                for (&nodes, figure) in self.ranks.iter().zip(figures) {
                    let Some(figure) = figure else { continue };
                    for (field, value) in fields(figure, part.model) {
                        line(nodes, operation.name(), field, value);
                    }
                }
            }
            for (workload, loads) in &part.loads {
                for (&nodes, load) in self.ranks.iter().zip(loads) {
                    for (field, value) in load_fields(load) {
                        line(nodes, workload.name(), field, value);
                    }
                }
            }
        }
        csv
    }

    /// The document with the tables between its markers.
    ///
    /// # Errors
    /// If it has not both markers.
    pub fn splice(&self, document: &str) -> Result<String, SpliceError> {
        let (before, rest) = document.split_once(BEGIN).ok_or(SpliceError)?;
        let (_, after) = rest.split_once(END).ok_or(SpliceError)?;
        Ok(format!("{before}{BEGIN}\n\n{self}\n{END}{after}"))
    }

    fn head(&self, f: &mut fmt::Formatter<'_>, first: &str) -> fmt::Result {
        write!(f, "| {first} |")?;
        self.ranks.iter().try_for_each(|nodes| write!(f, " {} |", grouped((*nodes).into())))?;
        write!(f, "\n|---|")?;
        self.ranks.iter().try_for_each(|_| f.write_str("---:|"))?;
        writeln!(f)
    }

    fn table(
        &self,
        f: &mut fmt::Formatter<'_>,
        part: &Part,
        cell: impl Fn(&Figure) -> String,
    ) -> fmt::Result {
        self.head(f, "ranks")?;
        for (operation, figures) in &part.operations {
            write!(f, "| {} |", operation.name())?;
            for figure in figures {
                write!(f, " {} |", figure.as_ref().map_or(NOTHING.to_owned(), &cell))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn barriers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f, "ranks")?;
        for part in &self.parts {
            let figures = part.figures(Operation::Barrier);
            let name = part.model.name().unwrap_or("own model");
            let row = |f: &mut fmt::Formatter<'_>, what: &str, cells: Vec<String>| {
                writeln!(f, "| {name}: {what} | {} |", cells.join(" | "))
            };
            let of = |cell: &dyn Fn(&Figure) -> String| figures.clone().map(cell).collect();
            row(f, "R", of(&|it| short(part.round_trips(it.time))))?;
            row(f, "messages one after the other", of(&|it| it.hops.to_string()))?;
            row(f, "messages of the busiest rank", of(&|it| grouped(it.busiest)))?;
            for (fan_in, figures) in &part.trees {
                let what = match *fan_in {
                    FLAT => "R if all arrived at one rank".to_owned(),
                    fan_in => format!("R with {fan_in} below one"),
                };
                let cells = figures.iter().map(|it| short(part.round_trips(it.time)));
                row(f, &what, cells.collect())?;
            }
        }
        let promised = self.ranks.iter().map(|&nodes| short(promised_barrier(nodes)));
        writeln!(f, "| promised: R at most | {} |", promised.collect::<Vec<_>>().join(" | "))
    }

    fn loads(&self, f: &mut fmt::Formatter<'_>, part: &Part) -> fmt::Result {
        writeln!(
            f,
            "| workload | ranks | R a touch | messages a touch | messages of a rank, mean / most | \
             entries of a home | sharers listed at a home | bytes of a rank |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for (workload, loads) in &part.loads {
            for (nodes, load) in self.ranks.iter().zip(loads) {
                let both =
                    |(mean, most): (f64, u64)| format!("{} / {}", short(mean), grouped(most));
                writeln!(
                    f,
                    "| {} | {} | {} | {:.2} | {} | {} | {} | {} |",
                    workload.name(),
                    grouped((*nodes).into()),
                    short(load.time / part.model.round_trip() as f64),
                    load.messages,
                    both(load.handled),
                    both(load.entries),
                    both(load.sharers),
                    both(load.bytes),
                )?;
            }
        }
        Ok(())
    }
}

impl Part {
    /// Of an operation, where there are enough ranks for it.
    pub(super) fn figures(&self, operation: Operation) -> impl Iterator<Item = &Figure> + Clone {
        let of = self.operations.iter().filter(move |(it, _)| *it == operation);
        of.flat_map(|(_, figures)| figures.iter().flatten())
    }

    /// What an operation takes in units of R, with the number of ranks.
    pub(super) fn points(&self, operation: Operation, ranks: &[u16]) -> Vec<(u16, f64)> {
        let of = self.operations.iter().filter(|(it, _)| *it == operation);
        let figures = of.flat_map(|(_, figures)| ranks.iter().zip(figures));
        let point = |(&nodes, figure): (&u16, &Option<Figure>)| {
            figure.as_ref().map(|figure| (nodes, self.round_trips(figure.time)))
        };
        figures.filter_map(point).collect()
    }

    fn round_trips(&self, time: u64) -> f64 {
        time as f64 / self.model.round_trip() as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            writeln!(f, "Critical path in units of R. {}.\n", part.model)?;
            self.table(f, part, |figure| short(part.round_trips(figure.time)))?;
            writeln!(f)?;
        }
        let Some(part) = self.parts.first() else { return Ok(()) };
        writeln!(f, "Messages, of all ranks together. {}.\n", part.model)?;
        self.table(f, part, |figure| grouped(figure.messages))?;
        writeln!(f, "\nBytes, of all ranks together. {}.\n", part.model)?;
        self.table(f, part, |figure| grouped(figure.bytes))?;
        writeln!(f, "\nThe barrier of all ranks.\n")?;
        self.barriers(f)?;
        writeln!(f, "\nLoad of the ranks, and what they keep. {}.\n", part.model)?;
        self.loads(f, part)
    }
}

impl fmt::Display for SpliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no place for the tables: expected the lines {BEGIN} and {END}")
    }
}

impl std::error::Error for SpliceError {}

/// What a barrier may take, in units of R.
pub(super) fn promised_barrier(nodes: u16) -> f64 {
    1.5 * f64::from(nodes.next_power_of_two().ilog2())
}

fn fields(figure: &Figure, model: Model) -> [(&'static str, f64); 6] {
    let time = figure.time as f64;
    [
        ("messages", figure.messages as f64),
        ("bytes", figure.bytes as f64),
        ("time_us", time / 1_000.0),
        ("round_trips", time / model.round_trip() as f64),
        ("hops", figure.hops.into()),
        ("busiest_rank_messages", figure.busiest as f64),
    ]
}

fn load_fields(load: &Load) -> [(&'static str, f64); 10] {
    [
        ("touch_us", load.time / 1_000.0),
        ("touch_messages", load.messages),
        ("rank_messages_mean", load.handled.0),
        ("rank_messages_most", load.handled.1 as f64),
        ("home_entries_mean", load.entries.0),
        ("home_entries_most", load.entries.1 as f64),
        ("home_sharers_mean", load.sharers.0),
        ("home_sharers_most", load.sharers.1 as f64),
        ("rank_bytes_mean", load.bytes.0),
        ("rank_bytes_most", load.bytes.1 as f64),
    ]
}

/// A number with about three digits.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value if value < 1_000.0 => format!("{value:.0}"),
        // Rounded to an integer and far from the limits of its digits.
        value => grouped(format!("{value:.0}").parse().unwrap_or(u64::MAX)),
    }
}

/// A number with commas between its thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Widths of the barrier's tree that are compared.
const FAN_INS: [u16; 6] = [2, 4, 8, 16, 32, FLAT];
const FLAT: u16 = u16::MAX;
const NOTHING: &str = "";
const BEGIN: &str = "<!-- growth: made by make growth -->";
const END: &str = "<!-- growth: end -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.934, 9.996, 99.96, 999.4, 1_234_567.8].map(short);
        assert_eq!(shown, ["0", "0.93", "10.0", "100", "999", "1,234,568"]);
    }

    #[test]
    fn a_document_keeps_what_is_around_the_tables() {
        let report = Report::measure(&[Model::LOOPBACK], &[2]);
        let document = format!("before\n{BEGIN}\nstale\n{END}\nafter\n");
        let spliced = report.splice(&document).unwrap();
        assert!(spliced.starts_with("before\n") && spliced.ends_with("\nafter\n"), "{spliced}");
        assert!(!spliced.contains("stale") && spliced.contains("| barrier | 0.94 |"), "{spliced}");
        assert_eq!(report.splice(&spliced), Ok(spliced));
        assert_eq!(report.splice("none"), Err(SpliceError));
    }
}
