use super::control::Control;
use super::shape::Shape;
use super::tally::Tally;
use std::fmt;
use std::time::Duration;

/// The results of a run, to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What everything but time followed from.
    pub seed: u64,
    /// How many ranks there were.
    pub nodes: u16,
    /// The shapes of the run.
    pub shapes: &'a [Shape],
    /// What the instances came to.
    pub tally: &'a Tally,
    /// The positive control.
    pub control: Control,
    /// How long the instances took.
    pub took: Duration,
    /// How many pages moved meanwhile.
    pub pages: u64,
}

impl Report<'_> {
    /// Allowed outcomes that were never seen, with their shapes.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        let shapes = self.shapes.iter().enumerate();
        let unseen = shapes.flat_map(|(at, shape)| {
            let seen = self.tally.outcomes(at);
            let unseen = shape.allowed.iter().filter(|outcome| !seen.contains_key(outcome));
            unseen.map(|outcome| format!("{} {}", shape.name, shape.describe(*outcome)))
        });
        unseen.collect()
    }

    /// How many instances had forbidden outcomes.
    #[must_use]
    pub fn forbidden(&self) -> u64 {
        let shapes = self.shapes.iter().enumerate();
        shapes.map(|(at, shape)| self.forbidden_of(at, shape)).sum()
    }

    fn forbidden_of(&self, at: usize, shape: &Shape) -> u64 {
        let seen = self.tally.outcomes(at).iter();
        seen.filter(|(outcome, _)| !shape.allowed.contains(outcome)).map(|(_, count)| count).sum()
    }

    /// Everything on one line. All words in it are of letters, digits and `:=+. ?`, so nothing is escaped.
    #[must_use]
    pub fn json(&self) -> String {
        let shapes: Vec<String> =
            self.shapes.iter().enumerate().map(|(at, shape)| self.shape_json(at, shape)).collect();
        let places = self.tally.places().iter().map(|((layout, home, start), count)| {
            format!(
                r#"{{"layout":"{layout:?}","home":"{home:?}","start":"{start:?}","instances":{count}}}"#
            )
        });
        let places: Vec<String> = places.collect();
        let Control { instances, reordered } = self.control;
        format!(
            r#"{{"seed":{},"ranks":{},"seconds":{:.3},"instances":{},"batches":{},"forbidden":{},"unseen":{},"pages_moved":{},"control":{{"instances":{instances},"reordered":{reordered}}},"shapes":[{}],"places":[{}]}}"#,
            self.seed,
            self.nodes,
            self.took.as_secs_f64(),
            self.tally.instances(),
            self.tally.batches(),
            self.forbidden(),
            self.unseen().len(),
            self.pages,
            shapes.join(","),
            places.join(","),
        )
    }

    fn shape_json(&self, at: usize, shape: &Shape) -> String {
        let outcomes = self.tally.outcomes(at).iter();
        let outcomes = outcomes.map(|(outcome, count)| {
            let allowed = shape.allowed.contains(outcome);
            let outcome = shape.describe(*outcome);
            format!(r#"{{"outcome":"{outcome}","allowed":{allowed},"count":{count}}}"#)
        });
        let outcomes: Vec<String> = outcomes.collect();
        format!(
            r#"{{"name":"{}","allowed":{},"outcomes":[{}]}}"#,
            shape.name,
            shape.allowed.len(),
            outcomes.join(",")
        )
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, shape) in self.shapes.iter().enumerate() {
            let seen = self.tally.outcomes(at);
            let allowed = shape.allowed.len();
            let unseen = shape.allowed.iter().filter(|o| !seen.contains_key(o)).count();
            writeln!(
                f,
                "{:7} {:9} instances, {} of {allowed} allowed outcomes seen, {} forbidden",
                shape.name,
                seen.values().sum::<u64>(),
                allowed - unseen,
                self.forbidden_of(at, shape)
            )?;
            for (outcome, count) in seen {
                let mark = if shape.allowed.contains(outcome) { "" } else { "  FORBIDDEN" };
                writeln!(f, "  {count:12}  {}{mark}", shape.describe(*outcome))?;
            }
        }
        let places = self.tally.places();
        let (least, most) = (places.values().min(), places.values().max());
        writeln!(
            f,
            "placements (which page, home, first holder): {} of {PLACES}, {} to {} instances each",
            places.len(),
            least.unwrap_or(&0),
            most.unwrap_or(&0)
        )?;
        for unseen in self.unseen() {
            writeln!(f, "never seen: {unseen}")?;
        }
        let Control { instances, reordered } = self.control;
        let percent = 100.0 * reordered as f64 / instances.max(1) as f64;
        writeln!(f, "positive control: {reordered} of {instances} reordered ({percent:.1} %)")?;
        let (total, seconds) = (self.tally.instances(), self.took.as_secs_f64());
        writeln!(
            f,
            "{total} instances in {} batches, {} forbidden, {} allowed outcomes never seen, {:.2} pages moved an instance, {seconds:.1} s, {:.0} a second",
            self.tally.batches(),
            self.forbidden(),
            self.unseen().len(),
            self.pages as f64 / total.max(1) as f64,
            total as f64 / seconds
        )
    }
}

/// Layouts, homes and starts.
const PLACES: usize = 3 * 4 * 4;
