//! A world for reading back: three people in a chart, with a Task or a Flag each, and a person who changes them there.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use cocm_registry::api;
use cocm_registry::config::{self, ClinicId};
use cocm_registry::domain::care::{Addressee, Care, ChangeKind, Recommendation, RecommendationDecision};
use cocm_registry::domain::read_back::Drift;
use cocm_registry::domain::recommendation::{TrackedRecommendation, follow};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::standing::Standing;
use cocm_registry::domain::story::Story;
use cocm_registry::domain::task::Code;
use cocm_registry::id::EpisodeId;
use cocm_registry::identity::{Role, development};
use cocm_registry::record::{Command, PatientKey};
use cocm_registry::store::event_log::{self, EventRow as Line};
use cocm_registry::store::outbox::{self, Delivery, DeliveryFilter, DeliveryState};
use cocm_registry::store::patient::{self, Patient};
use cocm_registry::store::{journal, story};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::connect_world::Connected;
use crate::world::{CLINIC, Engine, date, episode, patient, phq9};

/// Nobody improves, a recommendation waits, and an answer alarms.
pub const NONRESPONSE: &str = "a";
pub const RECOMMENDED: &str = "b";
pub const ALARMING: &str = "c";
/// What each of them has in the chart.
pub const TASKS: [(&str, Code); 3] = [
    (NONRESPONSE, Code::PsychiatricCaseReview),
    (RECOMMENDED, Code::Recommendation),
    (ALARMING, Code::SafetyAssessment),
];

pub struct World {
    pub connected: Connected,
    pub recommendation: Uuid,
}

impl World {
    pub async fn on(engine: Engine) -> Option<Self> {
        Self::with(engine, |_| {}).await
    }

    pub async fn with(engine: Engine, change: impl FnOnce(&mut config::EhrConnection)) -> Option<Self> {
        let connected = Connected::on(engine, |ehr| {
            ehr.notify.token = Some("s3cret".into());
            change(ehr);
        })
        .await?;
        let world = Self { connected, recommendation: Uuid::from_u128(7) };
        let form = |id: &str, person: &str, on: &str, items: [u8; 9]| {
            let mut form = phq9(id, person, on, items);
            form.as_object_mut().unwrap().remove("meta");
            world.connected.chart.put(form);
        };
        for person in [NONRESPONSE, RECOMMENDED, ALARMING] {
            world.connected.chart.put(patient(person));
        }
        form("a1", NONRESPONSE, "2025-12-29", [2, 2, 2, 2, 2, 2, 2, 2, 0]);
        form("a2", NONRESPONSE, "2026-03-01", [2, 2, 2, 2, 2, 2, 2, 2, 0]);
        form("b1", RECOMMENDED, "2026-02-16", [2, 2, 2, 2, 2, 2, 2, 2, 0]);
        form("c1", ALARMING, "2026-03-02T13:00:00Z", [0, 0, 0, 0, 0, 0, 0, 0, 2]);
        world.connected.sweep().await;
        world.enroll(NONRESPONSE, "2025-12-29").await;
        let episode = world.enroll(RECOMMENDED, "2026-02-16").await;
        let recommendation = Recommendation {
            id: world.recommendation,
            kind: ChangeKind::Medication,
            text: "Sertraline 100 mg".to_owned(),
            to: Addressee::PrimaryCare,
            due_on: None,
        };
        let review = Care::CaseReview {
            reviewer: "Dr. Ito".to_owned(),
            summary: None,
            minutes: None,
            recommendations: vec![recommendation],
            session: None,
        };
        world
            .record(Command::RecordCare { episode, on: date("2026-03-01"), at: None, care: review, if_match: None })
            .await;
        world.connected.service.deliver_due().await.unwrap();
        world.sweep().await;
        Some(world)
    }

    pub async fn record(&self, fact: Command) -> Uuid {
        self.connected.app.recorder.one(CLINIC, "test", fact).await.unwrap().id.parse().unwrap()
    }

    pub async fn enroll(&self, person: &str, on: &str) -> EpisodeId {
        let whom = PatientKey::Key(format!("Patient/{person}"));
        EpisodeId(self.record(Command::Enroll { whom, episode: Box::new(episode(on)), fit: None }).await)
    }

    /// Some minutes later the connection is swept.
    pub async fn sweep(&self) {
        self.connected.clock.set(self.connected.clock.now() + TimeDelta::minutes(20));
        self.connected.sweep().await;
    }

    pub async fn person(&self, person: &str) -> (Patient, Story) {
        let mut tx = self.connected.app.db.read().await.unwrap();
        let row = patient::by_key(&mut tx, CLINIC, &format!("Patient/{person}")).await.unwrap().remove(0);
        let story = story::of(&mut tx, CLINIC, &row).await.unwrap();
        (row, story)
    }

    pub async fn lines(&self, person: &str) -> Vec<Line> {
        let (row, _) = self.person(person).await;
        let mut tx = self.connected.app.db.read().await.unwrap();
        event_log::of_patient(&mut tx, CLINIC, row.id).await.unwrap()
    }

    /// What was told of the chart, as statuses.
    pub async fn told(&self, person: &str) -> Vec<String> {
        let lines = self.lines(person).await;
        lines.into_iter().filter(|line| line.kind == "set_in_chart").filter_map(|line| line.outcome).collect()
    }

    pub async fn ledger(&self) -> Vec<Delivery> {
        let mut tx = self.connected.app.db.read().await.unwrap();
        outbox::page(&mut tx, CLINIC, DeliveryFilter::default(), None, 1000).await.unwrap()
    }

    pub async fn delivery(&self, code: Code) -> Delivery {
        self.ledger().await.into_iter().find(|d| d.intent.desired.code == code).unwrap()
    }

    /// A delivery in three words: how it stands, its status in the chart, how that differs.
    pub async fn stands(&self, code: Code) -> (DeliveryState, String, Option<Drift>) {
        let d = self.delivery(code).await;
        (d.state, d.chart_status.unwrap_or_default(), d.drift.map(|drift| drift.parse().unwrap()))
    }

    pub fn in_chart(&self, code: Code) -> Value {
        let all = ["Task", "Flag"].into_iter().flat_map(|kind| self.connected.chart.all(kind));
        let mut all = all.filter(|one| one["code"]["coding"][0]["code"] == code.as_str());
        all.next().unwrap()
    }

    /// A person changes something in the chart, a minute later.
    pub fn change(&self, code: Code, change: impl FnOnce(&mut Value)) -> Value {
        self.connected.clock.set(self.connected.clock.now() + TimeDelta::minutes(1));
        let mut resource = self.in_chart(code);
        change(&mut resource);
        self.connected.chart.put(resource)
    }

    pub fn set(&self, code: Code, status: &str) -> Value {
        self.change(code, |one| one["status"] = json!(status))
    }

    pub async fn followed(&self) -> TrackedRecommendation {
        follow(&self.person(RECOMMENDED).await.1, self.recommendation).unwrap()
    }

    pub async fn decide(&self, decision: RecommendationDecision) {
        let (_, story) = self.person(RECOMMENDED).await;
        let (by, reason) = (Some("Dr. Ames".to_owned()), None);
        let care = Care::RecommendationDecision { recommendation: self.recommendation, decision, by, reason };
        let (episode, on) = (story.episodes[0].id, date("2026-03-02"));
        self.record(Command::RecordCare { episode, on, at: None, care, if_match: None }).await;
    }

    pub async fn standing(&self, person: &str) -> Standing {
        let (_, story) = self.person(person).await;
        let today = self.connected.clock.today(chrono_tz::America::New_York);
        cocm_registry::domain::chart_plan::plan(&story, &RuleSet::default(), today).standings.remove(0)
    }

    pub fn writes(&self) -> usize {
        self.connected.chart.log().iter().filter(|call| call.method != "GET").count()
    }

    pub async fn tell(&self, method: &str, path: &str, body: impl Into<Body>) -> (u16, Duration) {
        let request = Request::builder().method(method).uri(format!("/api/v1/connections/ehr/notifications{path}"));
        let request = request.header("authorization", "Bearer s3cret").header("content-type", "application/fhir+json");
        let router = api::router(self.connected.app.clone());
        let begun = Instant::now();
        let answer = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
        (answer.status().as_u16(), begun.elapsed())
    }

    pub async fn events(&self) -> Vec<String> {
        self.connected.app.journal.flush().await;
        self.connected.app.journal.seal().await.unwrap();
        let mut tx = self.connected.app.db.read().await.unwrap();
        let lines = journal::changes(&mut tx, CLINIC, 0, i64::MAX).await.unwrap();
        lines.iter().flat_map(|line| journal::JournalEntry::read(&line.entry).unwrap().events).collect()
    }

    /// What the API answers a care manager of a clinic.
    pub async fn ask(&self, clinic: &str, path: &str) -> Value {
        let clinic = ClinicId::new(clinic).unwrap();
        let folder = self.connected.database.folder.path();
        let token = development::mint(folder, &clinic, Role::CareManager, development::LIFETIME).unwrap();
        let request =
            Request::builder().uri(format!("/api/v1/{path}")).header("authorization", format!("Bearer {token}"));
        let answer =
            api::router(self.connected.app.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}
