//! Resources that arrive: stored as they came, joined to their patient, measured.

use super::completion;
use super::derived_id::id_of;
use super::evidence::{evaluate, evidence_arrived};
use super::identify::locked;
use super::merge::Applied;
use super::person::person_arrived;
use super::settle::settle;
use super::stored_resource::{ResourceSlot, unchanged};
use super::working_set::WorkingSet;
use super::{CommandEffect, Condition, RecordContext, Recorded, derived_id};
use crate::domain::measurement::EvidenceStatus;
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::content::{Content, Evidence};
use crate::problem::{Category, Problem};
use crate::store::resource::Resource;

/// A resource arrived.
pub fn arrived(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    condition: &Condition,
) -> Result<Applied, Problem> {
    let (condition, expected) = match condition {
        Condition::Under { id, condition } => (&**condition, Some(id)),
        plain => (plain, None),
    };
    let chosen = chosen(set, context, arrival, condition)?;
    if expected.is_some_and(|id| id != chosen.id()) {
        return Err(Problem::conflict("the resource that matches the condition has changed meanwhile; try again"));
    }
    let id = match chosen {
        ResourceChoice::Existing(found) => return Ok(Applied::Done(unchanged(&found))),
        ResourceChoice::Id(id) => id,
    };
    if let Condition::Completed(said) = condition {
        completion::keep(set, (arrival.kind.name(), &id), said.clone())?;
    }
    let again = matches!(condition, Condition::Again | Condition::Completed(_));
    let place = ResourceSlot { id: &id, again };
    match &arrival.content {
        Content::Patient(person) => person_arrived(set, context, arrival, place, person),
        Content::Evidence(evidence) => evidence_arrived(set, context, arrival, place, evidence).map(Applied::Done),
    }
}

enum ResourceChoice {
    /// The condition says that nothing is to be done: this is what is there.
    Existing(Box<Resource>),
    Id(String),
}

impl ResourceChoice {
    fn id(&self) -> &str {
        match self {
            Self::Existing(found) => &found.id,
            Self::Id(id) => id,
        }
    }
}

/// Under which id an arrival is stored.
///
/// The id that the sender gave; else one that follows from the content, so that sending the same twice stores it once.
/// A Patient without identifiers has nothing that tells it from another one: it gets a new id.
fn chosen(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    condition: &Condition,
) -> Result<ResourceChoice, Problem> {
    let kind = arrival.kind.name();
    match condition {
        Condition::NoneWith(token) | Condition::TheOneWith(token) => {
            let found = set.resources_with(kind, token)?;
            match found.as_slice() {
                [] => {}
                [one] if matches!(condition, Condition::NoneWith(_)) => {
                    return Ok(ResourceChoice::Existing(Box::new(one.clone())));
                }
                [one] => {
                    if arrival.id.as_ref().is_some_and(|id| *id != one.id) {
                        return Err(Problem::malformed("the id in the resource is not that of the one that matches")
                            .at(format!("{kind}.id")));
                    }
                    return Ok(ResourceChoice::Id(one.id.clone()));
                }
                several => {
                    return Err(Problem::new(
                        Category::PreconditionFailed,
                        format!("{} resources carry this identifier", several.len()),
                    ));
                }
            }
        }
        Condition::Version(version) => {
            let id = arrival.id.as_deref().unwrap_or_default();
            let now = set.resource(kind, id)?.map(|r| r.version);
            if now != Some(*version) {
                return Err(Problem::new(Category::PreconditionFailed, "the resource is at another version"));
            }
        }
        Condition::None | Condition::Under { .. } | Condition::Again | Condition::Completed(_) => {}
    }
    let given = arrival.id.clone().or_else(|| derived_id(context.clinic, arrival, None));
    Ok(ResourceChoice::Id(given.unwrap_or_else(|| context.new_id.to_string())))
}

/// A resource was deleted: what it said does not count any more.
pub fn deleted(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    kind: ResourceType,
    id: &str,
    if_match: Option<i64>,
) -> Result<Recorded, Problem> {
    let Some(mut found) = set.resource(kind.name(), id)? else {
        return Err(Problem::not_found(kind.name()));
    };
    if if_match.is_some_and(|version| version != found.version) {
        return Err(Problem::new(Category::PreconditionFailed, "the resource is at another version"));
    }
    if found.deleted {
        return Ok(unchanged(&found));
    }
    found.deleted = true;
    found.version += 1;
    found.updated_at = context.now;
    let source = format!("{}/{id}", kind.name());
    if let Some(patient) = found.patient_id {
        let row = locked(set, patient)?;
        let mut dossier = set.take(row)?;
        set.update_resource(&found);
        if kind == ResourceType::Patient {
            if dossier.patient.reference == source {
                dossier.patient.inactive = true;
                set.update_patient(&dossier.patient);
            }
            settle(set, context, dossier, None)?;
        } else {
            let gone = Evidence {
                subject: None,
                counting: EvidenceStatus::Retracted,
                taken: None,
                readings: Vec::new(),
                doubt: None,
                language: None,
                members: Vec::new(),
            };
            evaluate(set, context, dossier, &gone, &source, found.version)?;
        }
    } else {
        set.update_resource(&found);
    }
    set.release(id_of(context.clinic, &["quarantine", &source]));
    Ok(Recorded { effect: CommandEffect::Deleted, ..unchanged(&found) })
}
