//! What a day's review came to, to print.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use uuid::Uuid;

use crate::api::request::READERS;
use crate::domain::care::Care;
use crate::pages::moment::{day, whole_day};
use crate::pages::session::Visitor;
use crate::pages::shell::{Done, Part, Shell, Trouble, html};
use crate::pages::words;
use crate::problem::Problem;
use crate::store::{fact, patient};

/// Which day.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    on: Option<NaiveDate>,
    saved: Option<Uuid>,
    of: Option<Uuid>,
}

/// One review.
struct Line {
    patient: Uuid,
    name: String,
    reviewer: String,
    summary: String,
    minutes: Option<u16>,
    recommendations: Vec<String>,
    undo: Option<String>,
}

#[derive(Template)]
#[template(path = "review_summary.html")]
struct SummaryPage {
    shell: Shell,
    on: NaiveDate,
    when: String,
    lines: Vec<Line>,
    minutes: u32,
    recommendations: usize,
}

/// The page.
pub async fn show(visitor: Visitor, Query(asked): Query<Asked>) -> Result<Response, Trouble> {
    visitor.caller.require(READERS)?;
    let today = visitor.today();
    let on = asked.on.unwrap_or(today);
    let mut tx = visitor.pages.app.db.read().await?;
    let facts = fact::reviews_on(&mut tx, visitor.clinic(), on).await?;
    let mut lines = Vec::new();
    for entry in facts {
        let row = patient::find(&mut tx, visitor.clinic(), entry.0).await?;
        let row = row.ok_or_else(|| Problem::not_found("patient"))?;
        let entries = fact::entries(&mut tx, visitor.clinic(), row.id).await?;
        if entries.iter().any(|e| matches!(e.care, Care::TakenBack { entry: taken, .. } if taken == entry.1.id)) {
            continue;
        }
        let Care::CaseReview { reviewer, summary, minutes, recommendations, .. } = entry.1.care else { continue };
        lines.push(Line {
            patient: row.id,
            name: row.label(),
            reviewer,
            summary: summary.unwrap_or_default(),
            minutes,
            recommendations: recommendations
                .iter()
                .map(|r| {
                    let due = r.due_on.map(|on| format!(", by {}", day(on, today))).unwrap_or_default();
                    format!("{} (to {}{due}): {}", words::change(r.kind), words::addressee(r.to), r.text)
                })
                .collect(),
            undo: (on == today).then(|| format!("/patients/{}/take-back?entry={}&to=review", row.id, entry.1.id)),
        });
    }
    drop(tx);
    let mut shell = Shell::around(&visitor, "Session summary", Part::Review).await?;
    if let (Some(entry), Some(of)) = (asked.saved, asked.of) {
        let undo = Some(format!("/patients/{of}/take-back?entry={entry}&to=review"));
        shell.done = Some(Done { words: "The review was saved.".to_owned(), undo });
    }
    let minutes = lines.iter().filter_map(|line| line.minutes).map(u32::from).sum();
    let recommendations = lines.iter().map(|line| line.recommendations.len()).sum();
    Ok(html(&SummaryPage { shell, on, when: whole_day(on), lines, minutes, recommendations }))
}
