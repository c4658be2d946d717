//! Episodes, recommendations, review sessions, and requests that may happen only once.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{WorkingSet, not_gathered};
use crate::domain::episode::Episode;
use crate::domain::standing::Standing;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::store::episode::EpisodeRecord;
use crate::store::event_log::EventRow;
use crate::store::idempotency::StoredAnswer;
use crate::store::recommendation;
use crate::store::review_session::{ReviewSession, SessionReview};

impl WorkingSet {
    /// An episode by its id.
    pub fn episode(&mut self, id: EpisodeId) -> Result<Option<EpisodeRecord>, Problem> {
        if !self.episodes.is_known(&id) {
            self.missing.episodes.insert(id);
            return Err(not_gathered());
        }
        Ok(self.episodes.get(&id).cloned())
    }

    /// Stores a new one.
    pub fn insert_episode(&mut self, patient: PatientId, episode: &Episode, by: &str, now: DateTime<Utc>) {
        self.entered_by.insert(episode.id, by.to_owned());
        self.episodes.set(episode.id, EpisodeRecord::entered(patient, episode.clone(), now));
    }

    /// Updates an episode as its next revision.
    pub fn update_episode(&mut self, entered: &Episode, now: DateTime<Utc>) -> Result<(), Problem> {
        self.change_episode(entered.id, |stored| {
            stored.episode = entered.clone();
            stored.revision += 1;
            stored.updated_at = now;
        })
    }

    /// Counts a change that is not in the episode's own row.
    pub fn touch_episode(&mut self, id: EpisodeId, now: DateTime<Utc>) -> Result<(), Problem> {
        self.change_episode(id, |stored| {
            stored.revision += 1;
            stored.updated_at = now;
        })
    }

    /// Writes the planner's word on where an episode stands.
    pub fn settle_episode(&mut self, standing: &Standing) -> Result<(), Problem> {
        self.change_episode(standing.episode, |stored| stored.settle(standing))
    }

    fn change_episode(&mut self, id: EpisodeId, change: impl FnOnce(&mut EpisodeRecord)) -> Result<(), Problem> {
        if let Some(mut stored) = self.episode(id)? {
            change(&mut stored);
            self.episodes.set(id, stored);
        }
        Ok(())
    }

    /// Everything of one kind in an episode, in order of entry.
    pub fn facts_of_episode(&mut self, episode: EpisodeId, kind: &str) -> Result<Vec<EventRow>, Problem> {
        let named = (episode, kind.to_owned());
        let Some(known) = self.events_by_kind.get(&named) else {
            self.missing.events_by_kind.insert(named);
            return Err(not_gathered());
        };
        let mut events = known.clone();
        events.extend(
            self.events.iter().filter(|event| event.episode_id == Some(episode) && event.kind == kind).cloned(),
        );
        Ok(events)
    }

    /// Writes what is listed of a recommendation.
    pub fn put_recommendation(&mut self, row: recommendation::RecommendationRow) {
        self.recommendations.set(row.id, Some(row));
    }

    /// Removes one: its review was taken back.
    pub fn remove_recommendation(&mut self, id: Uuid) {
        self.recommendations.set(id, None);
    }

    /// A review session.
    pub fn review_session(&mut self, id: Uuid) -> Result<Option<ReviewSession>, Problem> {
        let Some(session) = self.sessions.get(&id) else {
            self.missing.sessions.insert(id);
            return Err(not_gathered());
        };
        Ok(session.clone())
    }

    /// Lets a case review be part of a session.
    pub fn join_session(&mut self, review: SessionReview) {
        self.session_reviews.push(review);
    }

    /// What was answered under an idempotency key.
    pub fn answered(&mut self, key: &str) -> Result<Option<StoredAnswer>, Problem> {
        let named = key.to_owned();
        if !self.answers.is_known(&named) {
            self.missing.idempotency_keys.insert(named);
            return Err(not_gathered());
        }
        Ok(self.answers.get(&named).cloned())
    }

    /// Remembers an answer under an idempotency key.
    pub fn remember(&mut self, key: &str, answer: StoredAnswer) {
        self.answers.set(key.to_owned(), answer);
    }
}
