//! Patients that arrive: who they are, and who is one and the same.

use serde_json::json;

use super::dossier::Dossier;
use super::identify::{by_key_or_new, key, locked, merge};
use super::resource_arrival::{PATIENT_NOT_SEEN, ResourceSlot, dropped, keep, unchanged};
use super::settle::{NewEvent, settle};
use super::unit_of_work::UnitOfWork;
use super::{CommandEffect, RecordContext, Recorded};
use crate::fhir::arrival::Arrival;
use crate::fhir::content::PatientDetails;
use crate::problem::Problem;

/// A Patient arrived.
pub async fn person_arrived(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    place: ResourceSlot<'_>,
    person: &PatientDetails,
) -> Result<Recorded, Problem> {
    let id = place.id;
    let reference = format!("Patient/{id}");
    let mut dossier = known_person(work, context, arrival, &reference).await?;
    let (version, before) = match keep(work, context, arrival, place, Some(dossier.patient.id)).await? {
        Ok(kept) => kept,
        Err(found) => {
            work.put(dossier);
            return Ok(unchanged(&found));
        }
    };
    let row = &mut dossier.patient;
    // A Patient that was merged away says nothing about the survivor, not even before the survivor arrives.
    let speaks = row.reference == reference || (!row.seen && person.replaced_by.is_empty());
    if speaks {
        row.reference.clone_from(&reference);
        row.seen = true;
        row.display_name.clone_from(&person.display_name);
        row.family.clone_from(&person.family);
        row.birth_date.clone_from(&person.birth_date);
        row.gender.clone_from(&person.gender);
        row.language.clone_from(&person.language);
        row.inactive = person.inactive && person.replaced_by.is_empty();
        row.deceased_on = person.deceased.then(|| person.deceased_on.or(row.deceased_on).unwrap_or(context.today));
        work.update_patient(row);
    }
    let me = row.id;
    work.add_key(&reference, me);
    for identifier in &arrival.identifiers {
        work.add_key(&identifier.token(), me);
    }
    for token in before.iter().flat_map(|before| dropped(before, arrival)) {
        let still = work.resources_with(arrival.kind.name(), &token).await?;
        if !still.iter().any(|resource| resource.patient_id == Some(me)) {
            work.drop_key(&token, me);
        }
    }
    dossier = join_references(work, context, dossier, arrival).await?;
    dossier = join_links(work, context, dossier, person).await?;
    if dossier.patient.seen {
        work.release_patient(dossier.patient.id, PATIENT_NOT_SEEN);
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
    settle(work, context, dossier, Some(line)).await?;
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

/// The person a Patient resource speaks of: known by its id, or so far only by a reference of another kind.
async fn known_person(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    reference: &str,
) -> Result<Dossier, Problem> {
    if let Some(row) = work.lock_by_key(reference).await? {
        return work.take(context, row).await;
    }
    for name in other_names(arrival, reference) {
        let unseen = work.persons_with_key(&name).await?.into_iter().find(|p| !p.seen);
        if let Some(unseen) = unseen {
            let row = locked(work, unseen.id).await?;
            return work.take(context, row).await;
        }
    }
    by_key_or_new(work, context, reference).await
}

/// The names under which forms may have referred to a Patient before it arrived.
fn other_names(arrival: &Arrival, reference: &str) -> Vec<String> {
    let urn = format!("urn:uuid:{}", reference.trim_start_matches("Patient/"));
    std::iter::once(urn).chain(arrival.identifiers.iter().map(crate::fhir::content::Identifier::token)).collect()
}

/// Persons of whom only another name of this Patient was known are this person.
async fn join_references(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    mut dossier: Dossier,
    arrival: &Arrival,
) -> Result<Dossier, Problem> {
    let reference = dossier.patient.reference.clone();
    for name in other_names(arrival, &reference) {
        for other in work.persons_with_key(&name).await? {
            if !other.seen && other.id != dossier.patient.id {
                let row = locked(work, other.id).await?;
                let other = work.take(context, row).await?;
                dossier = merge(work, context, other, dossier).await?;
            }
        }
    }
    Ok(dossier)
}

/// `link.type` replaced-by and replaces: two records of one person become one story.
async fn join_links(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    mut dossier: Dossier,
    person: &PatientDetails,
) -> Result<Dossier, Problem> {
    for replaced in &person.replaces {
        let other = by_key_or_new(work, context, &key(replaced)).await?;
        if other.patient.id != dossier.patient.id {
            dossier = merge(work, context, other, dossier).await?;
        }
    }
    for survivor in &person.replaced_by {
        let other = by_key_or_new(work, context, &key(survivor)).await?;
        if other.patient.id != dossier.patient.id {
            dossier = merge(work, context, dossier, other).await?;
        }
    }
    Ok(dossier)
}
