//! Rows that move when records become one person, or two again.

use std::collections::BTreeSet;

use super::RecordContext;
use super::merge::{Parted, RowMove};
use crate::fhir::arrival::{ResourceType, all_identifiers_of, identifiers_of, subject_keys};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::link::{self, Link};
use crate::store::patient::merge::{
    entries_naming_sources, follow_episodes, give_back, move_fact, move_resource, set_merged,
};
use crate::store::patient::{self, KeyRow, Patient};
use crate::store::resource::{self, Resource};
use crate::store::{WriteTx, episode, event_log, outbox, quarantine};

/// Moves rows, one statement after the other; answers who is two persons now.
///
/// # Errors
/// When the database does not answer.
pub async fn run(tx: &mut WriteTx, context: &RecordContext<'_>, moves: &[RowMove]) -> Result<Vec<Parted>, Problem> {
    let mut parted = Vec::new();
    for one in moves {
        match one {
            RowMove::Join(link, source) => join(tx, context, *link, source).await?,
            RowMove::Part(link, source) => {
                link::remove(tx, context.clinic, source, *link).await?;
                parted.extend(part(tx, context, *link, source).await?);
            }
            RowMove::Release(link, source) => {
                link::remove_from_chart(tx, context.clinic, *link).await?;
                parted.extend(part(tx, context, *link, source).await?);
            }
        }
    }
    Ok(parted)
}

/// The person of a record, locked.
async fn person_of(tx: &mut WriteTx, clinic: &str, record: PatientId) -> Result<Patient, Problem> {
    let gone = || Problem::not_found("patient");
    let person = patient::find(tx, clinic, record).await?.ok_or_else(gone)?.id;
    patient::lock_each(tx, clinic, &[person]).await?.pop().ok_or_else(gone)
}

/// Two records are one person, says `source`: everything known about the one belongs to the other from now on.
async fn join(tx: &mut WriteTx, context: &RecordContext<'_>, link: Link, source: &str) -> Result<(), Problem> {
    let clinic = context.clinic;
    link::add(tx, clinic, source, link, context.now).await?;
    let from = person_of(tx, clinic, link.from).await?;
    let into = person_of(tx, clinic, link.into).await?;
    if from.id == into.id {
        return Ok(());
    }
    patient::merge(tx, clinic, from.id, into.id, context.now).await?;
    if from.has_care && !into.has_care {
        let into = Patient { has_care: true, ..into.clone() };
        patient::update(tx, clinic, &into, context.now).await?;
    }
    if into.seen {
        quarantine::release_patients(tx, clinic, &[into.id]).await?;
    }
    Ok(())
}

/// A statement that two records are one person was taken back: if nothing else says so, they are two again.
async fn part(
    tx: &mut WriteTx,
    context: &RecordContext<'_>,
    link: Link,
    source: &str,
) -> Result<Option<Parted>, Problem> {
    let clinic = context.clinic;
    let person = person_of(tx, clinic, link.from).await?.id;
    if person_of(tx, clinic, link.into).await?.id != person {
        return Ok(None);
    }
    let links = link::of_person(tx, clinic, person).await?;
    let mut leaving = reached(&links, link.from);
    if leaving.contains(&link.into) {
        return Ok(None);
    }
    if leaving.contains(&person) {
        leaving = reached(&links, link.into);
    }
    let is_last = |id: &&PatientId| !links.iter().any(|link| link.from == **id && leaving.contains(&link.into));
    let Some(to) = leaving.iter().find(is_last).or(leaving.first()).copied() else { return Ok(None) };
    split(tx, context, Split { person, leaving: &leaving, to }).await?;
    outbox::wake_each(tx, clinic, &[person, to], context.now).await?;
    Ok(Some(Parted { persons: [person, to], source: source.to_owned() }))
}

/// The records that are one person with this one, by what is said.
fn reached(links: &[Link], from: PatientId) -> BTreeSet<PatientId> {
    let mut reached = BTreeSet::from([from]);
    let mut waiting = vec![from];
    while let Some(id) = waiting.pop() {
        for link in links.iter().filter(|link| link.from == id || link.into == id) {
            let other = if link.from == id { link.into } else { link.from };
            if reached.insert(other) {
                waiting.push(other);
            }
        }
    }
    reached
}

/// Records that leave the person they were merged into.
#[derive(Clone, Copy)]
struct Split<'a> {
    person: PatientId,
    leaving: &'a BTreeSet<PatientId>,
    /// The one of them that is the person from now on.
    to: PatientId,
}

async fn split(tx: &mut WriteTx, context: &RecordContext<'_>, split: Split<'_>) -> Result<(), Problem> {
    let (clinic, Split { person, leaving, to }) = (context.clinic, split);
    let mut references = BTreeSet::new();
    for record in leaving {
        references.extend(link::record(tx, clinic, *record).await?.map(|row| row.reference));
        set_merged(tx, clinic, *record, Some(to).filter(|to| to != record), context.now).await?;
        give_back(tx, clinic, person, *record, to).await?;
    }
    follow_episodes(tx, clinic, person, to).await?;
    keys_follow(tx, context, split, &references).await?;
    resources_follow(tx, context, split, &references).await?;
    let Some(mut row) = link::record(tx, clinic, to).await? else { return Ok(()) };
    row.has_care =
        !episode::of_patient(tx, clinic, to).await?.is_empty() || !event_log::entries(tx, clinic, to).await?.is_empty();
    patient::update(tx, clinic, &row, context.now).await
}

/// The Patients of the leaving records, and the names that they carry, go with them.
async fn keys_follow(
    tx: &mut WriteTx,
    context: &RecordContext<'_>,
    Split { person, to, .. }: Split<'_>,
    references: &BTreeSet<String>,
) -> Result<(), Problem> {
    let clinic = context.clinic;
    let name = |patient: &Resource| format!("{}/{}", patient.kind, patient.id);
    let tokens = |patient: &Resource| all_identifiers_of(&patient.body).into_iter().map(|one| one.token());
    let mut theirs = resource::of_patient(tx, clinic, ResourceType::Patient.name(), to, i64::MAX).await?;
    let (going, staying): (Vec<_>, Vec<_>) =
        resource::of_patient(tx, clinic, ResourceType::Patient.name(), person, i64::MAX)
            .await?
            .into_iter()
            .partition(|patient| references.contains(&name(patient)));
    for patient in &going {
        move_resource(tx, clinic, (&patient.kind, &patient.id), person, to).await?;
    }
    theirs.extend(going);
    let kept: BTreeSet<String> = staying.iter().flat_map(tokens).collect();
    for patient in &theirs {
        let current: BTreeSet<String> = identifiers_of(&patient.body).into_iter().map(|one| one.token()).collect();
        let own = name(patient);
        for key in std::iter::once(own.clone()).chain(tokens(patient)) {
            let former = key != own && !current.contains(&key);
            patient::put_key(tx, clinic, KeyRow { key: &key, patient: to, origin: None, former }).await?;
            if !kept.contains(&key) {
                patient::drop_key(tx, clinic, &key, person).await?;
            }
        }
    }
    for reference in references {
        patient::add_key(tx, clinic, reference, to).await?;
        patient::drop_key(tx, clinic, reference, person).await?;
    }
    Ok(())
}

/// Forms and Observations know whom they are about: each goes, or stays, with the first of its names that tells.
async fn resources_follow(
    tx: &mut WriteTx,
    context: &RecordContext<'_>,
    Split { person, to, .. }: Split<'_>,
    references: &BTreeSet<String>,
) -> Result<(), Problem> {
    let clinic = context.clinic;
    let going: BTreeSet<String> = patient::keys(tx, clinic, to).await?.into_iter().chain(references.clone()).collect();
    let staying: BTreeSet<String> = patient::keys(tx, clinic, person).await?.into_iter().collect();
    let goes = |one: &Resource| {
        let mut keys = subject_keys(&one.body).into_iter();
        let telling = keys.find(|key| going.contains(key) != staying.contains(key));
        telling.map(|key| going.contains(&key))
    };
    let mut moved = BTreeSet::new();
    for kind in [ResourceType::QuestionnaireResponse, ResourceType::Observation] {
        for (here, there, wanted) in [(person, to, true), (to, person, false)] {
            for one in resource::of_patient(tx, clinic, kind.name(), here, i64::MAX).await? {
                if goes(&one) == Some(wanted) {
                    move_resource(tx, clinic, (&one.kind, &one.id), here, there).await?;
                    if wanted {
                        moved.insert(format!("{}/{}", one.kind, one.id));
                    }
                }
            }
        }
    }
    moved.extend(references.iter().cloned());
    for (line, source) in entries_naming_sources(tx, clinic, person).await? {
        if moved.contains(&source) {
            move_fact(tx, clinic, line, person, to).await?;
        }
    }
    Ok(())
}
