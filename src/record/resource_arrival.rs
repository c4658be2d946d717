//! Resources that arrive: stored as they came, joined to their patient, measured.

pub(super) mod completion;

use super::dossier::Dossiers;
use super::evidence::{evaluate, evidence_arrived};
use super::identify::{id_of, locked};
use super::person::person_arrived;
use super::settle::settle;
use super::{CommandEffect, Condition, RecordContext, Recorded, derived_id};
use crate::domain::measurement::EvidenceStatus;
use crate::fhir::arrival::{Arrival, ResourceType, identifiers_of};
use crate::fhir::content::{Content, Evidence};
use crate::id::PatientId;
use crate::problem::{Category, Problem};
use crate::store::resource::{self, Resource};
use crate::store::{Tx, patient, quarantine};

/// The reason of a form whose patient has not arrived yet.
pub(super) const PATIENT_NOT_SEEN: &str = "patient_not_seen";

/// The reason of a form whose patient is on another server.
pub(super) const PATIENT_ELSEWHERE: &str = "patient_elsewhere";

/// A resource arrived.
pub async fn arrived(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    arrival: &Arrival,
    condition: &Condition,
) -> Result<Recorded, Problem> {
    let (condition, expected) = match condition {
        Condition::Under { id, condition } => (&**condition, Some(id)),
        plain => (plain, None),
    };
    let chosen = chosen(tx, context, arrival, condition).await?;
    if expected.is_some_and(|id| id != chosen.id()) {
        return Err(Problem::conflict("the resource that matches the condition has changed meanwhile; try again"));
    }
    let id = match chosen {
        ResourceChoice::Existing(found) => return Ok(unchanged(&found)),
        ResourceChoice::Id(id) => id,
    };
    if let Condition::Completed(said) = condition {
        completion::keep(tx, context, (arrival.kind.name(), &id), *said).await?;
    }
    let again = matches!(condition, Condition::Again | Condition::Completed(_));
    let place = ResourceSlot { id: &id, again };
    match &arrival.content {
        Content::Patient(person) => person_arrived(tx, context, dossiers, arrival, place, person).await,
        Content::Evidence(evidence) => evidence_arrived(tx, context, dossiers, arrival, place, evidence).await,
    }
}

/// Where an arrival is stored.
#[derive(Clone, Copy)]
pub(super) struct ResourceSlot<'a> {
    pub(super) id: &'a str,
    /// What is there already is looked at again.
    pub(super) again: bool,
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
async fn chosen(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    condition: &Condition,
) -> Result<ResourceChoice, Problem> {
    let kind = arrival.kind.name();
    match condition {
        Condition::NoneWith(token) | Condition::TheOneWith(token) => {
            let found = resource::by_identifier(tx, context.clinic, kind, token).await?;
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
            let now = resource::find(tx, context.clinic, kind, id).await?.map(|r| r.version);
            if now != Some(*version) {
                return Err(Problem::new(Category::PreconditionFailed, "the resource is at another version"));
            }
        }
        Condition::None | Condition::Under { .. } | Condition::Again | Condition::Completed(_) => {}
    }
    let given = arrival.id.clone().or_else(|| derived_id(context.clinic, arrival, None));
    Ok(ResourceChoice::Id(given.unwrap_or_else(|| context.clock.id().to_string())))
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
pub(super) async fn keep(
    tx: &mut Tx,
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
    if !resource::insert(tx, context.clinic, &row).await? {
        let found = resource::find(tx, context.clinic, kind, id)
            .await?
            .ok_or_else(|| Problem::internal("a resource vanished inside a transaction"))?;
        if is_old_news(&found, &row) {
            if again && !found.deleted && found.body == row.body {
                if found.patient_id != patient {
                    resource::update(tx, context.clinic, &Resource { patient_id: patient, ..found.clone() }).await?;
                }
                return Ok(Ok((found.version, Some(found))));
            }
            return Ok(Err(found));
        }
        row.version = found.version + 1;
        resource::update(tx, context.clinic, &row).await?;
        for token in dropped(&found, arrival) {
            resource::drop_identifier(tx, context.clinic, kind, &token, id).await?;
        }
        before = Some(found);
    }
    for identifier in &arrival.identifiers {
        resource::add_identifier(tx, context.clinic, kind, &identifier.token(), id).await?;
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

/// A resource was deleted: what it said does not count any more.
pub async fn deleted(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    kind: ResourceType,
    id: &str,
    if_match: Option<i64>,
) -> Result<Recorded, Problem> {
    let Some(mut found) = resource::find(tx, context.clinic, kind.name(), id).await? else {
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
        let row = locked(tx, context, patient).await?;
        let mut dossier = dossiers.take(tx, context, row).await?;
        resource::update(tx, context.clinic, &found).await?;
        if kind == ResourceType::Patient {
            if dossier.patient.reference == source {
                dossier.patient.inactive = true;
                patient::update(tx, context.clinic, &dossier.patient, context.now).await?;
            }
            settle(tx, context, dossiers, dossier, None).await?;
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
            evaluate(tx, context, dossiers, dossier, &gone, &source, found.version).await?;
        }
    } else {
        resource::update(tx, context.clinic, &found).await?;
    }
    quarantine::release(tx, context.clinic, id_of(context.clinic, &["quarantine", &source])).await?;
    Ok(Recorded { effect: CommandEffect::Deleted, ..unchanged(&found) })
}
