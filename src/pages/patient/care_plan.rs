//! The plan that patient and team share: as it holds, and the form that writes the next version.

mod rows;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::PatientFile;
use crate::api::request::{CLINICIANS, READERS};
use crate::domain::care::{Intervention, SharedCarePlan};
use crate::domain::instrument::Instrument;
use crate::id::{EpisodeId, PatientId};
use crate::pages::api_client::ApiCall;
use crate::pages::date_texts::day;
use crate::pages::form::Form;
use crate::pages::response::{ProblemPage, html};
use crate::pages::session::{FormPost, Visitor};
use crate::pages::shell::{Confirmation, NavSection, Shell};
use crate::problem::Problem;
use rows::{LISTS, PlanList};

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CarePlanPageQuery {
    episode: Option<EpisodeId>,
    version: Option<i64>,
    done: bool,
}

/// A version, as the API tells it.
#[derive(Deserialize)]
struct CarePlanReply {
    version: i64,
    on: NaiveDate,
    holds: bool,
    taken_back: bool,
    targets_now: Vec<TargetReply>,
    #[serde(flatten)]
    plan: SharedCarePlan,
}

#[derive(Deserialize)]
struct TargetReply {
    instrument: Instrument,
    at_most: u16,
    by: Option<NaiveDate>,
    score: Option<u16>,
    reached: bool,
}

/// A version in the list.
#[derive(Deserialize)]
struct VersionReply {
    version: i64,
    on: NaiveDate,
    by: String,
    holds: bool,
    taken_back: bool,
}

/// A part of the plan, in sentences.
struct PlanSection {
    title: &'static str,
    lines: Vec<String>,
}

#[derive(Template)]
#[template(path = "care_plan.html")]
struct CarePlanPage {
    shell: Shell,
    patient: PatientId,
    episode: EpisodeId,
    name: String,
    /// The version that is shown: its number, date and writer, and whether it holds.
    shown: Option<(i64, String, String, &'static str)>,
    sections: Vec<PlanSection>,
    /// (version, words, shown)
    versions: Vec<(i64, String, bool)>,
    form: Option<Form>,
    lists: &'static [PlanList],
    open: bool,
}

pub async fn show(
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<CarePlanPageQuery>,
) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    render(&visitor, &read(&visitor, &id).await?, &asked, None).await
}

async fn read(visitor: &Visitor, id: &str) -> Result<PatientFile, Problem> {
    PatientFile::read(visitor, id.parse().map_err(|_| Problem::not_found("patient"))?).await
}

/// A version; the one that holds where none is named. `None` where there is none.
async fn version(
    visitor: &Visitor,
    episode: EpisodeId,
    number: Option<i64>,
) -> Result<Option<CarePlanReply>, ProblemPage> {
    let query = number.map(|number| format!("?version={number}")).unwrap_or_default();
    match visitor.pages.door.get(&visitor.caller, &format!("episodes/{episode}/care-plan{query}")).await {
        Ok(said) => Ok(Some(serde_json::from_value(said).map_err(|_| unreadable())?)),
        Err(refused) if refused.status == 404 && number.is_none() => Ok(None),
        Err(refused) => Err(refused.into()),
    }
}

fn unreadable() -> Problem {
    Problem::internal("a care plan could not be read")
}

async fn render(
    visitor: &Visitor,
    whole: &PatientFile,
    asked: &CarePlanPageQuery,
    tried: Option<Form>,
) -> Result<Response, ProblemPage> {
    let today = visitor.today();
    let stored = whole.episode(asked.episode).ok_or_else(|| Problem::not_found("episode"))?;
    let episode = stored.episode.id;
    let mut listed = visitor.pages.door.get(&visitor.caller, &format!("episodes/{episode}/care-plans")).await?;
    let listed: Vec<VersionReply> = serde_json::from_value(listed["items"].take()).map_err(|_| unreadable())?;
    let shown = version(visitor, episode, asked.version).await?;
    let writes = visitor.is(CLINICIANS) && stored.phase.allowed().contains(&"care_plan");
    let holding = match &shown {
        Some(shown) if !shown.holds => version(visitor, episode, None).await?,
        _ => None,
    };
    let status = if tried.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let open = tried.is_some() || shown.is_none();
    let form = writes.then(|| {
        tried.unwrap_or_else(|| {
            let last = holding.as_ref().or(shown.as_ref().filter(|shown| shown.holds));
            form(visitor, whole, episode, last.map(|last| (last.version, &last.plan)), LISTS.map(|_| 0))
        })
    });
    let state = |holds: bool, taken_back: bool| match (holds, taken_back) {
        (_, true) => "taken back",
        (true, _) => "holds",
        _ => "was replaced",
    };
    let mut shell = Shell::around(visitor, format!("Care plan: {}", whole.row.label()), NavSection::Caseload).await?;
    shell.done =
        asked.done.then(|| Confirmation { words: "The care plan was saved as its next version.".into(), undo: None });
    let page = CarePlanPage {
        patient: whole.row.id,
        episode,
        name: whole.row.label(),
        sections: shown.as_ref().map_or_else(Vec::new, |shown| sections(shown, today)),
        versions: listed
            .iter()
            .map(|v| {
                let words = format!("{}, {}, {}: {}", v.version, day(v.on, today), v.by, state(v.holds, v.taken_back));
                (v.version, words, shown.as_ref().is_some_and(|shown| shown.version == v.version))
            })
            .collect(),
        shown: shown.map(|v| (v.version, day(v.on, today), v.plan.by, state(v.holds, v.taken_back))),
        form,
        lists: &LISTS,
        open,
        shell,
    };
    Ok((status, html(&page)).into_response())
}

/// The form, with the version that it goes on from, and at least so many rows in each list.
fn form(
    visitor: &Visitor,
    whole: &PatientFile,
    episode: EpisodeId,
    last: Option<(i64, &SharedCarePlan)>,
    at_least: [usize; LISTS.len()],
) -> Form {
    let action = format!("/patients/{}/care-plan?episode={episode}", whole.row.id);
    let plan = last.map(|(_, plan)| plan.clone()).unwrap_or_default();
    let mut form = Form::new(visitor, "care-plan", action, "Save as the next version", rows::fields(&plan, at_least));
    let read = last.map(|(version, _)| version.to_string()).unwrap_or_default();
    form.hidden.push(("read", read));
    form
}

fn sections(version: &CarePlanReply, today: NaiveDate) -> Vec<PlanSection> {
    let plan = &version.plan;
    let by = |on: Option<NaiveDate>| on.map(|on| format!(", by {}", day(on, today))).unwrap_or_default();
    let also = |words: &Option<String>| words.as_deref().map(|words| format!(", {words}")).unwrap_or_default();
    let goal = |goal: &crate::domain::care::plan::Goal| {
        let reached = goal.reached_on.map(|on| format!(": reached on {}", day(on, today))).unwrap_or_default();
        format!("{}{}{reached}", goal.text, by(goal.by))
    };
    let target = |target: &TargetReply| {
        let now = match target.score {
            Some(score) if target.reached => format!("now {score}, reached"),
            Some(score) => format!("now {score}"),
            None => "not measured yet".to_owned(),
        };
        format!("{} at most {}{}: {now}", target.instrument, target.at_most, by(target.by))
    };
    let done = |i: &crate::domain::care::plan::PlannedIntervention| {
        format!("{}{}{}", intervention(&i.intervention), also(&i.detail), also(&i.who))
    };
    let all = [
        ("Problems", plan.problems.clone()),
        ("The patient’s goals", plan.goals.iter().map(goal).collect()),
        ("Targets", version.targets_now.iter().map(target).collect()),
        ("Interventions", plan.interventions.iter().map(done).collect()),
        (
            "Medication",
            plan.medication.iter().map(|m| format!("{}{}{}", m.name, also(&m.dose), also(&m.note))).collect(),
        ),
        ("Who does what", plan.responsibilities.iter().map(|r| format!("{}: {}", r.who, r.what)).collect()),
        ("Note", plan.note.iter().cloned().collect()),
    ];
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| PlanSection { title, lines }).collect()
}

/// A known intervention in our words; otherwise as it was written.
fn intervention(said: &str) -> String {
    Intervention::named(said).map_or_else(|| said.to_owned(), |known| known.words().to_owned())
}

/// The next version was typed.
pub async fn write(
    Path(id): Path<String>,
    Query(asked): Query<CarePlanPageQuery>,
    submitted: FormPost,
) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    visitor.caller.require(CLINICIANS)?;
    let whole = read(visitor, &id).await?;
    let episode = whole.episode(asked.episode).ok_or_else(|| Problem::not_found("episode"))?.episode.id;
    let read = submitted.get("read").and_then(|read| read.parse::<i64>().ok());
    let mut form = form(visitor, &whole, episode, None, rows::sent(&submitted.fields));
    form.hidden = vec![("read", read.map(|read| read.to_string()).unwrap_or_default())];
    form.fill(&submitted.fields);
    if let Some(mut body) = rows::body(&mut form) {
        body.insert("by".to_owned(), visitor.session.name.clone().into());
        let (path, tag) = (format!("episodes/{episode}/care-plan"), read.map(|read| format!("\"{read}\"")));
        let body = Value::Object(body);
        let call = ApiCall {
            once: Some(&form.once),
            if_match: tag.as_deref(),
            body: Some(&body),
            ..ApiCall::of(&Method::POST, &path)
        };
        match visitor.pages.door.call(&visitor.caller, call).await {
            Ok(_) => {
                let to = format!("/patients/{}/care-plan?episode={episode}&done=true", whole.row.id);
                return Ok(Redirect::to(&to).into_response());
            }
            Err(refused) if refused.status >= 500 || refused.status == 404 => return Err(refused.into()),
            Err(refused) if refused.status == 412 => {
                let now = version(visitor, episode, None).await?.map(|now| now.version.to_string());
                let now = now.unwrap_or_default();
                form.once = visitor.pages.app.clock.id().to_string();
                form.problem = Some(format!(
                    "Nothing was stored yet: somebody wrote version {now} meanwhile. It stands above; saving again replaces it."
                ));
                form.hidden = vec![("read", now)];
            }
            Err(refused) => rows::blame(&mut form, refused, visitor),
        }
    }
    let asked = CarePlanPageQuery { episode: Some(episode), ..CarePlanPageQuery::default() };
    render(visitor, &whole, &asked, Some(form)).await
}
