//! Reading back: what people do in the chart to the Tasks and Flags that we wrote there, and what follows.

use chrono::TimeDelta;
use cocm_registry::domain::care::{Care, RecommendationDecision};
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::read_back::Drift;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::safety::{ConcernState, concerns};
use cocm_registry::domain::task::{Code, Posture};
use cocm_registry::record::Command;
use cocm_registry::service;
use cocm_registry::store::outbox::DeliveryState;
use rstest::rstest;
use serde_json::json;

use crate::readback_world::{ALARMING, NONRESPONSE, RECOMMENDED, TASKS, World};
use crate::world::{CLINIC, Engine, date, monday, phq9};

#[rstest]
#[tokio::test]
async fn our_own_writing_is_no_news(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    world.sweep().await;
    for (person, code) in TASKS {
        assert_eq!(world.told(person).await, Vec::<String>::new());
        assert_eq!(world.stands(code).await, (DeliveryState::Settled, "requested".to_owned(), None));
        assert!(world.delivery(code).await.chart_seen_at.is_some());
    }
    assert_eq!(world.stands(Code::CocmSafety).await, (DeliveryState::Settled, "active".to_owned(), None));
    // Nor is what we close.
    let (row, _) = world.person(ALARMING).await;
    let assessment = Care::SafetyAssessment {
        instrument: "C-SSRS".into(),
        result: "low".into(),
        risk: None,
        disposition: "plan".into(),
        assessor: "C. Manager".into(),
        note: None,
    };
    world
        .record(Command::RecordPatientCare { patient: row.id, at: world.connected.clock.now(), care: assessment })
        .await;
    world.connected.service.deliver_due().await.unwrap();
    for _ in 0..2 {
        world.sweep().await;
    }
    assert_eq!(world.stands(Code::SafetyAssessment).await, (DeliveryState::Settled, "completed".to_owned(), None));
    assert_eq!(world.stands(Code::CocmSafety).await, (DeliveryState::Settled, "inactive".to_owned(), None));
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
        let (state, drift) = if closed {
            (DeliveryState::ClosedInChart, Drift::ClosedByPerson)
        } else {
            (DeliveryState::Settled, Drift::ChangedByPerson)
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
        "accepted" | "in-progress" => Some(RecommendationDecision::Accepted),
        "completed" => Some(RecommendationDecision::Done),
        "rejected" | "cancelled" => Some(RecommendationDecision::Declined),
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
        let expected = (DeliveryState::ClosedInChart, status.to_owned(), Some(Drift::ClosedByPerson));
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
    assert_eq!(world.followed().await.decision, Some(RecommendationDecision::Done));
    // Once accepted, once done: what is done stays done.
    let lines = world.lines(RECOMMENDED).await;
    assert_eq!(lines.iter().filter(|line| line.kind == "recommendation_decision").count(), 2);
    // Its Task is the person's, and was done.
    let d = world.delivery(Code::Recommendation).await;
    assert_eq!((d.state, d.posture), (DeliveryState::ClosedInChart, Posture::Fulfilled));
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
    assert_eq!(world.followed().await.decision, Some(RecommendationDecision::Done));
    assert_eq!(world.stands(Code::Recommendation).await.0, DeliveryState::ClosedInChart);
}

#[rstest]
#[case(RecommendationDecision::Declined, false, "completed", RecommendationDecision::Declined)] // the chart's word is the earlier one
#[case(RecommendationDecision::Declined, true, "completed", RecommendationDecision::Declined)] // what was declined has to be accepted first
#[case(RecommendationDecision::Declined, true, "accepted", RecommendationDecision::Accepted)]
#[case(RecommendationDecision::Accepted, true, "rejected", RecommendationDecision::Declined)]
#[case(RecommendationDecision::Accepted, false, "rejected", RecommendationDecision::Accepted)]
#[case(RecommendationDecision::Accepted, true, "completed", RecommendationDecision::Done)]
#[case(RecommendationDecision::Modified, true, "accepted", RecommendationDecision::Modified)]
#[case(RecommendationDecision::Modified, true, "completed", RecommendationDecision::Done)]
#[case(RecommendationDecision::Done, true, "rejected", RecommendationDecision::Done)]
#[tokio::test]
async fn the_last_word_about_a_recommendation_counts_where_it_may_follow(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[case] in_registry: RecommendationDecision,
    #[case] chart_later: bool,
    #[case] status: &str,
    #[case] expected: RecommendationDecision,
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
        summary: Some("Talked about".to_owned()),
        minutes: None,
        recommendations: Vec::new(),
        session: None,
    };
    let (episode, on) = (story.episodes[0].id, date("2026-03-02"));
    world.record(Command::RecordCare { episode, on, at: None, care: review, if_match: None }).await;
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
async fn what_stands_in_the_chart_is_shown_and_can_be_asked_for(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let task = world.set(Code::SafetyAssessment, "completed");
    world.sweep().await;
    let found = world.ask(CLINIC, "deliveries?drift=closed_by_person").await;
    let [one] = found["items"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(
        (&one["chart_id"], &one["chart_status"], &one["state"]),
        (&task["id"], &json!("completed"), &json!("closed_in_chart"))
    );
    assert_eq!(one["drift"], "closed_by_person");
    let whole = world.ask(CLINIC, &format!("deliveries/{}", one["id"].as_str().unwrap())).await;
    assert_eq!((&whole["chart_seen_at"], &whole["drift"]), (&one["chart_seen_at"], &one["drift"]));
    assert!(whole["chart_seen_at"].is_string());
    assert_eq!(world.ask(CLINIC, "deliveries?drift=deleted").await["items"], json!([]));
    assert_eq!(world.ask(CLINIC, "deliveries?drift=nonsense").await["status"], 400);
    assert_eq!(world.ask("elsewhere", "deliveries?drift=closed_by_person").await["items"], json!([]));
    let concerns = world.ask(CLINIC, "safety-concerns").await;
    assert_eq!(concerns["items"][0]["closed_in_chart_on"], "2026-03-02");
}
