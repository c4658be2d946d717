//! Patients that arrive: who they are, and who is one and the same.

use serde_json::json;

use super::dossier::Dossier;
use super::identify::{by_key_or_new, locked};
use super::merge::{Applied, Remainder, RowMove, SHARED_KEY, finish, relink};
use super::new_event::NewEvent;
use super::possible_match;
use super::stored_resource::{ResourceSlot, dropped, keep, unchanged};
use super::working_set::WorkingSet;
use super::{CommandEffect, RecordContext, Recorded};
use crate::domain::patient_match::MatchReason;
use crate::fhir::arrival::Arrival;
use crate::fhir::content::{Identifier, LinkKind, PatientDetails};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::link::Link;
use crate::store::patient::{KeyRow, Patient};
use crate::store::resource::Resource;

/// A Patient arrived.
pub fn person_arrived(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    place: ResourceSlot<'_>,
    person: &PatientDetails,
) -> Result<Applied, Problem> {
    let id = place.id;
    let reference = format!("Patient/{id}");
    let mut dossier = known_person(set, context, (arrival, person), &reference)?;
    let (version, before) = match keep(set, context, arrival, place, Some(dossier.patient.id))? {
        Ok(kept) => kept,
        Err(found) => {
            set.put(dossier);
            return Ok(Applied::Done(unchanged(&found)));
        }
    };
    let me = dossier.patient.id;
    let record = speak(set, context, &mut dossier, person, &reference)?;
    if let Some(before) = &before {
        forget_keys(set, before, arrival, me)?;
    }
    let carried = std::iter::once(reference.clone()).chain(arrival.identifiers.iter().map(Identifier::token));
    let former = person.former_identifiers.iter().map(Identifier::token);
    for (key, former) in carried.map(|key| (key, false)).chain(former.map(|key| (key, true))) {
        let row = KeyRow { key: &key, patient: me, origin: Some(record), former };
        set.put_key(row)?;
    }
    if before.is_none() && record == me {
        let namesakes = set.namesakes(&dossier.patient)?;
        possible_match::note(set, context, record, &namesakes, MatchReason::SameNameAndBirthDate);
    }
    set.put(dossier);
    let mut moves = join_names(set, context, (record, me), &other_names(arrival, person, &reference))?;
    moves.extend(relink(set, context, (record, &reference), &person.links)?);
    let event = NewEvent {
        id: context.clock.id(),
        episode: None,
        kind: "patient".to_owned(),
        is_care: false,
        on: context.today,
        at: context.now,
        outcome: None,
        minutes: None,
        // What is known is written when it is.
        body: json!({"source": reference, "version": version, "inactive": person.inactive, "deceased": person.deceased,
            "known": null}),
    };
    let recorded = Recorded {
        effect: if before.is_none() { CommandEffect::Created } else { CommandEffect::Updated },
        id: id.to_owned(),
        version,
        at: context.now,
        patient: None,
        quarantined: None,
        added: None,
    };
    let left = Remainder { record, event, recorded };
    if moves.is_empty() {
        return finish(set, context, &[], &left).map(Applied::Done);
    }
    Ok(Applied::Moves(moves, Box::new(left)))
}

/// What a Patient says of itself goes into the row of its record, whose id is the answer: the person's own, or that of a
/// record that was merged into the person, which says nothing about the survivor.
fn speak(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    dossier: &mut Dossier,
    person: &PatientDetails,
    reference: &str,
) -> Result<PatientId, Problem> {
    let row = &mut dossier.patient;
    // A person of whom nothing but another name was known is this record.
    if row.reference == reference || (!row.seen && !is_of_a_patient(&row.reference)) {
        describe(context, row, person, reference);
        set.update_patient(row);
        return Ok(row.id);
    }
    let Some(mut merged) = set.merged_record(row.id, reference)? else { return Ok(row.id) };
    describe(context, &mut merged, person, reference);
    set.update_patient(&merged);
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
fn forget_keys(set: &mut WorkingSet, before: &Resource, arrival: &Arrival, me: PatientId) -> Result<(), Problem> {
    for token in dropped(before, arrival) {
        let still = set.resources_with(arrival.kind.name(), &token)?;
        if !still.iter().any(|resource| resource.patient_id == Some(me)) {
            set.drop_key(&token, me);
        }
    }
    Ok(())
}

/// The person a Patient resource speaks of: known by its id, or so far only by a reference of another kind.
fn known_person(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    (arrival, person): (&Arrival, &PatientDetails),
    reference: &str,
) -> Result<Dossier, Problem> {
    if let Some(row) = set.patient_by_key(reference)? {
        return set.take(row);
    }
    for name in other_names(arrival, person, reference) {
        let unseen = set.persons_with_key(&name)?.into_iter().find(is_only_a_name);
        if let Some(unseen) = unseen {
            let row = locked(set, unseen.id)?;
            return set.take(row);
        }
    }
    by_key_or_new(set, context, reference)
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
fn join_names(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    (record, person): (PatientId, PatientId),
    names: &[String],
) -> Result<Vec<RowMove>, Problem> {
    let mut moves = Vec::new();
    for name in names {
        let carriers = set.persons_with_key(name)?.into_iter().filter(|other| other.id != person);
        let (names, others): (Vec<Patient>, Vec<Patient>) = carriers.partition(is_only_a_name);
        for name in names {
            let joined = RowMove::Join(Link { from: name.id, into: record }, SHARED_KEY.to_owned());
            if !moves.contains(&joined) {
                moves.push(joined);
            }
        }
        let others: Vec<PatientId> = others.into_iter().map(|other| other.id).collect();
        possible_match::note(set, context, record, &others, MatchReason::SharedIdentifier);
    }
    Ok(moves)
}
