//! Everything known about a patient, put together for the planner.

use std::collections::HashMap;

use uuid::Uuid;

use super::patient::Patient;
use super::{Tx, episode, fact, measurement};
use crate::domain::story::Story;
use crate::problem::Problem;

/// The story of one patient.
pub async fn of(tx: &mut Tx, clinic: &str, patient: &Patient) -> Result<Story, Problem> {
    let mut story = Story::of(patient.for_story());
    story.measurements = measurement::of_patient(tx, clinic, patient.id).await?;
    if patient.has_care {
        let episodes = episode::of_patient(tx, clinic, patient.id).await?;
        story.episodes = episodes.into_iter().map(|e| e.episode).collect();
        story.entries = fact::entries(tx, clinic, patient.id).await?;
    }
    Ok(story)
}

/// The stories of a page of patients (in order of id, as [`super::patient::page`] gives it), in three statements.
pub async fn of_page(tx: &mut Tx, clinic: &str, patients: &[Patient]) -> Result<Vec<Story>, Problem> {
    let (Some(first), Some(last)) = (patients.first(), patients.last()) else { return Ok(Vec::new()) };
    let (from, to) = (first.id, last.id);
    let mut measurements = grouped(measurement::of_patients(tx, clinic, from, to).await?);
    let mut episodes = grouped(episode::of_patients(tx, clinic, from, to).await?);
    let mut entries = grouped(fact::entries_of(tx, clinic, from, to).await?);
    let stories = patients.iter().map(|patient| {
        let mut story = Story::of(patient.for_story());
        story.measurements = measurements.remove(&patient.id).unwrap_or_default();
        story.episodes = episodes.remove(&patient.id).unwrap_or_default();
        story.entries = entries.remove(&patient.id).unwrap_or_default();
        story
    });
    Ok(stories.collect())
}

fn grouped<T>(rows: Vec<(Uuid, T)>) -> HashMap<Uuid, Vec<T>> {
    let mut by_patient: HashMap<Uuid, Vec<T>> = HashMap::new();
    for (patient, row) in rows {
        by_patient.entry(patient).or_default().push(row);
    }
    by_patient
}
