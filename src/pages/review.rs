//! The weekly review: the agenda in the order of R15, one patient at a time, the recommendation beside the trend.

mod agenda;
mod summary;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::chart::Chart;
use super::form::{Field, Form};
use super::patient::{Followed, Happening, Head, Said, Whole, options, timeline_of, view};
use super::session::{Submitted, Visitor};
use super::shell::{Done, Part, Shell, Trouble, html};
use super::words;
use crate::api::request::READERS;
use crate::domain::care::{Addressee, Care, ChangeKind};
use crate::identity::Role;
use crate::problem::Problem;
use agenda::{Agenda, Item};
pub use summary::show as summary;

/// Recommendations that one review can hold.
const RECOMMENDATIONS: usize = 3;
/// Who may document a review.
const REVIEWERS: &[Role] = &[Role::PsychiatricConsultant, Role::CareManager];
/// What happened lately, beside the trend.
const LATELY: usize = 8;

/// What the address asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Only this care manager's.
    care_manager: String,
    /// The review that was just saved, and whose it was.
    saved: Option<Uuid>,
    of: Option<Uuid>,
}

impl Asked {
    /// The part of the address that stays from page to page.
    fn kept(&self) -> String {
        if self.care_manager.is_empty() {
            return String::new();
        }
        let query =
            form_urlencoded::Serializer::new(String::new()).append_pair("care_manager", &self.care_manager).finish();
        format!("?{query}")
    }
}

#[derive(Template)]
#[template(path = "review.html")]
struct AgendaPage {
    shell: Shell,
    agenda: Agenda,
    today: String,
    kept: String,
    managers: Vec<(String, bool)>,
}

/// The agenda.
pub async fn agenda(visitor: Visitor, Query(asked): Query<Asked>) -> Result<Response, Trouble> {
    visitor.caller.require(READERS)?;
    let all = agenda::read(&visitor).await?;
    let managers = agenda::managers(&all, &asked.care_manager);
    let agenda = Agenda::of(all, &asked.care_manager);
    let shell = Shell::around(&visitor, "Weekly review", Part::Review).await?;
    let today = super::moment::whole_day(visitor.today());
    Ok(html(&AgendaPage { shell, agenda, today, kept: asked.kept(), managers }))
}

#[derive(Template)]
#[template(path = "review_case.html")]
struct CasePage {
    shell: Shell,
    head: Head,
    /// Where this one stands in the agenda.
    place: Option<Item>,
    position: usize,
    count: usize,
    before: Option<String>,
    after: Option<String>,
    chart: Option<Chart>,
    said: Vec<Said>,
    followed: Vec<Followed>,
    lately: Vec<Happening>,
    form: Option<Form>,
    /// Rows of the recommendations within the form.
    rows: Vec<usize>,
    patient: Uuid,
    kept: String,
    /// Reviewed today already: what was said.
    reviewed: Vec<Reviewed>,
    rule_set: String,
}

/// A review of today.
struct Reviewed {
    words: String,
    undo: Option<String>,
}

/// One patient of the agenda.
pub async fn case(visitor: Visitor, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, Trouble> {
    visitor.caller.require(READERS)?;
    let episode: Uuid = id.parse().map_err(|_| Problem::not_found("episode"))?;
    render(&visitor, episode, &asked, None).await
}

async fn render(visitor: &Visitor, episode: Uuid, asked: &Asked, tried: Option<Form>) -> Result<Response, Trouble> {
    let today = visitor.today();
    let absent = || Problem::not_found("episode");
    let mut tx = visitor.pages.app.db.read().await?;
    let stored = crate::store::episode::find(&mut tx, visitor.clinic(), episode).await?.ok_or_else(absent)?;
    drop(tx);
    let whole = Whole::read(visitor, stored.patient_id).await?;
    let standing = whole.plan.standings.iter().find(|s| s.episode == episode).ok_or_else(absent)?;
    let agenda = Agenda::of(agenda::read(visitor).await?, &asked.care_manager);
    let at = agenda.items.iter().position(|item| item.episode == episode);
    let link = |at: usize| agenda.items.get(at).map(|item| format!("/review/{}{}", item.episode, asked.kept()));
    let mut shell = Shell::around(visitor, format!("Review: {}", whole.row.label()), Part::Review).await?;
    shell.done = match (asked.saved, asked.of) {
        (Some(entry), Some(of)) => Some(Done {
            words: "The review of the last patient was saved.".to_owned(),
            undo: Some(format!("/patients/{of}/take-back?entry={entry}&to=review")),
        }),
        _ => None,
    };
    let status = if tried.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let after = at.and_then(|at| link(at + 1)).or_else(|| at.is_none().then(|| link(0)).flatten());
    let form = visitor.is(REVIEWERS).then(|| tried.unwrap_or_else(|| form(visitor, episode, after.as_deref(), asked)));
    let enrolled = stored.episode.enrolled_on;
    let page = CasePage {
        head: Head::of(&whole, Some(&stored), Some(standing), today),
        position: at.map_or(0, |at| at + 1),
        count: agenda.items.len(),
        before: at.and_then(|at| at.checked_sub(1)).and_then(link),
        after,
        chart: Chart::of(&whole.story, standing, &whole.rules, enrolled, today),
        said: view::said(standing, &whole, today),
        followed: view::followed(visitor, &whole, Some(episode), None, today),
        lately: timeline_of(&whole.facts, today).into_iter().filter(|h| h.what != "Patient").take(LATELY).collect(),
        form,
        rows: (1..=RECOMMENDATIONS).collect(),
        patient: whole.row.id,
        kept: asked.kept(),
        reviewed: reviewed(&whole, episode, today),
        rule_set: whole.rules.label(),
        place: at.and_then(|at| agenda.items.into_iter().nth(at)),
        shell,
    };
    Ok((status, html(&page)).into_response())
}

fn reviewed(whole: &Whole, episode: Uuid, today: NaiveDate) -> Vec<Reviewed> {
    let entries = whole.story.standing_entries();
    let of_today = entries.into_iter().filter(|e| e.episode == Some(episode) && e.on == today);
    of_today
        .filter_map(|e| match &e.care {
            Care::CaseReview { reviewer, recommendations, .. } => {
                let said: Vec<String> =
                    recommendations.iter().map(|r| format!("{}: {}", words::change(r.kind), r.text)).collect();
                Some(Reviewed {
                    words: format!("Reviewed today by {reviewer}. {}", said.join("; ")),
                    undo: Some(format!("/patients/{}/take-back?entry={}&to=review", whole.row.id, e.id)),
                })
            }
            _ => None,
        })
        .collect()
}

const KINDS: [&str; RECOMMENDATIONS] = ["kind1", "kind2", "kind3"];
const TEXTS: [&str; RECOMMENDATIONS] = ["text1", "text2", "text3"];
const TOS: [&str; RECOMMENDATIONS] = ["to1", "to2", "to3"];
const DUES: [&str; RECOMMENDATIONS] = ["due1", "due2", "due3"];

fn form(visitor: &Visitor, episode: Uuid, after: Option<&str>, asked: &Asked) -> Form {
    let mut fields = vec![Field::area("summary", "What was seen")];
    for n in 0..RECOMMENDATIONS {
        fields.push(Field::one(KINDS[n], "Recommend", options(ChangeKind::ALL, ChangeKind::as_str, words::change)));
        fields.push(Field::one(TOS[n], "To", options(Addressee::ALL, Addressee::as_str, words::addressee)).required());
        fields.push(Field::date(DUES[n], "By", None));
        fields.push(Field::area(TEXTS[n], "In words"));
    }
    fields.push(Field::number("minutes", "Minutes"));
    let submit = if after.is_some() { "Save, next patient" } else { "Save" };
    let mut form = Form::new(visitor, "review", format!("/review/{episode}{}", asked.kept()), submit, fields);
    form.hidden.push(("next", after.unwrap_or_default().to_owned()));
    form
}

/// The review as the API takes it: rows in which something was typed.
fn body(form: &mut Form, today: NaiveDate) -> Option<Value> {
    for field in form.fields.iter_mut().filter(|f| TOS.contains(&f.name) && f.values.is_empty()) {
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
    body.insert("reviewed_on".into(), json!(today));
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
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    submitted: Submitted,
) -> Result<Response, Trouble> {
    let visitor = &submitted.visitor;
    visitor.caller.require(REVIEWERS)?;
    let episode: Uuid = id.parse().map_err(|_| Problem::not_found("episode"))?;
    let next = submitted.get("next").filter(|next| next.starts_with("/review/")).map(str::to_owned);
    let mut form = form(visitor, episode, next.as_deref(), &asked);
    form.fill(&submitted.fields);
    if let Some(body) = body(&mut form, visitor.today()) {
        let path = format!("episodes/{episode}/case-reviews");
        match visitor.pages.door.post(&visitor.caller, &path, Some(&form.once), &body).await {
            Ok(entered) => {
                let of = patient_of(visitor, episode).await?;
                let to = next.unwrap_or_else(|| "/review/summary".to_owned());
                let join = if to.contains('?') { '&' } else { '?' };
                let entry = entered["id"].as_str().unwrap_or_default();
                return Ok(Redirect::to(&format!("{to}{join}saved={entry}&of={of}")).into_response());
            }
            Err(refused) if refused.status >= 500 || refused.status == 404 => return Err(refused.into()),
            Err(refused) => blame(&mut form, refused, visitor),
        }
    }
    render(visitor, episode, &asked, Some(form)).await
}

/// `recommendations[0].due_on` is the first row's date.
fn blame(form: &mut Form, mut refused: super::door::Refused, visitor: &Visitor) {
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

async fn patient_of(visitor: &Visitor, episode: Uuid) -> Result<Uuid, Problem> {
    let mut tx = visitor.pages.app.db.read().await?;
    let stored = crate::store::episode::find(&mut tx, visitor.clinic(), episode).await?;
    stored.map(|s| s.patient_id).ok_or_else(|| Problem::not_found("episode"))
}
