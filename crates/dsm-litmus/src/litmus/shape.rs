use super::outcome::{self, Outcome};
use std::collections::BTreeSet;

/// A small parallel program and what may come of it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// As the literature calls it.
    pub name: &'static str,
    /// Each thread's accesses, in program order.
    pub threads: Vec<Vec<Access>>,
    /// How many variables there are.
    pub variables: usize,
    /// Every outcome of some interleaving of the threads.
    pub allowed: BTreeSet<Outcome>,
}

/// One access to a variable. All variables are 0 at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Stores a value, 1 to [`MAX_VALUE`].
    Store {
        /// Which variable.
        variable: usize,
        /// What.
        value: u8,
    },
    /// Loads the value.
    Load {
        /// Which variable.
        variable: usize,
    },
}

impl Shape {
    /// All known shapes.
    ///
    /// The names are those of Alglave, Maranget and Tautschnig, "Herding Cats", TOPLAS 36(2), 2014, and of
    /// Maranget, Sarkar and Sewell, "A Tutorial Introduction to the ARM and POWER Relaxed Memory Models",
    /// 2012. The coherence shapes have a second thread that also looks or writes, so that there is something
    /// to go wrong between ranks.
    #[must_use]
    pub fn all() -> Vec<Self> {
        SHAPES.iter().map(|(name, text)| Self::new(name, text)).collect()
    }

    /// The shape that two threads of one rank may reorder.
    pub(super) fn store_buffering() -> Self {
        let (name, text) = SHAPES[0];
        Self::new(name, text)
    }

    /// A shape: threads are separated by `|`, accesses by spaces; `x=1` stores, `x` loads.
    fn new(name: &'static str, text: &str) -> Self {
        let thread = |text: &str| text.split_whitespace().map(Access::new).collect();
        let threads: Vec<Vec<Access>> = text.split('|').map(thread).collect();
        let last = threads.iter().flatten().map(|access| access.variable()).max();
        let variables = last.map_or(0, |last| last + 1);
        let allowed = outcome::enumerate(&threads, variables);
        Self { name, threads, variables, allowed }
    }

    /// How many values a thread's loads bring.
    #[must_use]
    pub fn loads(&self, thread: usize) -> usize {
        self.threads[thread].iter().filter(|access| access.is_load()).count()
    }

    /// The first thread that stores to, or loads from, a variable.
    pub(super) fn first(&self, variable: usize, loads: impl Fn(Access) -> bool) -> Option<usize> {
        let touches = |access: &Access| access.variable() == variable && loads(*access);
        self.threads.iter().position(|thread| thread.iter().any(touches))
    }

    /// An outcome in words: what each thread's loads saw, and what each variable was in the end.
    #[must_use]
    pub fn describe(&self, outcome: Outcome) -> String {
        let mut words = Vec::new();
        let mut place = 0;
        for (thread, accesses) in self.threads.iter().enumerate() {
            for access in accesses.iter().filter(|access| access.is_load()) {
                let name = name(access.variable());
                words.push(format!("{thread}:{name}={}", outcome.describe(place)));
                place += 1;
            }
        }
        for variable in 0..self.variables {
            words.push(format!("{}={}", name(variable), outcome.describe(place)));
            place += 1;
        }
        words.join(" ")
    }
}

impl Access {
    fn new(text: &str) -> Self {
        let (variable, rest) = text.split_at(1);
        let known = NAMES.iter().position(|name| *name == variable);
        let variable = known.expect("the variables of known shapes have known names");
        match rest.strip_prefix('=') {
            None => Self::Load { variable },
            Some(value) => {
                let value = value.parse().ok().filter(|value| (1..=MAX_VALUE).contains(value));
                Self::Store { variable, value: value.expect("known shapes store small values") }
            }
        }
    }

    pub(super) fn variable(self) -> usize {
        match self {
            Self::Store { variable, .. } | Self::Load { variable } => variable,
        }
    }

    pub(super) fn is_load(self) -> bool {
        matches!(self, Self::Load { .. })
    }
}

fn name(variable: usize) -> &'static str {
    NAMES[variable]
}

/// The largest value that a shape stores.
pub const MAX_VALUE: u8 = 3;
const NAMES: [&str; 3] = ["x", "y", "z"];

const SHAPES: [(&str, &str); 20] = [
    ("SB", "x=1 y | y=1 x"),
    ("MP", "x=1 y=1 | y x"),
    ("LB", "x y=1 | y x=1"),
    ("R", "x=1 y=1 | y=2 x"),
    ("S", "x=2 y=1 | y x=1"),
    ("2+2W", "x=1 y=2 | y=1 x=2"),
    ("WRC", "x=1 | x y=1 | y x"),
    ("RWC", "x=1 | x y | y=1 x"),
    ("ISA2", "x=1 y=1 | y z=1 | z x"),
    ("W+RWC", "x=1 y=1 | y z | z=1 x"),
    ("WRW+2W", "x=2 | x y=1 | y=2 x=1"),
    ("Z6.0", "x=1 y=1 | y z=1 | z=2 x"),
    ("3.2W", "x=2 y=1 | y=2 z=1 | z=2 x=1"),
    ("3.SB", "x=1 y | y=1 z | z=1 x"),
    ("3.LB", "x y=1 | y z=1 | z x=1"),
    ("IRIW", "x=1 | y=1 | x y | y x"),
    ("CoRR", "x=1 | x x"),
    ("CoWW", "x=1 x=2 | x"),
    ("CoWR", "x=1 x | x=2"),
    ("CoRW", "x x=1 | x=2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// How many outcomes each shape has, and one that it must not have, from the literature.
    #[test]
    fn the_outcomes_that_name_the_shapes_are_forbidden() {
        let all = Shape::all();
        let check = |name: &str, forbidden: &str, allowed: usize| {
            let shape = all.iter().find(|shape| shape.name == name).unwrap();
            let described: BTreeSet<_> =
                shape.allowed.iter().map(|outcome| shape.describe(*outcome)).collect();
            assert!(!described.contains(forbidden), "{name}: {forbidden} in {described:?}");
            assert_eq!(described.len(), allowed, "{name}: {described:?}");
        };
        check("SB", "0:y=0 1:x=0 x=1 y=1", 3);
        check("MP", "1:y=1 1:x=0 x=1 y=1", 3);
        check("LB", "0:x=1 1:y=1 x=1 y=1", 3);
        check("R", "1:x=0 x=1 y=2", 3);
        check("S", "1:y=1 x=2 y=1", 3);
        check("2+2W", "x=1 y=1", 3);
        check("WRC", "1:x=1 2:y=1 2:x=0 x=1 y=1", 7);
        check("RWC", "1:x=1 1:y=0 2:x=0 x=1 y=1", 7);
        check("ISA2", "1:y=1 2:z=1 2:x=0 x=1 y=1 z=1", 7);
        check("W+RWC", "1:y=1 1:z=0 2:x=0 x=1 y=1 z=1", 7);
        check("WRW+2W", "1:x=2 x=2 y=2", 9);
        check("Z6.0", "1:y=1 2:x=0 x=1 y=1 z=2", 7);
        check("3.2W", "x=2 y=2 z=2", 7);
        check("3.SB", "0:y=0 1:z=0 2:x=0 x=1 y=1 z=1", 7);
        check("3.LB", "0:x=1 1:y=1 2:z=1 x=1 y=1 z=1", 7);
        check("IRIW", "2:x=1 2:y=0 3:y=1 3:x=0 x=1 y=1", 15);
        check("CoRR", "1:x=1 1:x=0 x=1", 3);
        check("CoWW", "1:x=2 x=1", 3);
        check("CoWR", "0:x=2 x=1", 3);
        check("CoRW", "0:x=2 x=2", 3);
    }
}
