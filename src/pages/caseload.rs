//! The caseload: one row per open episode, from one read of what is ready-made.

pub mod choice;
pub mod row;

use askama::Template;
use axum::extract::{Query, RawQuery};
use axum::response::Response;
use uuid::Uuid;

use super::session::Visitor;
use super::shell::{Part, Shell, Trouble, html};
use crate::api::request::READERS;
use crate::domain::line::Line;
use crate::store::standing::{self, Lined};
use choice::{Chip, Choice, Heading, Named};
use row::Row;

/// Rows on one page: everybody of one care manager, and what a browser lays out at once.
const ROWS: usize = standing::DRAWN;

#[derive(Template)]
#[template(path = "caseload.html")]
struct CaseloadPage {
    shell: Shell,
    choice: Choice,
    chips: Vec<Chip>,
    managers: Vec<Named>,
    statuses: Vec<Named>,
    findings: Vec<Named>,
    headings: Vec<Heading>,
    rows: Vec<Row>,
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
    /// The filters that the exports know.
    export: String,
    /// What the rows were narrowed to, in words, for print.
    narrowed: String,
    /// Rows shown whose patient was not planned yet by this version of the program.
    unplanned: usize,
}

/// The page.
pub async fn show(visitor: Visitor, Query(choice): Query<Choice>) -> Result<Response, Trouble> {
    visitor.caller.require(READERS)?;
    let (today, discharged) = (visitor.today(), choice.wants_discharged());
    let mut tx = visitor.pages.app.db.read().await?;
    let all = standing::lines(&mut tx, visitor.clinic(), discharged, choice.order()).await?;
    let mut found: Vec<&Lined> = all.iter().filter(|row| choice.admits(row)).collect();
    let page = choice.page();
    let start = (page * ROWS).min(found.len());
    let end = (start + ROWS).min(found.len());
    choice.sort(&mut found);
    let shown = &found[start..end];
    let episodes: Vec<Uuid> = shown.iter().map(|row| row.episode_id).collect();
    let drawn = standing::drawn(&mut tx, visitor.clinic(), &episodes).await?;
    drop(tx);
    let unplanned = shown.iter().filter(|row| !drawn.contains_key(&row.episode_id)).count();
    let none = Line::default();
    let rows = shown.iter().map(|row| Row::of(row, drawn.get(&row.episode_id).unwrap_or(&none), today)).collect();
    let shell = Shell::around(&visitor, "Caseload", Part::Caseload).await?;
    let page = CaseloadPage {
        chips: choice.chips(&all),
        managers: choice.managers(&all),
        statuses: choice.statuses(),
        findings: choice.findings(&all),
        headings: choice.headings(),
        rows,
        all: all.len(),
        found: found.len(),
        first: (start + 1).min(found.len()),
        last: start + shown.len(),
        before: page.checked_sub(1).map(|before| choice.at_page(before)),
        after: (start + ROWS < found.len()).then(|| choice.at_page(page + 1)),
        today: super::moment::whole_day(today),
        export: choice.for_export(),
        narrowed: choice.in_words(),
        unplanned,
        shell,
        choice,
    };
    Ok(html(&page))
}

/// The same caseload as a table for a spreadsheet: the API's.
pub async fn csv(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    hand_on(&visitor, "caseload.csv", query).await
}

/// The same as a workbook.
pub async fn xlsx(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    hand_on(&visitor, "caseload.xlsx", query).await
}

async fn hand_on(visitor: &Visitor, name: &str, query: Option<String>) -> Response {
    let path = query.map_or_else(|| name.to_owned(), |query| format!("{name}?{query}"));
    visitor.pages.door.hand_on(&visitor.caller, &path, &[]).await
}
