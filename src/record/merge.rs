//! Records of one person become one story, and records of two persons two stories again.
//!
//! Each statement that two records are one person is kept (`patient_link`): a Patient of the chart that names the other, a
//! name that both carry, somebody's decision. The first makes one story of two; when the last is taken back, each gets
//! back what was its own, and what has arrived since goes to whom it names.

use std::collections::BTreeSet;

use serde_json::json;

use super::RecordContext;
use super::dossier::{Dossier, Dossiers};
use super::identify::{PersonMatch, locked, subject};
use super::possible_match;
use super::resource_arrival::{PATIENT_ELSEWHERE, PATIENT_NOT_SEEN};
use super::settle::{NewEvent, settle};
use crate::domain::patient_match::MatchReason;
use crate::fhir::arrival::{ResourceType, all_identifiers_of, identifiers_of, subject_keys};
use crate::fhir::content::{LinkKind, PatientLink};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::link::{self, Link};
use crate::store::patient::merge::{follow_episodes, give_back, move_fact, move_resource, set_merged, told_of};
use crate::store::patient::{self, KeyRow};
use crate::store::resource::{self, Resource};
use crate::store::{Tx, episode, event_log, outbox, quarantine};

/// The source of a statement that two records carry the same name, one of them nothing else.
pub const SHARED_KEY: &str = "key";

/// What the Patient `source` says about other records holds from now on, and nothing else that it said before.
pub async fn relink(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    (record, source): (PatientId, &str),
    links: &[PatientLink],
) -> Result<(), Problem> {
    let before = link::of_source(tx, context.clinic, source).await?;
    let mut stated = Vec::new();
    for one in links {
        let Some(other) = record_of(tx, context, dossiers, one).await? else { continue };
        let pair = match one.kind {
            LinkKind::ReplacedBy => Link { from: record, into: other },
            LinkKind::Replaces => Link { from: other, into: record },
            // Both are in use: whether they are one story is for somebody to decide.
            LinkKind::SamePerson => {
                possible_match::note(tx, context, record, &[other], MatchReason::LinkedInChart).await?;
                continue;
            }
        };
        if pair.from != pair.into && !stated.contains(&pair) {
            stated.push(pair);
        }
    }
    for gone in before.iter().filter(|link| !stated.contains(link)) {
        if gone.from == record {
            // A record that was replaced and says so no more is in use again, whatever an older version of the other says.
            link::remove_from_chart(tx, context.clinic, *gone).await?;
        } else {
            link::remove(tx, context.clinic, source, *gone).await?;
        }
        part(tx, context, dossiers, *gone, source).await?;
    }
    for new in stated.into_iter().filter(|link| !before.contains(link)) {
        join(tx, context, dossiers, new, source).await?;
    }
    Ok(())
}

/// The record that a link names, made if it is not known yet. `None` where it could be several.
async fn record_of(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    link: &PatientLink,
) -> Result<Option<PatientId>, Problem> {
    if let [key] = link.other.keys().as_slice()
        && let Some(known) = link::record_of(tx, context.clinic, key).await?
    {
        return Ok(Some(known));
    }
    Ok(match subject(tx, context, dossiers, &link.other).await? {
        PersonMatch::One(dossier) => {
            let id = dossier.patient.id;
            dossiers.put(context, *dossier);
            Some(id)
        }
        PersonMatch::Several => None,
    })
}

/// Two records are one person, says `source`: everything known about the one belongs to the other from now on.
pub async fn join(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    link: Link,
    source: &str,
) -> Result<(), Problem> {
    link::add(tx, context.clinic, source, link, context.now).await?;
    let from = locked(tx, context, link.from).await?;
    let mut into = locked(tx, context, link.into).await?;
    if from.id == into.id {
        return Ok(());
    }
    patient::merge(tx, context.clinic, from.id, into.id, context.now).await?;
    if from.has_care && !into.has_care {
        into.has_care = true;
        patient::update(tx, context.clinic, &into, context.now).await?;
    }
    if into.seen {
        for reason in [PATIENT_NOT_SEEN, PATIENT_ELSEWHERE] {
            quarantine::release_patient(tx, context.clinic, into.id, reason).await?;
        }
    }
    // Both are read anew when they are needed.
    dossiers.drop(context, from.id);
    dossiers.drop(context, into.id);
    Ok(())
}

/// A statement that two records are one person was taken back: if nothing else says so, they are two again.
pub async fn part(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    link: Link,
    source: &str,
) -> Result<(), Problem> {
    let person = locked(tx, context, link.from).await?.id;
    if locked(tx, context, link.into).await?.id != person {
        return Ok(());
    }
    let links = link::of_person(tx, context.clinic, person).await?;
    let mut leaving = reached(&links, link.from);
    if leaving.contains(&link.into) {
        return Ok(());
    }
    if leaving.contains(&person) {
        leaving = reached(&links, link.into);
    }
    let is_last = |id: &&PatientId| !links.iter().any(|link| link.from == **id && leaving.contains(&link.into));
    let Some(to) = leaving.iter().find(is_last).or(leaving.first()).copied() else { return Ok(()) };
    dossiers.drop(context, person);
    split(tx, context, Split { person, leaving: &leaving, to }).await?;
    for (id, other) in [(person, to), (to, person)] {
        let row = locked(tx, context, id).await?;
        let dossier = Dossier::load(tx, context, row).await?;
        for standing in &dossier.plan.standings {
            episode::settle(tx, context.clinic, standing).await?;
        }
        outbox::wake(tx, context.clinic, id, context.now).await?;
        let event = NewEvent {
            id: context.clock.id(),
            episode: None,
            kind: "split".to_owned(),
            is_care: false,
            on: context.today,
            at: context.now,
            outcome: None,
            minutes: None,
            body: json!({"source": source, "other": other}),
        };
        settle(tx, context, dossiers, dossier, Some(event)).await?;
    }
    Ok(())
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

async fn split(tx: &mut Tx, context: &RecordContext<'_>, split: Split<'_>) -> Result<(), Problem> {
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
    tx: &mut Tx,
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
    tx: &mut Tx,
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
    for (line, source) in told_of(tx, clinic, person).await? {
        if moved.contains(&source) {
            move_fact(tx, clinic, line, person, to).await?;
        }
    }
    Ok(())
}
