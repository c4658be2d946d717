//! A scored form as a measurement.

use crate::domain::instrument::Instrument;
use crate::domain::measurement::{EvidenceStatus, Measurement, SelfHarm};
use crate::domain::score::{Answers, score};
use crate::fhir::content::EvidenceTime;
use crate::id::MeasurementId;

/// A scored form as a measurement; `None` where there is neither an item nor a total.
pub fn measure(
    id: MeasurementId,
    instrument: Instrument,
    answers: &Answers,
    taken: EvidenceTime,
    counting: EvidenceStatus,
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
        self_harm: SelfHarm {
            unreadable: scored.item9_unreadable,
            supplements: answers.all_supplements(instrument),
            ..SelfHarm::default()
        },
        counting,
        source: source.to_owned(),
        issues: scored.issues,
        language: None,
    })
}
