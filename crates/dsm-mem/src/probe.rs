/// What a trial of this machine found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub what: &'static str,
    /// Whether dsm works as well as it can here.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What a person can do about it.
    pub mend: Option<String>,
}

/// Tries what dsm needs of this machine.
#[must_use]
pub fn probe() -> Vec<Finding> {
    Vec::new()
}
