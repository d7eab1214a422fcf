use super::report::{Part, promised_barrier};
use super::{Operation, Report};
use std::fmt::Write as _;

/// The critical paths of some operations over the number of ranks, a panel a model, as an SVG that can be read
/// on light and dark ground.
#[must_use]
pub fn plot(report: &Report) -> String {
    let panels = report.parts().len().max(1);
    let width = LEFT + panels * (PANEL_WIDTH + GAP) + LEGEND_WIDTH;
    let height = TOP + PANEL_HEIGHT + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<style>{STYLE}</style>\n"
    );
    let scale = Scale::of(report);
    for (at, part) in report.parts().iter().enumerate() {
        panel(&mut svg, &scale, report, part, (LEFT + at * (PANEL_WIDTH + GAP)) as f64);
    }
    legend(&mut svg, (LEFT + panels * (PANEL_WIDTH + GAP)) as f64);
    svg.push_str("</svg>\n");
    svg
}

/// Both axes are logarithmic.
struct Scale {
    fewest: f64,
    most: f64,
    /// Powers of ten at the bottom and the top.
    bottom: i32,
    top: i32,
}

impl Scale {
    fn of(report: &Report) -> Self {
        let ranks = report.ranks().iter().map(|&nodes| f64::from(nodes));
        let (fewest, most) = (ranks.clone().fold(f64::MAX, f64::min), ranks.fold(1.0, f64::max));
        let (mut bottom, mut top) = (0, 1);
        for part in report.parts() {
            for (operation, ..) in LINES {
                for (_, value) in part.points(operation, report.ranks()) {
                    while value > 0.0 && value < 10_f64.powi(bottom) {
                        bottom -= 1;
                    }
                    while value > 10_f64.powi(top) {
                        top += 1;
                    }
                }
            }
        }
        Self { fewest, most: most.max(fewest * 2.0), bottom, top }
    }

    fn x(&self, nodes: f64) -> f64 {
        (nodes / self.fewest).log2() / (self.most / self.fewest).log2() * PANEL_WIDTH as f64
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.bottom)) / f64::from(self.top - self.bottom);
        TOP as f64 + (1.0 - part) * PANEL_HEIGHT as f64
    }
}

fn panel(svg: &mut String, scale: &Scale, report: &Report, part: &Part, left: f64) {
    let (right, bottom) = (left + PANEL_WIDTH as f64, (TOP + PANEL_HEIGHT) as f64);
    let name = part.model.name().unwrap_or("own model");
    let round_trip = part.model.round_trip() as f64 / 1_000.0;
    let middle = (left + right) / 2.0;
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ = writeln!(
            svg,
            "<text class=\"ink\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    };
    text(middle, TOP as f64 - 12.0, "middle", &format!("{name}, R = {round_trip:.1} µs"));
    text(middle, bottom + 36.0, "middle", "ranks");
    for &nodes in report.ranks() {
        text(left + scale.x(nodes.into()), bottom + 18.0, "middle", &nodes.to_string());
    }
    for power in scale.bottom..=scale.top {
        let value = 10_f64.powi(power);
        text(left - 8.0, scale.y(value) + 4.0, "end", &format!("{value} R"));
    }
    for power in scale.bottom..=scale.top {
        let y = scale.y(10_f64.powi(power));
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>");
    }
    for (operation, class, _) in LINES {
        line(svg, scale, left, class, &part.points(operation, report.ranks()));
    }
    let promised = |&nodes: &u16| (nodes, promised_barrier(nodes));
    line(svg, scale, left, PROMISED, &report.ranks().iter().map(promised).collect::<Vec<_>>());
}

fn line(svg: &mut String, scale: &Scale, left: f64, class: &str, points: &[(u16, f64)]) {
    let at = |&(nodes, value): &(u16, f64)| {
        format!("{:.1},{:.1}", left + scale.x(nodes.into()), scale.y(value))
    };
    let points: Vec<_> = points.iter().map(at).collect();
    let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
}

fn legend(svg: &mut String, left: f64) {
    let entries = LINES.iter().map(|&(_, class, name)| (class, name));
    let entries = entries.chain([(PROMISED, "promise for the barrier")]);
    for (at, (class, name)) in entries.enumerate() {
        let y = (TOP + 10 + at * 22) as f64;
        let (right, text, below) = (left + 24.0, left + 30.0, y + 4.0);
        let _ = writeln!(
            svg,
            "<polyline class=\"{class}\" points=\"{left:.1},{y:.1} {right:.1},{y:.1}\"/>\
             <text class=\"ink\" x=\"{text:.1}\" y=\"{below:.1}\">{name}</text>"
        );
    }
}

/// What is drawn: by which style, under which name.
const LINES: [(Operation, &str, &str); 6] = [
    (Operation::UpgradeAll, "a", "upgrade, all others share"),
    (Operation::Gather, "b", "barrier of a count"),
    (Operation::Barrier, "c", "barrier of all ranks"),
    (Operation::ReadThird, "d", "read miss, third rank owns"),
    (Operation::ReadHome, "e", "read miss, home owns"),
    (Operation::HandOver, "f", "lock hand-over"),
];
const PROMISED: &str = "promised";
/// Tones between black and white, and ink that follows the reader's ground.
const STYLE: &str = "polyline{fill:none;stroke-width:2}.a{stroke:#e15759}.b{stroke:#f28e2b}\
    .c{stroke:#4e8fd0}.d{stroke:#3fa34d}.e{stroke:#b07aa1}.f{stroke:#a5812f}\
    .promised{stroke:#4e8fd0;stroke-width:1.5;stroke-dasharray:5 4}\
    .ink{fill:#777}.grid{stroke:#8888;stroke-width:.5}\
    @media (prefers-color-scheme:dark){.ink{fill:#bbb}}";
const LEFT: usize = 56;
const TOP: usize = 34;
const BOTTOM: usize = 46;
const PANEL_WIDTH: usize = 320;
const PANEL_HEIGHT: usize = 320;
const GAP: usize = 64;
const LEGEND_WIDTH: usize = 190;
