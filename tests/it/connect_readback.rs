//! Reading back: what people do in the chart to the Tasks and Flags that we wrote there.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use cocm_registry::api;
use cocm_registry::config;
use cocm_registry::domain::care::{Addressee, Care, ChangeKind, Decision, Recommendation};
use cocm_registry::domain::chart::Drift;
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::plan::{Code, Posture};
use cocm_registry::domain::recommendation::{Followed, follow};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::safety::{ConcernState, concerns};
use cocm_registry::domain::standing::Standing;
use cocm_registry::domain::story::Story;
use cocm_registry::record::{Fact, Whom};
use cocm_registry::service;
use cocm_registry::store::connection::hint;
use cocm_registry::store::fact::{self, Fact as Line};
use cocm_registry::store::outbox::{self, Delivery, State, Which};
use cocm_registry::store::patient::{self, Patient};
use cocm_registry::store::{journal, story};
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::connect_world::{Connected, EHR};
use crate::world::{CLINIC, Engine, date, episode, monday, patient, phq9};

/// Nobody improves, a recommendation waits, and an answer alarms.
const NONRESPONSE: &str = "a";
const RECOMMENDED: &str = "b";
const ALARMING: &str = "c";
/// What each of them has in the chart.
const TASKS: [(&str, Code); 3] = [
    (NONRESPONSE, Code::PsychiatricCaseReview),
    (RECOMMENDED, Code::Recommendation),
    (ALARMING, Code::SafetyAssessment),
];

struct World {
    connected: Connected,
    recommendation: Uuid,
}

impl World {
    async fn on(engine: Engine) -> Option<Self> {
        Self::with(engine, |_| {}).await
    }

    async fn with(engine: Engine, change: impl FnOnce(&mut config::Ehr)) -> Option<Self> {
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
        world.enrol(NONRESPONSE, "2025-12-29").await;
        let episode = world.enrol(RECOMMENDED, "2026-02-16").await;
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
        world.record(Fact::Cared { episode, on: date("2026-03-01"), at: None, care: review, if_match: None }).await;
        world.connected.service.deliver_due().await.unwrap();
        world.sweep().await;
        Some(world)
    }

    async fn record(&self, fact: Fact) -> Uuid {
        self.connected.app.recorder.one(CLINIC, "test", fact).await.unwrap().id.parse().unwrap()
    }

    async fn enrol(&self, person: &str, on: &str) -> Uuid {
        let whom = Whom::Key(format!("Patient/{person}"));
        self.record(Fact::Enrolled { whom, episode: Box::new(episode(on)), fit: None }).await
    }

    /// Some minutes later the connection is swept.
    async fn sweep(&self) {
        self.connected.clock.set(self.connected.clock.now() + TimeDelta::minutes(20));
        self.connected.sweep().await;
    }

    async fn person(&self, person: &str) -> (Patient, Story) {
        let mut tx = self.connected.app.db.read().await.unwrap();
        let row = patient::by_key(&mut tx, CLINIC, &format!("Patient/{person}")).await.unwrap().remove(0);
        let story = story::of(&mut tx, CLINIC, &row).await.unwrap();
        (row, story)
    }

    async fn lines(&self, person: &str) -> Vec<Line> {
        let (row, _) = self.person(person).await;
        let mut tx = self.connected.app.db.read().await.unwrap();
        fact::of_patient(&mut tx, CLINIC, row.id).await.unwrap()
    }

    /// What was told of the chart, as statuses.
    async fn told(&self, person: &str) -> Vec<String> {
        let lines = self.lines(person).await;
        lines.into_iter().filter(|line| line.kind == "set_in_chart").filter_map(|line| line.outcome).collect()
    }

    async fn ledger(&self) -> Vec<Delivery> {
        let mut tx = self.connected.app.db.read().await.unwrap();
        outbox::page(&mut tx, CLINIC, Which::default(), None, 1000).await.unwrap()
    }

    async fn delivery(&self, code: Code) -> Delivery {
        self.ledger().await.into_iter().find(|d| d.intent.desired.code == code).unwrap()
    }

    /// A delivery in three words: how it stands, its status in the chart, how that differs.
    async fn stands(&self, code: Code) -> (State, String, Option<Drift>) {
        let d = self.delivery(code).await;
        (d.state, d.chart_status.unwrap_or_default(), d.drift.map(|drift| drift.parse().unwrap()))
    }

    fn in_chart(&self, code: Code) -> Value {
        let all = ["Task", "Flag"].into_iter().flat_map(|kind| self.connected.chart.all(kind));
        let mut all = all.filter(|one| one["code"]["coding"][0]["code"] == code.as_str());
        all.next().unwrap()
    }

    /// A person changes something in the chart, a minute later.
    fn change(&self, code: Code, change: impl FnOnce(&mut Value)) -> Value {
        self.connected.clock.set(self.connected.clock.now() + TimeDelta::minutes(1));
        let mut resource = self.in_chart(code);
        change(&mut resource);
        self.connected.chart.put(resource)
    }

    fn set(&self, code: Code, status: &str) -> Value {
        self.change(code, |one| one["status"] = json!(status))
    }

    async fn followed(&self) -> Followed {
        follow(&self.person(RECOMMENDED).await.1, self.recommendation).unwrap()
    }

    async fn decide(&self, decision: Decision) {
        let (_, story) = self.person(RECOMMENDED).await;
        let (by, reason) = (Some("Dr. Ames".to_owned()), None);
        let care =
            Care::RecommendationDecision { recommendation: self.recommendation, decision, by, reason };
        let (episode, on) = (story.episodes[0].id, date("2026-03-02"));
        self.record(Fact::Cared { episode, on, at: None, care, if_match: None }).await;
    }

    async fn standing(&self, person: &str) -> Standing {
        let (_, story) = self.person(person).await;
        let today = self.connected.clock.today(chrono_tz::America::New_York);
        cocm_registry::domain::plan::plan(&story, &RuleSet::default(), today).standings.remove(0)
    }

    fn writes(&self) -> usize {
        self.connected.chart.log().iter().filter(|call| call.method != "GET").count()
    }

    async fn tell(&self, method: &str, path: &str, body: impl Into<Body>) -> (u16, Duration) {
        let request = Request::builder().method(method).uri(format!("/api/v1/connections/ehr/notifications{path}"));
        let request = request.header("authorization", "Bearer s3cret").header("content-type", "application/fhir+json");
        let router = api::router(self.connected.app.clone());
        let begun = Instant::now();
        let answer = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
        (answer.status().as_u16(), begun.elapsed())
    }

    async fn events(&self) -> Vec<String> {
        self.connected.app.journal.flush().await;
        self.connected.app.journal.seal().await.unwrap();
        let mut tx = self.connected.app.db.read().await.unwrap();
        let lines = journal::changes(&mut tx, CLINIC, 0, i64::MAX).await.unwrap();
        lines.iter().flat_map(|line| journal::Entry::read(&line.entry).unwrap().events).collect()
    }
}

#[rstest]
#[tokio::test]
async fn our_own_writing_is_no_news(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    world.sweep().await;
    for (person, code) in TASKS {
        assert_eq!(world.told(person).await, Vec::<String>::new());
        assert_eq!(world.stands(code).await, (State::Settled, "requested".to_owned(), None));
        assert!(world.delivery(code).await.chart_seen_at.is_some());
    }
    assert_eq!(world.stands(Code::CocmSafety).await, (State::Settled, "active".to_owned(), None));
    // Nor is what we close.
    let (row, _) = world.person(ALARMING).await;
    let assessment = Care::SafetyAssessment {
        instrument: "C-SSRS".into(),
        result: "low".into(),
        disposition: "plan".into(),
        assessor: "C. Manager".into(),
        note: None,
    };
    world.record(Fact::OfPatient { patient: row.id, at: world.connected.clock.now(), care: assessment }).await;
    world.connected.service.deliver_due().await.unwrap();
    for _ in 0..2 {
        world.sweep().await;
    }
    assert_eq!(world.stands(Code::SafetyAssessment).await, (State::Settled, "completed".to_owned(), None));
    assert_eq!(world.stands(Code::CocmSafety).await, (State::Settled, "inactive".to_owned(), None));
    assert_eq!(world.told(ALARMING).await, Vec::<String>::new());
}

#[rstest]
#[tokio::test]
async fn every_status_that_a_person_sets_is_seen_once_and_counts_for_what_it_is(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values("accepted", "in-progress", "completed", "rejected", "cancelled", "failed", "entered-in-error")]
    status: &str,
) {
    let Some(world) = World::on(engine).await else { return };
    world.connected.chart.clear_log();
    for (_, code) in TASKS {
        world.change(code, |task| {
            task["status"] = json!(status);
            task["owner"] = json!({"reference": "Practitioner/9", "display": "Dr. Ames"});
            task["statusReason"] = json!({"text": "Prefers therapy"});
            task["note"] = json!([{"text": "Talked about it"}]);
        });
    }
    for _ in 0..3 {
        world.sweep().await;
        world.connected.service.deliver_due().await.unwrap();
    }
    let closed = !matches!(status, "accepted" | "in-progress");
    for (person, code) in TASKS {
        assert_eq!(world.told(person).await, [status], "{code}");
        let (state, drift) = match closed {
            true => (State::ClosedInChart, Drift::ClosedByPerson),
            false => (State::Settled, Drift::ChangedByPerson),
        };
        assert_eq!(world.stands(code).await, (state, status.to_owned(), Some(drift)), "{code}");
        assert_eq!(world.in_chart(code)["status"], status, "nobody touches it again");
        let line = world.lines(person).await.into_iter().find(|line| line.kind == "set_in_chart").unwrap();
        assert_eq!((&line.body["owner"], &line.body["reason"]), (&json!("Dr. Ames"), &json!("Prefers therapy")));
        assert_eq!((&line.body["note"], line.recorded_by.as_str()), (&json!("Talked about it"), "connection:ehr"));
        assert!(line.happened_at > monday() && line.happened_at < line.recorded_at);
    }
    assert_eq!(world.writes(), 0);
    // What a recommendation asks for is a decision.
    let decision = match status {
        "accepted" | "in-progress" => Some(Decision::Accepted),
        "completed" => Some(Decision::Done),
        "rejected" | "cancelled" => Some(Decision::Declined),
        _ => None,
    };
    let followed = world.followed().await;
    assert_eq!(followed.decision, decision);
    if decision.is_some() {
        assert_eq!(followed.decided_by.as_deref(), Some("the chart (Dr. Ames)"));
        assert_eq!(followed.reason.as_deref(), Some("Prefers therapy"));
    }
    // A safety answer is assessed by an assessment.
    let (_, story) = world.person(ALARMING).await;
    let concern = concerns(&story, &RuleSet::default(), date("2026-03-02")).remove(0);
    assert_eq!(concern.state, ConcernState::Open);
    assert_eq!(concern.closed_in_chart_on, closed.then(|| date("2026-03-02")));
    assert_eq!(world.in_chart(Code::CocmSafety)["status"], "active");
    // And a review is held by a review.
    let asks = world.standing(NONRESPONSE).await.findings.iter().any(|f| f.rule == Rule::ReviewUndocumented);
    assert_eq!(asks, status == "completed");
    let event = format!("task.{}_in_chart", status.replace('-', "_"));
    assert_eq!(world.events().await.iter().filter(|said| **said == event).count(), 3);
}

#[rstest]
#[case("inactive")]
#[case("entered-in-error")]
#[tokio::test]
async fn a_flag_that_a_person_takes_down_stays_down(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[case] status: &str,
) {
    let Some(world) = World::on(engine).await else { return };
    world.set(Code::CocmSafety, status);
    world.set(Code::CocmNotAtTarget, status);
    for _ in 0..2 {
        world.sweep().await;
    }
    for (person, code) in [(ALARMING, Code::CocmSafety), (NONRESPONSE, Code::CocmNotAtTarget)] {
        assert_eq!(world.told(person).await, [status]);
        let expected = (State::ClosedInChart, status.to_owned(), Some(Drift::ClosedByPerson));
        assert_eq!(world.stands(code).await, expected);
    }
    assert_eq!(world.in_chart(Code::SafetyAssessment)["status"], "requested");
}

#[rstest]
#[tokio::test]
async fn a_way_through_several_statuses_is_told_as_far_as_it_was_seen(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    for status in ["accepted", "in-progress", "completed", "requested", "completed"] {
        world.set(Code::Recommendation, status);
        world.sweep().await;
        // Again, as the overlap of every sweep does.
        world.sweep().await;
    }
    assert_eq!(world.told(RECOMMENDED).await, ["accepted", "in-progress", "completed", "requested", "completed"]);
    assert_eq!(world.followed().await.decision, Some(Decision::Done));
    // Once accepted, once done: what is done stays done.
    let lines = world.lines(RECOMMENDED).await;
    assert_eq!(lines.iter().filter(|line| line.kind == "recommendation_decision").count(), 2);
    // Its Task is the person's, and was done.
    let d = world.delivery(Code::Recommendation).await;
    assert_eq!((d.state, d.posture), (State::ClosedInChart, Posture::Fulfilled));
}

#[rstest]
#[tokio::test]
async fn what_comes_late_says_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let early = world.set(Code::Recommendation, "accepted");
    let id = early["id"].as_str().unwrap();
    world.set(Code::Recommendation, "completed");
    world.sweep().await;
    assert_eq!(world.told(RECOMMENDED).await, ["completed"]);
    // A replica that lags behind gives the earlier version.
    world.connected.chart.restore("Task", id, 2);
    assert_eq!(world.in_chart(Code::Recommendation)["status"], "accepted");
    world.tell("POST", &format!("/Task/{id}"), "").await;
    world.connected.service.fetch_due(false).await.unwrap();
    assert_eq!(world.told(RECOMMENDED).await, ["completed"]);
    assert_eq!(world.followed().await.decision, Some(Decision::Done));
    assert_eq!(world.stands(Code::Recommendation).await.0, State::ClosedInChart);
}

#[rstest]
#[case(Decision::Declined, false, "completed", Decision::Declined)] // the chart's word is the earlier one
#[case(Decision::Declined, true, "completed", Decision::Declined)] // what was declined has to be accepted first
#[case(Decision::Declined, true, "accepted", Decision::Accepted)]
#[case(Decision::Accepted, true, "rejected", Decision::Declined)]
#[case(Decision::Accepted, false, "rejected", Decision::Accepted)]
#[case(Decision::Accepted, true, "completed", Decision::Done)]
#[case(Decision::Modified, true, "accepted", Decision::Modified)]
#[case(Decision::Modified, true, "completed", Decision::Done)]
#[case(Decision::Done, true, "rejected", Decision::Done)]
#[tokio::test]
async fn the_last_word_about_a_recommendation_counts_where_it_may_follow(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[case] in_registry: Decision,
    #[case] chart_later: bool,
    #[case] status: &str,
    #[case] expected: Decision,
) {
    let Some(world) = World::on(engine).await else { return };
    if chart_later {
        world.decide(in_registry).await;
    }
    world.set(Code::Recommendation, status);
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::minutes(5));
    if !chart_later {
        world.decide(in_registry).await;
    }
    world.sweep().await;
    assert_eq!(world.followed().await.decision, Some(expected));
    // Either way it is told.
    assert_eq!(world.told(RECOMMENDED).await, [status]);
}

#[rstest]
#[tokio::test]
async fn a_review_that_only_the_chart_knows_of_is_asked_for_until_it_is_documented(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    world.set(Code::PsychiatricCaseReview, "completed");
    world.sweep().await;
    let standing = world.standing(NONRESPONSE).await;
    let finding = standing.findings.iter().find(|f| f.rule == Rule::ReviewUndocumented).unwrap();
    assert!(finding.reason.contains("2026-03-02"), "{}", finding.reason);
    let (_, story) = world.person(NONRESPONSE).await;
    let review = Care::CaseReview {
        reviewer: "Dr. Ito".to_owned(),
        summary: None,
        minutes: None,
        recommendations: Vec::new(),
        session: None,
    };
    let (episode, on) = (story.episodes[0].id, date("2026-03-02"));
    world.record(Fact::Cared { episode, on, at: None, care: review, if_match: None }).await;
    let standing = world.standing(NONRESPONSE).await;
    assert!(standing.findings.iter().all(|f| f.rule != Rule::ReviewUndocumented));
}

#[rstest]
#[tokio::test]
async fn a_safety_task_that_somebody_closed_is_escalated_all_the_same_and_a_new_answer_makes_a_new_one(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    world.set(Code::SafetyAssessment, "completed");
    world.sweep().await;
    world.connected.clock.set(monday() + TimeDelta::days(3));
    service::sweep(&world.connected.app).await.unwrap();
    world.connected.service.deliver_due().await.unwrap();
    assert_eq!(world.in_chart(Code::SafetyEscalation)["status"], "requested");
    assert_eq!(world.in_chart(Code::SafetyAssessment)["status"], "completed");
    let mut again = phq9("c2", ALARMING, "2026-03-05T13:00:00Z", [0, 0, 0, 0, 0, 0, 0, 0, 3]);
    again.as_object_mut().unwrap().remove("meta");
    world.connected.chart.put(again);
    world.sweep().await;
    world.connected.service.deliver_due().await.unwrap();
    let tasks = world.connected.chart.all("Task");
    let mut stands: Vec<&str> = tasks
        .iter()
        .filter(|one| one["code"]["coding"][0]["code"] == Code::SafetyAssessment.as_str())
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    stands.sort_unstable();
    assert_eq!(stands, ["completed", "requested"]);
}

#[rstest]
#[tokio::test]
async fn what_was_deleted_is_noticed_and_not_written_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] told: bool,
) {
    let Some(world) = World::on(engine).await else { return };
    let id = world.in_chart(Code::SafetyAssessment)["id"].as_str().unwrap().to_owned();
    world.connected.chart.delete("Task", &id);
    if told {
        assert_eq!(world.tell("DELETE", &format!("/Task/{id}"), "").await.0, 200);
        world.connected.service.fetch_due(false).await.unwrap();
    } else {
        world.sweep().await;
        assert_eq!(world.stands(Code::SafetyAssessment).await.2, None, "no search tells");
        world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
        world.sweep().await;
    }
    let expected = (State::ClosedInChart, "deleted".to_owned(), Some(Drift::Deleted));
    assert_eq!(world.stands(Code::SafetyAssessment).await, expected);
    assert_eq!(world.told(ALARMING).await, ["deleted"]);
    assert!(world.events().await.contains(&"task.deleted_in_chart".to_owned()));
    for _ in 0..2 {
        world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
        service::sweep(&world.connected.app).await.unwrap();
        world.connected.service.deliver_due().await.unwrap();
        world.sweep().await;
    }
    assert_eq!(world.told(ALARMING).await, ["deleted"]);
    assert!(world.connected.chart.get("Task", &id).is_none());
    let identifier = world.delivery(Code::SafetyAssessment).await.intent.identifier.clone();
    assert_eq!(world.connected.chart.creations("Task", &identifier), 1);
    // A restore brings it back: it is ours again.
    world.connected.chart.restore("Task", &id, 1);
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
    world.sweep().await;
    assert_eq!(world.stands(Code::SafetyAssessment).await.0, State::Settled);
}

#[rstest]
#[tokio::test]
async fn a_chart_that_lost_what_we_wrote_gets_it_again_and_not_for_ever(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let code = Code::SafetyAssessment;
    // A correction raises the level: the Task is written a second time.
    let mut form = phq9("c1", ALARMING, "2026-03-02T13:00:00Z", [0, 0, 0, 0, 0, 0, 0, 0, 3]);
    form.as_object_mut().unwrap().remove("meta");
    world.connected.chart.put(form);
    world.sweep().await;
    world.connected.service.deliver_due().await.unwrap();
    world.sweep().await;
    let task = world.in_chart(code);
    let (id, said) = (task["id"].as_str().unwrap().to_owned(), task["description"].clone());
    assert_eq!(task["meta"]["versionId"], "2");
    for heals in 1..=5 {
        world.connected.chart.restore("Task", &id, 1);
        world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
        world.sweep().await;
        let d = world.delivery(code).await;
        assert_eq!(d.drift.as_deref(), Some("ours_lost"));
        assert_eq!(d.heals, heals.min(3));
        world.connected.service.deliver_due().await.unwrap();
        if heals <= 3 {
            assert_eq!(world.in_chart(code)["description"], said, "it is there again");
            assert_eq!(world.stands(code).await, (State::Settled, "requested".to_owned(), None));
            world.sweep().await;
            assert_eq!(world.stands(code).await.2, None);
        } else {
            assert_ne!(world.in_chart(code)["description"], said, "a person has to look");
        }
    }
    assert_eq!(world.told(ALARMING).await, Vec::<String>::new());
}

#[rstest]
#[tokio::test]
async fn our_closing_that_a_restore_undid_is_made_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    world.decide(Decision::Declined).await;
    world.connected.service.deliver_due().await.unwrap();
    world.sweep().await;
    let task = world.in_chart(Code::Recommendation);
    assert_eq!(task["status"], "cancelled");
    world.connected.chart.restore("Task", task["id"].as_str().unwrap(), 1);
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
    world.sweep().await;
    assert_eq!(world.stands(Code::Recommendation).await.2, Some(Drift::OursLost));
    world.connected.service.deliver_due().await.unwrap();
    assert_eq!(world.in_chart(Code::Recommendation)["status"], "cancelled");
    assert_eq!(world.told(RECOMMENDED).await, Vec::<String>::new());
}

#[rstest]
#[tokio::test]
async fn an_identifier_that_was_lost_is_put_back(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let code = Code::PsychiatricCaseReview;
    world.change(code, |task| {
        task.as_object_mut().unwrap().remove("identifier");
    });
    // No search by identifier finds it now: the daily look does.
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
    world.sweep().await;
    assert_eq!(world.stands(code).await.2, Some(Drift::OursLost));
    world.connected.service.deliver_due().await.unwrap();
    assert!(world.in_chart(code)["identifier"][0]["value"].as_str().unwrap().starts_with("demo/"));
    world.sweep().await;
    assert_eq!(world.stands(code).await, (State::Settled, "requested".to_owned(), None));
}

#[rstest]
#[tokio::test]
async fn what_a_person_may_change_is_left_to_them(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    world.connected.chart.clear_log();
    let code = Code::PsychiatricCaseReview;
    world.change(code, |task| {
        task["owner"] = json!({"reference": "Practitioner/9"});
        task["priority"] = json!("stat");
        task["note"] = json!([{"text": "Tomorrow"}]);
    });
    world.sweep().await;
    world.connected.service.deliver_due().await.unwrap();
    assert_eq!(world.stands(code).await, (State::Settled, "requested".to_owned(), Some(Drift::ChangedByPerson)));
    assert_eq!((world.writes(), world.told(NONRESPONSE).await.len()), (0, 0));
    assert_eq!(world.in_chart(code)["priority"], "stat");
}

#[rstest]
#[tokio::test]
async fn what_is_not_ours_is_passed_over(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let mut copy = world.in_chart(Code::SafetyAssessment);
    copy["status"] = json!("completed");
    // Somebody copies it, for somebody else and for the same person.
    for (id, about) in [("copy-1", NONRESPONSE), ("copy-2", ALARMING)] {
        copy["id"] = json!(id);
        copy["for"] = json!({"reference": format!("Patient/{about}")});
        world.connected.chart.put(copy.clone());
        world.tell("POST", &format!("/Task/{id}"), "").await;
    }
    world.connected.chart.put(json!({"resourceType": "Task", "id": "other", "status": "completed", "intent": "order",
        "for": {"reference": "Patient/c"}}));
    world.tell("POST", "/Task/other", "").await;
    world.connected.chart.clear_log();
    world.connected.service.fetch_due(false).await.unwrap();
    assert!(world.connected.chart.log().is_empty(), "nobody asks for what is not ours");
    world.sweep().await;
    assert_eq!(world.stands(Code::SafetyAssessment).await, (State::Settled, "requested".to_owned(), None));
    assert_eq!((world.told(ALARMING).await.len(), world.told(NONRESPONSE).await.len()), (0, 0));
    // Its own id, and another patient: what becomes of it says nothing about this one.
    world.change(Code::SafetyAssessment, |task| {
        task["for"] = json!({"reference": "Patient/a"});
        task["status"] = json!("completed");
    });
    world.sweep().await;
    let expected = (State::Settled, "completed".to_owned(), Some(Drift::NamesAnotherPatient));
    assert_eq!(world.stands(Code::SafetyAssessment).await, expected);
    assert_eq!((world.told(ALARMING).await.len(), world.told(NONRESPONSE).await.len()), (0, 0));
}

#[rstest]
#[tokio::test]
async fn an_id_that_a_new_server_gave_to_another_resource_is_ours_no_more(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let id = world.in_chart(Code::SafetyAssessment)["id"].clone();
    world.connected.chart.put(json!({"resourceType": "Task", "id": id, "status": "completed", "intent": "order",
        "identifier": [{"system": "https://cocm-registry.dev/fhir/identifier/plan", "value": "elsewhere/1/safety"}]}));
    world.sweep().await;
    assert_eq!(world.stands(Code::SafetyAssessment).await.2, Some(Drift::Deleted));
    assert_eq!(world.told(ALARMING).await, ["deleted"]);
}

#[rstest]
#[tokio::test]
async fn rubbish_in_the_place_of_ours_is_listed_and_harms_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values("status", "resourceType")] what: &str,
) {
    let Some(world) = World::on(engine).await else { return };
    let task = world.change(Code::SafetyAssessment, |task| match what {
        "status" => task["status"] = json!({"value": ["completed"]}),
        _ => task["status"] = json!("<b>completed</b>"),
    });
    world.set(Code::Recommendation, "accepted");
    world.sweep().await;
    assert_eq!(world.told(RECOMMENDED).await, ["accepted"], "it hides nothing else");
    assert_eq!(world.told(ALARMING).await, Vec::<String>::new());
    let listed: Vec<_> = world.connected.in_vain().await.into_iter().map(|hint| (hint.kind, hint.resource_id)).collect();
    assert_eq!(listed, [("Task".to_owned(), task["id"].as_str().unwrap().to_owned())]);
    // Put in order, it is seen and not listed any more.
    world.set(Code::SafetyAssessment, "completed");
    world.sweep().await;
    assert_eq!((world.told(ALARMING).await, world.connected.in_vain().await.len()), (vec!["completed".to_owned()], 0));
}

#[rstest]
#[tokio::test]
async fn a_program_that_dies_between_seeing_and_recording_tells_it_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(2, 8, 15, 30, 60)] milliseconds: u64,
) {
    let Some(world) = World::on(engine).await else { return };
    for (_, code) in TASKS {
        world.set(code, "completed");
    }
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::minutes(20));
    // Dropped wherever it is, between any two statements.
    let _ = tokio::time::timeout(Duration::from_millis(milliseconds), world.connected.service.fetch_due(true)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::minutes(3));
    for _ in 0..2 {
        world.sweep().await;
    }
    for (person, _) in TASKS {
        assert_eq!(world.told(person).await, ["completed"]);
    }
    let lines = world.lines(RECOMMENDED).await;
    assert_eq!(lines.iter().filter(|line| line.kind == "recommendation_decision").count(), 1);
}

#[rstest]
#[tokio::test]
async fn a_chart_that_cannot_search_for_ours_is_read_one_by_one(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let by_patient = |ehr: &mut config::Ehr| {
        ehr.poll.way.insert("Task".to_owned(), config::Way::ByPatient);
    };
    let Some(world) = World::with(engine, by_patient).await else { return };
    world.set(Code::Recommendation, "completed");
    world.sweep().await;
    assert_eq!(world.told(RECOMMENDED).await, Vec::<String>::new());
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
    world.sweep().await;
    assert_eq!(world.told(RECOMMENDED).await, ["completed"]);
}

#[rstest]
#[tokio::test]
async fn who_does_not_want_it_reads_nothing_back(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::with(engine, |ehr| ehr.poll.read_back = false).await else { return };
    let task = world.set(Code::Recommendation, "completed");
    world.connected.chart.clear_log();
    world.tell("POST", &format!("/Task/{}", task["id"].as_str().unwrap()), "").await;
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::days(1));
    world.sweep().await;
    assert_eq!(world.told(RECOMMENDED).await, Vec::<String>::new());
    assert!(world.connected.chart.log().iter().all(|call| !call.path.contains("/Task") && !call.path.contains("/Flag")));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_acknowledged_at_once_while_the_chart_hangs(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let task = world.set(Code::Recommendation, "completed");
    world.connected.misbehave(|how| how.hang = 1.0);
    let loops = world.connected.service.start();
    for _ in 0..20 {
        let (status, took) = world.tell("POST", "", task.to_string()).await;
        assert!(status == 200 && took < Duration::from_secs(1), "{status} after {took:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.told(RECOMMENDED).await, Vec::<String>::new(), "what it carries is not believed");
    let mut tx = world.connected.app.db.read().await.unwrap();
    assert_eq!(hint::waiting(&mut tx, EHR).await.unwrap().0 + hint::waiting(&mut tx, EHR).await.unwrap().1, 1);
    drop(tx);
    world.connected.chart.behave();
    loops.stop().await;
    world.connected.clock.set(world.connected.clock.now() + TimeDelta::minutes(10));
    world.connected.service.fetch_due(false).await.unwrap();
    assert_eq!(world.told(RECOMMENDED).await, ["completed"]);
}
