//! One patient: where they stand and why, every score, what happened, what the chart knows, and what can be entered.

pub mod care_plan;
pub mod documents;
mod forms;
pub mod score;
mod timeline;
pub mod view;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::api_client::ApiCall;
use super::form::Form;
use super::response::{ProblemPage, html};
use super::roles::REVIEWERS;
use super::score_graph::ScoreGraph;
use super::session::{FormPost, Visitor};
use super::shell::{Confirmation, NavSection, Shell};
use super::staff::Teams;
use crate::api::request::{CLINICIANS, READERS};
use crate::domain::chart_plan::{ChartPlan, plan};
use crate::domain::instrument::Instrument;
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;
use crate::fhir::contact_details::ContactDetails;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::store::event_log::{self, EventRow};
use crate::store::outbox::{self, Delivery};
use crate::store::patient::Patient;
use crate::store::{episode, patient, resource, rule_set, story};
use forms::EntryForm;
pub use forms::options;
pub use timeline::{TimelineItem, of as timeline_of};
use view::{AssessmentView, ChartEntry, OpenConcernView, ScoreView};
pub use view::{FindingView, PatientHeader, RecommendationView};

/// Tasks and Flags of one patient that are shown.
const DELIVERIES: i64 = 500;

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PatientPageQuery {
    /// An earlier episode.
    episode: Option<EpisodeId>,
    /// The open form.
    form: String,
    /// The entry just made …
    done: String,
    entry: Option<Uuid>,
}

/// Everything known about one patient, in one read.
pub struct PatientFile {
    pub row: Patient,
    stored: Vec<episode::EpisodeRecord>,
    pub story: Story,
    pub rules: RuleSet,
    pub plan: ChartPlan,
    pub facts: Vec<EventRow>,
    deliveries: Vec<Delivery>,
    pub contact: ContactDetails,
}

impl PatientFile {
    pub async fn read(visitor: &Visitor, id: PatientId) -> Result<Self, Problem> {
        let clinic = visitor.clinic();
        let mut tx = visitor.pages.app.db.read().await?;
        let row = patient::find(&mut tx, clinic, id).await?.ok_or_else(|| Problem::not_found("patient"))?;
        let story = story::of(&mut tx, clinic, &row).await?;
        let stored = episode::of_patient(&mut tx, clinic, row.id).await?;
        let rules = rule_set::active(&mut tx, clinic).await?;
        let facts = event_log::of_patient(&mut tx, clinic, row.id).await?;
        let deliveries = outbox::page(
            &mut tx,
            clinic,
            outbox::DeliveryFilter { patient: Some(row.id), ..outbox::DeliveryFilter::default() },
            None,
            DELIVERIES,
        )
        .await?;
        let chart_id = row.reference.strip_prefix("Patient/").unwrap_or_default();
        let resource = resource::find(&mut tx, clinic, "Patient", chart_id).await?;
        drop(tx);
        let contact = resource.map_or_else(ContactDetails::default, |patient| ContactDetails::of(&patient.body));
        let plan = plan(&story, &rules, visitor.today());
        Ok(Self { row, stored, story, rules, plan, facts, deliveries, contact })
    }

    /// Whether somebody wants it discussed.
    fn is_flagged(&self, episode: EpisodeId) -> bool {
        self.plan.standings.iter().any(|standing| standing.episode == episode && standing.discussion_flag)
    }

    /// The episode asked for; the open one, or the last.
    fn episode(&self, asked: Option<EpisodeId>) -> Option<&episode::EpisodeRecord> {
        let asked = asked.and_then(|id| self.stored.iter().find(|s| s.episode.id == id));
        let open = || self.stored.iter().rev().find(|s| s.discharged_on.is_none());
        asked.or_else(open).or_else(|| self.stored.last())
    }
}

/// A form of the page, folded or open.
struct PatientForm {
    name: &'static str,
    title: &'static str,
    form: Form,
    open: bool,
}

#[derive(Template)]
#[template(path = "patient.html")]
struct PatientPage {
    shell: Shell,
    head: PatientHeader,
    chart: Option<ScoreGraph>,
    said: Vec<FindingView>,
    /// Why somebody without an episode might be offered one.
    candidate: Option<String>,
    open: Vec<OpenConcernView>,
    last_assessment: Option<AssessmentView>,
    safety_form: Option<PatientForm>,
    entries: Vec<PatientForm>,
    followed: Vec<RecommendationView>,
    chart_entries: Vec<ChartEntry>,
    scores: Vec<ScoreView>,
    happenings: Vec<TimelineItem>,
    patient: PatientId,
    /// The episode that is shown.
    episode: Option<EpisodeId>,
    /// May be talked about in a review session.
    discusses: bool,
    takes_back: bool,
    /// Instruments whose answers can be entered: (id, title).
    instruments: Vec<(&'static str, &'static str)>,
    rule_set: String,
}

pub async fn show(
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<PatientPageQuery>,
) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let id: PatientId = id.parse().map_err(|_| Problem::not_found("patient"))?;
    let whole = PatientFile::read(&visitor, id).await?;
    if whole.row.id != id {
        // Merged into another record.
        return Ok(Redirect::to(&format!("/patients/{}", whole.row.id)).into_response());
    }
    render(&visitor, whole, &asked, None).await
}

async fn render(
    visitor: &Visitor,
    whole: PatientFile,
    asked: &PatientPageQuery,
    tried: Option<Form>,
) -> Result<Response, ProblemPage> {
    let today = visitor.today();
    let stored = whole.episode(asked.episode);
    let standing = stored.and_then(|s| whole.plan.standings.iter().find(|standing| standing.episode == s.episode.id));
    let status = if tried.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut shell = Shell::around(visitor, whole.row.label(), NavSection::Caseload).await?;
    shell.done = EntryForm::named(&asked.done).map(|what| Confirmation {
        words: what.words().1.to_owned(),
        undo: asked.entry.map(|entry| format!("/patients/{}/take-back?entry={entry}", whole.row.id)),
    });
    if asked.done == "score" {
        shell.done = Some(Confirmation { words: "The score was saved.".to_owned(), undo: None });
    }
    if asked.done == "take-back" {
        shell.done =
            Some(Confirmation { words: "The entry was taken back; it stays in the timeline.".to_owned(), undo: None });
    }
    let teams = Teams::read(visitor).await?;
    let mut forms: Vec<PatientForm> = EntryForm::ALL
        .into_iter()
        .filter(|what| visitor.is(what.roles()) && what.fits(stored.map(|s| s.phase), &whole))
        .map(|what| {
            let form = match &tried {
                Some(form) if form.id == what.name() => form.clone(),
                _ => what.form(visitor, &whole, stored, &teams),
            };
            let open = form.problem.is_some() || asked.form == what.name();
            PatientForm { name: what.name(), title: what.words().0, form, open }
        })
        .collect();
    let safety_form =
        forms.iter().position(|entry| entry.name == EntryForm::SafetyAssessment.name()).map(|at| forms.remove(at));
    let followed = view::followed(visitor, &whole, stored.map(|s| s.episode.id), tried.as_ref(), today);
    let page = PatientPage {
        head: PatientHeader::of(&whole, stored, standing, today),
        chart: standing.and_then(|standing| {
            let enrolled = stored.and_then(|s| s.episode.enrolled_on);
            ScoreGraph::of(&whole.story, standing, &whole.rules, enrolled, today)
        }),
        candidate: view::candidacy(&whole, today),
        said: standing.map_or_else(Vec::new, |standing| view::said(standing, &whole, today)),
        open: view::open(&whole, today),
        last_assessment: view::last_assessment(&whole.story, today),
        safety_form,
        entries: forms,
        followed,
        chart_entries: view::chart_entries(&whole.deliveries, visitor.zone(), today),
        scores: view::scores(&whole.story, today),
        happenings: timeline_of(&whole.facts, today),
        patient: whole.row.id,
        episode: stored.map(|s| s.episode.id),
        discusses: visitor.is(REVIEWERS) && stored.is_some_and(|s| s.phase.allowed().contains(&"case_review")),
        takes_back: visitor.is(CLINICIANS),
        instruments: if visitor.is(CLINICIANS) { to_enter(stored) } else { Vec::new() },
        rule_set: whole.rules.label(),
        shell,
    };
    Ok((status, html(&page)).into_response())
}

/// What is usually measured here: the episode's target measures, and the two scales of every program.
fn to_enter(stored: Option<&episode::EpisodeRecord>) -> Vec<(&'static str, &'static str)> {
    let mut instruments = stored.map_or_else(Vec::new, |stored| stored.episode.target_instruments.clone());
    instruments.extend(
        [Instrument::PHQ9, Instrument::GAD7].into_iter().filter(|one| !instruments.contains(one)).collect::<Vec<_>>(),
    );
    instruments.into_iter().map(|one| (one.id(), one.title())).collect()
}

/// The address of a form, read: after a reload, or from the history of the browser. Opens the form on its page.
pub async fn reopen(visitor: Visitor, Path((id, name)): Path<(String, String)>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let id: PatientId = id.parse().map_err(|_| Problem::not_found("patient"))?;
    let form = EntryForm::named(&name).map_or_else(String::new, |form| format!("?form={0}#enter-{0}", form.name()));
    Ok(Redirect::to(&format!("/patients/{id}{form}")).into_response())
}

/// What was typed into one of the page's forms.
pub async fn enter(
    Path((id, name)): Path<(String, String)>,
    Query(asked): Query<PatientPageQuery>,
    submitted: FormPost,
) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let id: PatientId = id.parse().map_err(|_| Problem::not_found("patient"))?;
    let whole = PatientFile::read(visitor, id).await?;
    match name.as_str() {
        "take-back" => return take_back(&submitted, &whole, asked.entry).await,
        "decision" => return decide(&submitted, whole).await,
        _ => {}
    }
    let what = EntryForm::named(&name).ok_or_else(|| Problem::not_found("form"))?;
    visitor.caller.require(what.roles())?;
    let stored = whole.episode(None);
    let episode = stored.map(|stored| stored.episode.id);
    let (method, path) = what.call(whole.row.id, episode).ok_or_else(|| Problem::not_found("episode"))?;
    let mut form = what.form(visitor, &whole, stored, &Teams::default());
    form.fill(&submitted.fields);
    if let Some(typed) = form.json() {
        let body = what.body(typed, &whole, stored);
        let call = ApiCall { once: Some(&form.once), body: Some(&body), ..ApiCall::of(&method, &path) };
        match visitor.pages.door.call(&visitor.caller, call).await {
            Ok(entered) => {
                // An episode is no entry: it is not taken back.
                let entry = entered["id"].as_str().filter(|_| what.is_entry());
                let entry = entry.map(|entry| format!("&entry={entry}")).unwrap_or_default();
                return Ok(Redirect::to(&format!("/patients/{id}?done={}{entry}", what.name())).into_response());
            }
            Err(refused) if refused.status >= 500 => return Err(refused.into()),
            Err(refused) => form.blame(refused, visitor),
        }
    }
    render(visitor, whole, &PatientPageQuery::default(), Some(form)).await
}

async fn take_back(submitted: &FormPost, whole: &PatientFile, entry: Option<Uuid>) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let entry = entry.ok_or_else(|| Problem::not_found("entry"))?;
    let reason = submitted.get("reason").map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.ok_or_else(|| Problem::unprocessable("say why: it is part of the record"))?;
    let of_entry = whole.story.entries.iter().find(|e| e.id == entry).ok_or_else(|| Problem::not_found("entry"))?;
    let path = match of_entry.episode {
        Some(episode) => format!("episodes/{episode}/entries/{entry}/take-back"),
        None => format!("patients/{}/entries/{entry}/take-back", whole.row.id),
    };
    let body = serde_json::json!({"reason": reason});
    visitor.pages.door.post(&visitor.caller, &path, None, &body).await?;
    let to = submitted.get("to").filter(|to| to.starts_with("/review/"));
    let to = to.map_or_else(|| format!("/patients/{}?done=take-back", whole.row.id), str::to_owned);
    Ok(Redirect::to(&to).into_response())
}

async fn decide(submitted: &FormPost, whole: PatientFile) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let id: Uuid = submitted
        .get("recommendation")
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Problem::not_found("recommendation"))?;
    let followed = crate::domain::recommendation::follow(&whole.story, id);
    let followed = followed.ok_or_else(|| Problem::not_found("recommendation"))?;
    let mut form = forms::decision(visitor, whole.row.id, id, followed.allowed());
    form.fill(&submitted.fields);
    forms::require_reason(&mut form);
    if let Some(body) = form.json() {
        let path = format!("recommendations/{id}/decision");
        match visitor.pages.door.post(&visitor.caller, &path, Some(&form.once), &Value::Object(body)).await {
            Ok(decided) => {
                let patient = whole.row.id;
                let back = submitted.get("to").filter(|to| to.starts_with("/my-patients?"));
                let entry = decided["id"].as_str().map(|entry| format!("&entry={entry}")).unwrap_or_default();
                let to = back.map(|back| format!("{back}&done=decision&patient={patient}{entry}"));
                let to = to.unwrap_or_else(|| format!("/patients/{patient}#recommendations"));
                return Ok(Redirect::to(&to).into_response());
            }
            Err(refused) if refused.status >= 500 => return Err(refused.into()),
            Err(refused) => form.blame(refused, visitor),
        }
    }
    render(visitor, whole, &PatientPageQuery::default(), Some(form)).await
}
