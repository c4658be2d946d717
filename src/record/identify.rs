//! Who a resource is about: keys, patients of whom only a reference has arrived, merges.

use std::collections::BTreeSet;

use super::derived_id::id_of;
use super::dossier::Dossier;
use super::working_set::WorkingSet;
use super::{PatientKey, RecordContext};
use crate::fhir::content::Subject;
use crate::id::PatientId;
use crate::problem::{Category, Problem};
use crate::store::patient::Patient;

/// What was found for a subject.
pub enum PersonMatch {
    One(Box<Dossier>),
    /// Several: nobody may be guessed.
    Several,
}

/// Finds and locks the person a subject names; makes one of whom only the reference is known if there is none.
pub fn subject(set: &mut WorkingSet, context: &RecordContext<'_>, subject: &Subject) -> Result<PersonMatch, Problem> {
    if let Subject::Identifiers(_) = subject {
        return carrier(set, context, &subject.keys());
    }
    let mut name = subject.keys().swap_remove(0);
    if let Some(id) = name.strip_prefix("urn:uuid:") {
        let here = format!("Patient/{id}");
        if !set.persons_with_key(&here)?.is_empty() {
            name = here;
        }
    }
    Ok(PersonMatch::One(Box::new(by_key_or_new(set, context, &name)?)))
}

/// Finds and locks the one person who carries some of several identifiers; makes one who carries them all if nobody does.
fn carrier(set: &mut WorkingSet, context: &RecordContext<'_>, keys: &[String]) -> Result<PersonMatch, Problem> {
    let mut known = BTreeSet::new();
    for key in keys {
        known.extend(set.persons_with_key(key)?.into_iter().map(|person| person.id));
    }
    let dossier = match known.first() {
        _ if known.len() > 1 => return Ok(PersonMatch::Several),
        Some(only) => {
            let row = locked(set, *only)?;
            set.take(row)?
        }
        None => {
            let Some(first) = keys.first() else { return Ok(PersonMatch::Several) };
            new(set, context, unseen(context, first))?
        }
    };
    if !dossier.patient.seen {
        for key in keys {
            set.add_key(key, dossier.patient.id)?;
        }
    }
    Ok(PersonMatch::One(Box::new(dossier)))
}

/// Finds and locks the person of a key, or makes one of whom only that key is known.
pub fn by_key_or_new(set: &mut WorkingSet, context: &RecordContext<'_>, name: &str) -> Result<Dossier, Problem> {
    if let Some(row) = set.patient_by_key(name)? {
        return set.take(row);
    }
    new(set, context, unseen(context, name))
}

/// A person of whom only a key is known, not stored yet.
pub fn unseen(context: &RecordContext<'_>, name: &str) -> Patient {
    Patient::unseen(PatientId(id_of(context.clinic, &["patient", name])), name.to_owned(), context.now)
}

/// Stores a person whose key nobody has.
pub fn new(set: &mut WorkingSet, context: &RecordContext<'_>, person: Patient) -> Result<Dossier, Problem> {
    let name = person.reference.clone();
    if set.insert_patient(&person)? {
        set.add_key(&name, person.id)?;
        return Ok(Dossier::fresh(context, person));
    }
    // The id was used before: the person has lost this key since, by a merge or a changed identifier.
    let row = locked(set, person.id)?;
    set.add_key(&name, row.id)?;
    set.take(row)
}

/// Finds and locks the person that a request names.
pub fn whom(set: &mut WorkingSet, whom: &PatientKey) -> Result<Dossier, Problem> {
    let row = match whom {
        PatientKey::Id(id) => locked(set, *id)?,
        PatientKey::Key(key) => {
            let found = set.persons_with_key(key)?;
            match found.as_slice() {
                [] => return Err(Problem::not_found("patient")),
                [one] => locked(set, one.id)?,
                _ => return Err(Problem::conflict("several patients carry this identifier; name one by its id")),
            }
        }
    };
    set.take(row)
}

/// Locks a patient by id, following a merge.
pub fn locked(set: &mut WorkingSet, id: PatientId) -> Result<Patient, Problem> {
    let mut id = id;
    for _ in 0..8 {
        let row = set.patient(id)?.ok_or_else(|| Problem::not_found("patient"))?;
        match row.merged_into {
            None => return Ok(row),
            Some(into) => id = into,
        }
    }
    Err(Problem::new(Category::Internal, "patients are merged in a circle"))
}
