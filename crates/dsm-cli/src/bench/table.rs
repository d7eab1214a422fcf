//! The table for people.

use super::outcome::{Outcome, Row};
use super::reading::Count;
use std::fmt::Write;

impl Outcome {
    /// All of it as lines of text.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for line in &self.about {
            writeln!(text, "{line}").expect("strings grow");
        }
        for pinning in &self.pinnings() {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.pinning == *pinning).collect();
            writeln!(text, "\n{}:", pinning.describe()).expect("strings grow");
            let titles = ["p50", "p99", "", "target", "", "messages", "bytes"];
            text.push_str(&line("", titles.map(str::to_owned)));
            rows.iter().for_each(|row| text.push_str(&row.line()));
        }
        if !self.left_out.is_empty() {
            writeln!(text, "\nnot measured: {}", self.left_out.join("; ")).expect("strings grow");
        }
        writeln!(text, "\n{}", self.verdict()).expect("strings grow");
        text
    }

    fn verdict(&self) -> String {
        let with = self.rows.iter().filter_map(Row::is_met);
        let (met, short): (Vec<bool>, Vec<bool>) = with.partition(|met| *met);
        format!("{} of {} targets reached", met.len(), met.len() + short.len())
    }
}

impl Row {
    fn line(&self) -> String {
        let about = self.reading.line.about();
        let (reading, unit) = (&self.reading, about.unit.as_str());
        let ratio = reading.ratio().map(|ratio| format!("{ratio:.2} {}", about.reference.as_str()));
        let verdict = match self.is_met() {
            None => "",
            Some(true) => "ok",
            Some(false) => "short",
        };
        line(
            &self.title(),
            [
                format!("{} {unit}", figure(reading.value)),
                reading.p99.map_or_else(String::new, figure),
                ratio.unwrap_or_default(),
                about.target.describe(unit, about.reference),
                verdict.to_owned(),
                reading.messages.map_or_else(String::new, count),
                reading.bytes.map_or_else(String::new, count),
            ],
        )
    }
}

fn line(title: &str, [p50, p99, ratio, target, verdict, messages, bytes]: [String; 7]) -> String {
    let line = format!(
        "{title:<31} {p50:>11} {p99:>8} {ratio:>14}  {target:<22} {verdict:<5} {messages:>8} {bytes:>8}"
    );
    format!("{}\n", line.trim_end())
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value {
        value if value < 1.0 => format!("{value:.3}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A whole number if it was one each time, else what it was from and to.
fn count(count: Count) -> String {
    let round = |number: f64| {
        let text = format!("{number:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let (least, most) = (round(count.least), round(count.most));
    if least == most { least } else { format!("{least}-{most}") }
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::super::pinning::Pinning;
    use super::super::reading::Reading;
    use super::*;

    #[test]
    fn a_row_says_what_was_measured_and_whether_that_is_enough() {
        let reading = Reading {
            p99: Some(40.0),
            reference: Some(20.0),
            messages: Count::of(&[2.0, 2.0]),
            bytes: Count::of(&[4176.0, 4178.0]),
            ..Reading::new(Line::ReadFault, 30.0)
        };
        let row = Row { reading, ranks: 2, pinning: Pinning::Free };
        let words: Vec<String> = row.line().split_whitespace().map(str::to_owned).collect();
        assert_eq!(
            words.join(" "),
            "read fault, owner is home 30.0 us 40.0 1.50 R <= 1.6 R, p99 <= 3 R ok 2 4176-4178"
        );
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.0612, 1.25, 56.78, 1234.5].map(figure), ["0.061", "1.2", "56.8", "1234"]);
    }
}
