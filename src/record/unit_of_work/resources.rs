//! Resources as they came, and what waits in quarantine.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::UnitOfWork;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::quarantine::QuarantineRecord;
use crate::store::resource::{self, Resource};

impl UnitOfWork {
    /// A resource by type and id.
    pub async fn resource(&mut self, kind: &str, id: &str) -> Result<Option<Resource>, Problem> {
        let key = (kind.to_owned(), id.to_owned());
        if !self.resources.is_known(&key) {
            self.gather_resources(kind, &[id.to_owned()]).await?;
        }
        Ok(self.resources.get(&key).cloned())
    }

    pub(super) async fn gather_resources(&mut self, kind: &str, ids: &[String]) -> Result<(), Problem> {
        for row in resource::find_each(&mut self.tx, &self.clinic, kind, ids).await? {
            self.resources.gathered((row.kind.clone(), row.id.clone()), Some(row));
        }
        for id in ids {
            let key = (kind.to_owned(), id.clone());
            if !self.resources.is_known(&key) {
                self.resources.gathered(key, None);
            }
        }
        Ok(())
    }

    /// Stores a new one. `false` if there is one of that type and id already.
    pub async fn insert_resource(&mut self, new: &Resource) -> Result<bool, Problem> {
        if self.resource(&new.kind, &new.id).await?.is_some() {
            return Ok(false);
        }
        self.update_resource(new);
        Ok(true)
    }

    pub fn update_resource(&mut self, new: &Resource) {
        self.resources.set((new.kind.clone(), new.id.clone()), new.clone());
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
    pub async fn resources_with(&mut self, kind: &str, token: &str) -> Result<Vec<Resource>, Problem> {
        let token = resource::stored_token(token);
        let key = (kind.to_owned(), token.clone());
        if !self.carriers.contains_key(&key) {
            self.gather_carriers(kind, std::slice::from_ref(&token)).await?;
        }
        let mut ids = self.carriers.get(&key).cloned().unwrap_or_default();
        let is_about = |(of, named, _): &(String, String, String)| of == kind && *named == token;
        let changes = self.carrier_changes.from((key.0.clone(), key.1.clone(), String::new()));
        for ((.., id), has) in changes.take_while(|(changed, _)| is_about(changed)) {
            if *has {
                ids.insert(id.clone())
            } else {
                ids.remove(id)
            };
        }
        let missing: Vec<String> =
            ids.iter().filter(|id| !self.resources.is_known(&(kind.to_owned(), (*id).clone()))).cloned().collect();
        self.gather_resources(kind, &missing).await?;
        let found = ids.into_iter().filter_map(|id| self.resources.get(&(kind.to_owned(), id)));
        Ok(found.filter(|resource| !resource.deleted).cloned().collect())
    }

    pub(super) async fn gather_carriers(&mut self, kind: &str, tokens: &[String]) -> Result<(), Problem> {
        let mut read: Vec<(String, BTreeSet<String>)> =
            tokens.iter().map(|token| (resource::stored_token(token), BTreeSet::new())).collect();
        for (token, id) in resource::carriers(&mut self.tx, &self.clinic, kind, tokens).await? {
            for (_, ids) in read.iter_mut().filter(|(named, _)| *named == token) {
                ids.insert(id.clone());
            }
        }
        self.carriers.extend(read.into_iter().map(|(token, ids)| ((kind.to_owned(), token), ids)));
        Ok(())
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
    pub fn release_patient(&mut self, patient: PatientId, code: &str) {
        let waits = |kept: &QuarantineRecord| kept.patient_id == Some(patient) && kept.code == code;
        let here: Vec<Uuid> =
            self.quarantined.iter().filter(|(_, kept)| kept.as_ref().is_some_and(waits)).map(|(id, _)| *id).collect();
        for id in here {
            self.release(id);
        }
        self.arrived.set((patient, code.to_owned()), ());
    }
}
