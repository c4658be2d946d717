//! A review session as the API tells it: its agenda stays as it was drawn, in the order of R15.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use uuid::Uuid;

use crate::domain::attention::QueueEntry;
use crate::id::{EpisodeId, PatientId};
use crate::pages::response::ProblemPage;
use crate::pages::session::Visitor;
use crate::pages::words::Tone;
use crate::problem::Problem;

/// State of an agenda item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgendaState {
    Waiting,
    Reviewed,
    Deferred,
    Folded,
    NotReached,
}

impl AgendaState {
    pub fn words(self) -> (&'static str, Tone) {
        match self {
            Self::Waiting => ("waiting", Tone::Plain),
            Self::Reviewed => ("reviewed", Tone::Good),
            Self::Deferred => ("deferred", Tone::Watch),
            Self::Folded => ("not on the agenda", Tone::Plain),
            Self::NotReached => ("not reached", Tone::Watch),
        }
    }
}

/// A patient's name.
#[derive(Debug, Deserialize)]
pub struct NameReply {
    pub id: PatientId,
    pub display_name: String,
}

/// One patient of the agenda.
#[derive(Debug, Deserialize)]
pub struct AgendaItemReply {
    pub position: usize,
    pub episode: EpisodeId,
    pub patient: NameReply,
    pub state: AgendaState,
    pub review: Option<Uuid>,
    pub deferred_because: Option<String>,
    #[serde(flatten)]
    pub waiting: QueueEntry,
}

/// A review of a patient who was not on the agenda.
#[derive(Debug, Deserialize)]
pub struct UnplannedReviewReply {
    pub patient: NameReply,
    pub episode: EpisodeId,
    pub review: Uuid,
}

/// A session; in lists without its agenda.
#[derive(Debug, Deserialize)]
pub struct SessionReply {
    pub id: Uuid,
    #[serde(rename = "held_on")]
    pub on: NaiveDate,
    pub consultant: String,
    pub care_manager: Option<String>,
    pub closed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub agenda: Vec<AgendaItemReply>,
    #[serde(default)]
    pub added: Vec<UnplannedReviewReply>,
}

impl SessionReply {
    /// Reads one with its agenda.
    pub async fn read(visitor: &Visitor, id: &str) -> Result<Self, ProblemPage> {
        let id: Uuid = id.parse().map_err(|_| Problem::not_found("review session"))?;
        let said = visitor.pages.door.get(&visitor.caller, &format!("review-sessions/{id}")).await?;
        Ok(serde_json::from_value(said).map_err(|_| Problem::internal("a review session could not be read"))?)
    }

    /// The latest of the clinic, without their agendas.
    pub async fn latest(visitor: &Visitor, many: usize) -> Result<Vec<Self>, ProblemPage> {
        let path = format!("review-sessions?limit={many}");
        let mut said = visitor.pages.door.get(&visitor.caller, &path).await?;
        let sessions = serde_json::from_value(said["items"].take());
        Ok(sessions.map_err(|_| Problem::internal("review sessions could not be read"))?)
    }

    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// The review of an episode in this session: whose, and which entry.
    pub fn review_of(&self, episode: EpisodeId) -> Option<Uuid> {
        let planned = self.agenda.iter().find(|item| item.episode == episode).and_then(|item| item.review);
        planned.or_else(|| self.added.iter().find(|added| added.episode == episode).map(|added| added.review))
    }

    pub fn count(&self, state: AgendaState) -> usize {
        self.agenda.iter().filter(|item| item.state == state).count()
    }

    /// The next waiting item after a position: those behind it first, then those skipped.
    pub fn waiting_after(&self, position: usize) -> Option<&AgendaItemReply> {
        let mut waiting = self.agenda.iter().filter(|item| item.state == AgendaState::Waiting);
        let first = waiting.clone().find(|item| item.position != position);
        waiting.find(|item| item.position > position).or(first)
    }

    pub fn case(&self, episode: EpisodeId) -> String {
        format!("/review/{}/{episode}", self.id)
    }
}
