//! The hallway. Every change to a patient's story is a [`Command`] handed to [`Recorder::record`]; nothing else writes the
//! registry.
//!
//! A commit with fsync costs milliseconds, and a statement a hop to the database, so both are shared: a worker takes what is
//! waiting of one clinic, gathers what it names in a few reads, applies one command after the other in memory, writes what
//! differs, commits once, and then answers everybody. A command locks its patient, changes the story, asks the planner, and
//! leaves the resource, the measurement, the standing, the log, the outbox and the journal to be written: all or nothing. A
//! 2xx always means committed.

mod resource_arrival;
mod decide;
mod dossier;
mod care_entry;
mod amend;
mod candidate;
mod documents;
mod evidence;
mod command;
mod recommendation_rows;
mod identify;
mod import;
mod single_items;
mod journal_lines;
mod person;
mod command_keys;
mod queue;
mod recorder;
mod worker;
mod unit_of_work;
mod read_back;
mod settle;
mod idempotency;
mod rules;
mod sessions;
mod closing;
mod zones;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use crate::clock::Clock;
pub use crate::domain::day::local_midnight;
use crate::domain::rules::RuleSet;
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::content::Subject;
use crate::identity::Role;
use crate::problem::Problem;
pub use closing::{RestatementResult, close, figures, restate};
pub use command::{
    Amendment, Change, Command, CommandEffect, Condition, ImportCount, PatientKey, Recorded, Sighting, Submission,
    SubmissionResult,
};
pub use idempotency::IdempotencyKey;
pub use import::{Additions, ImportPreview, ImportedCase, foresee};
pub use recorder::Recorder;
pub use rules::{activate, attest, propose};
pub use sessions::{DeferredItem, close_session, open_session};
use unit_of_work::UnitOfWork;
pub use zones::Zones;

/// What a fact is recorded with.
#[derive(Clone, Copy)]
struct RecordContext<'a> {
    clinic: &'a str,
    by: &'a str,
    role: Option<Role>,
    zone: Tz,
    now: DateTime<Utc>,
    today: NaiveDate,
    rules: &'a RuleSet,
    clock: &'a Clock,
}

/// Lets one fact change the story of its patient.
async fn apply(work: &mut UnitOfWork, context: &RecordContext<'_>, fact: &Command) -> Result<Recorded, Problem> {
    match fact {
        Command::Arrived { arrival, condition } => resource_arrival::arrived(work, context, arrival, condition).await,
        Command::Deleted { kind, id, if_match } => resource_arrival::deleted(work, context, *kind, id, *if_match).await,
        Command::Enrolled { whom, episode, fit } => {
            care_entry::enrolled(work, context, whom, episode, fit.as_deref()).await
        }
        Command::Amended { episode, amendment, if_match } => {
            amend::amended(work, context, *episode, amendment, *if_match).await
        }
        Command::Cared { episode, on, at, care, if_match } => {
            care_entry::cared(work, context, *episode, (*on, *at), care, *if_match).await
        }
        Command::OfPatient { patient, at, care } => care_entry::of_patient(work, context, *patient, *at, care).await,
        Command::Measured { patient, instrument, taken, answers, taken_by, language } => {
            let said = (taken_by.as_deref(), language.as_deref());
            care_entry::measured(work, context, *patient, (*instrument, *taken, answers), said).await
        }
        Command::Seen(sighting) => read_back::seen(work, context, sighting).await,
        Command::Imported(case) => import::imported(work, context, case).await,
        Command::LookedAt { patient } => care_entry::looked_at(work, context, *patient).await,
    }
}

/// The id under which a resource without one of its own is stored: it follows from the content, so that sending the
/// same twice stores it once. `None` for a Patient without identifiers, which nothing tells from another one but what
/// the Bundle around it calls it (`full_url`).
pub fn derived_id(clinic: &str, arrival: &Arrival, full_url: Option<&str>) -> Option<String> {
    let anonymous = arrival.kind == ResourceType::Patient && arrival.identifiers.is_empty();
    if anonymous && full_url.is_none() {
        return None;
    }
    let digest = Sha256::digest(arrival.raw.as_bytes());
    let digest = u128::from_be_bytes(std::array::from_fn(|i| digest[i]));
    let digest = format!("{digest:032x}");
    let mut parts = vec![arrival.kind.name(), digest.as_str()];
    parts.extend(full_url.filter(|_| anonymous));
    Some(identify::id_of(clinic, &parts).to_string())
}

/// A subject as the registry stores it; used by readers outside.
pub fn subject_key(subject: &Subject) -> String {
    identify::key(subject)
}
