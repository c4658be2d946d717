//! Twenty weeks of care in a minute: synthetic patients, the real doors, a chart to look at.

use clap::Args;

use crate::problem::Problem;

/// What the demo may be told.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Stop after printing.
    #[arg(long)]
    pub exit: bool,
    /// Write to this FHIR server instead of the sandbox.
    #[arg(long)]
    pub ehr: Option<String>,
}

/// Runs it.
///
/// # Errors
/// What went wrong, for the person at the terminal.
pub async fn run(options: Options) -> Result<(), Problem> {
    let _ = options;
    Ok(())
}
