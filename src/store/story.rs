//! Everything known about a patient, put together for the planner.

use std::collections::HashMap;

use super::event_log::StoryEvent;
use super::patient::{self, Patient};
use super::{Tx, episode, event_log, measurement};
use crate::domain::story::Story;
use crate::id::PatientId;
use crate::problem::Problem;

/// The story of one patient.
pub async fn of(tx: &mut Tx, clinic: &str, patient: &Patient) -> Result<Story, Problem> {
    let mut story = Story::of(patient.for_story());
    story.measurements = measurement::of_patient(tx, clinic, patient.id).await?;
    if patient.has_care {
        let episodes = episode::of_patient(tx, clinic, patient.id).await?;
        story.episodes = episodes.into_iter().map(|e| e.episode).collect();
        let told = event_log::story_events(tx, clinic, patient.id, patient.id).await?;
        for (_, told) in told {
            add(&mut story, told);
        }
    }
    Ok(story)
}

/// The stories of a page of patients (in order of id, as [`super::patient::page`] gives it), in three statements.
pub async fn of_page(tx: &mut Tx, clinic: &str, patients: &[Patient]) -> Result<Vec<Story>, Problem> {
    let (Some(first), Some(last)) = (patients.first(), patients.last()) else { return Ok(Vec::new()) };
    let (from, to) = (first.id, last.id);
    let mut measurements = grouped(measurement::of_patients(tx, clinic, from, to).await?);
    let mut episodes = grouped(episode::of_patients(tx, clinic, from, to).await?);
    let mut told = grouped(event_log::story_events(tx, clinic, from, to).await?);
    let stories = patients.iter().map(|patient| {
        let mut story = Story::of(patient.for_story());
        story.measurements = measurements.remove(&patient.id).unwrap_or_default();
        story.episodes = episodes.remove(&patient.id).unwrap_or_default();
        for told in told.remove(&patient.id).into_iter().flatten() {
            add(&mut story, told);
        }
        story
    });
    Ok(stories.collect())
}

/// How many patients are held at once.
const SOME: i64 = 500;

/// All stories of a clinic, page by page.
pub struct StoryPages<'a> {
    clinic: &'a str,
    after: Option<PatientId>,
}

/// All stories of a clinic, page by page. Loads nothing yet.
pub fn everybody(clinic: &str) -> StoryPages<'_> {
    StoryPages { clinic, after: None }
}

impl StoryPages<'_> {
    /// The next patients in order of id, each with the story; `None` after the last.
    pub async fn next(&mut self, tx: &mut Tx) -> Result<Option<(Vec<Patient>, Vec<Story>)>, Problem> {
        let page = patient::page(tx, self.clinic, self.after, SOME).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.id);
        let stories = of_page(tx, self.clinic, &page).await?;
        // Computation between two pages should not block other tasks.
        tokio::task::yield_now().await;
        Ok(Some((page, stories)))
    }
}

fn add(story: &mut Story, told: StoryEvent) {
    match told {
        StoryEvent::Entry(entry) => story.entries.push(entry),
        StoryEvent::Handover(handover) => story.handovers.push(handover),
    }
}

fn grouped<T>(rows: Vec<(PatientId, T)>) -> HashMap<PatientId, Vec<T>> {
    let mut by_patient: HashMap<PatientId, Vec<T>> = HashMap::new();
    for (patient, row) in rows {
        by_patient.entry(patient).or_default().push(row);
    }
    by_patient
}
