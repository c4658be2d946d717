//! A small world for a test: a database, a clock that stands still, a chart that remembers, and the service between.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use cocm_registry::api::App;
use cocm_registry::clock::Clock;
use cocm_registry::config::{Config, Development};
use cocm_registry::domain::episode::Episode;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::id::EpisodeId;
use cocm_registry::problem::Problem;
use cocm_registry::record::{Command, Condition, PatientKey, Recorded};
use cocm_registry::sandbox::Sandbox;
use cocm_registry::service::{Service, sweep};
use cocm_registry::store::{Db, ReadTx};
use serde_json::{Value, json};
use uuid::Uuid;

use super::postgres;

/// The clinic of most tests.
pub const CLINIC: &str = "demo";
/// Another one, which must never see anything of it.
pub const OTHER: &str = "elsewhere";

/// The engines that every test of the store and of the hallway runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// SQLite, or PostgreSQL where `COCM_TEST_ENGINE=postgres` asks for it: tests that name no engine hold on both.
    pub fn asked_for() -> Self {
        let asked = std::env::var("COCM_TEST_ENGINE").unwrap_or_default();
        if asked == "postgres" { Self::Postgres } else { Self::Sqlite }
    }
}

/// A database that goes with this value.
pub struct Database {
    /// For the SQLite file, and for the development keys.
    pub folder: tempfile::TempDir,
    /// Its address.
    pub url: String,
    _postgres: Option<postgres::Database>,
}

impl Database {
    /// A fresh one; `None` where there is no PostgreSQL. The schema may be there already.
    pub async fn on(engine: Engine) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        Some(match engine {
            Engine::Sqlite => {
                let url = format!("sqlite://{}", folder.path().join("registry.db").display());
                Self { folder, url, _postgres: None }
            }
            Engine::Postgres => {
                let database = postgres::migrated().await?;
                Self { folder, url: database.url.clone(), _postgres: Some(database) }
            }
        })
    }

    /// Opens it and brings the schema up to date.
    pub async fn open(&self) -> Db {
        let db = Db::open(&self.url).await.unwrap();
        db.migrate().await.unwrap();
        db
    }
}

/// Everything together.
pub struct World {
    pub service: Service,
    pub app: App,
    pub clock: Clock,
    pub chart: Sandbox,
    pub database: Database,
}

/// When most tests begin: a Monday morning in New York.
pub fn monday() -> DateTime<Utc> {
    "2026-03-02T14:00:00Z".parse().unwrap()
}

pub fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

impl World {
    /// A world in which nothing has happened; `None` where there is no PostgreSQL.
    pub async fn on(engine: Engine) -> Option<Self> {
        let database = Database::on(engine).await?;
        let clock = Clock::standing_at(monday());
        let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), clock.clone()).await.unwrap();
        let service = service(&database, &clock, Some(chart.url())).await;
        Some(Self { app: service.app.clone(), service, clock, chart, database })
    }

    /// Sends a resource through the FHIR door's back: read, recorded, committed.
    pub async fn send(&self, resource: &Value) -> Result<Recorded, Problem> {
        self.send_to(CLINIC, resource).await
    }

    pub async fn send_to(&self, clinic: &str, resource: &Value) -> Result<Recorded, Problem> {
        let arrival = self.app.intake.read(clinic, &resource.to_string())?;
        self.app.intake.take(clinic, "test", arrival, Condition::None).await
    }

    /// A fact, as the doors hand it in.
    pub fn fact(&self, resource: &Value) -> Command {
        let arrival = self.app.intake.read(CLINIC, &resource.to_string()).unwrap();
        Command::StoreResource { arrival: Box::new(arrival), condition: Condition::None }
    }

    pub async fn record(&self, fact: Command) -> Result<Recorded, Problem> {
        self.app.recorder.one(CLINIC, "test", fact).await
    }

    /// Enrolls a patient whose reference is known.
    pub async fn enroll(&self, patient: &str, on: &str) -> EpisodeId {
        let whom = PatientKey::Key(format!("Patient/{patient}"));
        let fact = Command::Enroll { whom, episode: Box::new(episode(on)), fit: None };
        self.record(fact).await.unwrap().id.parse().unwrap()
    }

    /// Lets time pass: the daily sweep, and what is due for the chart.
    pub async fn advance(&self, by: TimeDelta) {
        self.clock.set(self.clock.now() + by);
        sweep(&self.app).await.unwrap();
        self.deliver().await;
    }

    pub async fn deliver(&self) {
        self.service.deliver_due().await.unwrap();
    }

    pub async fn read(&self) -> ReadTx {
        self.app.db.read().await.unwrap()
    }

    /// What stands in the chart, without what differs from run to run: (type, code, status), sorted.
    pub fn standing_in_chart(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut all: Vec<_> = ["Task", "Flag"]
            .iter()
            .flat_map(|kind| self.chart.all(kind))
            .map(|one| (text(&one["resourceType"]), text(&one["code"]["coding"][0]["code"]), text(&one["status"])))
            .collect();
        all.sort();
        all
    }
}

/// The service on a database, for tests that need several on one.
pub async fn service(database: &Database, clock: &Clock, ehr: Option<&str>) -> Service {
    let mut config = Config::development(Development {
        time_zone: Some(chrono_tz::America::New_York),
        data_dir: Some(database.folder.path().to_owned()),
        database_url: Some(database.url.clone()),
        ehr: ehr.map(str::to_owned),
        ..Development::default()
    })
    .unwrap();
    for ehr in &mut config.ehrs {
        ehr.search_lag = std::time::Duration::ZERO;
        ehr.timeout = std::time::Duration::from_secs(2);
    }
    Service::prepare(config, clock.clone(), Value::Null).await.unwrap()
}

pub fn episode(on: &str) -> Episode {
    Episode {
        id: EpisodeId(Uuid::nil()),
        enrolled_on: Some(date(on)),
        consent_on: Some(date(on)),
        primary_instrument: Instrument::PHQ9,
        target_instruments: vec![Instrument::PHQ9],
        care_manager: Some("Casey Manager".to_owned()),
        primary_care_provider: None,
        psychiatric_consultant: None,
    }
}

/// A Patient with a name and a record number.
pub fn patient(id: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": id, "meta": {"versionId": "1"},
        "identifier": [{"system": "urn:mrn", "value": format!("mrn-{id}")}],
        "name": [{"family": format!("Family-{id}"), "given": ["Given"]}], "birthDate": "1980-05-17",
    })
}

/// A complete PHQ-9: the answers to its items, by LOINC codes.
pub fn phq9(id: &str, patient: &str, authored: &str, items: [u8; 9]) -> Value {
    const CODES: [&str; 9] =
        ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"];
    let items: Vec<Value> = CODES
        .iter()
        .zip(items)
        .map(|(code, answer)| json!({"linkId": format!("/{code}"), "answer": [{"valueInteger": answer}]}))
        .collect();
    json!({
        "resourceType": "QuestionnaireResponse", "id": id, "meta": {"versionId": "1"}, "status": "completed",
        "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": format!("Patient/{patient}")},
        "authored": authored, "item": items,
    })
}

/// The next version of a resource.
pub fn version(mut resource: Value, number: u32) -> Value {
    resource["meta"]["versionId"] = json!(number.to_string());
    resource
}
