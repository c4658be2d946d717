//! What the log says about a command.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::id::EpisodeId;

/// What is written into the log about a fact.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id: the entry's, where it is one.
    pub id: Uuid,
    /// The episode it belongs to.
    pub episode: Option<EpisodeId>,
    pub kind: String,
    /// Entered by the care team: part of the story.
    pub is_care: bool,
    pub on: NaiveDate,
    pub at: DateTime<Utc>,
    /// For contacts and decisions.
    pub outcome: Option<String>,
    pub minutes: Option<u16>,
    pub body: Value,
}
