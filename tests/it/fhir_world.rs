//! A whole service on an empty database, with a clock that stands still, spoken to over FHIR without a socket.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use cocm_registry::api;
use cocm_registry::clock::Clock;
use cocm_registry::config::{ClinicId, Config, Development};
use cocm_registry::domain::measurement::Measurement;
use cocm_registry::identity::{Role, development};
use cocm_registry::listener::protect;
use cocm_registry::service::Service;
use cocm_registry::store::quarantine::QuarantineRecord;
use cocm_registry::store::{measurement, patient, quarantine};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{Database, Engine};

/// The moment at which everything happens.
pub const NOW: &str = "2026-03-02T09:00:00Z";

pub struct FhirWorld {
    pub service: Service,
    pub clock: Clock,
    router: Router,
    database: Database,
}

async fn database() -> Database {
    Database::on(Engine::asked_for()).await.expect("the engine that was asked for")
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The issue of an OperationOutcome: its code and its expression.
    pub fn issue(&self) -> (String, String) {
        let body = self.json();
        assert_eq!(body["resourceType"], "OperationOutcome", "{self:?}");
        assert_eq!(self.header("content-type"), "application/fhir+json");
        let issue = &body["issue"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert!(!text(&issue["diagnostics"]).is_empty(), "{self:?}");
        (text(&issue["code"]), text(&issue["expression"][0]))
    }
}

/// A request in the making.
pub struct Asking<'w> {
    world: &'w FhirWorld,
    request: axum::http::request::Builder,
    role: Option<(String, Role)>,
    has_kind: bool,
}

impl FhirWorld {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let database = database().await;
        let mut config = Config::development(Development {
            data_dir: Some(database.folder.path().to_owned()),
            database_url: Some(database.url.clone()),
            ..Development::default()
        })
        .unwrap();
        change(&mut config);
        let jwks = development::prepare(database.folder.path()).unwrap();
        let clock = Clock::standing_at(NOW.parse().unwrap());
        let service = Service::prepare(config, clock.clone(), jwks).await.unwrap();
        let router = protect(api::router(service.app.clone()), &service.app.config.limits, &clock);
        Self { service, clock, router, database }
    }

    pub fn ask(&self, method: &str, path: &str) -> Asking<'_> {
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        let request = request.header("host", "registry.example");
        Asking { world: self, request, role: Some(("demo".to_owned(), Role::Ehr)), has_kind: false }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send("").await
    }

    pub async fn put(&self, resource: &Value) -> Answer {
        let path = format!("/fhir/{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        self.ask("PUT", &path).json(resource).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path).json(body).await
    }

    /// Posts a Bundle of this type; its entries' answers.
    pub async fn bundle(&self, kind: &str, entries: Value) -> Answer {
        self.post("/fhir", &json!({"resourceType": "Bundle", "type": kind, "entry": entries})).await
    }

    /// What is measured of whoever a key (`Patient/1`) names, retracted ones too.
    pub async fn measurements(&self, key: &str) -> Vec<Measurement> {
        let mut tx = self.service.app.db.read().await.unwrap();
        let [person] = &patient::by_key(&mut tx, "demo", key).await.unwrap()[..] else { panic!("not one {key}") };
        measurement::of_patient(&mut tx, "demo", person.id).await.unwrap()
    }

    /// The totals that count of whoever a key names, oldest first.
    pub async fn totals(&self, key: &str) -> Vec<Option<u16>> {
        let all = self.measurements(key).await;
        all.iter().filter(|m| m.counting.as_str() != "retracted").map(|m| m.total).collect()
    }

    /// Whom a key names.
    pub async fn person(&self, key: &str) -> patient::Patient {
        let mut tx = self.service.app.db.read().await.unwrap();
        patient::by_key(&mut tx, "demo", key).await.unwrap().pop().unwrap()
    }

    /// What waits in quarantine: the codes, by resource.
    pub async fn quarantine(&self) -> Vec<QuarantineRecord> {
        let mut tx = self.service.app.db.read().await.unwrap();
        quarantine::page(&mut tx, "demo", None, 500).await.unwrap()
    }
}

impl Asking<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.has_kind |= name == "content-type";
        self.request = self.request.header(name, value);
        self
    }

    pub fn of(mut self, clinic: &str, role: Role) -> Self {
        self.role = Some((clinic.to_owned(), role));
        self
    }

    pub fn nobody(mut self) -> Self {
        self.role = None;
        self
    }

    pub async fn json(self, body: &Value) -> Answer {
        self.send(body.to_string()).await
    }

    pub async fn send(mut self, body: impl Into<Body>) -> Answer {
        if let Some((clinic, role)) = &self.role {
            let clinic = ClinicId::new(clinic.as_str()).unwrap();
            let token =
                development::mint(self.world.database.folder.path(), &clinic, *role, development::LIFETIME).unwrap();
            self.request = self.request.header("authorization", format!("Bearer {token}"));
        }
        if !self.has_kind {
            self.request = self.request.header("content-type", "application/fhir+json");
        }
        let request = self.request.body(body.into()).unwrap();
        let response = self.world.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.into()).unwrap() }
    }
}

/// A Patient with an MRN.
pub fn patient(id: &str, mrn: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "active": true,
        "identifier": [{"system": "urn:mrn", "value": mrn}], "name": [{"family": "Canary", "given": ["Jane"]}]})
}

/// A PHQ-9 with these answers.
pub fn phq9(id: Option<&str>, subject: &str, answers: [u8; 9], authored: &str) -> Value {
    const ITEMS: [&str; 9] =
        ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"];
    const CODES: [&str; 4] = ["LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9"];
    let items: Vec<Value> = ITEMS
        .iter()
        .zip(answers)
        .map(|(item, answer)| {
            let coding = json!({"system": "http://loinc.org", "code": CODES[usize::from(answer)]});
            json!({"linkId": format!("/{item}"), "answer": [{"valueCoding": coding}]})
        })
        .collect();
    let mut form = json!({"resourceType": "QuestionnaireResponse", "status": "completed",
        "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": subject}, "authored": authored,
        "item": items});
    if let Some(id) = id {
        form["id"] = json!(id);
    }
    form
}

/// A resource with a version of its sender's.
pub fn at_version(mut resource: Value, version: &str) -> Value {
    resource["meta"] = json!({"versionId": version});
    resource
}
