//! Patients that arrive: who they are, and who is one and the same.

use serde_json::json;

use super::dossier::{Dossier, Dossiers};
use super::identify::{by_key_or_new, locked};
use super::merge::{SHARED_KEY, join, relink};
use super::possible_match;
use super::resource_arrival::{PATIENT_ELSEWHERE, PATIENT_NOT_SEEN, ResourceSlot, dropped, keep, unchanged};
use super::settle::{NewEvent, settle};
use super::{CommandEffect, RecordContext, Recorded};
use crate::domain::patient_match::MatchReason;
use crate::fhir::arrival::Arrival;
use crate::fhir::content::{Identifier, LinkKind, PatientDetails};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::link::{self, Link};
use crate::store::patient::{KeyRow, Patient, matches};
use crate::store::resource::{self, Resource};
use crate::store::{Tx, patient, quarantine};

/// A Patient arrived.
pub async fn person_arrived(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    arrival: &Arrival,
    place: ResourceSlot<'_>,
    person: &PatientDetails,
) -> Result<Recorded, Problem> {
    let id = place.id;
    let reference = format!("Patient/{id}");
    let mut dossier = known_person(tx, context, dossiers, (arrival, person), &reference).await?;
    let (version, before) = match keep(tx, context, arrival, place, Some(dossier.patient.id)).await? {
        Ok(kept) => kept,
        Err(found) => {
            dossiers.put(context, dossier);
            return Ok(unchanged(&found));
        }
    };
    let me = dossier.patient.id;
    let record = speak(tx, context, &mut dossier, person, &reference).await?;
    if let Some(before) = &before {
        forget_keys(tx, context, before, arrival, me).await?;
    }
    let carried = std::iter::once(reference.clone()).chain(arrival.identifiers.iter().map(Identifier::token));
    let former = person.former_identifiers.iter().map(Identifier::token);
    for (key, former) in carried.map(|key| (key, false)).chain(former.map(|key| (key, true))) {
        let row = KeyRow { key: &key, patient: me, origin: Some(record), former };
        patient::put_key(tx, context.clinic, row).await?;
    }
    if before.is_none() && record == me {
        let namesakes = matches::namesakes(tx, context.clinic, &dossier.patient).await?;
        possible_match::note(tx, context, record, &namesakes, MatchReason::SameNameAndBirthDate).await?;
    }
    dossiers.put(context, dossier);
    join_names(tx, context, dossiers, (record, me), &other_names(arrival, person, &reference)).await?;
    relink(tx, context, dossiers, (record, &reference), &person.links).await?;
    let row = locked(tx, context, record).await?;
    let dossier = dossiers.take(tx, context, row).await?;
    if dossier.patient.seen {
        for reason in [PATIENT_NOT_SEEN, PATIENT_ELSEWHERE] {
            quarantine::release_patient(tx, context.clinic, dossier.patient.id, reason).await?;
        }
    }

    let line = NewEvent {
        id: context.clock.id(),
        episode: None,
        kind: "patient".to_owned(),
        is_care: false,
        on: context.today,
        at: context.now,
        outcome: None,
        minutes: None,
        body: json!({"source": reference, "version": version, "inactive": person.inactive, "deceased": person.deceased,
            "known": {"inactive": dossier.patient.inactive, "deceased_on": dossier.patient.deceased_on}}),
    };
    let survivor = dossier.patient.id;
    settle(tx, context, dossiers, dossier, Some(line)).await?;
    Ok(Recorded {
        effect: if before.is_none() { CommandEffect::Created } else { CommandEffect::Updated },
        id: id.to_owned(),
        version,
        at: context.now,
        patient: Some(survivor),
        quarantined: None,
        added: None,
    })
}

/// What a Patient says of itself goes into the row of its record, whose id is the answer: the person's own, or that of a
/// record that was merged into the person, which says nothing about the survivor.
async fn speak(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossier: &mut Dossier,
    person: &PatientDetails,
    reference: &str,
) -> Result<PatientId, Problem> {
    let row = &mut dossier.patient;
    // A person of whom nothing but another name was known is this record.
    if row.reference == reference || (!row.seen && !is_of_a_patient(&row.reference)) {
        describe(context, row, person, reference);
        patient::update(tx, context.clinic, row, context.now).await?;
        return Ok(row.id);
    }
    let Some(mut merged) = link::merged_record(tx, context.clinic, row.id, reference).await? else { return Ok(row.id) };
    describe(context, &mut merged, person, reference);
    patient::update(tx, context.clinic, &merged, context.now).await?;
    Ok(merged.id)
}

fn is_of_a_patient(reference: &str) -> bool {
    reference.starts_with("Patient/") || reference.starts_with("https://")
}

fn describe(context: &RecordContext<'_>, row: &mut Patient, person: &PatientDetails, reference: &str) {
    reference.clone_into(&mut row.reference);
    row.seen = true;
    row.display_name.clone_from(&person.display_name);
    row.family.clone_from(&person.family);
    row.birth_date.clone_from(&person.birth_date);
    row.gender.clone_from(&person.gender);
    row.language.clone_from(&person.language);
    let is_replaced = person.links.iter().any(|link| link.kind == LinkKind::ReplacedBy);
    row.inactive = person.inactive && !is_replaced;
    row.deceased_on = person.deceased.then(|| person.deceased_on.or(row.deceased_on).unwrap_or(context.today));
}

/// Names that the Patient carried and carries no more lead to its person no more.
async fn forget_keys(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    before: &Resource,
    arrival: &Arrival,
    me: PatientId,
) -> Result<(), Problem> {
    for token in dropped(before, arrival) {
        let still = resource::by_identifier(tx, context.clinic, arrival.kind.name(), &token).await?;
        if !still.iter().any(|resource| resource.patient_id == Some(me)) {
            patient::drop_key(tx, context.clinic, &token, me).await?;
        }
    }
    Ok(())
}

/// The person a Patient resource speaks of: known by its id, or so far only by a reference of another kind.
async fn known_person(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    (arrival, person): (&Arrival, &PatientDetails),
    reference: &str,
) -> Result<Dossier, Problem> {
    if let Some(row) = patient::lock_by_key(tx, context.clinic, reference).await? {
        return dossiers.take(tx, context, row).await;
    }
    for name in other_names(arrival, person, reference) {
        let unseen = patient::by_key(tx, context.clinic, &name).await?.into_iter().find(is_only_a_name);
        if let Some(unseen) = unseen {
            let row = locked(tx, context, unseen.id).await?;
            return dossiers.take(tx, context, row).await;
        }
    }
    by_key_or_new(tx, context, dossiers, reference).await
}

/// Nothing is known of the person but an identifier or a URN: the Patient that carries it says who it is.
fn is_only_a_name(person: &Patient) -> bool {
    !person.seen && !is_of_a_patient(&person.reference)
}

/// The names under which forms may have referred to a Patient before it arrived.
fn other_names(arrival: &Arrival, person: &PatientDetails, reference: &str) -> Vec<String> {
    let urn = format!("urn:uuid:{}", reference.trim_start_matches("Patient/"));
    let identifiers = arrival.identifiers.iter().chain(&person.former_identifiers);
    std::iter::once(urn).chain(identifiers.map(Identifier::token)).collect()
}

/// Persons of whom only another name of this Patient was known are this person.
async fn join_names(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    (record, person): (PatientId, PatientId),
    names: &[String],
) -> Result<(), Problem> {
    for name in names {
        let carriers = patient::by_key(tx, context.clinic, name).await?.into_iter().filter(|other| other.id != person);
        let (names, others): (Vec<Patient>, Vec<Patient>) = carriers.partition(is_only_a_name);
        for name in names {
            join(tx, context, dossiers, Link { from: name.id, into: record }, SHARED_KEY).await?;
        }
        let others: Vec<PatientId> = others.into_iter().map(|other| other.id).collect();
        possible_match::note(tx, context, record, &others, MatchReason::SharedIdentifier).await?;
    }
    Ok(())
}
