//! `--report`: what became of a job, as JSON for programs. The fields are documented in dsmexec(1).

use super::chronicle::RankStory;
use crate::exit_code::ExitCode;
use dsm_net::launch::JobId;
use serde::Serialize;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A report that will be written, and when its job began.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    path: PathBuf,
    began: SystemTime,
}

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'a> {
    /// None if there was not even a plan.
    pub(crate) job: Option<JobId>,
    pub(crate) code: ExitCode,
    /// The last line on standard error; none if the job succeeded.
    pub(crate) reason: Option<&'a str>,
    pub(crate) ranks: &'a [RankStory],
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    job: Option<String>,
    command: Vec<String>,
    dsmexec: &'static str,
    started_at: String,
    ended_at: String,
    exit_code: i32,
    reason: Option<&'a str>,
    ranks: &'a [RankStory],
}

impl Report {
    /// Makes sure that a report can be written to this path, and leaves what is there.
    ///
    /// # Errors
    /// If nothing can be created beside it, or it is something else than a file.
    pub(crate) fn prepare(path: &Path) -> io::Result<Self> {
        let report = Self { path: path::absolute(path)?, began: SystemTime::now() };
        match fs::metadata(&report.path) {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::other("it is there, and is no regular file"));
            }
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
        let draft = report.draft()?;
        // A dsmexec that is killed leaves nothing behind.
        report.create(&draft).and_then(|_| fs::remove_file(&draft))?;
        Ok(report)
    }

    /// Writes the report beside its place and puts it there, so that nobody sees half of one.
    ///
    /// # Errors
    /// What the kernel says; then what was there before is there still.
    pub(crate) fn write(&self, outcome: Outcome<'_>) -> io::Result<()> {
        let draft = self.draft()?;
        let written = self.create(&draft).and_then(|mut file| {
            file.write_all(&self.text(outcome)?)?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)
        });
        if written.is_err() {
            // Whether it is there or not, the first error is the one to tell.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn text(&self, Outcome { job, code, reason, ranks }: Outcome<'_>) -> io::Result<Vec<u8>> {
        let document = Document {
            format: FORMAT,
            job: job.map(|job| job.to_string()),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            dsmexec: env!("CARGO_PKG_VERSION"),
            started_at: rfc_3339(self.began),
            ended_at: rfc_3339(SystemTime::now()),
            exit_code: code.into(),
            reason,
            ranks,
        };
        let mut text = serde_json::to_vec_pretty(&document)?;
        text.push(b'\n');
        Ok(text)
    }

    fn draft(&self) -> io::Result<PathBuf> {
        let name = self.path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}", std::process::id()));
        Ok(self.path.with_file_name(draft))
    }

    fn create(&self, draft: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)
    }
}

/// UTC to the millisecond.
fn rfc_3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / DAY_S, since.as_secs() % DAY_S);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let ms = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a day after 1970-01-01.
fn date(mut day: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

/// Raised when a field changes its meaning or goes; new ones may come without.
const FORMAT: u32 = 1;
const DAY_S: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |seconds, shown: &str| {
            assert_eq!(rfc_3339(UNIX_EPOCH + Duration::from_secs(seconds)), shown);
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(951_868_799, "2000-02-29T23:59:59.000Z");
        check(1_709_251_199, "2024-02-29T23:59:59.000Z");
        check(1_735_689_599, "2024-12-31T23:59:59.000Z");
        check(1_735_689_600, "2025-01-01T00:00:00.000Z");
        check(1_763_829_296, "2025-11-22T16:34:56.000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_report_replaces_one_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        fs::write(&path, "old").unwrap();
        let report = Report::prepare(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let (code, reason) = (ExitCode::USAGE, Some("a \"word\"\n"));
        report.write(Outcome { job: Some(JobId(0xab)), code, reason, ranks: &[] }).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for expected in [r#""format": 1"#, r#""job": "0000000000ab""#, r#""a \"word\"\n""#] {
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        assert!(Report::prepare(Path::new("/dev/null")).is_err());
        assert!(Report::prepare(Path::new("/")).is_err());
        assert!(Report::prepare(Path::new("/nowhere/at/all/x.json")).is_err());
    }
}
