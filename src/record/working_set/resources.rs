//! Resources as they came, and what waits in quarantine.

use uuid::Uuid;

use super::{WorkingSet, not_gathered};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::completion::Completion;
use crate::store::quarantine::QuarantineRecord;
use crate::store::resource::{self, Resource};

impl WorkingSet {
    /// A resource by type and id.
    pub fn resource(&mut self, kind: &str, id: &str) -> Result<Option<Resource>, Problem> {
        let key = (kind.to_owned(), id.to_owned());
        if !self.resources.is_known(&key) {
            self.missing.resources.entry(key.0).or_default().insert(key.1);
            return Err(not_gathered());
        }
        Ok(self.resources.get(&key).cloned())
    }

    /// What a person said of a resource.
    pub fn completion(&mut self, kind: &str, id: &str) -> Result<Option<Completion>, Problem> {
        let key = (kind.to_owned(), id.to_owned());
        if !self.completions.is_known(&key) {
            self.missing.completions.entry(key.0).or_default().insert(key.1);
            return Err(not_gathered());
        }
        Ok(self.completions.get(&key).cloned())
    }

    /// Keeps what a person said of a resource; what it leaves out stays as it was said before.
    pub fn complete(&mut self, kind: &str, id: &str, said: Completion) -> Result<(), Problem> {
        let completion = said.after(self.completion(kind, id)?.as_ref());
        self.completions.set((kind.to_owned(), id.to_owned()), completion);
        Ok(())
    }

    /// Stores a new one. `false` if there is one of that type and id already.
    pub fn insert_resource(&mut self, new: &Resource) -> Result<bool, Problem> {
        if self.resource(&new.kind, &new.id)?.is_some() {
            return Ok(false);
        }
        self.resources.set((new.kind.clone(), new.id.clone()), new.clone());
        Ok(true)
    }

    pub fn update_resource(&mut self, new: &Resource) {
        self.resources.update((new.kind.clone(), new.id.clone()), new.clone());
    }

    /// Lets a resource be found by a business identifier.
    pub fn add_identifier(&mut self, kind: &str, token: &str, id: &str) {
        self.carrier_changes.set((kind.to_owned(), resource::stored_token(token), id.to_owned()), true);
    }

    /// Forgets a business identifier of a resource: its new version does not carry it any more.
    pub fn drop_identifier(&mut self, kind: &str, token: &str, id: &str) {
        self.carrier_changes.set((kind.to_owned(), resource::stored_token(token), id.to_owned()), false);
    }

    /// Resources that carry a business identifier, not deleted, oldest id first.
    pub fn resources_with(&mut self, kind: &str, token: &str) -> Result<Vec<Resource>, Problem> {
        let token = resource::stored_token(token);
        let key = (kind.to_owned(), token.clone());
        if !self.identifier_holders.contains_key(&key) {
            self.missing.tokens.entry(key.0).or_default().insert(key.1);
            return Err(not_gathered());
        }
        let mut ids = self.identifier_holders.get(&key).cloned().unwrap_or_default();
        let is_about = |(of, named, _): &(String, String, String)| of == kind && *named == token;
        let changes = self.carrier_changes.from((key.0.clone(), key.1.clone(), String::new()));
        for ((.., id), has) in changes.take_while(|(changed, _)| is_about(changed)) {
            if *has {
                ids.insert(id.clone())
            } else {
                ids.remove(id)
            };
        }
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.resource(kind, &id)?.filter(|resource| !resource.deleted));
        }
        Ok(found)
    }

    /// Keeps something back; what was said about the same resource before is replaced.
    pub fn quarantine(&mut self, kept: &QuarantineRecord) {
        self.quarantined.set(kept.id, Some(kept.clone()));
    }

    /// Lets something go.
    pub fn release(&mut self, id: Uuid) {
        self.quarantined.set(id, None);
    }

    /// Lets go what only waited for its patient.
    pub fn release_patient(&mut self, patient: PatientId) {
        let waits = |kept: &QuarantineRecord| kept.patient_id == Some(patient) && kept.waits_for_patient();
        let here: Vec<Uuid> =
            self.quarantined.iter().filter(|(_, kept)| kept.as_ref().is_some_and(waits)).map(|(id, _)| *id).collect();
        for id in here {
            self.release(id);
        }
        self.arrived.set(patient, ());
    }
}
