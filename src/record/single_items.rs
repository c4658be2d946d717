//! Items of an instrument that arrive one by one, as Observations.

use chrono::{DateTime, Utc};

use super::RecordContext;
use super::dossier::Dossier;
use super::evidence::measure;
use super::identify::id_of;
use super::unit_of_work::UnitOfWork;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus, Measurement, Quality};
use crate::domain::score::Answers;
use crate::fhir::content::EvidenceTime;
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

/// The items that arrived one by one, joined by their instant to one measurement.
async fn joined(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    patient: PatientId,
    instrument: Instrument,
    at: DateTime<Utc>,
) -> Result<Option<Measurement>, Problem> {
    let items = work.items_at(patient, instrument, at).await?;
    let parts = ["items", &patient.to_string(), instrument.id(), &at.timestamp_micros().to_string()];
    let id = MeasurementId(id_of(context.clinic, &parts));
    let Some(any) = items.first() else { return Ok(None) };
    let mut answers = Answers { items: vec![None; instrument.definition().item_count], ..Answers::default() };
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
        m.item9_unknown =
            m.item9_unknown && instrument.definition().suicide_item.is_some_and(|i| answers.unreadable.contains(&i));
    }
    Ok(joined.or_else(|| {
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
            counting,
            source: any.source.clone(),
            issues: Vec::new(),
            language: None,
        })
    }))
}

/// What was joined at an instant, as it is now; and what was joined of the same items when their patient was still
/// another one, as retracted.
pub(super) async fn rejoined(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    dossier: &Dossier,
    instrument: Instrument,
    at: DateTime<Utc>,
) -> Result<Vec<Measurement>, Problem> {
    let patient = dossier.patient.id;
    let Some(joined) = joined(work, context, patient, instrument, at).await? else { return Ok(Vec::new()) };
    let items = work.items_at(patient, instrument, at).await?;
    let is_before = |m: &&Measurement| {
        m.instrument == instrument
            && m.taken_at == at
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

/// The single item of a retracted Observation is taken out of what was joined from it: what that is now.
pub(super) async fn retract_items(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    dossier: &Dossier,
    source: &str,
) -> Result<Vec<Measurement>, Problem> {
    let patient = dossier.patient.id;
    let Some(mut item) = work.item_of(patient, source).await? else {
        return Ok(Vec::new());
    };
    item.counting = EvidenceStatus::Retracted;
    work.put_item(patient, &item).await?;
    rejoined(work, context, dossier, item.instrument, item.taken_at).await
}
