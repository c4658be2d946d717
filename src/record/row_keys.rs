//! The keys of rows: what commands name before any of them is applied, and what turns out to be missing.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::derived_id::derived_id;
use super::{Command, Condition, PatientKey};
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::content::{Content, Identifier, Subject};
use crate::id::{EpisodeId, PatientId};
use crate::store::patient::matches::full_name;
use crate::store::patient::stored_key;

/// Strings by type of resource.
type ByType = BTreeMap<String, BTreeSet<String>>;

/// Keys of rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RowKeys {
    /// Keys of patients: `Patient/123`, `system|value`.
    pub keys: BTreeSet<String>,
    /// Patients with everything known about them.
    pub patients: BTreeSet<PatientId>,
    /// Patients of whom the row is enough.
    pub rows: BTreeSet<PatientId>,
    pub episodes: BTreeSet<EpisodeId>,
    /// Ids of resources.
    pub resources: ByType,
    /// Of them, those whose patient only the database knows.
    pub deleted: ByType,
    /// Ids of resources that a person may have completed.
    pub completions: ByType,
    /// Business identifiers of resources that conditions look for: nobody else looks for them meanwhile.
    pub conditions: ByType,
    /// Other business identifiers of resources.
    pub tokens: ByType,
    /// Patients whose single items are needed.
    pub items: BTreeSet<PatientId>,
    /// Whether those of everybody named may be.
    pub has_items: bool,
    /// Single items whose panels are needed.
    pub members: BTreeSet<String>,
    /// Panels whose members are needed.
    pub panels: BTreeSet<String>,
    /// Patients that may say of other records that they are the same person, as sources are stored.
    pub sources: BTreeSet<String>,
    /// Days of birth and names of Patients that arrive.
    pub namesakes: BTreeSet<(String, String)>,
    /// Pairs of records that are perhaps one person.
    pub matches: BTreeSet<Uuid>,
    /// Records that were merged into a person, by their reference.
    pub merged: BTreeSet<(PatientId, String)>,
    /// Events of a kind in an episode.
    pub events_by_kind: BTreeSet<(EpisodeId, String)>,
    /// Review sessions.
    pub sessions: BTreeSet<Uuid>,
    /// Deliveries that were read back.
    pub deliveries: BTreeSet<Uuid>,
    /// Idempotency keys.
    pub idempotency_keys: BTreeSet<String>,
}

impl RowKeys {
    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the commands of a submission name.
    pub fn of(clinic: &str, commands: &[Command], key: Option<&str>) -> Self {
        let mut named = Self { idempotency_keys: key.map(str::to_owned).into_iter().collect(), ..Self::default() };
        for command in commands {
            named.add(clinic, command);
        }
        named
    }

    /// Adds what others name.
    pub fn extend(&mut self, other: &Self) {
        self.keys.extend(other.keys.iter().cloned());
        self.patients.extend(&other.patients);
        self.rows.extend(&other.rows);
        self.episodes.extend(&other.episodes);
        for (all, more) in [
            (&mut self.resources, &other.resources),
            (&mut self.deleted, &other.deleted),
            (&mut self.conditions, &other.conditions),
            (&mut self.tokens, &other.tokens),
        ] {
            for (kind, ids) in more {
                all.entry(kind.clone()).or_default().extend(ids.iter().cloned());
            }
        }
        self.items.extend(&other.items);
        self.has_items |= other.has_items;
        self.sources.extend(other.sources.iter().cloned());
        self.namesakes.extend(other.namesakes.iter().cloned());
        self.matches.extend(&other.matches);
        self.merged.extend(other.merged.iter().cloned());
        self.events_by_kind.extend(other.events_by_kind.iter().cloned());
        self.sessions.extend(&other.sessions);
        self.deliveries.extend(&other.deliveries);
        self.idempotency_keys.extend(other.idempotency_keys.iter().cloned());
    }

    /// Whether commands that name this and commands that name the other may be about the same: they keep their order.
    pub fn touch(&self, other: &Self) -> bool {
        let by_type = |one: &ByType, two: &ByType| {
            one.iter().any(|(kind, ids)| two.get(kind).is_some_and(|others| !ids.is_disjoint(others)))
        };
        !(self.keys.is_disjoint(&other.keys)
            && self.patients.is_disjoint(&other.patients)
            && self.episodes.is_disjoint(&other.episodes)
            && self.matches.is_disjoint(&other.matches)
            && self.idempotency_keys.is_disjoint(&other.idempotency_keys))
            || by_type(&self.resources, &other.resources)
            || by_type(&self.conditions, &other.conditions)
    }

    /// Adds what a command names.
    fn add(&mut self, clinic: &str, command: &Command) {
        match command {
            Command::StoreResource { arrival, condition } => self.add_arrival(clinic, arrival, condition),
            Command::DeleteResource { kind, id, .. } => {
                self.has_items |= *kind == ResourceType::Observation;
                self.resources.entry(kind.name().to_owned()).or_default().insert(id.clone());
                self.deleted.entry(kind.name().to_owned()).or_default().insert(id.clone());
            }
            Command::Enroll { whom: PatientKey::Key(key), .. } => drop(self.keys.insert(key.clone())),
            Command::Enroll { whom: PatientKey::Id(id), .. }
            | Command::RecordPatientCare { patient: id, .. }
            | Command::RecordMeasurement { patient: id, .. }
            | Command::Replan { patient: id } => drop(self.patients.insert(*id)),
            Command::RecordCare { episode, .. } | Command::AmendEpisode { episode, .. } => {
                self.episodes.insert(*episode);
            }
            Command::ReadBack(sighting) => {
                self.patients.insert(sighting.patient);
                self.deliveries.insert(sighting.delivery);
            }
            Command::ImportCase(case) => drop(self.keys.insert(case.key.clone())),
            Command::ProposeMatch { records } => self.patients.extend(records),
            Command::DecideMatch { id, .. } => drop(self.matches.insert(*id)),
        }
    }

    fn add_arrival(&mut self, clinic: &str, arrival: &Arrival, condition: &Condition) {
        let kind = arrival.kind.name();
        let condition = if let Condition::Under { condition, .. } = condition { condition } else { condition };
        if let Condition::NoneWith(token) | Condition::TheOneWith(token) = condition {
            self.conditions.entry(kind.to_owned()).or_default().insert(token.clone());
        }
        if let Condition::Completed(completion) = condition {
            self.patients.extend(completion.patient_id);
        }
        self.has_items |= arrival.kind == ResourceType::Observation;
        let id = arrival.id.clone().or_else(|| derived_id(clinic, arrival, None));
        match &arrival.content {
            Content::Patient(person) => {
                if let Some(id) = &id {
                    self.keys.extend([format!("Patient/{id}"), format!("urn:uuid:{id}")]);
                    self.sources.insert(stored_key(&format!("Patient/{id}")));
                }
                let identifiers = arrival.identifiers.iter().chain(&person.former_identifiers);
                self.keys.extend(identifiers.map(Identifier::token));
                self.keys.extend(person.links.iter().flat_map(|link| link.other.keys()));
                self.namesakes.extend(full_name(person.birth_date.as_deref(), person.display_name.as_deref()));
            }
            Content::Evidence(evidence) => {
                if evidence.can_be_completed() {
                    self.completions.entry(kind.to_owned()).or_default().extend(id.clone());
                }
                if let Some(source) = id.as_ref().map(|id| format!("{kind}/{id}")) {
                    if evidence.readings.iter().any(|reading| reading.is_single_item) {
                        self.members.insert(source.clone());
                    }
                    if !evidence.members.is_empty() {
                        self.panels.insert(source);
                    }
                }
                match &evidence.subject {
                    Some(subject) => self.add_subject(subject),
                    // A retraction may leave the subject out.
                    None => self.deleted.entry(kind.to_owned()).or_default().extend(id.clone()),
                }
            }
        }
        self.resources.entry(kind.to_owned()).or_default().extend(id);
    }

    fn add_subject(&mut self, subject: &Subject) {
        for key in subject.keys() {
            self.keys.extend(key.strip_prefix("urn:uuid:").map(|id| format!("Patient/{id}")));
            self.keys.insert(key);
        }
    }
}
