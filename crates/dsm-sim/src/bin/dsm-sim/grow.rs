//! How operations grow with the number of ranks: the tables on the standard output, and files on request.

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use dsm_sim::growth::{Model, Report, plot};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args)]
pub(crate) struct Grow {
    /// Numbers of ranks: FIRST..LAST, doubling, or a list with commas
    #[arg(long, default_value = "2..1024", value_parser = ranks)]
    ranks: Ranks,
    /// What time and bandwidth are like: loopback, network, or latency=µs,bandwidth=Gbit/s,overhead=µs,
    /// trap=µs,map=µs,hold=µs, each as for network if not given; more than once for several [default: the
    /// two that have names]
    #[arg(long, value_name = "MODEL")]
    model: Vec<Model>,
    /// Write all figures here, one a line
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the critical paths here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Put the tables between the markers of this document instead of the standard output
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

#[derive(Clone)]
struct Ranks(Vec<u16>);

pub(crate) fn grow(Grow { ranks, model, csv, svg, into }: Grow) -> Result<()> {
    let begun = Instant::now();
    let models = if model.is_empty() { vec![Model::LOOPBACK, Model::NETWORK] } else { model };
    let report = Report::measure(&models, &ranks.0);
    let write = |path: &PathBuf, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &csv {
        write(path, report.csv())?;
    }
    if let Some(path) = &svg {
        write(path, plot(&report))?;
    }
    match &into {
        None => print!("{report}"),
        Some(path) => {
            let before = fs::read_to_string(path);
            let before = before.with_context(|| format!("cannot read {}", path.display()))?;
            let after = report.splice(&before);
            write(path, after.with_context(|| path.display().to_string())?)?;
        }
    }
    eprintln!("dsm-sim: measured in {:.1?}", begun.elapsed());
    Ok(())
}

fn ranks(text: &str) -> Result<Ranks> {
    let number = |text: &str| {
        let nodes: u16 = text.parse().with_context(|| format!("{text:?} is no number of ranks"))?;
        ensure!((2..=MOST_RANKS).contains(&nodes), "expected 2 to {MOST_RANKS} ranks, not {nodes}");
        Ok(nodes)
    };
    let Some((first, last)) = text.split_once("..") else {
        return Ok(Ranks(text.split(',').map(number).collect::<Result<_>>()?));
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        bail!("{last} ranks are fewer than {first}");
    }
    let doubled = std::iter::successors(Some(first), |&nodes| Some(nodes * 2));
    Ok(Ranks(doubled.take_while(|&nodes| nodes <= last).collect()))
}

const MOST_RANKS: u16 = 4_096;
