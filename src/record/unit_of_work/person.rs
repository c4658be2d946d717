//! Persons and the names they are known by.

use std::collections::BTreeSet;

use super::UnitOfWork;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::{self, Patient, stored_key};

impl UnitOfWork {
    /// Locks a patient until the end of the transaction; the row as it is now.
    pub async fn lock(&mut self, id: PatientId) -> Result<Option<Patient>, Problem> {
        if !self.locked.contains(&id) {
            self.lock_each(&[id]).await?;
        }
        Ok(self.patients.get(&id).cloned())
    }

    /// Locks several patients, whether they exist or not.
    pub(super) async fn lock_each(&mut self, ids: &[PatientId]) -> Result<(), Problem> {
        for row in patient::lock_each(&mut self.tx, &self.clinic, ids).await? {
            self.patients.gathered(row.id, Some(row));
        }
        for id in ids {
            self.locked.insert(*id);
            if !self.patients.is_known(id) {
                self.patients.gathered(*id, None);
            }
            // What was read before the patient was locked may have changed since.
            self.episodes.forget(|stored| stored.patient_id == *id);
        }
        Ok(())
    }

    /// Locks the patient a key belongs to; the row as it is now.
    pub async fn lock_by_key(&mut self, key: &str) -> Result<Option<Patient>, Problem> {
        match self.ids_with_key(key).await?.first() {
            Some(id) => self.lock(*id).await,
            None => Ok(None),
        }
    }

    /// Patients with a key: usually one, none if unknown, several if ambiguous.
    pub async fn persons_with_key(&mut self, key: &str) -> Result<Vec<Patient>, Problem> {
        let mut persons = Vec::new();
        for id in self.ids_with_key(key).await? {
            if !self.patients.is_known(&id) {
                let row = patient::find(&mut self.tx, &self.clinic, id).await?;
                self.patients.gathered(id, row);
            }
            persons.extend(self.patients.get(&id).cloned());
        }
        Ok(persons)
    }

    async fn ids_with_key(&mut self, key: &str) -> Result<BTreeSet<PatientId>, Problem> {
        let key = stored_key(key);
        if !self.keys.contains_key(&key) {
            self.gather_keys(std::slice::from_ref(&key)).await?;
        }
        let mut ids = self.keys.get(&key).cloned().unwrap_or_default();
        let changes = self.key_changes.from((key.clone(), PatientId::default()));
        for ((_, id), has) in changes.take_while(|((changed, _), _)| *changed == key) {
            if *has {
                ids.insert(*id)
            } else {
                ids.remove(id)
            };
        }
        Ok(ids)
    }

    pub(super) async fn gather_keys(&mut self, keys: &[String]) -> Result<(), Problem> {
        for key in keys {
            self.keys.entry(stored_key(key)).or_default();
        }
        for (key, id) in patient::with_keys(&mut self.tx, &self.clinic, keys).await? {
            self.keys.entry(key).or_default().insert(id);
        }
        Ok(())
    }

    /// Adds a person. `false` if the id is taken already.
    pub async fn insert_patient(&mut self, person: &Patient) -> Result<bool, Problem> {
        if self.lock(person.id).await?.is_some() {
            return Ok(false);
        }
        self.patients.set(person.id, person.clone());
        Ok(true)
    }

    /// Changes a locked person.
    pub fn update_patient(&mut self, person: &Patient) {
        if self.patients.get(&person.id) != Some(person) {
            self.patients.set(person.id, person.clone());
        }
    }

    /// Lets a person be known by one more key.
    pub fn add_key(&mut self, key: &str, patient: PatientId) {
        let key = stored_key(key);
        let is_new = self.keys.get(&key).is_none_or(|ids| !ids.contains(&patient));
        if is_new || self.key_changes.is_known(&(key.clone(), patient)) {
            self.key_changes.set((key, patient), true);
        }
    }

    /// Forgets a key of a person.
    pub fn drop_key(&mut self, key: &str, patient: PatientId) {
        self.key_changes.set((stored_key(key), patient), false);
    }

    /// Moves everything known about one person to another: one story from now on.
    pub async fn merge_patients(&mut self, from: PatientId, into: PatientId) -> Result<(), Problem> {
        self.write_through().await?;
        patient::merge(&mut self.tx, &self.clinic, from, into, self.now).await?;
        self.forget();
        self.lock_each(&[from, into]).await
    }
}
