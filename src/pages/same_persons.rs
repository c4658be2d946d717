//! Records that are perhaps one person, side by side: join them, or keep them apart.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::date_texts::{day, instant, whole_day};
use super::response::{ProblemPage, html};
use super::session::{FormPost, Visitor};
use super::shell::{Confirmation, NavSection, Shell};
use super::words;
use crate::api::registry::{MatchedRecord, PatientMatchBody, side_by_side};
use crate::api::request::READERS;
use crate::domain::patient_match::MatchState;
use crate::id::PatientId;
use crate::identity::Role;
use crate::problem::Problem;
use crate::store::patient::matches;

/// Pairs shown at once.
const SHOWN: i64 = 50;

/// The decision just made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SamePersonsQuery {
    done: String,
}

/// A line of the comparison.
struct ComparedLine {
    what: &'static str,
    one: String,
    other: String,
}

impl ComparedLine {
    fn differs(&self) -> bool {
        self.one != self.other
    }
}

/// Two records, compared.
struct ComparedPair {
    id: Uuid,
    found: String,
    reasons: Vec<&'static str>,
    one: PatientId,
    other: PatientId,
    one_name: String,
    other_name: String,
    lines: Vec<ComparedLine>,
    /// What was decided, by whom and why.
    decided: Option<String>,
}

#[derive(Template)]
#[template(path = "same_persons.html")]
struct SamePersonsPage {
    shell: Shell,
    open: Vec<ComparedPair>,
    decided: Vec<ComparedPair>,
    decides: bool,
}

pub async fn show(visitor: Visitor, Query(asked): Query<SamePersonsQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let mut shell = Shell::around(&visitor, "Same person?", NavSection::Candidates).await?;
    let said = match asked.done.as_str() {
        "join" => Some("The two records are one person from now on."),
        "keep_apart" => Some("The two records stay apart."),
        "reopen" => Some("The decision was taken back: both records are as they were."),
        _ => None,
    };
    shell.done = said.map(|words| Confirmation { words: words.to_owned(), undo: None });
    let open = pairs(&visitor, MatchState::Open).await?;
    let mut decided = pairs(&visitor, MatchState::Joined).await?;
    decided.extend(pairs(&visitor, MatchState::KeptApart).await?);
    Ok(html(&SamePersonsPage { shell, open, decided, decides: visitor.is(&[Role::CareManager]) }))
}

async fn pairs(visitor: &Visitor, state: MatchState) -> Result<Vec<ComparedPair>, Problem> {
    let mut tx = visitor.pages.app.db.read().await?;
    let mut pairs = Vec::new();
    for found in matches::page(&mut tx, visitor.clinic(), state, None, SHOWN).await? {
        pairs.push(pair(&side_by_side(&mut tx, visitor.clinic(), found).await?, visitor));
    }
    Ok(pairs)
}

fn pair(body: &PatientMatchBody, visitor: &Visitor) -> ComparedPair {
    let (zone, today) = (visitor.zone(), visitor.today());
    let lines = [
        ("Name", name as fn(&MatchedRecord) -> String),
        ("Birth date", |record| known(record.identity.birth_date.as_deref())),
        ("Sex", |record| known(record.identity.gender.as_deref())),
        ("Language", |record| known(record.identity.language.as_deref())),
        ("In the chart as", |record| record.identity.reference.clone()),
        ("Known by", |record| record.keys.join("; ")),
        ("Episodes", episodes),
    ];
    let decided = body.decided_at.map(|at| {
        let what = if body.state == MatchState::Joined { "Joined" } else { "Kept apart" };
        let by = body.decided_by.as_deref().unwrap_or("somebody");
        let why = body.decision_reason.as_deref().unwrap_or_default();
        format!("{what} by {by}, {}: {why}", instant(at, zone, today))
    });
    ComparedPair {
        id: body.id,
        found: day(body.found_at.with_timezone(&zone).date_naive(), today),
        reasons: body.reasons.iter().map(|reason| words::match_reason(*reason)).collect(),
        one: body.one.identity.id,
        other: body.other.identity.id,
        one_name: name(&body.one),
        other_name: name(&body.other),
        lines: lines
            .into_iter()
            .map(|(what, of)| ComparedLine { what, one: of(&body.one), other: of(&body.other) })
            .collect(),
        decided,
    }
}

fn name(record: &MatchedRecord) -> String {
    record.identity.display_name.clone().unwrap_or_else(|| record.identity.reference.clone())
}

fn known(value: Option<&str>) -> String {
    value.unwrap_or("not known").to_owned()
}

fn episodes(record: &MatchedRecord) -> String {
    let episode = |one: &crate::api::registry::EpisodeBody| {
        let from = one.enrolled_on.map_or_else(|| "referred".to_owned(), |on| format!("since {}", whole_day(on)));
        let to = one.discharged_on.map(|on| format!(" to {}", whole_day(on))).unwrap_or_default();
        let with = one.care_manager.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
        format!("{} {from}{to}{with}", words::phase(one.status))
    };
    let all: Vec<String> = record.episodes.iter().map(episode).collect();
    if all.is_empty() { "none".to_owned() } else { all.join("; ") }
}

/// A decision about two records.
pub async fn decide(Path(id): Path<String>, submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let id: Uuid = id.parse().map_err(|_| Problem::not_found("match"))?;
    let reason = submitted.get("reason").map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.ok_or_else(|| Problem::unprocessable("say why: it is part of the record"))?;
    let (decision, survivor) = match submitted.get("decision").unwrap_or_default() {
        "keep_apart" => ("keep_apart", None),
        "reopen" => ("reopen", None),
        survivor => ("join", Some(survivor)),
    };
    let mut body = json!({"decision": decision, "reason": reason});
    if let Some(survivor) = survivor {
        body["survivor"] = survivor.into();
    }
    let path = format!("patient-matches/{id}/decision");
    visitor.pages.door.post(&visitor.caller, &path, None, &body).await?;
    Ok(Redirect::to(&format!("/same-persons?done={decision}")).into_response())
}
