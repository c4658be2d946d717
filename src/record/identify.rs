//! Who a resource is about: keys, patients of whom only a reference has arrived, merges.

use uuid::Uuid;

use super::dossier::Dossier;
use super::unit_of_work::UnitOfWork;
use super::{PatientKey, RecordContext};
use crate::fhir::content::Subject;
use crate::id::PatientId;
use crate::problem::{Category, Problem};
use crate::store::patient::Patient;

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

/// The key a subject is stored under.
pub fn key(subject: &Subject) -> String {
    match subject {
        Subject::Reference { id, .. } => format!("Patient/{id}"),
        Subject::Urn(urn) => urn.clone(),
        Subject::Identifier(identifier) => identifier.token(),
    }
}

/// What was found for a subject.
pub enum PersonMatch {
    One(Box<Dossier>),
    /// Several: nobody may be guessed.
    Several,
}

/// Finds and locks the person a subject names; makes one of whom only the reference is known if there is none.
pub async fn subject(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    subject: &Subject,
) -> Result<PersonMatch, Problem> {
    let mut name = key(subject);
    if let Subject::Urn(urn) = subject
        && let Some(id) = urn.strip_prefix("urn:uuid:")
        && !work.persons_with_key(&format!("Patient/{id}")).await?.is_empty()
    {
        name = format!("Patient/{id}");
    }
    if matches!(subject, Subject::Identifier(_)) && work.persons_with_key(&name).await?.len() > 1 {
        return Ok(PersonMatch::Several);
    }
    Ok(PersonMatch::One(Box::new(by_key_or_new(work, context, &name).await?)))
}

/// Finds and locks the person of a key, or makes one of whom only that key is known.
pub async fn by_key_or_new(work: &mut UnitOfWork, context: &RecordContext<'_>, name: &str) -> Result<Dossier, Problem> {
    if let Some(row) = work.lock_by_key(name).await? {
        return work.take(context, row).await;
    }
    new(work, context, unseen(context, name)).await
}

/// A person of whom only a key is known, not stored yet.
pub fn unseen(context: &RecordContext<'_>, name: &str) -> Patient {
    Patient::unseen(PatientId(id_of(context.clinic, &["patient", name])), name.to_owned(), context.now)
}

/// Stores a person whose key nobody has.
pub async fn new(work: &mut UnitOfWork, context: &RecordContext<'_>, person: Patient) -> Result<Dossier, Problem> {
    let name = person.reference.clone();
    if work.insert_patient(&person).await? {
        work.add_key(&name, person.id);
        return Ok(Dossier::fresh(context, person));
    }
    // The id was used before: the person has lost this key since, by a merge or a changed identifier.
    let row = locked(work, person.id).await?;
    work.add_key(&name, row.id);
    work.take(context, row).await
}

/// Finds and locks the person that a request names.
pub async fn whom(work: &mut UnitOfWork, context: &RecordContext<'_>, whom: &PatientKey) -> Result<Dossier, Problem> {
    let row = match whom {
        PatientKey::Id(id) => locked(work, *id).await?,
        PatientKey::Key(key) => {
            let found = work.persons_with_key(key).await?;
            match found.as_slice() {
                [] => return Err(Problem::not_found("patient")),
                [one] => locked(work, one.id).await?,
                _ => return Err(Problem::conflict("several patients carry this identifier; name one by its id")),
            }
        }
    };
    work.take(context, row).await
}

/// Locks a patient by id, following a merge.
pub async fn locked(work: &mut UnitOfWork, id: PatientId) -> Result<Patient, Problem> {
    let mut id = id;
    for _ in 0..8 {
        let row = work.lock(id).await?.ok_or_else(|| Problem::not_found("patient"))?;
        match row.merged_into {
            None => return Ok(row),
            Some(into) => id = into,
        }
    }
    Err(Problem::new(Category::Internal, "patients are merged in a circle"))
}

/// Makes two persons one: everything known about `from` belongs to `into` from now on.
pub async fn merge(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    from: Dossier,
    into: Dossier,
) -> Result<Dossier, Problem> {
    work.merge_patients(from.patient.id, into.patient.id).await?;
    let mut row = into.patient;
    row.has_care |= from.patient.has_care;
    work.update_patient(&row);
    work.load(context, row).await
}
