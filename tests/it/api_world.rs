//! A service in memory for the tests of the registry's API: a data directory of its own, a clock that stands still, the
//! real routes.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use cocm_registry::api::{self, App};
use cocm_registry::clock::Clock;
use cocm_registry::config::{ClinicId, Config, Development};
use cocm_registry::identity::{Role, development};
use cocm_registry::record::Condition;
use cocm_registry::service::Service;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::world::{Database, Engine};

pub const CLINIC: &str = "demo";

pub struct World {
    pub app: App,
    pub clock: Clock,
    router: Router,
    dir: TempDir,
    _service: Service,
    _database: Option<Database>,
}

/// An answer.
#[derive(Debug)]
pub struct Said {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Said {
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Fails with everything that was said unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

/// Only one of them is made, by a test that names `COCM_TEST_POSTGRES` (a server's URL without a database).
async fn database_of_its_own() -> Option<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("COCM_TEST_POSTGRES").ok()?;
    let name = format!("api_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
    let pool = sqlx::PgPool::connect(&format!("{server}/postgres")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await.unwrap();
    pool.close().await;
    Some(format!("{server}/{name}"))
}

impl World {
    /// At nine o'clock in the morning of a day, UTC.
    pub async fn on(day: &str) -> Self {
        Self::with(day, database_of_its_own().await, None).await
    }

    /// The same on an engine; `None` where there is no PostgreSQL.
    pub async fn on_engine(day: &str, engine: Engine) -> Option<Self> {
        let database = Database::on(engine).await?;
        Some(Self::with(day, Some(database.url.clone()), Some(database)).await)
    }

    async fn with(day: &str, database_url: Option<String>, database: Option<Database>) -> Self {
        let dir = TempDir::new().unwrap();
        development::prepare(dir.path()).unwrap();
        let config = Config::development(Development {
            data_dir: Some(dir.path().to_owned()),
            database_url,
            ..Development::default()
        });
        let clock = Clock::standing_at(format!("{day}T09:00:00Z").parse().unwrap());
        let service = Service::prepare(config.unwrap(), clock.clone(), Value::Null).await.unwrap();
        let app = service.app.clone();
        Self { router: api::router(app.clone()), app, clock, dir, _service: service, _database: database }
    }

    /// Moves the clock to nine o'clock of a day, and lets the sweep pass.
    pub async fn go_to(&self, day: &str) {
        self.clock.set(format!("{day}T09:00:00Z").parse().unwrap());
        cocm_registry::service::sweep(&self.app).await.unwrap();
    }

    pub fn token(&self, clinic: &str, role: Role) -> String {
        development::mint(self.dir.path(), &ClinicId::new(clinic).unwrap(), role, development::LIFETIME).unwrap()
    }

    /// One request; the path within `/api/v1`.
    pub async fn ask(
        &self,
        (clinic, role): (&str, Role),
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Said {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header("authorization", format!("Bearer {}", self.token(clinic, role)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Said { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// A document that is not JSON: its headers and its text.
    pub async fn read_as(&self, accept: &str, path: &str) -> (HeaderMap, String) {
        let request = Request::builder()
            .uri(format!("/api/v1/{path}"))
            .header("authorization", format!("Bearer {}", self.token(CLINIC, Role::PrimaryCare)))
            .header("accept", accept);
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let (parts, body) = response.into_parts();
        (parts.headers, String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap())
    }

    pub async fn get(&self, path: &str) -> Said {
        self.ask((CLINIC, Role::CareManager), "GET", path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Said {
        self.ask((CLINIC, Role::CareManager), "POST", path, Some(body), &[]).await
    }

    pub async fn post_as(&self, role: Role, path: &str, body: Value) -> Said {
        self.ask((CLINIC, role), "POST", path, Some(body), &[]).await
    }

    /// Takes in a FHIR resource.
    pub async fn arrives(&self, resource: Value) {
        let arrival = self.app.intake.read(CLINIC, &resource.to_string()).unwrap();
        self.app.intake.take(CLINIC, "ehr", arrival, Condition::None).await.unwrap();
    }

    /// A patient of the chart; our id.
    pub async fn patient(&self, id: &str, family: &str) -> String {
        self.arrives(json!({"resourceType": "Patient", "id": id, "name": [{"family": family, "given": ["Ada"]}],
            "identifier": [{"system": "urn:mrn", "value": id}]}))
            .await;
        let found = self.get(&format!("patients?reference=Patient/{id}")).await.expect(200);
        found.body["items"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Enrols a patient; the episode's id.
    pub async fn enrol(&self, patient: &str, on: &str) -> String {
        let body = json!({"patient": {"id": patient}, "enrolled_on": on, "care_manager": "Kim"});
        self.post("episodes", body).await.expect(201).id()
    }

    /// A PHQ-9 total on a day; the measurement's id.
    pub async fn phq9(&self, patient: &str, on: &str, total: u16) -> String {
        let body = json!({"instrument": "phq9", "taken_at": format!("{on}T10:00:00Z"), "total": total});
        self.post(&format!("patients/{patient}/measurements"), body).await.expect(201).id()
    }

    pub async fn standing(&self, episode: &str) -> Value {
        self.get(&format!("episodes/{episode}/standing")).await.expect(200).body
    }
}

/// The rules that speak in a standing or a row of the caseload.
pub fn rules(standing: &Value) -> Vec<&str> {
    standing["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap()).collect()
}
