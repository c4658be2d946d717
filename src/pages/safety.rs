//! Unassessed answers to PHQ-9 item 9: a strip on every page, and a list of its own.

use askama::Template;
use axum::response::Response;

use super::response::{ProblemPage, html};
use super::safety_strip::{SafetyItem, waiting};
use super::session::Visitor;
use super::shell::{NavSection, Shell};
use crate::api::request::READERS;

/// More open concerns than any clinic should have: the list shows the oldest so many.
const MOST: i64 = 1000;

#[derive(Template)]
#[template(path = "safety.html")]
struct SafetyPage {
    shell: Shell,
    waiting: Vec<SafetyItem>,
    /// How many are not shown.
    more: i64,
    assesses: bool,
}

pub async fn show(visitor: Visitor) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let shell = Shell::around(&visitor, "Safety", NavSection::Safety).await?;
    let waiting = waiting(&visitor, MOST, usize::MAX).await?;
    let more = shell.safety.count - i64::try_from(waiting.len()).unwrap_or_default();
    let assesses = visitor.is(crate::api::request::CLINICIANS);
    Ok(html(&SafetyPage { shell, waiting, more, assesses }))
}
