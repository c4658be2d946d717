//! The caseload: one row per open episode, from one read of what is ready-made.

pub mod choice;
pub mod row;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;

use super::identity;
use super::response::{ProblemPage, html};
use super::session::Visitor;
use super::shell::{NavSection, Shell};
use super::staff::one_of;
use crate::api::registry::{Format, export_episodes};
use crate::api::request::READERS;
use crate::domain::caseload_row::CaseloadRow;
use crate::store::standing::caseload::{self, ROWS};
use choice::{CaseloadChoice, ColumnHeading, FilterChip, SelectOption};
use row::CaseloadPageRow;

#[derive(Template)]
#[template(path = "caseload.html")]
struct CaseloadPage {
    shell: Shell,
    choice: CaseloadChoice,
    chips: Vec<FilterChip>,
    /// A care manager's own caseload, and everybody's.
    own: Option<[FilterChip; 2]>,
    managers: Vec<SelectOption>,
    statuses: Vec<SelectOption>,
    findings: Vec<SelectOption>,
    headings: Vec<ColumnHeading>,
    rows: Vec<CaseloadPageRow>,
    /// How many there are in all, before and after the filters.
    all: usize,
    found: usize,
    /// The first and the last row shown, from 1.
    first: usize,
    last: usize,
    /// The pages before and after.
    before: Option<String>,
    after: Option<String>,
    today: String,
    /// The query of these rows, for the exports.
    export: String,
    /// Filter in words, for print.
    narrowed: String,
    /// Rows shown whose patient was not planned yet by this version of the program.
    unplanned: usize,
}

pub async fn show(visitor: Visitor, Query(choice): Query<CaseloadChoice>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let today = visitor.today();
    let asked = choice.asked();
    let mut tx = visitor.pages.app.db.read().await?;
    let tallies = caseload::tally(&mut tx, visitor.clinic(), asked.discharged, asked.name).await?;
    let (all, found) = (tallies.iter().map(|tally| tally.episodes).sum(), choice.found(&tallies));
    let page = choice.page();
    let start = (page * ROWS).min(found);
    let episodes = caseload::found(&mut tx, visitor.clinic(), asked, choice.order(), start).await?;
    let read = caseload::rows(&mut tx, visitor.clinic(), &episodes).await?;
    let mut known = identity::read(&mut tx, visitor.clinic(), read.iter().map(|row| row.patient_id)).await?;
    drop(tx);
    let names: Vec<&str> = tallies.iter().filter_map(|tally| tally.care_manager.as_deref()).collect();
    let own = one_of(&visitor.session.name, &names).map(str::to_owned);
    let none = CaseloadRow::default();
    let lines: Vec<Option<CaseloadRow>> = read.iter().map(caseload::EpisodeListing::line).collect();
    let rows: Vec<CaseloadPageRow> = read
        .iter()
        .zip(&lines)
        .map(|(row, line)| {
            // Of two episodes of one person each row says who it is.
            let identity = known.entry(row.patient_id).or_default().clone();
            CaseloadPageRow::of(row, identity, line.as_ref().unwrap_or(&none), today)
        })
        .collect();
    let shell = Shell::around(&visitor, "Caseload", NavSection::Caseload).await?;
    let page = CaseloadPage {
        chips: choice.chips(&tallies),
        own: own.map(|own| choice.of_manager(&own, &tallies)),
        managers: choice.managers(&tallies),
        statuses: choice.statuses(),
        findings: choice.findings(&tallies),
        headings: choice.headings(),
        all,
        found,
        first: (start + 1).min(found),
        last: start + rows.len(),
        before: page.checked_sub(1).map(|before| choice.at_page(before)),
        after: (start + rows.len() < found).then(|| choice.at_page(page + 1)),
        today: super::date_texts::whole_day(today),
        export: choice.for_export(),
        narrowed: choice.in_words(),
        unplanned: lines.iter().filter(|line| line.is_none()).count(),
        rows,
        shell,
        choice,
    };
    Ok(html(&page))
}

/// The rows that the page shows, of every page, as a table for a spreadsheet.
pub async fn csv(visitor: Visitor, Query(choice): Query<CaseloadChoice>) -> Result<Response, ProblemPage> {
    export(&visitor, &choice, Format::Csv).await
}

/// The same as a workbook.
pub async fn xlsx(visitor: Visitor, Query(choice): Query<CaseloadChoice>) -> Result<Response, ProblemPage> {
    export(&visitor, &choice, Format::Xlsx).await
}

async fn export(visitor: &Visitor, choice: &CaseloadChoice, format: Format) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let mut tx = visitor.pages.app.db.read().await?;
    let mut episodes = Vec::new();
    loop {
        let more = caseload::found(&mut tx, visitor.clinic(), choice.asked(), choice.order(), episodes.len()).await?;
        let is_last = more.len() < ROWS;
        episodes.extend(more);
        if is_last {
            break;
        }
    }
    drop(tx);
    Ok(export_episodes(&visitor.pages.app, visitor.clinic(), &episodes, format).await?)
}
