//! A resource as it came: stored, unless it is old news.

use super::working_set::WorkingSet;
use super::{CommandEffect, RecordContext, Recorded};
use crate::fhir::arrival::{Arrival, identifiers_of};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::resource::Resource;

/// Where an arrival is stored.
#[derive(Clone, Copy)]
pub(super) struct ResourceSlot<'a> {
    pub(super) id: &'a str,
    /// What is there already is looked at again.
    pub(super) again: bool,
}

pub(super) fn unchanged(found: &Resource) -> Recorded {
    Recorded {
        effect: CommandEffect::Unchanged,
        id: found.id.clone(),
        version: found.version,
        at: found.updated_at,
        patient: found.patient_id,
        quarantined: None,
        added: None,
    }
}

/// Stores the resource. `Err(found)` when it is known already, or older than what is known.
pub(super) fn keep(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    ResourceSlot { id, again }: ResourceSlot<'_>,
    patient: Option<PatientId>,
) -> Result<Result<(i64, Option<Resource>), Resource>, Problem> {
    let kind = arrival.kind.name();
    let mut row = Resource {
        kind: kind.to_owned(),
        id: id.to_owned(),
        version: 1,
        source_version: arrival.version_id.clone(),
        source_updated: arrival.last_updated,
        patient_id: patient,
        deleted: false,
        updated_at: context.now,
        body: arrival.body(id),
    };
    let mut before = None;
    if !set.insert_resource(&row)? {
        let found =
            set.resource(kind, id)?.ok_or_else(|| Problem::internal("a resource vanished inside a transaction"))?;
        if is_old_news(&found, &row) {
            if again && !found.deleted && found.body == row.body {
                if found.patient_id != patient {
                    set.update_resource(&Resource { patient_id: patient, ..found.clone() });
                }
                return Ok(Ok((found.version, Some(found))));
            }
            return Ok(Err(found));
        }
        row.version = found.version + 1;
        set.update_resource(&row);
        for token in dropped(&found, arrival) {
            set.drop_identifier(kind, &token, id);
        }
        before = Some(found);
    }
    for identifier in &arrival.identifiers {
        set.add_identifier(kind, &identifier.token(), id);
    }
    Ok(Ok((row.version, before)))
}

/// The identifiers that the version before carried and this one does not.
pub(super) fn dropped(before: &Resource, arrival: &Arrival) -> Vec<String> {
    let carried = identifiers_of(&before.body).into_iter();
    carried
        .filter(|identifier| !arrival.identifiers.contains(identifier))
        .map(|identifier| identifier.token())
        .collect()
}

/// R1: of one resource the highest version counts, then the latest change; the same again is nothing new.
fn is_old_news(known: &Resource, sent: &Resource) -> bool {
    let number = |v: &Option<String>| v.as_ref().and_then(|v| v.parse::<u64>().ok());
    let newer = match (number(&known.source_version), number(&sent.source_version)) {
        (Some(known), Some(sent)) if known != sent => Some(sent > known),
        _ => match (known.source_updated, sent.source_updated) {
            (Some(known), Some(sent)) if known != sent => Some(sent > known),
            _ => None,
        },
    };
    match newer {
        Some(newer) => !newer,
        // What was deleted does not come back because a late repetition of it arrives.
        None if known.deleted => is_same_version(known, sent),
        None => known.body == sent.body,
    }
}

fn is_same_version(known: &Resource, sent: &Resource) -> bool {
    match (&known.source_version, &sent.source_version) {
        (Some(known), Some(sent)) => known == sent,
        _ => known.source_updated.is_some() && known.source_updated == sent.source_updated,
    }
}
