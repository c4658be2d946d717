//! Summary of a session, for print.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::replies::{AgendaState, SessionReply};
use crate::api::request::READERS;
use crate::domain::care::Care;
use crate::id::PatientId;
use crate::pages::date_texts::{day, whole_day};
use crate::pages::response::{ProblemPage, html};
use crate::pages::session::Visitor;
use crate::pages::shell::{Confirmation, NavSection, Shell};
use crate::pages::words;
use crate::problem::Problem;
use crate::store::event_log;

/// Confirmation to show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SummaryPageQuery {
    saved: Option<Uuid>,
    of: Option<PatientId>,
}

struct ReviewSummary {
    patient: PatientId,
    name: String,
    reviewer: String,
    summary: String,
    minutes: Option<u16>,
    recommendations: Vec<String>,
}

/// A patient who was not reviewed.
struct UnreviewedPatient {
    patient: PatientId,
    name: String,
    said: &'static str,
    because: String,
}

#[derive(Template)]
#[template(path = "review_summary.html")]
struct SummaryPage {
    shell: Shell,
    held: SessionReply,
    when: String,
    lines: Vec<ReviewSummary>,
    left: Vec<UnreviewedPatient>,
    minutes: u32,
    recommendations: usize,
}

pub async fn show(
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<SummaryPageQuery>,
) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let held = SessionReply::read(&visitor, &id).await?;
    let planned = held.agenda.iter().filter_map(|item| Some((&item.patient, item.review?)));
    let added = held.added.iter().map(|added| (&added.patient, added.review));
    let mut lines = Vec::new();
    let mut tx = visitor.pages.app.db.read().await?;
    for (patient, review) in planned.chain(added) {
        let entries = event_log::entries(&mut tx, visitor.clinic(), patient.id).await?;
        let entry = entries.into_iter().find(|entry| entry.id == review);
        let Care::CaseReview { reviewer, summary, minutes, recommendations, .. } =
            entry.ok_or_else(|| Problem::internal("a review is not in its patient's record"))?.care
        else {
            continue;
        };
        let said = recommendations.iter().map(|r| {
            let due = r.due_on.map(|on| format!(", by {}", day(on, visitor.today()))).unwrap_or_default();
            format!("{} (to {}{due}): {}", words::change(r.kind), words::addressee(r.to), r.text)
        });
        lines.push(ReviewSummary {
            patient: patient.id,
            name: patient.display_name.clone(),
            reviewer,
            summary: summary.unwrap_or_default(),
            minutes,
            recommendations: said.collect(),
        });
    }
    drop(tx);
    let mut shell = Shell::around(&visitor, "Session summary", NavSection::Review).await?;
    if let (Some(entry), Some(of)) = (asked.saved, asked.of) {
        let undo = Some(format!("/patients/{of}/take-back?entry={entry}"));
        shell.done = Some(Confirmation { words: "The review was saved.".to_owned(), undo });
    }
    let left = held.agenda.iter().filter(|item| item.state != AgendaState::Reviewed).map(|item| UnreviewedPatient {
        patient: item.patient.id,
        name: item.patient.display_name.clone(),
        said: item.state.words().0,
        because: item.deferred_because.clone().unwrap_or_default(),
    });
    let page = SummaryPage {
        shell,
        when: whole_day(held.on),
        minutes: lines.iter().filter_map(|line| line.minutes).map(u32::from).sum(),
        recommendations: lines.iter().map(|line| line.recommendations.len()).sum(),
        left: left.collect(),
        lines,
        held,
    };
    Ok(html(&page))
}
