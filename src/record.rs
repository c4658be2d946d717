//! The hallway. Every change to a patient's story is a [`Command`] for [`Recorder::record`]; nothing else writes it.
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
mod completion;
mod evidence;
mod command;
mod recommendation_rows;
mod identify;
mod merge;
mod patient_match;
mod possible_match;
mod import;
mod single_items;
mod journal_lines;
mod person;
mod row_keys;
mod derived_id;
mod job;
mod new_event;
mod scored_form;
mod stored_resource;
mod queue;
mod recorder;
mod worker;
mod working_set;
mod row_moves;
mod read_back;
mod settle;
mod idempotency;
mod rules;
mod sessions;
mod closing;
mod zones;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::clock::Clock;
pub use crate::domain::day::local_midnight;
use crate::domain::rules::RuleSet;
use crate::identity::Role;
use crate::problem::Problem;
pub use closing::{RestatementResult, close, figures, restate};
pub use command::{
    Amendment, Change, Command, CommandEffect, Condition, ImportCount, PatientKey, Recorded, Sighting, Submission,
    SubmissionResult,
};
pub use derived_id::derived_id;
pub use idempotency::IdempotencyKey;
pub use import::{Additions, ImportPreview, ImportedCase, ImportedScore, foresee};
use merge::Applied;
pub use recorder::Recorder;
pub use rules::{activate, attest, propose};
pub use sessions::{DeferredItem, close_session, fold_item, open_session};
use working_set::WorkingSet;
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
    /// The id of a resource that has none, and nothing to make one of: the same however often the command is applied.
    new_id: Uuid,
}

/// Lets one command change what is known.
fn apply(set: &mut WorkingSet, context: &RecordContext<'_>, command: &Command) -> Result<Applied, Problem> {
    match command {
        Command::StoreResource { arrival, condition } => {
            return resource_arrival::arrived(set, context, arrival, condition);
        }
        Command::DecideMatch { id, decision, reason } => {
            return patient_match::decided(set, context, (*id, *decision), reason);
        }
        Command::DeleteResource { kind, id, if_match } => resource_arrival::deleted(set, context, *kind, id, *if_match),
        Command::Enroll { whom, episode, fit } => care_entry::enrolled(set, context, whom, episode, fit.as_deref()),
        Command::AmendEpisode { episode, amendment, if_match } => {
            amend::amended(set, context, *episode, amendment, *if_match)
        }
        Command::RecordCare { episode, on, at, care, if_match } => {
            care_entry::cared(set, context, *episode, (*on, *at), care, *if_match)
        }
        Command::RecordPatientCare { patient, at, care } => care_entry::of_patient(set, context, *patient, *at, care),
        Command::RecordMeasurement { patient, instrument, taken, answers, taken_by, language } => {
            let said = (taken_by.as_deref(), language.as_deref());
            care_entry::measured(set, context, *patient, (*instrument, *taken, answers), said)
        }
        Command::ReadBack(sighting) => read_back::seen(set, context, sighting),
        Command::ImportCase(case) => import::imported(set, context, case),
        Command::ProposeMatch { records } => patient_match::named(set, context, *records),
        Command::Replan { patient } => care_entry::looked_at(set, context, *patient),
    }
    .map(Applied::Done)
}
