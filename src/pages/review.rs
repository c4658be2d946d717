//! The weekly review: sessions of a consultant, each with the agenda as it was drawn; one patient at a time, the
//! recommendation beside the trend.

mod agenda;
mod answers;
mod case;
mod replies;
mod summary;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Datelike;
use serde::Deserialize;
use serde_json::Value;

use super::date_texts::whole_day;
use super::form::{Form, FormField};
use super::response::{ProblemPage, html};
use super::roles::REVIEWERS;
use super::session::{FormPost, Visitor};
use super::shell::{NavSection, Shell};
use super::staff::Teams;
use crate::api::request::READERS;
use crate::id::EpisodeId;
pub use agenda::{close, show as agenda};
pub use case::{save, show as case};
use replies::{AgendaState, SessionReply};
pub use summary::show as summary;

/// Sessions that are listed.
const LISTED: usize = 20;

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionsPageQuery {
    /// An episode that is to be talked about, whether or not it is on an agenda.
    discuss: Option<EpisodeId>,
}

/// A session in the list.
struct SessionSummary {
    link: String,
    when: String,
    consultant: String,
    care_manager: String,
    /// For an open session: numbers of waiting and reviewed items.
    progress: String,
}

#[derive(Template)]
#[template(path = "review.html")]
struct SessionsPage {
    shell: Shell,
    open: Vec<SessionSummary>,
    closed: Vec<SessionSummary>,
    form: Option<Form>,
    /// In the queue today.
    waiting: i64,
    discuss: bool,
}

/// The sessions: one to go on with, or to begin.
pub async fn sessions(visitor: Visitor, Query(asked): Query<SessionsPageQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    render(&visitor, asked.discuss, None).await
}

async fn render(visitor: &Visitor, discuss: Option<EpisodeId>, tried: Option<Form>) -> Result<Response, ProblemPage> {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for session in SessionReply::latest(visitor, LISTED).await? {
        let mut listed = SessionSummary {
            link: format!("/review/{}/summary", session.id),
            when: whole_day(session.on),
            care_manager: session.care_manager.clone().unwrap_or_default(),
            consultant: session.consultant.clone(),
            progress: String::new(),
        };
        if session.is_open() {
            let whole = SessionReply::read(visitor, &session.id.to_string()).await?;
            let (waits, done) =
                (whole.count(AgendaState::Waiting), whole.count(AgendaState::Reviewed) + whole.added.len());
            listed.progress = format!("{waits} to review, {done} reviewed");
            listed.link = discuss.map_or_else(|| format!("/review/{}", session.id), |of| session.case(of));
            open.push(listed);
        } else {
            closed.push(listed);
        }
    }
    let teams = Teams::read(visitor).await?;
    let status = if tried.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = SessionsPage {
        shell: Shell::around(visitor, "Weekly review", NavSection::Review).await?,
        open,
        closed,
        form: visitor.is(REVIEWERS).then(|| tried.unwrap_or_else(|| form(visitor, &teams))),
        waiting: teams.waiting,
        discuss: discuss.is_some(),
    };
    Ok((status, html(&page)).into_response())
}

fn form(visitor: &Visitor, teams: &Teams) -> Form {
    let own = visitor.session.name.clone();
    let likely = match teams.consultants.first() {
        Some(first) if !teams.consultants.contains(&own) => first.clone(),
        _ => own,
    };
    let fields = vec![
        FormField::text("consultant", "Consultant")
            .required()
            .with(likely)
            .suggest(teams.consultants.clone())
            .hint("As episodes name them. Patients without a consultant come along"),
        FormField::text("care_manager", "Only patients of this care manager").suggest(teams.care_managers.clone()),
    ];
    Form::new(visitor, "session", "/review".to_owned(), "Begin the session", fields)
}

/// Begins this week's session, or goes on with it where it was begun.
pub async fn begin(submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    visitor.caller.require(REVIEWERS)?;
    let today = visitor.today();
    let mut form = form(visitor, &Teams::read(visitor).await?);
    form.fill(&submitted.fields);
    if let Some(mut body) = form.json() {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (consultant, care_manager) = (text("consultant"), text("care_manager"));
        let sessions = SessionReply::latest(visitor, LISTED).await?;
        let begun = sessions.iter().find(|s| {
            s.is_open()
                && s.on.iso_week() == today.iso_week()
                && (Some(s.consultant.as_str()), s.care_manager.as_deref()) == (consultant, care_manager)
        });
        if let Some(begun) = begun {
            return Ok(Redirect::to(&format!("/review/{}", begun.id)).into_response());
        }
        body.insert("held_on".to_owned(), today.to_string().into());
        let sent = visitor.pages.door.post(&visitor.caller, "review-sessions", Some(&form.once), &body.into()).await;
        match sent {
            Ok(opened) => {
                let id = opened["id"].as_str().unwrap_or_default();
                return Ok(Redirect::to(&format!("/review/{id}")).into_response());
            }
            Err(refused) if refused.status >= 500 => return Err(refused.into()),
            Err(refused) => form.blame(refused, visitor),
        }
    }
    render(visitor, None, Some(form)).await
}
