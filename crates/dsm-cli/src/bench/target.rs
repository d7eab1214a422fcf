use super::line::Reference;
use super::reading::Reading;

/// What a line is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// It is measured for comparison.
    Nothing,
    /// At most so many times what it is compared with.
    Times { p50: f64, p99: Option<f64> },
    /// At least this part of what it is compared with.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// No message.
    Quiet,
    /// No message, and at most so much.
    QuietWithin(f64),
}

impl Target {
    /// In words; empty if there is none.
    pub(crate) fn describe(self, unit: &str, reference: Reference) -> String {
        let of = reference.as_str();
        match self {
            Self::Nothing => String::new(),
            Self::Times { p50, p99: None } => format!("<= {p50} {of}"),
            Self::Times { p50, p99: Some(p99) } => format!("<= {p50} {of}, p99 <= {p99} {of}"),
            Self::AtLeast(part) => format!(">= {part} {of}"),
            Self::AtMost(most) => format!("<= {most} {unit}"),
            Self::Quiet => "0 messages".to_owned(),
            Self::QuietWithin(most) => format!("<= {most} {unit}, 0 messages"),
        }
    }

    /// Whether it is reached; `None` if that cannot be told.
    pub(crate) fn is_met(self, reading: &Reading) -> Option<bool> {
        let quiet = reading.messages.map(|messages| messages.most <= 0.0);
        match self {
            Self::Nothing => None,
            Self::Times { p50, p99 } => {
                let of = reading.reference?;
                let tail = match (p99, reading.p99) {
                    (Some(most), Some(p99)) => p99 <= most * of,
                    (Some(_), None) => return None,
                    (None, _) => true,
                };
                Some(reading.value <= p50 * of && tail)
            }
            Self::AtLeast(part) => Some(reading.value >= part * reading.reference?),
            Self::AtMost(most) => Some(reading.value <= most),
            Self::Quiet => quiet,
            Self::QuietWithin(most) => Some(quiet? && reading.value <= most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::super::reading::Count;
    use super::*;

    #[test]
    fn a_target_is_met_missed_or_not_to_be_told() {
        let reading = |value, p99, messages| Reading {
            p99,
            reference: Some(10.0),
            messages: Count::of(&[messages]),
            ..Reading::new(Line::ReadFault, value)
        };
        let check = |target: Target, reading: &Reading, met| {
            assert_eq!(target.is_met(reading), met, "{target:?} of {reading:?}");
        };
        let good = reading(16.0, Some(30.0), 2.0);
        check(Target::Times { p50: 1.6, p99: Some(3.0) }, &good, Some(true));
        check(Target::Times { p50: 1.5, p99: None }, &good, Some(false));
        check(Target::Times { p50: 1.6, p99: Some(2.9) }, &good, Some(false));
        check(Target::Times { p50: 1.6, p99: Some(3.0) }, &reading(1.0, None, 2.0), None);
        check(Target::AtLeast(1.6), &good, Some(true));
        check(Target::AtMost(15.0), &good, Some(false));
        check(Target::Quiet, &good, Some(false));
        check(Target::QuietWithin(0.3), &reading(0.1, None, 0.0), Some(true));
        check(Target::QuietWithin(0.3), &reading(0.4, None, 0.0), Some(false));
        check(Target::Nothing, &good, None);
    }
}
