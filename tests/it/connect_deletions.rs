//! What is deleted in a chart: found in the history of its type, where the server shows one.

use std::time::Duration;

use chrono::TimeDelta;
use cocm_registry::domain::task::{Code, Posture};
use cocm_registry::record::{Command, PatientKey};
use cocm_registry::sandbox::profile::Profile;
use cocm_registry::store::outbox::{self, DeliveryFilter};
use cocm_registry::store::{patient, resource, standing};
use rstest::rstest;

use crate::connect_world::Connected;
use crate::world::{self, CLINIC, Engine, episode, phq9};

/// A general server whose histories are those of instances.
fn without_histories() -> Profile {
    let kept: &[&str] = &["read", "create", "update", "delete", "search-type", "history-instance"];
    ["Patient", "QuestionnaireResponse", "Observation"]
        .into_iter()
        .fold(Profile::default(), |p, kind| p.with(kind, kept))
}

async fn an_hour_later(connected: &Connected) {
    connected.clock.set(connected.clock.now() + TimeDelta::minutes(61));
    connected.sweep().await;
}

fn asked(connected: &Connected) -> usize {
    connected.chart.log().iter().filter(|call| call.path.contains("/_history?")).count()
}

#[rstest]
#[tokio::test]
async fn what_is_deleted_there_counts_no_more(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(connected) = Connected::on(engine, |ehr| ehr.poll.page_size = 3).await else { return };
    connected.fill(5);
    let mut second = phq9("second", "p0", "2026-03-02", [2; 9]);
    second.as_object_mut().unwrap().remove("meta");
    connected.chart.put(second);
    connected.sweep().await;
    let whom = PatientKey::Key("Patient/p0".to_owned());
    let enrolled = Command::Enroll { whom, episode: Box::new(episode("2026-02-16")), fit: None };
    connected.app.recorder.one(CLINIC, "test", enrolled).await.unwrap();
    let latest = async || {
        let mut tx = connected.app.db.read().await.unwrap();
        let person = patient::by_key(&mut tx, CLINIC, "Patient/p0").await.unwrap().remove(0);
        let standings = standing::of_patient(&mut tx, CLINIC, person.id).await.unwrap();
        standings[0].measures[0].latest.as_ref().map(|latest| latest.score)
    };
    assert_eq!(latest().await, Some(18));
    // Deleted; deleted and put in again; never known; and changed so often that the history has many pages.
    connected.chart.delete("QuestionnaireResponse", "second");
    connected.chart.delete("QuestionnaireResponse", "q1");
    connected.chart.put(connected.form(1));
    connected.chart.put(connected.form(77));
    connected.chart.delete("QuestionnaireResponse", "q77");
    connected.chart.delete("Patient", "p4");
    for _ in 0..5 {
        connected.chart.put(connected.form(3));
    }
    connected.chart.clear_log();
    connected.clock.set(connected.clock.now() + TimeDelta::minutes(15));
    connected.sweep().await;
    assert_eq!((asked(&connected), latest().await), (0, Some(18)), "not with every sweep");
    an_hour_later(&connected).await;
    assert!(asked(&connected) > 3, "page by page");
    assert_eq!(latest().await, None, "the baseline is all there is");
    assert_eq!(connected.arrived("QuestionnaireResponse").await, 5);
    let mut tx = connected.app.db.read().await.unwrap();
    let back = resource::find(&mut tx, CLINIC, "QuestionnaireResponse", "q1").await.unwrap().unwrap();
    assert!(!back.deleted, "what was brought back is not gone");
    assert!(resource::find(&mut tx, CLINIC, "QuestionnaireResponse", "q77").await.unwrap().is_none());
    assert!(resource::find(&mut tx, CLINIC, "Patient", "p4").await.unwrap().unwrap().deleted);
    drop(tx);
    let mark = connected.watermark("QuestionnaireResponse/_history").await;
    assert_eq!((mark.way.as_str(), mark.taken, mark.last_error), ("history", 2, None));
    // What is known to be deleted is not asked for again.
    connected.chart.clear_log();
    an_hour_later(&connected).await;
    let read = connected.chart.log().iter().filter(|call| call.path == "/QuestionnaireResponse/second").count();
    assert_eq!(read, 0);
    // Brought back later, it counts again.
    let mut again = phq9("second", "p0", "2026-03-02", [2; 9]);
    again.as_object_mut().unwrap().remove("meta");
    connected.chart.put(again);
    an_hour_later(&connected).await;
    assert_eq!(latest().await, Some(18));
}

#[rstest]
#[tokio::test]
async fn a_safety_answer_that_is_deleted_there_does_not_go_without_a_word(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(connected) = Connected::on(engine, |_| {}).await else { return };
    connected.chart.put(world::patient("p0"));
    let mut alarming = phq9("alarming", "p0", "2026-03-02", [0, 0, 0, 0, 0, 0, 0, 0, 2]);
    alarming.as_object_mut().unwrap().remove("meta");
    connected.chart.put(alarming);
    connected.sweep().await;
    let task = async || {
        let mut tx = connected.app.db.read().await.unwrap();
        let all = outbox::page(&mut tx, CLINIC, DeliveryFilter::default(), None, 100).await.unwrap();
        let mut all = all.into_iter().filter(|one| one.intent.desired.code == Code::SafetyAssessment);
        all.next().unwrap().intent.0
    };
    assert_eq!(task().await.desired.posture, Posture::Open);
    connected.service.deliver_due().await.unwrap();
    connected.chart.delete("QuestionnaireResponse", "alarming");
    an_hour_later(&connected).await;
    // R10: as where the form is marked entered in error, the Task stays open until somebody confirms or assesses.
    let open = task().await.desired;
    assert_eq!(open.posture, Posture::Open);
    assert!(open.reason.contains("was withdrawn: confirm with the patient"), "{}", open.reason);
    connected.service.deliver_due().await.unwrap();
    let in_chart = connected.chart.all("Task").remove(0);
    assert_eq!(in_chart["status"], "requested");
    assert!(in_chart["description"].to_string().contains("confirm with the patient"), "{in_chart}");
}

#[rstest]
#[tokio::test]
async fn a_server_without_histories_is_not_asked_for_them(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(connected) = Connected::on(engine, |_| {}).await else { return };
    connected.chart.play(without_histories());
    connected.fill(2);
    connected.sweep().await;
    connected.chart.delete("QuestionnaireResponse", "q1");
    an_hour_later(&connected).await;
    assert_eq!((asked(&connected), connected.arrived("QuestionnaireResponse").await), (0, 2));
}

#[tokio::test]
async fn a_history_that_fails_is_told_and_stops_nothing() {
    let connected = Connected::new(|ehr| ehr.poll.deletions = Duration::from_mins(1)).await;
    connected.fill(1);
    connected.sweep().await;
    // It said that it has one, and has none any more.
    connected.chart.play(without_histories());
    connected.chart.put(connected.form(2));
    connected.chart.delete("QuestionnaireResponse", "q0");
    connected.clock.set(connected.clock.now() + TimeDelta::minutes(15));
    connected.sweep().await;
    assert_eq!(connected.arrived("QuestionnaireResponse").await, 2);
    let mark = connected.watermark("QuestionnaireResponse/_history").await;
    assert!(mark.last_error.unwrap().contains("403") && mark.failed_at.is_some());
    connected.chart.play(Profile::default());
    an_hour_later(&connected).await;
    assert_eq!(connected.arrived("QuestionnaireResponse").await, 1);
    assert_eq!(connected.watermark("QuestionnaireResponse/_history").await.last_error, None);
}
