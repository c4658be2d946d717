//! Who a resource is about: keys, patients of whom only a reference has arrived, merges.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::dossier::{Dossier, Dossiers};
use super::{PatientKey, RecordContext};
use crate::fhir::content::Subject;
use crate::id::PatientId;
use crate::problem::{Category, Problem};
use crate::store::Tx;
use crate::store::patient::{self, Patient};

/// Our namespace for ids that follow from what they name.
const NAMESPACE: Uuid = Uuid::from_u128(0x7c0c_3d2e_9a51_4b7e_8f06_2b1d_5e9a_c0c4);

/// An id that follows from its parts: the same parts give the same id, in every replica and after every restore.
pub fn id_of(clinic: &str, parts: &[&str]) -> Uuid {
    let mut name = clinic.to_owned();
    for part in parts {
        name.push('\u{1f}');
        name.push_str(part);
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// What was found for a subject.
pub enum PersonMatch {
    One(Box<Dossier>),
    /// Several: nobody may be guessed.
    Several,
}

/// Finds and locks the person a subject names; makes one of whom only the reference is known if there is none.
pub async fn subject(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    subject: &Subject,
) -> Result<PersonMatch, Problem> {
    if let Subject::Identifiers(_) = subject {
        return carrier(tx, context, dossiers, &subject.keys()).await;
    }
    let mut name = subject.keys().swap_remove(0);
    if let Some(id) = name.strip_prefix("urn:uuid:") {
        let here = format!("Patient/{id}");
        if !patient::by_key(tx, context.clinic, &here).await?.is_empty() {
            name = here;
        }
    }
    Ok(PersonMatch::One(Box::new(by_key_or_new(tx, context, dossiers, &name).await?)))
}

/// Finds and locks the one person who carries some of several identifiers; makes one who carries them all if nobody does.
async fn carrier(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    keys: &[String],
) -> Result<PersonMatch, Problem> {
    let mut known = BTreeSet::new();
    for key in keys {
        known.extend(patient::by_key(tx, context.clinic, key).await?.into_iter().map(|person| person.id));
    }
    let dossier = match known.first() {
        _ if known.len() > 1 => return Ok(PersonMatch::Several),
        Some(only) => {
            let row = locked(tx, context, *only).await?;
            dossiers.take(tx, context, row).await?
        }
        None => {
            let Some(first) = keys.first() else { return Ok(PersonMatch::Several) };
            new(tx, context, dossiers, unseen(context, first)).await?
        }
    };
    if !dossier.patient.seen {
        for key in keys {
            patient::add_key(tx, context.clinic, key, dossier.patient.id).await?;
        }
    }
    Ok(PersonMatch::One(Box::new(dossier)))
}

/// Finds and locks the person of a key, or makes one of whom only that key is known.
pub async fn by_key_or_new(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    name: &str,
) -> Result<Dossier, Problem> {
    if let Some(row) = patient::lock_by_key(tx, context.clinic, name).await? {
        return dossiers.take(tx, context, row).await;
    }
    new(tx, context, dossiers, unseen(context, name)).await
}

/// A person of whom only a key is known, not stored yet.
pub fn unseen(context: &RecordContext<'_>, name: &str) -> Patient {
    Patient::unseen(PatientId(id_of(context.clinic, &["patient", name])), name.to_owned(), context.now)
}

/// Stores a person whose key nobody has.
pub async fn new(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    person: Patient,
) -> Result<Dossier, Problem> {
    let name = person.reference.clone();
    if patient::insert(tx, context.clinic, &person).await? {
        patient::add_key(tx, context.clinic, &name, person.id).await?;
        return Ok(Dossier::fresh(context, person));
    }
    // The id was used before: the person has lost this key since, by a merge or a changed identifier.
    let row = locked(tx, context, person.id).await?;
    patient::add_key(tx, context.clinic, &name, row.id).await?;
    dossiers.take(tx, context, row).await
}

/// Finds and locks the person that a request names.
pub async fn whom(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    whom: &PatientKey,
) -> Result<Dossier, Problem> {
    let row = match whom {
        PatientKey::Id(id) => locked(tx, context, *id).await?,
        PatientKey::Key(key) => {
            let found = patient::by_key(tx, context.clinic, key).await?;
            match found.as_slice() {
                [] => return Err(Problem::not_found("patient")),
                [one] => locked(tx, context, one.id).await?,
                _ => return Err(Problem::conflict("several patients carry this identifier; name one by its id")),
            }
        }
    };
    dossiers.take(tx, context, row).await
}

/// Locks a patient by id, following a merge.
pub async fn locked(tx: &mut Tx, context: &RecordContext<'_>, id: PatientId) -> Result<Patient, Problem> {
    let mut id = id;
    for _ in 0..8 {
        let row = patient::lock(tx, context.clinic, id).await?.ok_or_else(|| Problem::not_found("patient"))?;
        match row.merged_into {
            None => return Ok(row),
            Some(into) => id = into,
        }
    }
    Err(Problem::new(Category::Internal, "patients are merged in a circle"))
}
