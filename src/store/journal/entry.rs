//! One line of the journal, and what it attests.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::hex;
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::store::event_log::EventRow;

/// How many patients a line names one by one; beyond it says "everybody".
const NAMED: usize = 1000;

/// A line of the journal. Ids and codes: no names, no scores, no words of anybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Its id: that of the fact, where it attests one.
    pub id: Uuid,
    pub clinic: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Stable names of the changes (`measurement.recorded`, `safety.opened`), the cause first; empty for a mere read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Author: the subject of a token, or this program.
    pub by: String,
    /// Role of the author; absent for this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The patient it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<PatientId>,
    /// The episode it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<EpisodeId>,
    /// The object: `QuestionnaireResponse/1`, `delivery/…`, `rule-set/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The digest of the fact, see [`digest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<String>,
    /// The digest of the resource, as it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceDigest>,
    /// Changes, as codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Value>,
    /// The request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<AccessRequest>,
    /// Patients whose data were read, if several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patients: Vec<PatientId>,
    /// More patients than a line names: the whole clinic, or most of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everybody: bool,
}

/// What a resource was when it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDigest {
    /// `QuestionnaireResponse/1`
    pub name: String,
    /// Our version of it.
    pub version: i64,
    /// SHA-256 of its JSON as it is kept, in hexadecimal; [`ResourceDigest::DELETED`] where it was deleted.
    pub sha256: String,
}

impl ResourceDigest {
    /// Stands where a resource was deleted.
    pub const DELETED: &str = "deleted";

    /// Of the JSON that is kept under a name; `None` where it was deleted.
    pub fn of(name: String, version: i64, body: Option<&str>) -> Self {
        let sha256 = body.map_or_else(|| Self::DELETED.to_owned(), |body| hex::encode(&Sha256::digest(body)));
        Self { name, version, sha256 }
    }
}

/// The request that read data. The query is left out: it may identify a patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    pub method: String,
    /// The template of the address: `/api/v1/patients/{id}`.
    pub route: String,
    /// The ids in the address, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The status of the answer.
    pub status: u16,
}

impl JournalEntry {
    /// A line about nothing yet.
    pub fn new(id: Uuid, clinic: &str, at: DateTime<Utc>, by: &str, role: Option<Role>) -> Self {
        Self {
            id,
            clinic: clinic.to_owned(),
            at,
            events: Vec::new(),
            by: by.to_owned(),
            role,
            patient: None,
            episode: None,
            subject: None,
            fact: None,
            resource: None,
            changes: None,
            request: None,
            patients: Vec::new(),
            everybody: false,
        }
    }

    /// A line about something that changed.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.events.push(name.into());
        self
    }

    /// Names the patients whose data were read.
    #[must_use]
    pub fn naming(mut self, patients: Vec<PatientId>) -> Self {
        match patients.as_slice() {
            [] => {}
            [one] => self.patient = Some(*one),
            several if several.len() > NAMED => self.everybody = true,
            _ => self.patients = patients,
        }
        self
    }

    /// Whether the entry records a change.
    pub fn is_change(&self) -> bool {
        !self.events.is_empty()
    }

    /// About several patients.
    pub fn is_list(&self) -> bool {
        self.everybody || !self.patients.is_empty()
    }

    /// The stored and hashed form.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line; `None` for what is none.
    pub fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

/// The digest of a fact: SHA-256 of its columns as a JSON array, the keys of objects in order.
///
/// The patient is left out: facts move with a merge. [`super::checked`] finds a fact by its patient, and so finds one that was moved
/// otherwise.
pub fn digest(fact: &EventRow) -> String {
    digest_of(&(
        fact.id,
        fact.episode_id,
        &fact.kind,
        i32::from(fact.is_care),
        fact.happened_on,
        fact.happened_at.timestamp_micros(),
        &fact.outcome,
        fact.minutes,
        &fact.body.0,
        &fact.changes.0,
        fact.recorded_at.timestamp_micros(),
        &fact.recorded_by,
    ))
}

pub(super) fn digest_of(columns: &impl Serialize) -> String {
    hex::encode(&Sha256::digest(serde_json::to_string(columns).unwrap_or_default()))
}
