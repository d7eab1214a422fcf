use super::{checks, trial};
use dsm::Finding;
use std::io::{self, Write};
use std::process::ExitCode;

/// Prints a table of findings. Whether a job can run here is tried, not concluded.
pub(super) fn run() -> ExitCode {
    let trial = trial::run_a_job();
    let can_run = trial.ok;
    let findings = dsm::probe().into_iter().chain(checks::of_this_machine()).chain([trial]);
    let mut text: String = findings.map(|finding| show(&finding)).collect();
    text.push_str(if can_run { "\njobs can run here\n" } else { "\nno job can run here\n" });
    // Nobody is left to be told that nobody listens.
    let _ = io::stdout().write_all(text.as_bytes());
    if can_run { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(Finding { what, ok, detail, mend }: &Finding) -> String {
    let mark = if *ok { "ok" } else { "--" };
    let mend = mend.iter().map(|mend| format!("{:26} -> {mend}\n", "")).collect::<String>();
    format!("{mark:2}  {what:22} {detail}\n{mend}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_remedy_another() {
        let good = Finding { what: "page size", ok: true, detail: "4096".into(), mend: None };
        assert_eq!(show(&good), "ok  page size              4096\n");
        let mend = Some("ulimit -n 4096".into());
        let bad = Finding { what: "descriptors", ok: false, detail: "16".into(), mend };
        let line = "--  descriptors            16\n";
        assert_eq!(show(&bad), format!("{line}{:26} -> ulimit -n 4096\n", ""));
    }
}
