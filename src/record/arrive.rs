//! Resources that arrive: stored as they came, joined to their patient, measured.

use serde_json::json;
use uuid::Uuid;

use super::dossier::{Dossier, Dossiers};
use super::identify::{Found, id_of, locked, subject};
use super::items::{joined, retract_items, single_item};
use super::person::person_arrived;
use super::settle::{Line, settle};
use super::{Condition, Context, Effect, Recorded, derived_id};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{Counting, Issue, Measurement};
use crate::domain::score::{Answers, score};
use crate::fhir::arrival::{Arrival, Content, Evidence, Kind, Taken, identifiers_of};
use crate::problem::{Category, Problem};
use crate::store::quarantine::{self, Kept};
use crate::store::resource::{self, Resource};
use crate::store::{Tx, measurement, patient};

/// The reason of a form whose patient has not arrived yet.
pub(super) const PATIENT_NOT_SEEN: &str = "patient_not_seen";

/// A scored form as a measurement; `None` where there is neither an item nor a total.
pub fn measure(
    id: Uuid,
    instrument: Instrument,
    answers: &Answers,
    taken: Taken,
    counting: Counting,
    source: &str,
) -> Option<Measurement> {
    let scored = score(instrument, answers)?;
    Some(Measurement {
        id,
        instrument,
        taken_at: taken.at,
        taken_on: taken.on,
        answers: answers.items.clone(),
        total: scored.total,
        quality: scored.quality,
        item9: scored.item9,
        item9_unknown: scored.item9_unknown,
        counting,
        source: source.to_owned(),
        issues: scored.issues,
    })
}

/// A resource arrived.
pub async fn arrived(
    tx: &mut Tx,
    context: &Context<'_>,
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
        Chosen::Existing(found) => return Ok(unchanged(&found)),
        Chosen::Id(id) => id,
    };
    let place = Place { id: &id, again: *condition == Condition::Again };
    match &arrival.content {
        Content::Patient(person) => person_arrived(tx, context, dossiers, arrival, place, person).await,
        Content::Evidence(evidence) => evidence_arrived(tx, context, dossiers, arrival, place, evidence).await,
    }
}

/// Where an arrival is stored.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Under this id.
    pub(super) id: &'a str,
    /// What is there already is looked at again.
    pub(super) again: bool,
}

enum Chosen {
    /// The condition says that nothing is to be done: this is what is there.
    Existing(Box<Resource>),
    /// Under this id.
    Id(String),
}

impl Chosen {
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
    context: &Context<'_>,
    arrival: &Arrival,
    condition: &Condition,
) -> Result<Chosen, Problem> {
    let kind = arrival.kind.name();
    match condition {
        Condition::NoneWith(token) | Condition::TheOneWith(token) => {
            let found = resource::by_identifier(tx, context.clinic, kind, token).await?;
            match found.as_slice() {
                [] => {}
                [one] if matches!(condition, Condition::NoneWith(_)) => {
                    return Ok(Chosen::Existing(Box::new(one.clone())));
                }
                [one] => {
                    if arrival.id.as_ref().is_some_and(|id| *id != one.id) {
                        return Err(Problem::malformed("the id in the resource is not that of the one that matches")
                            .at(format!("{kind}.id")));
                    }
                    return Ok(Chosen::Id(one.id.clone()));
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
        Condition::None | Condition::Under { .. } | Condition::Again => {}
    }
    let given = arrival.id.clone().or_else(|| derived_id(context.clinic, arrival, None));
    Ok(Chosen::Id(given.unwrap_or_else(|| context.clock.id().to_string())))
}

pub(super) fn unchanged(found: &Resource) -> Recorded {
    Recorded {
        effect: Effect::Unchanged,
        id: found.id.clone(),
        version: found.version,
        at: found.updated_at,
        patient: found.patient_id,
        quarantined: None,
    }
}

/// Stores the resource. `Err(found)` when it is known already, or older than what is known.
pub(super) async fn keep(
    tx: &mut Tx,
    context: &Context<'_>,
    arrival: &Arrival,
    Place { id, again }: Place<'_>,
    patient: Option<Uuid>,
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

/// A form or an Observation arrived.
async fn evidence_arrived(
    tx: &mut Tx,
    context: &Context<'_>,
    dossiers: &mut Dossiers,
    arrival: &Arrival,
    place: Place<'_>,
    evidence: &Evidence,
) -> Result<Recorded, Problem> {
    let id = place.id;
    let source = format!("{}/{id}", arrival.kind.name());
    let mut doubt = evidence.doubt.as_ref().map(|d| (d.code.to_owned(), d.detail.clone()));
    let known = resource::find(tx, context.clinic, arrival.kind.name(), id).await?;
    let dossier = match &evidence.subject {
        Some(named) => match subject(tx, context, dossiers, named).await? {
            Found::One(dossier) => Some(*dossier),
            Found::Several => {
                doubt = Some(("ambiguous_subject".into(), "several patients carry the subject's identifier".into()));
                None
            }
        },
        // A retraction may leave the subject out: it is still the same form.
        None => match known.as_ref().and_then(|r| r.patient_id) {
            Some(patient) => {
                let row = locked(tx, context, patient).await?;
                Some(dossiers.take(tx, context, row).await?)
            }
            None => None,
        },
    };
    let patient = dossier.as_ref().map(|d| d.patient.id);
    let (version, before) = match keep(tx, context, arrival, place, patient).await? {
        Ok(kept) => kept,
        Err(found) => {
            if let Some(dossier) = dossier {
                dossiers.put(context, dossier);
            }
            return Ok(unchanged(&found));
        }
    };
    if let Some(was) = before.as_ref().and_then(|r| r.patient_id)
        && patient != Some(was)
    {
        leave(tx, context, dossiers, &source, was).await?;
    }
    let retracted = evidence.counting == Counting::Retracted;
    if doubt.is_none()
        && !retracted
        && !evidence.readings.is_empty()
        && dossier.as_ref().is_some_and(|d| !d.patient.seen)
    {
        doubt = Some((PATIENT_NOT_SEEN.into(), "its Patient has not arrived yet; it is joined when it does".into()));
    }
    let kept_as = id_of(context.clinic, &["quarantine", &source]);
    match doubt.as_ref().filter(|_| !retracted) {
        Some((code, detail)) => {
            let kept = Kept {
                id: kept_as,
                kind: arrival.kind.name().to_owned(),
                resource_id: id.to_owned(),
                patient_id: patient,
                code: code.clone(),
                detail: detail.clone(),
                received_at: context.now,
            };
            quarantine::put(tx, context.clinic, &kept).await?;
        }
        None if before.is_some() => quarantine::release(tx, context.clinic, kept_as).await?,
        None => {}
    }
    if let Some(dossier) = dossier {
        evaluate(tx, context, dossiers, dossier, evidence, &source, version).await?;
    }
    Ok(Recorded {
        effect: if before.is_none() { Effect::Created } else { Effect::Updated },
        id: id.to_owned(),
        version,
        at: context.now,
        patient,
        quarantined: doubt.map(|(code, _)| code),
    })
}

/// Lets what a source says change its patient's story.
async fn evaluate(
    tx: &mut Tx,
    context: &Context<'_>,
    dossiers: &mut Dossiers,
    mut dossier: Dossier,
    evidence: &Evidence,
    source: &str,
    version: i64,
) -> Result<(), Problem> {
    let patient = dossier.patient.id;
    let mut changed: Vec<Measurement> = Vec::new();
    let mut said: Vec<Measurement> = Vec::new();
    if evidence.counting == Counting::Retracted {
        said.extend(retract_items(tx, context, patient, source).await?);
    }
    for reading in &evidence.readings {
        let (taken, counting, remark) = weigh(context, evidence, reading.answers.items.get(8).copied().flatten());
        let Some(counting) = counting else { continue };
        if reading.is_single_item {
            let item = single_item(reading.instrument, &reading.answers, taken, counting, source);
            let before = measurement::put_item(tx, context.clinic, patient, &item).await?;
            for at in [Some(item.taken_at), before.map(|b| b.taken_at)].into_iter().flatten() {
                said.extend(joined(tx, context, patient, reading.instrument, at).await?);
            }
            continue;
        }
        let id = id_of(context.clinic, &[source, reading.instrument.id()]);
        if let Some(mut m) = measure(id, reading.instrument, &reading.answers, taken, counting, source) {
            m.issues.extend(remark);
            said.push(m);
        }
    }
    // What this source said before and does not say any more is retracted.
    for old in dossier.story.measurements.iter().filter(|m| m.source == source && m.counting != Counting::Retracted) {
        if !said.iter().any(|m| m.id == old.id) {
            said.push(Measurement { counting: Counting::Retracted, ..old.clone() });
        }
    }
    for m in said {
        match dossier.story.measurements.iter_mut().find(|old| old.id == m.id) {
            Some(old) if *old == m => continue,
            Some(old) => *old = m.clone(),
            None if m.counting == Counting::Retracted => continue,
            None => dossier.story.measurements.push(m.clone()),
        }
        measurement::put(tx, context.clinic, patient, &m, context.now).await?;
        changed.push(m);
    }
    if changed.is_empty() {
        dossiers.put(context, dossier);
        return Ok(());
    }
    let first = &changed[0];
    let line = Line {
        id: context.clock.id(),
        episode: None,
        kind: if changed.iter().all(|m| m.counting == Counting::Retracted) { "retraction" } else { "measurement" }
            .to_owned(),
        is_care: false,
        on: first.taken_on,
        at: first.taken_at,
        outcome: None,
        minutes: None,
        body: json!({"source": source, "version": version, "measurements": changed}),
    };
    settle(tx, context, dossiers, dossier, Some(line)).await
}

/// How evidence counts, and when it was taken. A form in doubt is never a score; but if it carries a suicidal answer,
/// safety sees it, as of its receipt where it has no usable date.
fn weigh(context: &Context<'_>, evidence: &Evidence, item9: Option<u8>) -> (Taken, Option<Counting>, Option<Issue>) {
    let received = Taken { at: context.now, on: context.today };
    let taken = evidence.taken.filter(|t| t.on <= context.today + chrono::Days::new(1));
    if evidence.counting == Counting::Retracted {
        return (taken.unwrap_or(received), Some(Counting::Retracted), None);
    }
    match (&evidence.doubt, taken) {
        (None, Some(taken)) => (taken, Some(evidence.counting), None),
        (_, taken) => {
            let fires = item9.is_some_and(|answer| answer > 0);
            let remark = Issue::new("in_quarantine", "kept back; counted for safety only, as of its receipt");
            (taken.unwrap_or(received), fires.then_some(Counting::Partial), Some(remark))
        }
    }
}

/// A source names somebody else now: what it said leaves the story of the person it named before.
async fn leave(
    tx: &mut Tx,
    context: &Context<'_>,
    dossiers: &mut Dossiers,
    source: &str,
    was: Uuid,
) -> Result<(), Problem> {
    let row = locked(tx, context, was).await?;
    let mut dossier = dossiers.take(tx, context, row).await?;
    let mut left = Vec::new();
    for m in dossier.story.measurements.iter_mut().filter(|m| m.source == source && m.counting != Counting::Retracted) {
        m.counting = Counting::Retracted;
        left.push(m.clone());
    }
    for m in &left {
        measurement::put(tx, context.clinic, dossier.patient.id, m, context.now).await?;
    }
    let Some(first) = left.first() else {
        dossiers.put(context, dossier);
        return Ok(());
    };
    let line = Line {
        id: context.clock.id(),
        episode: None,
        kind: "retraction".to_owned(),
        is_care: false,
        on: first.taken_on,
        at: first.taken_at,
        outcome: None,
        minutes: None,
        body: json!({"source": source, "because": "the source names another patient now"}),
    };
    settle(tx, context, dossiers, dossier, Some(line)).await
}

/// A resource was deleted: what it said does not count any more.
pub async fn deleted(
    tx: &mut Tx,
    context: &Context<'_>,
    dossiers: &mut Dossiers,
    kind: Kind,
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
        if kind == Kind::Patient {
            if dossier.patient.reference == source {
                dossier.patient.inactive = true;
                patient::update(tx, context.clinic, &dossier.patient, context.now).await?;
            }
            settle(tx, context, dossiers, dossier, None).await?;
        } else {
            let gone = Evidence {
                subject: None,
                counting: Counting::Retracted,
                taken: None,
                readings: Vec::new(),
                doubt: None,
            };
            evaluate(tx, context, dossiers, dossier, &gone, &source, found.version).await?;
        }
    } else {
        resource::update(tx, context.clinic, &found).await?;
    }
    quarantine::release(tx, context.clinic, id_of(context.clinic, &["quarantine", &source])).await?;
    Ok(Recorded { effect: Effect::Deleted, ..unchanged(&found) })
}
