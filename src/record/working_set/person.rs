//! Persons and the names they are known by.

use uuid::Uuid;

use super::{WorkingSet, not_gathered};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::link::Link;
use crate::store::patient::matches::{self, PatientMatch};
use crate::store::patient::{KeyRow, Patient, StoredKey, stored_key};

/// A name that more people carry says nothing.
const MOST_CARRIERS: usize = 100;

impl WorkingSet {
    /// A patient as it is now, locked until the end of the transaction.
    pub fn patient(&mut self, id: PatientId) -> Result<Option<Patient>, Problem> {
        if !self.patients.is_known(&id) {
            self.missing.rows.insert(id);
            return Err(not_gathered());
        }
        Ok(self.patients.get(&id).cloned())
    }

    /// The patient that a key leads to.
    pub fn patient_by_key(&mut self, key: &str) -> Result<Option<Patient>, Problem> {
        match self.key_rows(key)?.into_iter().min_by_key(|row| (row.former, row.patient_id)) {
            Some(row) => self.patient(row.patient_id),
            None => Ok(None),
        }
    }

    /// The record that carries a key, whoever it was merged into. One that carries it now comes before one that did once.
    pub fn record_by_key(&mut self, key: &str) -> Result<Option<PatientId>, Problem> {
        let first = self.key_rows(key)?.into_iter().min_by_key(|row| (row.former, row.patient_id));
        Ok(first.map(|row| row.origin_id.unwrap_or(row.patient_id)))
    }

    /// Patients with a key: usually one, none if unknown, several if ambiguous. A name that somebody had once leads to them
    /// only while nobody carries it now.
    pub fn persons_with_key(&mut self, key: &str) -> Result<Vec<Patient>, Problem> {
        let rows = self.key_rows(key)?;
        let is_carried = rows.iter().any(|row| !row.former);
        let mut persons = Vec::new();
        for row in rows.into_iter().filter(|row| !(is_carried && row.former)).take(MOST_CARRIERS) {
            persons.extend(self.patient(row.patient_id)?);
        }
        Ok(persons)
    }

    /// Whom a key leads to, in order of id.
    fn key_rows(&mut self, key: &str) -> Result<Vec<StoredKey>, Problem> {
        let key = stored_key(key);
        if !self.keys.contains_key(&key) {
            self.missing.keys.insert(key);
            return Err(not_gathered());
        }
        let mut rows = self.keys.get(&key).cloned().unwrap_or_default();
        let changes = self.key_changes.from((key.clone(), PatientId::default()));
        for ((_, id), row) in changes.take_while(|((changed, _), _)| *changed == key) {
            match row {
                Some(row) => rows.insert(*id, row.clone()),
                None => rows.remove(id),
            };
        }
        Ok(rows.into_values().collect())
    }

    /// Adds a person. `false` if the id is taken already.
    pub fn insert_patient(&mut self, person: &Patient) -> Result<bool, Problem> {
        if self.patient(person.id)?.is_some() {
            return Ok(false);
        }
        self.patients.set(person.id, person.clone());
        Ok(true)
    }

    /// Changes a locked person.
    pub fn update_patient(&mut self, person: &Patient) {
        if self.patients.get(&person.id) != Some(person) {
            self.patients.update(person.id, person.clone());
        }
    }

    /// Lets a person be known by one more key.
    pub fn add_key(&mut self, key: &str, patient: PatientId) -> Result<(), Problem> {
        self.put_key(KeyRow { key, patient, origin: None, former: false })
    }

    /// Lets a person be known by one more key; one that is carried now is no former one any more.
    pub fn put_key(&mut self, row: KeyRow<'_>) -> Result<(), Problem> {
        let rows = self.key_rows(row.key)?;
        let known = rows.into_iter().find(|known| known.patient_id == row.patient);
        let now = match &known {
            Some(known) => StoredKey { former: known.former && row.former, ..known.clone() },
            None => StoredKey {
                key: stored_key(row.key),
                patient_id: row.patient,
                origin_id: row.origin.filter(|origin| *origin != row.patient),
                former: row.former,
            },
        };
        if known.as_ref() != Some(&now) {
            self.key_changes.set((now.key.clone(), row.patient), Some(now));
        }
        Ok(())
    }

    /// Forgets a key of a person.
    pub fn drop_key(&mut self, key: &str, patient: PatientId) {
        self.key_changes.set((stored_key(key), patient), None);
    }

    /// The record of a name that was merged into a person.
    pub fn merged_record(&mut self, person: PatientId, reference: &str) -> Result<Option<Patient>, Problem> {
        let key = (person, reference.to_owned());
        match self.merged.get(&key).copied() {
            Some(Some(record)) => self.patient(record),
            Some(None) => Ok(None),
            None => {
                self.missing.merged.insert(key);
                Err(not_gathered())
            }
        }
    }

    /// Others of the same name who were born on the same day.
    pub fn namesakes(&mut self, of: &Patient) -> Result<Vec<PatientId>, Problem> {
        let Some(name) = matches::full_name(of.birth_date.as_deref(), of.display_name.as_deref()) else {
            return Ok(Vec::new());
        };
        if !self.namesakes.contains_key(&name) {
            self.missing.namesakes.insert(name);
            return Err(not_gathered());
        }
        let mut ids = self.namesakes.get(&name).cloned().unwrap_or_default();
        for (id, person) in self.patients.iter() {
            let is_one = person.seen
                && person.merged_into.is_none()
                && (person.birth_date.as_deref(), person.display_name.as_deref()) == (Some(&*name.0), Some(&*name.1));
            if is_one {
                ids.insert(*id)
            } else {
                ids.remove(id)
            };
        }
        ids.remove(&of.id);
        Ok(ids.into_iter().collect())
    }

    /// What a source says about which records are one person.
    pub fn links_of(&mut self, source: &str) -> Result<Vec<Link>, Problem> {
        let source = stored_key(source);
        let Some(links) = self.links.get(&source) else {
            self.missing.sources.insert(source);
            return Err(not_gathered());
        };
        Ok(links.clone())
    }

    /// Two records that are perhaps one person.
    pub fn patient_match(&mut self, id: Uuid) -> Result<Option<PatientMatch>, Problem> {
        if !self.matches.is_known(&id) {
            self.missing.matches.insert(id);
            return Err(not_gathered());
        }
        Ok(self.matches.get(&id).cloned())
    }

    /// Notes that two records are perhaps one person, unless it is known.
    pub fn note_match(&mut self, found: PatientMatch) {
        if self.matches.get(&found.id).is_none() {
            self.matches.set(found.id, found);
        }
    }

    /// What somebody decided about two records.
    pub fn decide_match(&mut self, decided: PatientMatch) {
        self.matches.update(decided.id, decided);
    }
}
