//! Items of an instrument that arrive one by one, as Observations.

use chrono::TimeDelta;

use super::RecordContext;
use super::derived_id::id_of;
use super::dossier::Dossier;
use super::scored_form::measure;
use super::working_set::WorkingSet;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus, Measurement, Quality, SelfHarm};
use crate::domain::score::Answers;
use crate::fhir::content::{EvidenceTime, InstrumentReading};
use crate::id::{MeasurementId, PatientId};
use crate::problem::Problem;
use crate::store::measurement;

/// An item to be stored.
pub(super) fn single_item(
    instrument: Instrument,
    answers: &Answers,
    taken: EvidenceTime,
    counting: EvidenceStatus,
    source: &str,
) -> measurement::ItemObservation {
    let item = answers
        .items
        .iter()
        .position(Option::is_some)
        .or_else(|| answers.unreadable.first().copied())
        .unwrap_or_default();
    measurement::ItemObservation {
        source: source.to_owned(),
        instrument,
        taken_at: taken.at,
        item,
        answer: answers.items.get(item).copied().flatten(),
        counting,
    }
}

/// Charts file the items of one form seconds apart.
const NEXT_ITEM: TimeDelta = TimeDelta::minutes(2);

/// The items that were taken together with one: those of its panel, or else those around its instant.
fn taken_together(
    set: &mut WorkingSet,
    patient: PatientId,
    item: &measurement::ItemObservation,
) -> Result<Vec<measurement::ItemObservation>, Problem> {
    let at = item.taken_at;
    let mut together = if let Some(panel) = set.panel_of(&item.source)? {
        set.items_of_panel(patient, item.instrument, &panel)?
    } else {
        let taking = takings(set.loose_items(patient, item.instrument)?)
            .into_iter()
            .find(|taking| taking.iter().any(|item| item.taken_at == at));
        taking.unwrap_or_default()
    };
    together.sort_by(|a, b| (a.item, &a.source).cmp(&(b.item, &b.source)));
    Ok(together)
}

/// A panel says which Observations are its items, or are not any more: what is joined of them now.
pub(super) fn grouped(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    dossier: &Dossier,
    panel: &str,
    members: &[String],
) -> Result<Vec<Measurement>, Problem> {
    let patient = dossier.patient.id;
    let former = set.put_members(panel, members)?;
    let mut all: Vec<Measurement> = Vec::new();
    for source in former.iter().chain(members.iter().filter(|member| !former.contains(member))) {
        let Some(item) = set.item_of(patient, source)? else { continue };
        for measurement in rejoined(set, context, dossier, &item)? {
            match all.iter_mut().find(|known| known.id == measurement.id) {
                Some(_) if measurement.counting == EvidenceStatus::Retracted => {}
                Some(known) => *known = measurement,
                None => all.push(measurement),
            }
        }
    }
    Ok(all)
}

/// Items in order of time as takings of the whole form: a pause, or an item that was answered already, begins another.
fn takings(items: Vec<measurement::ItemObservation>) -> Vec<Vec<measurement::ItemObservation>> {
    let mut takings: Vec<Vec<measurement::ItemObservation>> = Vec::new();
    for item in items {
        let belongs = |taking: &&mut Vec<measurement::ItemObservation>| {
            let is_next = taking.last().is_some_and(|last| item.taken_at - last.taken_at <= NEXT_ITEM);
            let is_again =
                |other: &measurement::ItemObservation| other.item == item.item && other.taken_at != item.taken_at;
            is_next && !taking.iter().any(is_again)
        };
        match takings.last_mut().filter(belongs) {
            Some(taking) => taking.push(item),
            None => takings.push(vec![item]),
        }
    }
    takings
}

/// The items that arrived one by one, joined to one measurement of the instant at which the first was taken.
fn joined(
    context: &RecordContext<'_>,
    patient: PatientId,
    instrument: Instrument,
    items: &[measurement::ItemObservation],
) -> Option<Measurement> {
    let at = items.iter().map(|item| item.taken_at).min()?;
    let parts = ["items", &patient.to_string(), instrument.id(), &at.timestamp_micros().to_string()];
    let id = MeasurementId(id_of(context.clinic, &parts));
    let any = items.first()?;
    let mut answers = Answers { items: vec![None; instrument.item_count()], ..Answers::default() };
    let counted: Vec<&measurement::ItemObservation> =
        items.iter().filter(|i| i.counting != EvidenceStatus::Retracted).collect();
    for item in &counted {
        match item.answer {
            // The higher of two: safety must not miss it.
            Some(answer) if item.item < answers.items.len() => {
                let slot = &mut answers.items[item.item];
                if slot.is_some_and(|there| there != answer) {
                    answers.issues.push(DataQualityIssue::new(
                        "duplicate_item",
                        format!("item {} was sent twice", item.item + 1),
                    ));
                }
                *slot = Some(slot.map_or(answer, |there| there.max(answer)));
            }
            _ => answers.unreadable.push(item.item),
        }
    }
    let counting = if counted.is_empty() {
        EvidenceStatus::Retracted
    } else if counted.iter().any(|i| i.counting == EvidenceStatus::Submitted) {
        EvidenceStatus::Submitted
    } else {
        EvidenceStatus::Partial
    };
    let taken = EvidenceTime { at, on: at.with_timezone(&context.zone).date_naive() };
    let mut joined = measure(id, instrument, &answers, taken, counting, &any.source);
    if let Some(m) = &mut joined {
        // The other items may be on their way, or may never have been asked: nobody is sent to ask item 9 yet.
        m.item9_unknown &= answers.unreadable.iter().any(|item| instrument.definition().is_about_safety(*item));
    }
    joined.or_else(|| {
        (counting == EvidenceStatus::Retracted).then(|| Measurement {
            id,
            instrument,
            taken_at: taken.at,
            taken_on: taken.on,
            answers: Vec::new(),
            total: None,
            quality: Quality::Unscorable,
            item9: None,
            item9_unknown: false,
            self_harm: SelfHarm::default(),
            counting,
            source: any.source.clone(),
            issues: Vec::new(),
            language: None,
        })
    })
}

/// What was joined with an item, as it is now; and what was joined of the same items before, by another first item
/// or when their patient was still another one, as retracted.
pub(super) fn rejoined(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    dossier: &Dossier,
    item: &measurement::ItemObservation,
) -> Result<Vec<Measurement>, Problem> {
    let (patient, instrument) = (dossier.patient.id, item.instrument);
    let items = taken_together(set, patient, item)?;
    let Some(joined) = joined(context, patient, instrument, &items) else { return Ok(Vec::new()) };
    let is_before = |m: &&Measurement| {
        m.instrument == instrument
            && m.id != joined.id
            && m.counting != EvidenceStatus::Retracted
            && items.iter().any(|item| item.source == m.source)
    };
    let before = dossier.story.measurements.iter().filter(is_before);
    let mut all: Vec<Measurement> =
        before.map(|m| Measurement { counting: EvidenceStatus::Retracted, ..m.clone() }).collect();
    all.push(joined);
    Ok(all)
}

/// The answer to the self-harm item that an Observation gave before it was replaced, as a retracted version of what is
/// joined around it now.
pub(super) fn replaced_item(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    dossier: &Dossier,
    reading: &InstrumentReading,
    taken: EvidenceTime,
    source: &str,
) -> Result<Option<Measurement>, Problem> {
    let item9 = reading.instrument.self_harm_item().and_then(|item| reading.answers.items.get(item).copied().flatten());
    let item = single_item(reading.instrument, &reading.answers, taken, EvidenceStatus::Retracted, source);
    let joined = rejoined(set, context, dossier, &item)?.pop();
    Ok(joined.map(|m| Measurement { item9, counting: EvidenceStatus::Retracted, ..m }))
}

/// The single item of a retracted Observation is taken out of what was joined from it: what that is now.
pub(super) fn retract_items(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    dossier: &Dossier,
    source: &str,
) -> Result<Vec<Measurement>, Problem> {
    let patient = dossier.patient.id;
    let Some(mut item) = set.item_of(patient, source)? else {
        return Ok(Vec::new());
    };
    item.counting = EvidenceStatus::Retracted;
    set.put_item(patient, &item)?;
    rejoined(set, context, dossier, &item)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn items_seconds_apart_are_one_taking_and_a_pause_or_a_second_answer_begins_another() {
        let of = |taken: &[(usize, i64)]| {
            let items = taken.iter().map(|(item, seconds)| measurement::ItemObservation {
                source: format!("Observation/{item}-{seconds}"),
                instrument: Instrument::PHQ9,
                taken_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(*seconds),
                item: *item,
                answer: Some(1),
                counting: EvidenceStatus::Submitted,
            });
            takings(items.collect()).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(of(&[(0, 0), (1, 3), (2, 6), (8, 60)]), [4]);
        assert_eq!(of(&[(0, 0), (0, 0), (1, 0)]), [3], "sent twice");
        assert_eq!(of(&[(0, 0), (1, 300)]), [1, 1]);
        assert_eq!(of(&[(0, 0), (1, 3), (0, 30), (1, 33)]), [2, 2]);
        let slow: Vec<(usize, i64)> = (0..9).map(|item| (item, 120 * i64::try_from(item).unwrap())).collect();
        assert_eq!(of(&slow), [9], "two minutes apart");
    }
}
