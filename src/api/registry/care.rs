//! Common parts of the care team's entries: recorded in an episode, answered in one form.

use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::responses::created;
use crate::api::request::RequestContext;
use crate::domain::care::Care;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::record::{Command, Recorded};

/// An entry that was recorded.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryReceipt {
    /// Id of the entry.
    pub id: String,
    /// Its episode.
    pub episode: EpisodeId,
    /// The episode's revision after it: the ETag.
    pub revision: i64,
    /// The local date it is about.
    pub on: NaiveDate,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Warnings for the clinician; the entry was recorded all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl EntryReceipt {
    /// The receipt for a recorded entry.
    pub fn of(recorded: Recorded, episode: EpisodeId, on: NaiveDate) -> Self {
        Self {
            id: recorded.id,
            episode,
            revision: recorded.version,
            on,
            recorded_at: recorded.at,
            warnings: Vec::new(),
        }
    }

    /// 201 with the episode's new ETag.
    pub fn answer(self) -> Response {
        created(None, Some(self.revision), self)
    }
}

/// The fact of an entry.
pub fn fact(
    call: &RequestContext,
    episode: EpisodeId,
    (on, at): (NaiveDate, Option<DateTime<Utc>>),
    care: Care,
) -> Command {
    Command::RecordCare { episode, on, at, care, if_match: call.if_match }
}

/// Records one entry and answers.
pub async fn enter(
    call: &RequestContext,
    episode: EpisodeId,
    when: (NaiveDate, Option<DateTime<Utc>>),
    care: Care,
) -> Result<Response, Problem> {
    let recorded = call.record_one(fact(call, episode, when, care)).await?;
    Ok(EntryReceipt::of(recorded, episode, when.0).answer())
}

/// At most a day's minutes.
pub fn minutes(minutes: Option<u16>) -> Result<Option<u16>, Problem> {
    match minutes {
        Some(minutes) if minutes > 1440 => Err(Problem::unprocessable("at most the minutes of a day").at("minutes")),
        minutes => Ok(minutes),
    }
}
