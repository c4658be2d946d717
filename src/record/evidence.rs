//! A form or an Observation arrives: what it says becomes part of its patient's story.

use serde_json::json;

use super::completion::completed;
use super::derived_id::id_of;
use super::dossier::Dossier;
use super::identify::{PersonMatch, locked, subject};
use super::new_event::NewEvent;
use super::scored_form::measure;
use super::settle::settle;
use super::single_items::{grouped, rejoined, replaced_item, retract_items, single_item};
use super::stored_resource::{ResourceSlot, keep, unchanged};
use super::working_set::WorkingSet;
use super::{CommandEffect, RecordContext, Recorded};
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus, Measurement};
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::content::{Evidence, EvidenceTime, InstrumentReading, Subject};
use crate::id::{MeasurementId, PatientId};
use crate::problem::Problem;
use crate::store::quarantine::{PATIENT_ELSEWHERE, PATIENT_NOT_SEEN, QuarantineRecord};

/// A form or an Observation arrived.
pub(super) fn evidence_arrived(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    arrival: &Arrival,
    place: ResourceSlot<'_>,
    evidence: &Evidence,
) -> Result<Recorded, Problem> {
    let id = place.id;
    let source = format!("{}/{id}", arrival.kind.name());
    let completed = completed(set, (arrival.kind.name(), id), evidence)?;
    let (evidence, named) = completed.as_ref().map_or((evidence, None), |(evidence, patient)| (evidence, *patient));
    let mut doubt = evidence.doubt.as_ref().map(|d| (d.code.to_owned(), d.detail.clone()));
    let dossier = match &evidence.subject {
        Some(named) => match subject(set, context, named)? {
            PersonMatch::One(dossier) => Some(*dossier),
            PersonMatch::Several => {
                doubt = Some(("ambiguous_subject".into(), "several patients carry the subject's identifier".into()));
                None
            }
        },
        // A retraction may leave the subject out: it is still the same form.
        None => match named_or_known(set, (arrival.kind.name(), id), named)? {
            Some(patient) => {
                let row = locked(set, patient)?;
                Some(set.take(row)?)
            }
            None => None,
        },
    };
    let patient = dossier.as_ref().map(|d| d.patient.id);
    let (version, before) = match keep(set, context, arrival, place, patient)? {
        Ok(kept) => kept,
        Err(found) => {
            match dossier {
                Some(dossier) if found.patient_id == patient && !found.deleted => {
                    remember_older(set, context, dossier, evidence, &source)?;
                }
                Some(dossier) => set.put(dossier),
                None => {}
            }
            return Ok(unchanged(&found));
        }
    };
    if let Some(was) = before.as_ref().and_then(|r| r.patient_id)
        && patient != Some(was)
    {
        leave(set, context, &source, was)?;
    }
    let retracted = evidence.counting == EvidenceStatus::Retracted;
    if doubt.is_none()
        && !retracted
        && !evidence.readings.is_empty()
        && dossier.as_ref().is_some_and(|d| !d.patient.seen)
    {
        let is_elsewhere = evidence.subject.as_ref().is_some_and(Subject::is_elsewhere);
        doubt = Some(if is_elsewhere {
            (
                PATIENT_ELSEWHERE.into(),
                "its Patient is on another server: correct the reference, or join the two".into(),
            )
        } else {
            (PATIENT_NOT_SEEN.into(), "its Patient has not arrived yet; it is joined when it does".into())
        });
    }
    let kept_as = id_of(context.clinic, &["quarantine", &source]);
    match doubt.as_ref().filter(|_| !retracted) {
        Some((code, detail)) => {
            let kept = QuarantineRecord {
                id: kept_as,
                kind: arrival.kind.name().to_owned(),
                resource_id: id.to_owned(),
                patient_id: patient,
                code: code.clone(),
                detail: detail.clone(),
                received_at: context.now,
            };
            set.quarantine(&kept);
        }
        None if before.is_some() => set.release(kept_as),
        None => {}
    }
    if let Some(dossier) = dossier {
        evaluate(set, context, dossier, evidence, &source, version)?;
    }
    Ok(Recorded {
        effect: if before.is_none() { CommandEffect::Created } else { CommandEffect::Updated },
        id: id.to_owned(),
        version,
        at: context.now,
        patient,
        quarantined: doubt.map(|(code, _)| code),
        added: None,
    })
}

/// The patient that a person named, or that the resource belonged to before.
fn named_or_known(
    set: &mut WorkingSet,
    (kind, id): (&str, &str),
    named: Option<PatientId>,
) -> Result<Option<PatientId>, Problem> {
    Ok(match named {
        Some(patient) => Some(patient),
        None => set.resource(kind, id)?.and_then(|r| r.patient_id),
    })
}

/// An older version arrives after a newer one. It changes no score, but its suicidal answer was given: a correction
/// closes no concern, whichever of the two arrives first.
fn remember_older(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    mut dossier: Dossier,
    evidence: &Evidence,
    source: &str,
) -> Result<(), Problem> {
    let mut remembered = Vec::new();
    for reading in &evidence.readings {
        let (taken, counting, _) = weigh(context, evidence, reading);
        if counting.is_none_or(|counting| counting == EvidenceStatus::Retracted) {
            continue;
        }
        let joined =
            if reading.is_single_item { replaced_item(set, context, &dossier, reading, taken, source)? } else { None };
        let id = MeasurementId(id_of(context.clinic, &[source, reading.instrument.id()]));
        let gone = EvidenceStatus::Retracted;
        let older = joined.or_else(|| measure(id, reading.instrument, &reading.answers, taken, gone, source));
        let Some(older) = older.filter(|m| m.item9.is_some_and(|answer| answer > 0)) else { continue };
        if let Some(newer) = dossier.story.measurements.iter_mut().find(|m| m.id == older.id) {
            let now = newer.clone().remembering(&older, context.now);
            if *newer != now {
                newer.clone_from(&now);
                remembered.push(now);
            }
        } else {
            // The newer version was a retraction, and there was nothing to retract.
            dossier.story.measurements.push(older.clone());
            remembered.push(older);
        }
    }
    if remembered.is_empty() {
        set.put(dossier);
        return Ok(());
    }
    set.put_measurements(dossier.patient.id, &remembered, context.now);
    settle(set, context, dossier, None)
}

/// Lets what a source says change its patient's story.
pub(super) fn evaluate(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    mut dossier: Dossier,
    evidence: &Evidence,
    source: &str,
    version: i64,
) -> Result<(), Problem> {
    let patient = dossier.patient.id;
    let mut changed: Vec<Measurement> = Vec::new();
    let mut said: Vec<Measurement> = Vec::new();
    let mut is_item = false;
    for reading in &evidence.readings {
        let (taken, counting, remark) = weigh(context, evidence, reading);
        let Some(counting) = counting else { continue };
        if reading.is_single_item {
            let item = single_item(reading.instrument, &reading.answers, taken, counting, source);
            is_item = true;
            let before = set.put_item(patient, &item)?;
            let moved = before.filter(|b| (b.instrument, b.taken_at) != (item.instrument, item.taken_at));
            for item in moved.iter().chain([&item]) {
                said.extend(rejoined(set, context, &dossier, item)?);
            }
            continue;
        }
        let id = MeasurementId(id_of(context.clinic, &[source, reading.instrument.id()]));
        if let Some(mut m) = measure(id, reading.instrument, &reading.answers, taken, counting, source) {
            m.issues.extend(remark);
            m.language.clone_from(&evidence.language);
            said.push(m);
        }
    }
    // An Observation that was an item, and is none any more: taken back, or about something else, or in doubt.
    if !is_item && source.starts_with(ResourceType::Observation.name()) {
        said.extend(retract_items(set, context, &dossier, source)?);
        let was_or_is_a_panel = !evidence.members.is_empty() || version > 1;
        if was_or_is_a_panel || evidence.counting == EvidenceStatus::Retracted {
            said.extend(grouped(set, context, &dossier, source, &evidence.members)?);
        }
    }
    // What this source said before and does not say any more is retracted.
    for old in
        dossier.story.measurements.iter().filter(|m| m.source == source && m.counting != EvidenceStatus::Retracted)
    {
        if !said.iter().any(|m| m.id == old.id) {
            said.push(Measurement { counting: EvidenceStatus::Retracted, ..old.clone() });
        }
    }
    for mut m in said {
        if let Some(old) = dossier.story.measurements.iter().find(|old| old.id == m.id) {
            m = m.replacing(old, context.now);
        }
        match dossier.story.measurements.iter_mut().find(|old| old.id == m.id) {
            Some(old) if *old == m => continue,
            Some(old) => *old = m.clone(),
            None if m.counting == EvidenceStatus::Retracted => continue,
            None => dossier.story.measurements.push(m.clone()),
        }
        set.put_measurements(patient, std::slice::from_ref(&m), context.now);
        changed.push(m);
    }
    if changed.is_empty() {
        set.put(dossier);
        return Ok(());
    }
    let first = &changed[0];
    let line = NewEvent {
        id: context.clock.id(),
        episode: None,
        kind: if changed.iter().all(|m| m.counting == EvidenceStatus::Retracted) {
            "retraction"
        } else {
            "measurement"
        }
        .to_owned(),
        is_care: false,
        on: first.taken_on,
        at: first.taken_at,
        outcome: None,
        minutes: None,
        body: json!({"source": source, "version": version, "measurements": changed}),
    };
    settle(set, context, dossier, Some(line))
}

/// How evidence counts, and when it was taken. A form in doubt is never a score; but if it carries a suicidal answer,
/// safety sees it, as of its receipt where it has no usable date.
fn weigh(
    context: &RecordContext<'_>,
    evidence: &Evidence,
    reading: &InstrumentReading,
) -> (EvidenceTime, Option<EvidenceStatus>, Option<DataQualityIssue>) {
    let received = EvidenceTime { at: context.now, on: context.today };
    let taken = evidence.taken.filter(|t| t.on <= context.today + chrono::Days::new(1));
    if evidence.counting == EvidenceStatus::Retracted {
        return (taken.unwrap_or(received), Some(EvidenceStatus::Retracted), None);
    }
    match (&evidence.doubt, taken) {
        (None, Some(taken)) => (taken, Some(evidence.counting), None),
        (_, taken) => {
            let fires = concerns_safety(reading);
            let remark =
                DataQualityIssue::new("in_quarantine", "kept back; counted for safety only, as of its receipt");
            (taken.unwrap_or(received), fires.then_some(EvidenceStatus::Partial), Some(remark))
        }
    }
}

/// Whether the self-harm item is answered above "not at all", in a way that nobody can read, or as a total proves it.
fn concerns_safety(reading: &InstrumentReading) -> bool {
    let (answers, definition) = (&reading.answers, reading.instrument.definition());
    let says_more = !answers.all_supplements(reading.instrument).is_empty();
    let Some(item) = definition.self_harm else { return says_more };
    let others = definition.max_total() - u16::from(definition.items[item].scale.max);
    says_more
        || answers.items.get(item).copied().flatten().is_some_and(|answer| answer > 0)
        || answers.unreadable.contains(&item)
        || (answers.items.is_empty() && answers.stated_total.is_some_and(|total| total > others))
}

/// A source names somebody else now: what it said leaves the story of the person it named before.
fn leave(set: &mut WorkingSet, context: &RecordContext<'_>, source: &str, was: PatientId) -> Result<(), Problem> {
    let row = locked(set, was)?;
    let mut dossier = set.take(row)?;
    let mut left = Vec::new();
    for m in
        dossier.story.measurements.iter_mut().filter(|m| m.source == source && m.counting != EvidenceStatus::Retracted)
    {
        *m = Measurement { counting: EvidenceStatus::Retracted, ..m.clone() }.replacing(m, context.now);
        m.issues.push(DataQualityIssue::new(
            "about_another_patient",
            "the form was corrected: it is about another patient",
        ));
        left.push(m.clone());
    }
    for joined in retract_items(set, context, &dossier, source)? {
        if let Some(known) = dossier.story.measurements.iter_mut().find(|m| m.id == joined.id) {
            known.clone_from(&joined);
        }
        // It may have been named after this source, and still be told by the others.
        left.retain(|m| m.id != joined.id);
        left.push(joined);
    }
    for m in &left {
        set.put_measurements(dossier.patient.id, std::slice::from_ref(m), context.now);
    }
    let Some(first) = left.first() else {
        set.put(dossier);
        return Ok(());
    };
    let line = NewEvent {
        id: context.clock.id(),
        episode: None,
        kind: "retraction".to_owned(),
        is_care: false,
        on: first.taken_on,
        at: first.taken_at,
        outcome: None,
        minutes: None,
        body: json!({"source": source, "because": "the source names another patient now", "measurements": left}),
    };
    settle(set, context, dossier, Some(line))
}
