//! Patients who screened positive and have no episode: to be enrolled or dismissed.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::date_texts::{day, in_sentence};
use super::response::{ProblemPage, html};
use super::session::Visitor;
use super::shell::{NavSection, Shell};
use super::words;
use crate::api::request::READERS;
use crate::domain::candidate::Candidate;
use crate::id::PatientId;
use crate::identity::Role;
use crate::problem::Problem;

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CandidatesPageQuery {
    /// List dismissed candidates.
    dismissed: bool,
    /// Where a page goes on.
    cursor: String,
}

impl CandidatesPageQuery {
    /// The address of a page of the same candidates.
    fn address(&self, path: &str, cursor: &str) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        query.append_pair("dismissed", if self.dismissed { "true" } else { "false" });
        if !cursor.is_empty() {
            query.append_pair("cursor", cursor);
        }
        query.finish()
    }
}

/// A candidate, as the API tells it.
#[derive(Deserialize)]
struct CandidateReply {
    patient: CandidateName,
    age: Option<i32>,
    language: Option<String>,
    waiting_days: i64,
    #[serde(flatten)]
    candidate: Candidate,
}

#[derive(Deserialize)]
struct CandidateName {
    id: PatientId,
    display_name: String,
}

struct CandidateRow {
    patient: PatientId,
    name: String,
    about: String,
    scores: Vec<String>,
    waiting: i64,
    reason: String,
    /// The last episode, and that it was dismissed.
    remarks: Vec<String>,
}

#[derive(Template)]
#[template(path = "candidates.html")]
struct CandidatesPage {
    shell: Shell,
    rows: Vec<CandidateRow>,
    dismissed: bool,
    enrols: bool,
    dismisses: bool,
    more: Option<String>,
}

pub async fn show(visitor: Visitor, Query(asked): Query<CandidatesPageQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let mut said = visitor.pages.door.get(&visitor.caller, &asked.address("candidates", &asked.cursor)).await?;
    let more = said["next"].as_str().map(|cursor| asked.address("/candidates", cursor));
    let told: Vec<CandidateReply> =
        serde_json::from_value(said["items"].take()).map_err(|_| Problem::internal("candidates could not be read"))?;
    Ok(html(&CandidatesPage {
        rows: told.into_iter().map(|told| row(told, &visitor)).collect(),
        dismissed: asked.dismissed,
        enrols: visitor.is(&[Role::CareManager]),
        dismisses: !asked.dismissed && visitor.is(&[Role::CareManager, Role::PrimaryCare]),
        more,
        shell: Shell::around(&visitor, "Candidates", NavSection::Candidates).await?,
    }))
}

fn row(told: CandidateReply, visitor: &Visitor) -> CandidateRow {
    let (today, candidate) = (visitor.today(), told.candidate);
    let score = |s: &crate::domain::candidate::PositiveScore| {
        format!("{} {}, {}", s.instrument, s.score, day(s.taken_on, today))
    };
    let earlier = candidate.earlier.map(|earlier| {
        let why = earlier.reason.map(|reason| format!(", {}", words::discharge(reason).to_lowercase()));
        let what = if earlier.was_enrolled { "An episode" } else { "A referral" };
        format!("{what} ended {}{}", day(earlier.ended_on, today), why.unwrap_or_default())
    });
    let dismissed = candidate.dismissed.map(|of| format!("Dismissed {}: {}", day(of.on, today), of.reason));
    let about = [told.age.map(|age| format!("{age} years")), told.language].into_iter().flatten();
    CandidateRow {
        patient: told.patient.id,
        name: told.patient.display_name,
        about: about.collect::<Vec<_>>().join(", "),
        scores: candidate.scores.iter().map(score).collect(),
        waiting: told.waiting_days,
        reason: in_sentence(&candidate.reason, today),
        remarks: earlier.into_iter().chain(dismissed).collect(),
    }
}
