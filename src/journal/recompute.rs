//! Whether what the registry shows follows from what the journal attests.
//!
//! The chain proves the log and the digests of resources. From the attested log every patient's story is told anew and held
//! against the rows that are read every day: measurements, episodes, and the standing that the rules make of them. What
//! cannot be told from the log is in [`story_as_known::GAPS`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::domain::chart_plan::plan;
use crate::domain::episode::Episode;
use crate::domain::measurement::Measurement;
use crate::domain::rules::RuleSet;
use crate::domain::standing::Standing;
use crate::domain::story::Story;
use crate::fhir::arrival::ResourceType;
use crate::problem::Problem;
use crate::store::journal::{self, JournalEntry, ResourceDigest};
use crate::store::patient::Patient;
use crate::store::resource::{self, Resource};
use crate::store::{ReadTx, episode, patient, rule_set, standing, story, story_as_known};

/// Differences beyond these are only counted.
const TOLD: usize = 50;
/// How often a patient is looked at: what changes meanwhile differs once and not again.
const LOOKS: usize = 3;
/// Resources read at once.
const PAGE: i64 = 500;

/// The latest version of each resource (`Patient/1`) that was attested.
#[derive(Default)]
pub(super) struct AttestedResources(HashMap<String, ResourceDigest>);

impl AttestedResources {
    pub(super) fn add(&mut self, resource: ResourceDigest) {
        match self.0.get(&resource.name) {
            Some(known) if known.version > resource.version => {}
            _ => drop(self.0.insert(resource.name.clone(), resource)),
        }
    }
}

/// What does not follow, one sentence each.
pub(super) async fn differences(
    tx: &mut ReadTx,
    clinic: &str,
    mut attested: AttestedResources,
    walked_to: i64,
) -> Result<Vec<String>, Problem> {
    let mut found = Vec::new();
    let mut everybody = story::everybody(clinic);
    let mut rules = HashMap::new();
    while let Some((patients, _)) = everybody.next(tx).await? {
        for patient in patients {
            found.extend(of_patient(tx, clinic, patient, &mut rules).await?);
        }
    }
    let changed = changed_resources(tx, clinic, &mut attested).await?;
    if !changed.is_empty() {
        // What was stored since the walk began has its line behind the end that was walked to.
        let late = journal::after(tx, clinic, walked_to).await?;
        let late: Vec<_> = late.iter().filter_map(|line| JournalEntry::read(line)?.resource).collect();
        let changed = changed.into_iter().filter(|resource| !late.contains(resource));
        found.extend(changed.map(|resource| format!("the resource {} was changed", resource.name)));
    }
    found.extend(crossed_keys(tx, clinic).await?);
    found.extend(attested.0.into_keys().map(|name| format!("the resource {name} was removed")));
    if found.len() > TOLD {
        let more = found.len() - TOLD;
        found.truncate(TOLD);
        found.push(format!("{more} more"));
    }
    Ok(found)
}

/// Resources that are not what was attested. What is left in `attested` afterwards is not there.
async fn changed_resources(
    tx: &mut ReadTx,
    clinic: &str,
    attested: &mut AttestedResources,
) -> Result<Vec<ResourceDigest>, Problem> {
    let (mut changed, mut after) = (Vec::new(), (String::new(), String::new()));
    loop {
        let page = resource::page(tx, clinic, (&after.0, &after.1), PAGE).await?;
        let Some(last) = page.last() else { return Ok(changed) };
        after = (last.kind.clone(), last.id.clone());
        for stored in page {
            let digest = stored.digest();
            if attested.0.remove(&digest.name).is_some_and(|attested| attested != digest) {
                changed.push(digest);
            }
        }
    }
}

/// Patient resources whose reference leads to another person than the one whom they belong to.
async fn crossed_keys(tx: &mut ReadTx, clinic: &str) -> Result<Vec<String>, Problem> {
    let kind = ResourceType::Patient.name();
    let (mut crossed, mut after) = (Vec::new(), String::new());
    loop {
        let page = resource::page(tx, clinic, (kind, &after), PAGE).await?;
        let of_patients: Vec<_> = page.into_iter().take_while(|resource| resource.kind == kind).collect();
        let Some(last) = of_patients.last() else { return Ok(crossed) };
        after.clone_from(&last.id);
        let reference = |resource: &Resource| format!("{kind}/{}", resource.id);
        let rows = patient::with_keys(tx, clinic, &of_patients.iter().map(reference).collect::<Vec<_>>()).await?;
        for resource in of_patients.iter().filter(|resource| !resource.deleted) {
            let key = patient::stored_key(&reference(resource));
            let mut holders = rows.iter().filter(|row| row.key == key);
            if holders.any(|row| Some(row.patient_id) != resource.patient_id) {
                crossed.push(format!("{} leads to another person than its own", reference(resource)));
            }
        }
    }
}

async fn of_patient(
    tx: &mut ReadTx,
    clinic: &str,
    mut patient: Patient,
    rules: &mut HashMap<u32, Option<RuleSet>>,
) -> Result<Vec<String>, Problem> {
    for look in 1.. {
        let found = look_at(tx, clinic, &patient, rules).await?;
        if found.is_empty() || look == LOOKS {
            return Ok(found);
        }
        match patient::find(tx, clinic, patient.id).await? {
            Some(now) if now.merged_into.is_none() => patient = now,
            _ => return Ok(Vec::new()),
        }
    }
    Ok(Vec::new())
}

async fn look_at(
    tx: &mut ReadTx,
    clinic: &str,
    patient: &Patient,
    rules: &mut HashMap<u32, Option<RuleSet>>,
) -> Result<Vec<String>, Problem> {
    let stored = story::of(tx, clinic, patient).await?;
    let mut rebuilt = story_as_known::current_story(tx, clinic, patient).await?;
    // As the planner had it: the log has gaps about this.
    rebuilt.patient = patient.for_story();
    let mut found = Vec::new();
    found.extend(measurements(&rebuilt.measurements, &stored.measurements));
    found.extend(episodes(&rebuilt.episodes, &stored.episodes));
    let records = episode::of_patient(tx, clinic, patient.id).await?;
    let standings = standing::every_of_patient(tx, clinic, patient.id).await?;
    for shown in &standings {
        let version = shown.rule_set.version;
        if let Entry::Vacant(unknown) = rules.entry(version) {
            unknown.insert(rule_set::rules(tx, clinic, i32::try_from(version).unwrap_or(i32::MAX)).await?);
        }
        match rules.get(&version).and_then(Option::as_ref) {
            Some(rules) if follows(shown, &rebuilt, rules) => {}
            Some(_) => {
                found.push(format!("the standing of episode {} does not follow from its evidence", shown.episode));
            }
            None => found.push(format!("the rules of the standing of episode {} are gone", shown.episode)),
        }
    }
    for record in &records {
        let id = record.episode.id;
        match standings.iter().find(|standing| standing.episode == id) {
            Some(shown) if shown.status == record.phase && shown.discharged_on == record.discharged_on => {}
            Some(_) => found.push(format!("the phase of episode {id} is not that of its standing")),
            None => found.push(format!("episode {id} has no standing")),
        }
    }
    Ok(found)
}

fn follows(shown: &Standing, rebuilt: &Story, rules: &RuleSet) -> bool {
    let planned = plan(rebuilt, rules, shown.as_of);
    planned.standings.iter().any(|made| made.episode == shown.episode && made.says_the_same(shown))
}

fn measurements(rebuilt: &[Measurement], stored: &[Measurement]) -> Vec<String> {
    let mut found = Vec::new();
    for there in stored {
        let id = there.id;
        match rebuilt.iter().find(|m| m.id == id) {
            None => found.push(format!("measurement {id} is in no entry of the log")),
            Some(m) => {
                let fields = [
                    ("answers", m.answers == there.answers),
                    ("total", m.total == there.total),
                    ("quality", m.quality == there.quality),
                    ("self-harm item", (m.item9, m.item9_unknown) == (there.item9, there.item9_unknown)),
                    ("instrument", m.instrument == there.instrument),
                    ("date", m.taken_on == there.taken_on),
                    ("instant", m.taken_at.timestamp_micros() == there.taken_at.timestamp_micros()),
                    ("status", m.counting == there.counting),
                    ("source", m.source == there.source),
                ];
                let changed: Vec<_> = fields.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
                if !changed.is_empty() {
                    found.push(format!("of measurement {id} this was changed: {}", changed.join(", ")));
                }
            }
        }
    }
    let missing = rebuilt.iter().filter(|m| !stored.iter().any(|there| there.id == m.id));
    found.extend(missing.map(|m| format!("measurement {} was removed", m.id)));
    found
}

fn episodes(rebuilt: &[Episode], stored: &[Episode]) -> Vec<String> {
    let mut found = Vec::new();
    for there in stored {
        match rebuilt.iter().find(|episode| episode.id == there.id) {
            Some(episode) if episode == there => {}
            Some(_) => found.push(format!("the particulars of episode {} were changed", there.id)),
            None => found.push(format!("episode {} is in no entry of the log", there.id)),
        }
    }
    let missing = rebuilt.iter().filter(|episode| !stored.iter().any(|there| there.id == episode.id));
    found.extend(missing.map(|episode| format!("episode {} was removed", episode.id)));
    found
}
