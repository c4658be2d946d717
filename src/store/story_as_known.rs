//! The story of a patient as it was known at an instant, rebuilt from the events recorded up to then.
//!
//! Corrections replace measurements, episodes and patient details in place; the log keeps what each of them said at the
//! time. Rebuilt up to now, the log gives the stored story.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;

use super::ReadTx;
use super::event_log::{self, EventRow};
use super::patient::Patient;
use crate::domain::care::CareEntry;
use crate::domain::episode::Episode;
use crate::domain::measurement::{EvidenceStatus, Measurement};
use crate::domain::story::{self, Story};
use crate::problem::Problem;

/// Known gaps of the log about earlier days, shown beside an answer made from it.
pub const GAPS: &[&str] = &[
    "Two records of one person that were joined later are read as one.",
    "A Patient that the chart deleted leaves no line: the record may have been marked inactive later than is read here.",
    "What was kept back in quarantine and carried no suicidal answer is not part of it.",
];

/// The story of a patient as it was known at an instant.
///
/// # Errors
/// When the database does not answer, or a line of the log cannot be read.
pub async fn story_at(tx: &mut ReadTx, clinic: &str, patient: &Patient, at: DateTime<Utc>) -> Result<Story, Problem> {
    let mut lines = event_log::of_patient(tx, clinic, patient.id).await?;
    lines.retain(|line| line.recorded_at <= at);
    tell_all(lines, patient)
}

/// The story of a patient as all lines of the log tell it.
///
/// # Errors
/// When the database does not answer, or a line of the log cannot be read.
pub async fn current_story(tx: &mut ReadTx, clinic: &str, patient: &Patient) -> Result<Story, Problem> {
    tell_all(event_log::of_patient(tx, clinic, patient.id).await?, patient)
}

fn tell_all(mut lines: Vec<EventRow>, patient: &Patient) -> Result<Story, Problem> {
    lines.sort_by_key(|line| (line.recorded_at, line.id));
    let person = story::PatientStatus { id: patient.id, inactive: false, deceased_on: None };
    let mut known = Story::of(person);
    for line in lines {
        tell(&mut known, line, patient)?;
    }
    Ok(known)
}

fn tell(known: &mut Story, line: EventRow, patient: &Patient) -> Result<(), Problem> {
    let unreadable = |_| Problem::internal("a line of the log cannot be read");
    let body = line.body.0;
    if line.is_care {
        let care = serde_json::from_value(body).map_err(unreadable)?;
        let (on, at) = (line.happened_on, line.happened_at);
        known.entries.push(CareEntry { id: line.id, episode: line.episode_id, on, at, care });
        return Ok(());
    }
    match line.kind.as_str() {
        "enrolment" | "referral" | "amendment" | "transfer" => {
            if line.kind == "transfer" {
                known.handovers.extend(event_log::handover(line.episode_id, line.happened_on, &body));
            }
            let episode: Episode = serde_json::from_value(body).map_err(unreadable)?;
            match known.episodes.iter_mut().find(|e| e.id == episode.id) {
                Some(there) => *there = episode,
                None => known.episodes.push(episode),
            }
        }
        "measurement" | "retraction" => {
            let said = body.get("measurements").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
            let said: Vec<Measurement> = serde_json::from_value(said).map_err(unreadable)?;
            if said.is_empty() {
                // An old line of a source that names somebody else now.
                let source = body["source"].as_str().unwrap_or_default();
                let of_source = known.measurements.iter_mut().filter(|m| m.source == source);
                of_source.for_each(|m| m.counting = EvidenceStatus::Retracted);
            }
            for m in said {
                match known.measurements.iter_mut().find(|there| there.id == m.id) {
                    Some(there) => *there = m,
                    None => known.measurements.push(m),
                }
            }
        }
        // A record that was joined with this one later spoke of itself.
        "patient" if body["source"].as_str() == Some(&patient.reference) => {
            tell_person(known, &body, line.happened_on, patient);
        }
        _ => {}
    }
    Ok(())
}

fn tell_person(known: &mut Story, body: &Value, on: NaiveDate, patient: &Patient) {
    if let Some(said) = body.get("known") {
        known.patient.inactive = said["inactive"].as_bool().unwrap_or(false);
        known.patient.deceased_on = said["deceased_on"].as_str().and_then(|date| date.parse().ok());
    } else {
        // An old line says only whether; the date is the one known now, else the day it was said.
        known.patient.inactive = body["inactive"].as_bool().unwrap_or(false);
        let died = body["deceased"].as_bool().unwrap_or(false);
        known.patient.deceased_on = died.then(|| patient.deceased_on.unwrap_or(on));
    }
}
