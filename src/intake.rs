//! Turns everything that arrives over FHIR, by any path, and a clinic's spreadsheet into commands.

pub mod bundle;
pub mod connection;
pub mod sweep;
mod fetch;
mod notice;
mod questionnaires;
mod readback;
pub mod signature;
mod subscribe;
pub mod watch;
pub mod bulk_load;
pub mod spreadsheet;

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::fhir::arrival::{Arrival, ResourceType, read};
use crate::fhir::base::Bases;
use crate::fhir::content::ReadingContext;
use crate::fhir::mapping::CodeMapping;
use crate::problem::Problem;
use crate::record::{Command, Condition, Recorded, Recorder, Submission, Zones};
use crate::store::Db;

/// Reads resources with a clinic's mapping and time zone, and hands them to the hallway. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    db: Db,
    recorder: Recorder,
    clock: Clock,
    zones: Arc<Zones>,
    mappings: Arc<HashMap<String, CodeMapping>>,
    default_mapping: Arc<CodeMapping>,
    bases: Arc<ClinicBases>,
}

/// The bases under which a clinic's Patients are named.
#[derive(Clone, Debug, Default)]
pub struct ClinicBases {
    /// The service's own: all that a clinic without a connection has.
    pub own: Bases,
    /// With those of its connection, by clinic.
    pub by_clinic: HashMap<String, Bases>,
}

impl ClinicBases {
    /// Those of a clinic.
    pub fn of(&self, clinic: &str) -> &Bases {
        self.by_clinic.get(clinic).unwrap_or(&self.own)
    }

    /// The same and one more base of the service's own.
    fn and(&self, base: &str) -> Self {
        let by_clinic = self.by_clinic.iter().map(|(clinic, bases)| (clinic.clone(), bases.clone().and(base)));
        Self { own: self.own.clone().and(base), by_clinic: by_clinic.collect() }
    }
}

impl Intake {
    /// An intake; `mappings` by clinic, for those whose EHR has one of its own.
    pub fn new(
        db: Db,
        recorder: Recorder,
        clock: Clock,
        zones: Arc<Zones>,
        mappings: HashMap<String, CodeMapping>,
        bases: ClinicBases,
    ) -> Self {
        let (mappings, default_mapping) = (Arc::new(mappings), Arc::new(CodeMapping::default()));
        Self { db, recorder, clock, zones, mappings, default_mapping, bases: Arc::new(bases) }
    }

    /// The same for a request that reached the service under a base of its own.
    #[must_use]
    pub fn under(&self, base: &str) -> Self {
        if self.bases.own.include(base) {
            return self.clone();
        }
        Self { bases: Arc::new(self.bases.and(base)), ..self.clone() }
    }

    /// The bases under which a clinic's Patients are named.
    pub fn bases(&self, clinic: &str) -> &Bases {
        self.bases.of(clinic)
    }

    /// Reads one resource.
    ///
    /// # Errors
    /// What violates the specification where we look, with `expression`.
    pub fn read(&self, clinic: &str, raw: &str) -> Result<Arrival, Problem> {
        let mapping = self.mappings.get(clinic).unwrap_or(&self.default_mapping);
        read(
            raw,
            &ReadingContext { zone: self.zones.of(clinic), now: self.clock.now(), mapping, bases: self.bases(clinic) },
        )
    }

    /// Takes one resource in; answers after the commit.
    ///
    /// # Errors
    /// What the condition or the database says.
    pub async fn take(
        &self,
        clinic: &str,
        by: &str,
        arrival: Arrival,
        condition: Condition,
    ) -> Result<Recorded, Problem> {
        self.recorder.one(clinic, by, Command::StoreResource { arrival: Box::new(arrival), condition }).await
    }

    /// Takes in that a resource was deleted; answers after the commit.
    ///
    /// # Errors
    /// `NotFound` for what was never known; what the condition or the database says.
    pub async fn delete(
        &self,
        clinic: &str,
        by: &str,
        kind: ResourceType,
        id: String,
        if_match: Option<i64>,
    ) -> Result<Recorded, Problem> {
        self.recorder.one(clinic, by, Command::DeleteResource { kind, id, if_match }).await
    }

    /// Takes several facts in, all or nothing if `atomic`; answers after the commit.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub async fn take_all(
        &self,
        clinic: &str,
        by: &str,
        commands: Vec<Command>,
        atomic: bool,
    ) -> Result<Vec<Result<Recorded, Problem>>, Problem> {
        self.recorder.record(Submission { clinic: clinic.to_owned(), by: by.to_owned(), commands, atomic }).await
    }
}
