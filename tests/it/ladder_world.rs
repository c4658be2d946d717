//! A whole loop: an EHR with its own abilities, this service between, and everything that may break on the way.

use chrono::{DateTime, TimeDelta, Utc};
use cocm_registry::clock::Clock;
use cocm_registry::config::{self, ClinicId};
use cocm_registry::domain::care::Care;
use cocm_registry::domain::task::{Code, Posture};
use cocm_registry::identity::{Role, development};
use cocm_registry::record::Command;
use cocm_registry::sandbox::Sandbox;
use cocm_registry::sandbox::misbehavior::Misbehavior;
use cocm_registry::sandbox::profile::Profile;
use cocm_registry::service::{Service, connections, router, sweep};
use cocm_registry::store::outbox::{self, Delivery, DeliveryFilter, DeliveryState};
use cocm_registry::store::resource;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::connect_world::{config, replica};
use crate::world::{CLINIC, Database, Engine, monday};

/// Our identifiers' namespace in the chart.
pub const PLAN: &str = "https://cocm-registry.dev/fhir/identifier/plan";

type Change = fn(&mut config::EhrConnection);

pub struct Loop {
    pub service: Option<Service>,
    pub clock: Clock,
    pub chart: Sandbox,
    pub database: Database,
    pub change: Change,
}

impl Loop {
    /// With an EHR like this, and a connection that is configured so.
    pub async fn on(engine: Engine, profile: Profile, change: Change) -> Option<Self> {
        let database = Database::on(engine).await?;
        let clock = Clock::standing_at(monday());
        let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), clock.clone()).await.unwrap();
        chart.play(profile);
        let mut world = Self { service: None, clock, chart, database, change };
        world.start_anew().await;
        Some(world)
    }

    /// The process dies, and another one begins on the same database.
    pub async fn start_anew(&mut self) {
        if let Some(service) = self.service.take() {
            service.close().await;
        }
        let change = self.change;
        let service = replica(&self.database, &self.clock, self.chart.url(), |ehr| {
            ehr.search_lag = std::time::Duration::ZERO;
            ehr.timeout = std::time::Duration::from_secs(2);
            change(ehr);
        });
        self.service = Some(service.await);
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    pub async fn fetch(&self) {
        self.service().fetch_due(true).await.unwrap();
    }

    pub async fn deliver(&self) {
        self.service().deliver_due().await.unwrap();
    }

    /// Lets time pass: the daily sweep, and what is due for the chart.
    pub async fn advance(&self, seconds: i64) {
        self.clock.set(self.clock.now() + TimeDelta::seconds(seconds));
        sweep(&self.service().app).await.unwrap();
        self.deliver().await;
    }

    pub fn misbehave(&self, seed: u64) {
        self.chart.misbehave(Misbehavior {
            seed,
            only_writes: true,
            drop_request: 0.15,
            drop_response: 0.35,
            ..Misbehavior::default()
        });
    }

    /// Answers get lost, the EHR goes down and comes back, this process dies and begins anew; then all is well.
    pub async fn survive(&mut self, seed: u64) {
        self.misbehave(seed);
        self.deliver().await;
        self.chart.go_down().await;
        self.advance(6).await;
        self.start_anew().await;
        self.advance(33).await;
        self.chart.come_back().await.unwrap();
        self.advance(330).await;
        self.start_anew().await;
        self.advance(1_980).await;
        self.chart.behave();
        self.advance(7_920).await;
        self.advance(19_800).await;
    }

    pub async fn ledger(&self) -> Vec<Delivery> {
        let mut tx = self.service().app.db.read().await.unwrap();
        outbox::page(&mut tx, CLINIC, DeliveryFilter::default(), None, 1000).await.unwrap()
    }

    /// The causes that stand open.
    pub async fn open(&self) -> Vec<Delivery> {
        self.ledger().await.into_iter().filter(|d| d.posture == Posture::Open).collect()
    }

    pub async fn all_settled(&self) {
        for delivery in self.ledger().await {
            assert_eq!(delivery.state, DeliveryState::Settled, "{}: {:?}", delivery.key, delivery.last_error);
        }
    }

    /// How many forms have arrived.
    pub async fn arrived(&self, kind: &str) -> i64 {
        let mut tx = self.service().app.db.read().await.unwrap();
        resource::count(&mut tx, CLINIC, kind, resource::ChangeWindow::always()).await.unwrap()
    }

    /// Somebody assesses whoever waits for it.
    pub async fn assess_everybody(&self) {
        let waiting = self.open().await.into_iter().filter(|d| d.intent.desired.code == Code::SafetyAssessment);
        for delivery in waiting {
            let care = Care::SafetyAssessment {
                instrument: "C-SSRS".into(),
                result: "low".into(),
                risk: None,
                disposition: "Safety plan".into(),
                assessor: "Casey Manager".into(),
                note: None,
            };
            let at = self.clock.now();
            let fact = Command::RecordPatientCare { patient: delivery.patient_id, at, care };
            self.service().app.recorder.one(CLINIC, "test", fact).await.unwrap();
        }
    }

    /// A resource goes into the EHR by its own API.
    pub async fn enter(&self, body: &Value) -> u16 {
        let kind = body["resourceType"].as_str().unwrap();
        let url = format!("{}/{kind}", self.chart.url());
        let request = cocm_registry::http_client::client(std::time::Duration::from_secs(5), false)
            .unwrap()
            .post(url)
            .header("content-type", "application/fhir+json");
        request.body(body.to_string()).send().await.unwrap().status().as_u16()
    }

    /// What we tell others of our deliveries.
    pub async fn told(&self) -> Vec<Value> {
        let token = development::mint(
            self.database.folder.path(),
            &ClinicId::new(CLINIC).unwrap(),
            Role::CareManager,
            development::LIFETIME,
        );
        let request = axum::http::Request::get("/api/v1/deliveries?limit=500")
            .header("authorization", format!("Bearer {}", token.unwrap()))
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = router(&self.service().app).oneshot(request).await.unwrap();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        body["items"].as_array().unwrap().clone()
    }

    /// What `check-config` says of writing.
    pub async fn checked(&self) -> Vec<String> {
        let config = config(&self.database, self.chart.url(), self.change);
        let findings = connections::try_connection(&config, &config.ehrs[0], &self.clock).await.unwrap();
        let all = findings.iter().map(ToString::to_string);
        all.filter(|line| line.contains("writing:")).map(|line| line[8..].to_owned()).collect()
    }
}

/// How many resources of a type carry an identifier.
pub fn carriers(chart: &Sandbox, kind: &str, identifier: &str) -> usize {
    let carries = |one: &Value| {
        let all = one["identifier"].as_array().into_iter().flatten();
        all.into_iter().any(|one| one["system"] == PLAN && one["value"] == identifier)
    };
    chart.all(kind).iter().filter(|one| carries(one)).count()
}

/// An item of the PHQ-9, or its total, as a nurse enters it.
pub fn observation(patient: usize, code: &str, value: u8, at: DateTime<Utc>) -> Value {
    json!({"resourceType": "Observation", "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": format!("Patient/p{patient}")}, "effectiveDateTime": at.to_rfc3339(),
        "valueInteger": value})
}
