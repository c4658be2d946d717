//! Where the chart differs from what we wrote there: deleted, restored, forged, changed, unreadable.

use std::time::Duration;

use chrono::TimeDelta;
use cocm_registry::config;
use cocm_registry::domain::care::RecommendationDecision;
use cocm_registry::domain::read_back::Drift;
use cocm_registry::domain::task::{ChartResource, Code};
use cocm_registry::sandbox::profile::Profile;
use cocm_registry::service;
use cocm_registry::store::connection::hint;
use cocm_registry::store::outbox::{self, DeliveryState};
use rstest::rstest;
use serde_json::json;

use crate::connect_world::EHR;
use crate::readback_world::{ALARMING, NONRESPONSE, RECOMMENDED, TASKS, World};
use crate::world::{Engine, phq9};

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
    let expected = (DeliveryState::ClosedInChart, "deleted".to_owned(), Some(Drift::Deleted));
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
    assert_eq!(world.stands(Code::SafetyAssessment).await.0, DeliveryState::Settled);
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
            assert_eq!(world.stands(code).await, (DeliveryState::Settled, "requested".to_owned(), None));
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
async fn our_closing_that_a_restore_undid_is_made_again(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    world.decide(RecommendationDecision::Declined).await;
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
    assert_eq!(world.stands(code).await, (DeliveryState::Settled, "requested".to_owned(), None));
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
    assert_eq!(
        world.stands(code).await,
        (DeliveryState::Settled, "requested".to_owned(), Some(Drift::ChangedByPerson))
    );
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
    assert_eq!(world.stands(Code::SafetyAssessment).await, (DeliveryState::Settled, "requested".to_owned(), None));
    assert_eq!((world.told(ALARMING).await.len(), world.told(NONRESPONSE).await.len()), (0, 0));
    // Its own id, and another patient: what becomes of it says nothing about this one.
    world.change(Code::SafetyAssessment, |task| {
        task["for"] = json!({"reference": "Patient/a"});
        task["status"] = json!("completed");
    });
    world.sweep().await;
    let expected = (DeliveryState::Settled, "completed".to_owned(), Some(Drift::NamesAnotherPatient));
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
    let listed: Vec<_> =
        world.connected.in_vain().await.into_iter().map(|hint| (hint.kind, hint.resource_id)).collect();
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
    let by_patient = |ehr: &mut config::EhrConnection| {
        ehr.poll.way.insert("Task".to_owned(), config::SearchStrategy::ByPatient);
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
    assert!(
        world.connected.chart.log().iter().all(|call| !call.path.contains("/Task") && !call.path.contains("/Flag"))
    );
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

#[rstest]
#[tokio::test]
async fn what_cannot_be_had_is_listed_and_asked_for_once_a_day_and_takes_nobodys_turn(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let asked = || world.connected.chart.log().iter().filter(|call| call.path.starts_with("/Task/")).count();
    let later = |time: TimeDelta| world.connected.clock.set(world.connected.clock.now() + time);
    let unseen = async || {
        let (now, mut tx) = (world.connected.clock.now(), world.connected.app.db.read().await.unwrap());
        outbox::unseen(&mut tx, EHR, now - TimeDelta::days(1), now - TimeDelta::days(7), 200).await.unwrap()
    };
    world.connected.chart.play(Profile::default().with("Task", &["search-type", "create", "update"]));
    later(TimeDelta::days(1));
    assert!(unseen().await.iter().filter(|one| one.intent.desired.resource == ChartResource::Task).count() >= 3);
    world.connected.chart.clear_log();
    world.sweep().await;
    let tasks = asked();
    assert!(tasks >= 3, "{tasks}");
    assert!(unseen().await.is_empty(), "whoever is next comes next");
    let waiting: Vec<String> = world.connected.in_vain().await.into_iter().map(|hint| hint.kind).collect();
    assert_eq!(waiting, vec!["Task"; tasks]);
    world.sweep().await;
    assert_eq!(asked(), tasks, "nobody asks again before tomorrow");
    later(TimeDelta::days(1));
    world.sweep().await;
    assert_eq!(asked(), 2 * tasks, "each once");
    // Somebody lets us read again.
    world.connected.chart.play(Profile::default());
    later(TimeDelta::days(1));
    world.set(Code::SafetyAssessment, "completed");
    world.connected.service.fetch_due(false).await.unwrap();
    assert_eq!(world.connected.in_vain().await, []);
    assert_eq!(world.stands(Code::SafetyAssessment).await.0, DeliveryState::ClosedInChart);
}
