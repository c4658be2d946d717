//! One patient of a session: where they stand, what happened, and the recommendation beside the trend.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::agenda::AgendaRow;
use super::answers::{AnswerComparison, compared};
use super::replies::{AgendaState, SessionReply};
use crate::api::request::READERS;
use crate::domain::care::{Addressee, Care, ChangeKind};
use crate::domain::medication;
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::pages::api_client::ApiRefusal;
use crate::pages::date_texts::day;
use crate::pages::form::{Form, FormField};
use crate::pages::patient::{
    FindingView, PatientFile, PatientHeader, RecommendationView, TimelineItem, options, timeline_of, view,
};
use crate::pages::response::{ProblemPage, html};
use crate::pages::roles::REVIEWERS;
use crate::pages::score_graph::ScoreGraph;
use crate::pages::session::{FormPost, Visitor};
use crate::pages::shell::{Confirmation, NavSection, Shell};
use crate::pages::words;
use crate::problem::Problem;

/// Recommendations that one review can hold.
const RECOMMENDATIONS: usize = 3;
/// Number of recent events beside the graph.
const LATELY: usize = 8;

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CasePageQuery {
    /// The review that was just saved, and whose it was.
    saved: Option<Uuid>,
    of: Option<PatientId>,
}

#[derive(Template)]
#[template(path = "review_case.html")]
struct CasePage {
    shell: Shell,
    head: PatientHeader,
    session: Uuid,
    /// Where this one stands in the agenda.
    place: Option<AgendaRow>,
    count: usize,
    before: Option<String>,
    after: Option<String>,
    chart: Option<ScoreGraph>,
    said: Vec<FindingView>,
    followed: Vec<RecommendationView>,
    lately: Vec<TimelineItem>,
    /// Medication as documented: name, dose, since when.
    medication: Vec<(String, Option<String>, String)>,
    answers: Vec<AnswerComparison>,
    form: Option<Form>,
    /// Rows of the recommendations within the form.
    rows: Vec<usize>,
    patient: PatientId,
    /// Reviewed in this session: what was said, and how to undo it.
    reviewed: Option<(String, Option<String>)>,
    rule_set: String,
}

pub async fn show(
    visitor: Visitor,
    Path((session, episode)): Path<(String, String)>,
    Query(asked): Query<CasePageQuery>,
) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let held = SessionReply::read(&visitor, &session).await?;
    render(&visitor, &held, episode_of(&episode)?, &asked, None).await
}

fn episode_of(text: &str) -> Result<EpisodeId, Problem> {
    text.parse().map_err(|_| Problem::not_found("episode"))
}

async fn render(
    visitor: &Visitor,
    held: &SessionReply,
    episode: EpisodeId,
    asked: &CasePageQuery,
    tried: Option<Form>,
) -> Result<Response, ProblemPage> {
    let today = visitor.today();
    let absent = || Problem::not_found("episode");
    let mut tx = visitor.pages.app.db.read().await?;
    let stored = crate::store::episode::find(&mut tx, visitor.clinic(), episode).await?.ok_or_else(absent)?;
    drop(tx);
    let whole = PatientFile::read(visitor, stored.patient_id).await?;
    let standing = whole.plan.standings.iter().find(|s| s.episode == episode).ok_or_else(absent)?;
    let at = held.agenda.iter().position(|item| item.episode == episode);
    let link = |at: usize| held.agenda.get(at).map(|item| held.case(item.episode));
    let mut shell = Shell::around(visitor, format!("Review: {}", whole.row.label()), NavSection::Review).await?;
    shell.done = asked.saved.zip(asked.of).map(|(entry, of)| Confirmation {
        words: "The review of the last patient was saved.".to_owned(),
        undo: Some(format!("/patients/{of}/take-back?entry={entry}")),
    });
    let status = if tried.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let writes = held.is_open() && visitor.is(REVIEWERS);
    let waits = held.agenda.iter().filter(|item| item.state == AgendaState::Waiting && item.episode != episode).count();
    let page = CasePage {
        head: PatientHeader::of(&whole, Some(&stored), Some(standing), today),
        session: held.id,
        count: held.agenda.len(),
        before: at.and_then(|at| at.checked_sub(1)).and_then(link),
        after: at.map_or_else(|| link(0), |at| link(at + 1)),
        chart: ScoreGraph::of(&whole.story, standing, &whole.rules, stored.episode.enrolled_on, today),
        said: view::said(standing, &whole, today),
        followed: view::followed(visitor, &whole, Some(episode), None, today),
        lately: timeline_of(&whole.facts, today).into_iter().filter(|h| h.what != "Patient").take(LATELY).collect(),
        medication: medication_of(&whole, today),
        answers: compared(&whole.story, &stored.episode.target_instruments, today),
        form: writes.then(|| tried.unwrap_or_else(|| form(visitor, held, episode, waits > 0))),
        rows: (1..=RECOMMENDATIONS).collect(),
        patient: whole.row.id,
        reviewed: held.review_of(episode).map(|review| {
            let undo = writes.then(|| format!("/patients/{}/take-back?entry={review}", whole.row.id));
            (said_in(&whole, review), undo)
        }),
        rule_set: whole.rules.label(),
        place: at.map(|at| AgendaRow::of(held, &held.agenda[at], visitor)),
        shell,
    };
    Ok((status, html(&page)).into_response())
}

fn medication_of(whole: &PatientFile, today: NaiveDate) -> Vec<(String, Option<String>, String)> {
    let all = medication::current(whole.story.standing_entries());
    all.into_iter().map(|one| (one.name, one.dose, day(one.since, today))).collect()
}

/// A review in a sentence.
fn said_in(whole: &PatientFile, review: Uuid) -> String {
    let entry = whole.story.entries.iter().find(|entry| entry.id == review);
    let Some(Care::CaseReview { reviewer, recommendations, .. }) = entry.map(|entry| &entry.care) else {
        return "Reviewed in this session.".to_owned();
    };
    let said: Vec<String> = recommendations.iter().map(|r| format!("{}: {}", words::change(r.kind), r.text)).collect();
    format!("Reviewed in this session by {reviewer}. {}", said.join("; "))
}

const KINDS: [&str; RECOMMENDATIONS] = ["kind1", "kind2", "kind3"];
const TEXTS: [&str; RECOMMENDATIONS] = ["text1", "text2", "text3"];
const TOS: [&str; RECOMMENDATIONS] = ["to1", "to2", "to3"];
const DUES: [&str; RECOMMENDATIONS] = ["due1", "due2", "due3"];

fn form(visitor: &Visitor, held: &SessionReply, episode: EpisodeId, more: bool) -> Form {
    let mut fields = vec![FormField::area("summary", "What was seen")];
    for n in 0..RECOMMENDATIONS {
        fields.push(FormField::one(KINDS[n], "Recommend", options(ChangeKind::ALL, ChangeKind::as_str, words::change)));
        fields.push(
            FormField::one(TOS[n], "To", options(Addressee::ALL, Addressee::as_str, words::addressee))
                .with(Addressee::PrimaryCare.as_str())
                .required(),
        );
        fields.push(FormField::date(DUES[n], "By", None));
        fields.push(FormField::area(TEXTS[n], "In words"));
    }
    fields.push(FormField::number("minutes", "Minutes"));
    let submit = if more { "Save, next patient" } else { "Save" };
    Form::new(visitor, "review", held.case(episode), submit, fields)
}

/// The review as the API takes it: rows in which something was typed.
fn body(form: &mut Form, held: &SessionReply, visitor: &Visitor) -> Option<Value> {
    for field in form.fields.iter_mut().filter(|f| TOS.contains(&&*f.name) && f.values.is_empty()) {
        field.values = vec![Addressee::PrimaryCare.to_string()];
    }
    let typed = form.json()?;
    let mut recommendations = Vec::new();
    let mut wrong = false;
    for n in 0..RECOMMENDATIONS {
        let text = |name: &str| typed.get(name).cloned();
        let (kind, words) = (text(KINDS[n]), text(TEXTS[n]));
        let says = match (&kind, &words) {
            (None, None) => continue,
            // To go on as planned needs no further words.
            (Some(kind), None) if *kind == ChangeKind::Continue.as_str() => json!("Continue as planned."),
            (Some(_), Some(words)) => words.clone(),
            (kind, _) => {
                let (field, problem) = if kind.is_none() {
                    (KINDS[n], "say what kind of recommendation it is")
                } else {
                    (TEXTS[n], "say it in words")
                };
                if let Some(field) = form.fields.iter_mut().find(|f| f.name == field) {
                    field.problem = Some(problem.to_owned());
                }
                wrong = true;
                continue;
            }
        };
        let mut one = Map::new();
        one.insert("kind".into(), kind.unwrap_or_default());
        one.insert("text".into(), says);
        one.insert("to".into(), text(TOS[n]).unwrap_or_default());
        if let Some(due) = text(DUES[n]) {
            one.insert("due_on".into(), due);
        }
        recommendations.push(Value::Object(one));
    }
    if wrong {
        form.problem = Some("Nothing was stored yet: please look at the fields that are marked.".to_owned());
        return None;
    }
    let mut body = Map::new();
    // A care manager writes down what the consultant of the session said.
    let consults = visitor.is(&[Role::PsychiatricConsultant]);
    body.insert("reviewer".into(), json!(if consults { &visitor.session.name } else { &held.consultant }));
    body.insert("reviewed_on".into(), json!(visitor.today()));
    body.insert("session".into(), json!(held.id));
    for name in ["summary", "minutes"] {
        if let Some(value) = typed.get(name) {
            body.insert(name.into(), value.clone());
        }
    }
    body.insert("recommendations".into(), Value::Array(recommendations));
    Some(Value::Object(body))
}

/// A review was typed.
pub async fn save(
    Path((session, episode)): Path<(String, String)>,
    submitted: FormPost,
) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    visitor.caller.require(REVIEWERS)?;
    let held = SessionReply::read(visitor, &session).await?;
    let episode = episode_of(&episode)?;
    let position = held.agenda.iter().find(|item| item.episode == episode).map_or(0, |item| item.position);
    let next = held.waiting_after(position).filter(|next| next.episode != episode);
    let mut form = form(visitor, &held, episode, next.is_some());
    form.fill(&submitted.fields);
    if let Some(body) = body(&mut form, &held, visitor) {
        let path = format!("episodes/{episode}/case-reviews");
        match visitor.pages.door.post(&visitor.caller, &path, Some(&form.once), &body).await {
            Ok(entered) => {
                let of = patient_of(visitor, episode).await?;
                let to = next.map_or_else(|| format!("/review/{}/summary", held.id), |next| held.case(next.episode));
                let entry = entered["id"].as_str().unwrap_or_default();
                return Ok(Redirect::to(&format!("{to}?saved={entry}&of={of}")).into_response());
            }
            Err(refused) if refused.status >= 500 || refused.status == 404 => return Err(refused.into()),
            Err(refused) => blame(&mut form, refused, visitor),
        }
    }
    render(visitor, &held, episode, &CasePageQuery::default(), Some(form)).await
}

/// `recommendations[0].due_on` is the first row's date.
fn blame(form: &mut Form, mut refused: ApiRefusal, visitor: &Visitor) {
    let row = refused.expression.as_deref().and_then(|at| {
        let (n, field) = at.strip_prefix("recommendations[")?.split_once("].")?;
        let n = n.parse::<usize>().ok().filter(|n| *n < RECOMMENDATIONS)?;
        match field {
            "kind" => Some(KINDS[n]),
            "text" => Some(TEXTS[n]),
            "to" => Some(TOS[n]),
            "due_on" => Some(DUES[n]),
            _ => None,
        }
    });
    if let Some(row) = row {
        refused.expression = Some(row.to_owned());
    }
    form.blame(refused, visitor);
}

async fn patient_of(visitor: &Visitor, episode: EpisodeId) -> Result<PatientId, Problem> {
    let mut tx = visitor.pages.app.db.read().await?;
    let stored = crate::store::episode::find(&mut tx, visitor.clinic(), episode).await?;
    stored.map(|s| s.patient_id).ok_or_else(|| Problem::not_found("episode"))
}
