//! A service in memory for the tests of the registry's API: a data directory of its own, a clock that stands still, the
//! real routes.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use cocm_registry::api::{self, App};
use cocm_registry::clock::Clock;
use cocm_registry::config::{ClinicId, Config, Development};
use cocm_registry::identity::{Role, development};
use cocm_registry::record::Condition;
use cocm_registry::service::Service;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{Database, Engine};

pub const CLINIC: &str = "demo";

pub struct World {
    pub app: App,
    pub clock: Clock,
    router: Router,
    _service: Service,
    database: Database,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Heard {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
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

impl World {
    /// At nine o'clock in the morning of a day, UTC.
    pub async fn on(day: &str) -> Self {
        Self::on_engine(Engine::asked_for(), day).await.expect("the engine that was asked for")
    }

    /// The same on one engine; `None` where there is no PostgreSQL.
    pub async fn on_engine(engine: Engine, day: &str) -> Option<Self> {
        Self::configured(engine, day, |_| {}).await
    }

    /// The same, with something configured otherwise; its data directory is there already.
    pub async fn configured(engine: Engine, day: &str, change: impl FnOnce(&mut Config)) -> Option<Self> {
        let database = Database::on(engine).await?;
        development::prepare(database.folder.path()).unwrap();
        let config = Config::development(Development {
            data_dir: Some(database.folder.path().to_owned()),
            database_url: Some(database.url.clone()),
            ..Development::default()
        });
        let mut config = config.unwrap();
        change(&mut config);
        let clock = Clock::standing_at(format!("{day}T09:00:00Z").parse().unwrap());
        let service = Service::prepare(config, clock.clone(), Value::Null).await.unwrap();
        let app = service.app.clone();
        Some(Self { router: api::router(app.clone()), app, clock, _service: service, database })
    }

    /// Moves the clock to nine o'clock of a day, and lets the sweep pass.
    pub async fn go_to(&self, day: &str) {
        self.clock.set(format!("{day}T09:00:00Z").parse().unwrap());
        cocm_registry::service::sweep(&self.app).await.unwrap();
    }

    pub fn token(&self, clinic: &str, role: Role) -> String {
        development::mint(self.database.folder.path(), &ClinicId::new(clinic).unwrap(), role, development::LIFETIME)
            .unwrap()
    }

    /// One request; the path within `/api/v1`.
    pub async fn ask(
        &self,
        who: (&str, Role),
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Said {
        let body = body.map(|body| ("application/json", body.to_string()));
        let heard = self.call(Some(who), method, &format!("/api/v1/{path}"), body, headers).await;
        let body = serde_json::from_slice(&heard.bytes).unwrap_or(Value::Null);
        Said { status: heard.status, headers: heard.headers, body }
    }

    /// One request, by somebody or nobody, to any address. Of an answer without an end, its beginning.
    pub async fn call(
        &self,
        who: Option<(&str, Role)>,
        method: &str,
        uri: &str,
        body: Option<(&str, String)>,
        headers: &[(&str, &str)],
    ) -> Heard {
        let mut request = Request::builder().method(method).uri(uri).header("host", "registry.example");
        if let Some((clinic, role)) = who {
            request = request.header("authorization", format!("Bearer {}", self.token(clinic, role)));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some((kind, body)) => request.header("content-type", kind).body(Body::from(body)),
            None => request.body(Body::empty()),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let mut bytes = Vec::new();
        let is_endless = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let patience = Duration::from_millis(if is_endless { 300 } else { 60_000 });
        let mut frames = body.into_data_stream();
        while let Ok(Some(frame)) = tokio::time::timeout(patience, frames.next()).await {
            bytes.extend(frame.unwrap());
        }
        Heard { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    /// A request as it stands.
    pub async fn send(&self, request: Request<Body>) -> Heard {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Heard { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    /// A document that is not JSON: its headers and its text.
    pub async fn read_as(&self, accept: &str, path: &str) -> (HeaderMap, String) {
        let who = (CLINIC, Role::PrimaryCare);
        let heard = self.call(Some(who), "GET", &format!("/api/v1/{path}"), None, &[("accept", accept)]).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        (heard.headers.clone(), heard.text())
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

    /// Enrolls a patient; the episode's id.
    pub async fn enroll(&self, patient: &str, on: &str) -> String {
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
