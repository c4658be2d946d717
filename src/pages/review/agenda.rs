//! A session's agenda: who is to be talked about, in the order in which the queue had them, and what became of each.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::replies::{AgendaItemReply, AgendaState, SessionReply};
use crate::api::request::READERS;
use crate::domain::attention::QueuePlace;
use crate::id::EpisodeId;
use crate::pages::caseload::choice::place;
use crate::pages::date_texts::{day, in_sentence, whole_day};
use crate::pages::response::{ProblemPage, html};
use crate::pages::roles::REVIEWERS;
use crate::pages::session::{FormPost, Visitor};
use crate::pages::shell::{NavSection, Shell};
use crate::pages::words::{self, Tone};

/// One patient of the agenda.
pub struct AgendaRow {
    pub position: usize,
    pub link: String,
    pub episode: EpisodeId,
    pub name: String,
    /// Why in this place.
    pub place: &'static str,
    pub danger: bool,
    pub why: String,
    pub more: usize,
    pub since: String,
    pub latest: Option<u16>,
    pub state: AgendaState,
    pub said: &'static str,
    pub tone: Tone,
    pub because: Option<String>,
    /// Where an undo is sent.
    pub undo: Option<String>,
}

impl AgendaRow {
    pub fn of(held: &SessionReply, item: &AgendaItemReply, visitor: &Visitor) -> Self {
        let (today, waiting) = (visitor.today(), &item.waiting);
        let (said, tone) = item.state.words();
        let undo = item.review.filter(|_| held.is_open() && visitor.is(REVIEWERS));
        let why = waiting.reasons.first().map_or("", |reason| reason.reason.as_str());
        Self {
            position: item.position,
            link: held.case(item.episode),
            episode: item.episode,
            name: item.patient.display_name.clone(),
            place: place(waiting.rank).unwrap_or(""),
            danger: waiting.place == QueuePlace::OpenSafety,
            why: in_sentence(words::without_notice(why), today),
            more: waiting.reasons.len().saturating_sub(1),
            since: day(waiting.waiting_since, today),
            latest: waiting.latest_score,
            state: item.state,
            said,
            tone,
            because: item.deferred_because.clone(),
            undo: undo.map(|review| format!("/patients/{}/take-back?entry={review}", item.patient.id)),
        }
    }

    pub fn waits(&self) -> bool {
        self.state == AgendaState::Waiting
    }
}

#[derive(Template)]
#[template(path = "review_agenda.html")]
struct AgendaPage {
    shell: Shell,
    held: SessionReply,
    when: String,
    rows: Vec<AgendaRow>,
    /// Next patient: (URL, name).
    next: Option<(String, String)>,
    begun: bool,
    closes: bool,
    waiting: usize,
    reviewed: usize,
}

pub async fn show(visitor: Visitor, Path(id): Path<String>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let held = SessionReply::read(&visitor, &id).await?;
    let rows: Vec<AgendaRow> = held.agenda.iter().map(|item| AgendaRow::of(&held, item, &visitor)).collect();
    let next = held.waiting_after(0).filter(|_| held.is_open());
    let reviewed = held.count(AgendaState::Reviewed) + held.added.len();
    Ok(html(&AgendaPage {
        shell: Shell::around(&visitor, "Review session", NavSection::Review).await?,
        when: whole_day(held.on),
        next: next.map(|item| (held.case(item.episode), item.patient.display_name.clone())),
        begun: reviewed > 0,
        closes: held.is_open() && visitor.is(REVIEWERS),
        waiting: held.count(AgendaState::Waiting),
        reviewed,
        rows,
        held,
    }))
}

/// Closes it: who waits was put off where a reason is given, and was not reached otherwise.
pub async fn close(Path(id): Path<String>, submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    visitor.caller.require(REVIEWERS)?;
    let held = SessionReply::read(visitor, &id).await?;
    let deferred = submitted.fields.iter().filter_map(|(name, reason)| {
        let episode = name.strip_prefix("because.")?;
        (!reason.trim().is_empty()).then(|| json!({"episode": episode, "reason": reason.trim()}))
    });
    let body = json!({"deferred": deferred.collect::<Vec<_>>()});
    visitor.pages.door.post(&visitor.caller, &format!("review-sessions/{}/close", held.id), None, &body).await?;
    Ok(Redirect::to(&format!("/review/{}/summary", held.id)).into_response())
}
