//! Everything known about a patient, put together for the planner.

use super::event_log::StoryEvent;
use super::patient::{self, Patient};
use super::{ReadTx, episode, event_log, measurement};
use crate::domain::episode::Episode;
use crate::domain::measurement::Measurement;
use crate::domain::story::Story;
use crate::id::PatientId;
use crate::problem::Problem;
use std::collections::HashMap;

/// The story of one patient.
pub async fn of(tx: &mut ReadTx, clinic: &str, patient: &Patient) -> Result<Story, Problem> {
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

/// The stories of these patients, in three statements.
pub async fn of_each(tx: &mut ReadTx, clinic: &str, patients: &[Patient]) -> Result<Vec<Story>, Problem> {
    let episodes = episode::of_each(tx, clinic, &in_care(patients)).await?;
    of_each_with(tx, clinic, patients, episodes).await
}

/// Those of them who have an episode or an entry of the care team.
pub fn in_care(patients: &[Patient]) -> Vec<PatientId> {
    patients.iter().filter(|patient| patient.has_care).map(|patient| patient.id).collect()
}

/// The stories of these patients, whose episodes were read already.
pub async fn of_each_with(
    tx: &mut ReadTx,
    clinic: &str,
    patients: &[Patient],
    episodes: Vec<episode::EpisodeRecord>,
) -> Result<Vec<Story>, Problem> {
    let ids: Vec<PatientId> = patients.iter().map(|patient| patient.id).collect();
    let mut measurements = grouped(measurement::of_each(tx, clinic, &ids).await?);
    let mut episodes = grouped(episodes.into_iter().map(|stored| (stored.patient_id, stored.episode)).collect());
    let mut told = grouped(event_log::events_of_each(tx, clinic, &in_care(patients)).await?);
    Ok(patients.iter().map(|patient| put_together(patient, &mut measurements, &mut episodes, &mut told)).collect())
}

/// The stories of a page of patients (in order of id, as [`super::patient::page`] gives it), in three statements.
pub async fn of_page(tx: &mut ReadTx, clinic: &str, patients: &[Patient]) -> Result<Vec<Story>, Problem> {
    let (Some(first), Some(last)) = (patients.first(), patients.last()) else { return Ok(Vec::new()) };
    let (from, to) = (first.id, last.id);
    let mut measurements = grouped(measurement::of_patients(tx, clinic, from, to).await?);
    let mut episodes = grouped(episode::of_patients(tx, clinic, from, to).await?);
    let mut told = grouped(event_log::story_events(tx, clinic, from, to).await?);
    Ok(patients.iter().map(|patient| put_together(patient, &mut measurements, &mut episodes, &mut told)).collect())
}

type Grouped<T> = HashMap<PatientId, Vec<T>>;

fn put_together(
    patient: &Patient,
    measurements: &mut Grouped<Measurement>,
    episodes: &mut Grouped<Episode>,
    told: &mut Grouped<StoryEvent>,
) -> Story {
    let mut story = Story::of(patient.for_story());
    story.measurements = measurements.remove(&patient.id).unwrap_or_default();
    story.episodes = episodes.remove(&patient.id).unwrap_or_default();
    for told in told.remove(&patient.id).into_iter().flatten() {
        add(&mut story, told);
    }
    story
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
    pub async fn next(&mut self, tx: &mut ReadTx) -> Result<Option<(Vec<Patient>, Vec<Story>)>, Problem> {
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

fn grouped<T>(rows: Vec<(PatientId, T)>) -> Grouped<T> {
    let mut by_patient = Grouped::new();
    for (patient, row) in rows {
        by_patient.entry(patient).or_default().push(row);
    }
    by_patient
}
