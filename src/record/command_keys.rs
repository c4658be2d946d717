//! The keys that commands name: what is gathered before any of them is applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, Condition, PatientKey, derived_id, identify};
use crate::fhir::arrival::Arrival;
use crate::fhir::content::{Content, Subject};
use crate::id::{EpisodeId, PatientId};

/// What several commands name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CommandKeys {
    /// Keys of patients: `Patient/123`, `system|value`.
    pub keys: BTreeSet<String>,
    pub patients: BTreeSet<PatientId>,
    pub episodes: BTreeSet<EpisodeId>,
    /// Ids of resources, by type.
    pub resources: BTreeMap<&'static str, BTreeSet<String>>,
    /// Of them, those whose patient only the database knows.
    pub deleted: BTreeMap<&'static str, BTreeSet<String>>,
    /// Business identifiers that conditions look for, by type.
    pub tokens: BTreeMap<&'static str, BTreeSet<String>>,
    /// Idempotency keys.
    pub once: BTreeSet<String>,
}

impl CommandKeys {
    /// Adds what a command names.
    pub fn add(&mut self, clinic: &str, fact: &Command) {
        match fact {
            Command::Arrived { arrival, condition } => self.add_arrival(clinic, arrival, condition),
            Command::Deleted { kind, id, .. } => {
                self.resources.entry(kind.name()).or_default().insert(id.clone());
                self.deleted.entry(kind.name()).or_default().insert(id.clone());
            }
            Command::Enrolled { whom: PatientKey::Key(key), .. } => drop(self.keys.insert(key.clone())),
            Command::Enrolled { whom: PatientKey::Id(id), .. }
            | Command::OfPatient { patient: id, .. }
            | Command::Measured { patient: id, .. }
            | Command::LookedAt { patient: id } => drop(self.patients.insert(*id)),
            Command::Cared { episode, .. } | Command::Amended { episode, .. } => drop(self.episodes.insert(*episode)),
            Command::Seen(sighting) => drop(self.patients.insert(sighting.patient)),
            Command::Imported(case) => drop(self.keys.insert(case.key.clone())),
        }
    }

    fn add_arrival(&mut self, clinic: &str, arrival: &Arrival, condition: &Condition) {
        let kind = arrival.kind.name();
        let condition = if let Condition::Under { condition, .. } = condition { condition } else { condition };
        if let Condition::NoneWith(token) | Condition::TheOneWith(token) = condition {
            self.tokens.entry(kind).or_default().insert(token.clone());
        }
        let id = arrival.id.clone().or_else(|| derived_id(clinic, arrival, None));
        match &arrival.content {
            Content::Patient(person) => {
                if let Some(id) = &id {
                    self.keys.extend([format!("Patient/{id}"), format!("urn:uuid:{id}")]);
                }
                self.keys.extend(arrival.identifiers.iter().map(crate::fhir::content::Identifier::token));
                self.keys.extend(person.replaces.iter().chain(&person.replaced_by).map(identify::key));
            }
            Content::Evidence(evidence) => match &evidence.subject {
                Some(subject) => self.add_subject(subject),
                // A retraction may leave the subject out.
                None => self.deleted.entry(kind).or_default().extend(id.clone()),
            },
        }
        self.resources.entry(kind).or_default().extend(id);
    }

    fn add_subject(&mut self, subject: &Subject) {
        if let Subject::Urn(urn) = subject
            && let Some(id) = urn.strip_prefix("urn:uuid:")
        {
            self.keys.insert(format!("Patient/{id}"));
        }
        self.keys.insert(identify::key(subject));
    }

    /// The business identifiers that conditions look for, each with its type.
    pub fn conditional(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.tokens.iter().flat_map(|(kind, tokens)| tokens.iter().map(|token| (*kind, token.as_str())))
    }
}
