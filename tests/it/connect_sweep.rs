//! The sweep: whatever an EHR has changed arrives, however it pages, fails or lies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use chrono::TimeDelta;
use cocm_registry::clock::Clock;
use cocm_registry::config::SearchStrategy;
use cocm_registry::record::{Command, Condition, PatientKey};
use cocm_registry::sandbox::Sandbox;
use cocm_registry::store::connection::{self, ConnectionKey};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::connect_world::{Connected, EHR, instant, replica};
use crate::world::{CLINIC, Engine, episode, monday, patient, phq9, version};

#[rstest]
#[tokio::test]
async fn everything_arrives_once_and_the_next_sweep_reads_only_what_is_new(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = Connected::on(engine, |ehr| ehr.poll.page_size = 7).await else { return };
    world.fill(30);
    let first = world.sweep().await;
    let counts: Vec<_> = first.swept.iter().map(|one| (one.kind.as_str(), one.seen, one.taken, one.unread)).collect();
    assert_eq!(counts, [("Patient", 30, 30, 0), ("QuestionnaireResponse", 30, 30, 0), ("Observation", 0, 0, 0)]);
    assert_eq!((world.arrived("Patient").await, world.arrived("QuestionnaireResponse").await), (30, 30));

    world.clock.set(monday() + TimeDelta::hours(2));
    world.fill(1);
    world.chart.put(world.form(31));
    let second = world.sweep().await;
    // Beside the two that changed, the overlap of ten minutes is read again from the last change on.
    assert_eq!(second.swept[1].taken, 2, "{second:?}");
    let third = world.sweep().await;
    assert_eq!((third.swept[1].seen, third.swept[1].taken), (2, 0));
}

#[rstest]
#[case(1)]
#[case(3)]
#[case(10)]
#[case(11)]
#[tokio::test]
async fn resources_changed_in_one_instant_are_all_found_over_page_borders(#[case] page_size: u16) {
    let world = Connected::new(|ehr| ehr.poll.page_size = page_size).await;
    let at = instant("2026-03-01T10:00:00Z");
    for n in 0..40 {
        // Ten share each of four instants.
        world.chart.put_at(world.form(n), at + TimeDelta::minutes(i64::try_from(n / 10).unwrap()));
    }
    let visit = world.sweep().await;
    assert_eq!((visit.swept[1].seen, visit.swept[1].failed.clone()), (40, None));
    assert_eq!(world.arrived("QuestionnaireResponse").await, 40);
    assert_eq!(world.watermark("QuestionnaireResponse").await.watermark, Some(at + TimeDelta::minutes(3)));
}

#[rstest]
#[tokio::test]
async fn a_program_that_dies_in_the_middle_of_a_sweep_loses_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(5, 20, 45, 90)] milliseconds: u64,
) {
    let Some(world) = Connected::on(engine, |ehr| ehr.poll.page_size = 5).await else { return };
    world.fill(60);
    // Dropped wherever it is, between any two statements.
    let died = tokio::time::timeout(Duration::from_millis(milliseconds), world.service.fetch_due(true)).await;
    let mut tx = world.app.db.read().await.unwrap();
    let marks = connection::watermarks(&mut tx, EHR).await.unwrap();
    drop(tx);
    for mark in marks {
        // Whatever the watermark has passed is there.
        let Some(watermark) = mark.watermark else { continue };
        let passed = world
            .chart
            .all(&mark.kind)
            .into_iter()
            .filter(|one| instant(one["meta"]["lastUpdated"].as_str().unwrap()) < watermark);
        assert!(world.arrived(&mark.kind).await >= i64::try_from(passed.count()).unwrap());
    }
    // The lease of the dead runs out.
    world.clock.set(monday() + TimeDelta::minutes(3));
    world.sweep().await;
    assert_eq!((world.arrived("Patient").await, world.arrived("QuestionnaireResponse").await), (60, 60), "{died:?}");
}

#[tokio::test]
async fn a_server_that_fails_now_and_then_is_swept_in_the_end() {
    let world = Connected::new(|ehr| ehr.poll.page_size = 4).await;
    world.fill(40);
    world.misbehave(|how| {
        (how.seed, how.drop_response, how.unavailable, how.throttle) = (7, 0.05, 0.05, 0.05);
    });
    let mut rounds = 0;
    while world.arrived("QuestionnaireResponse").await < 40 || world.arrived("Patient").await < 40 {
        rounds += 1;
        assert!(rounds < 60, "the sweep does not get on");
        world.clock.set(world.clock.now() + TimeDelta::minutes(2));
        let visit = world.sweep().await;
        if let Some(failed) = visit.swept.iter().find(|swept| swept.failed.is_some()) {
            assert!(world.watermark(&failed.kind).await.last_error.is_some());
        }
    }
}

#[tokio::test]
async fn a_next_link_to_elsewhere_is_not_followed_and_is_told() {
    let world = Connected::new(|ehr| {
        ehr.poll.page_size = 5;
        ehr.bearer_token = Some("the-token".into());
    })
    .await;
    let elsewhere = Sandbox::start(([127, 0, 0, 1], 0).into(), Clock::standing_at(monday())).await.unwrap();
    let at = instant("2026-03-01T10:00:00Z");
    for n in 0..20 {
        world.chart.put_at(world.form(n), at);
    }
    world.misbehave(|how| how.next_elsewhere = format!("{}/QuestionnaireResponse?page=2", elsewhere.url()));
    let visit = world.sweep().await;
    assert_eq!(visit.swept[1].seen, 5);
    let mark = world.watermark("QuestionnaireResponse").await;
    assert_eq!(mark.last_error.as_deref(), Some("not allowed: an address outside the configured server"));
    assert_eq!(mark.swept_at, None);
    assert!(elsewhere.log().is_empty(), "{:?}", elsewhere.log());
    world.chart.behave();
    assert_eq!(world.sweep().await.swept[1].failed, None);
    assert_eq!(world.arrived("QuestionnaireResponse").await, 20);
}

#[rstest]
#[case(&[], SearchStrategy::LastUpdated)]
#[case(&["_sort"], SearchStrategy::LastUpdatedUnsorted)]
#[case(&["_sort", "_lastUpdated"], SearchStrategy::Everything)]
#[tokio::test]
async fn a_server_that_refuses_a_parameter_is_asked_without_it(#[case] refused: &[&str], #[case] way: SearchStrategy) {
    let world = Connected::new(|ehr| ehr.poll.page_size = 6).await;
    world.fill(20);
    world.misbehave(|how| how.refuse_parameters = refused.iter().map(|one| (*one).to_owned()).collect());
    world.sweep().await;
    // Without a watermark nothing was asked for by time yet.
    world.clock.set(monday() + TimeDelta::hours(1));
    world.chart.put(world.form(20));
    let visit = world.sweep().await;
    assert_eq!((visit.swept[1].taken, visit.swept[1].failed.clone()), (1, None));
    assert_eq!(world.watermark("QuestionnaireResponse").await.way, way.as_str());
    assert_eq!(world.arrived("QuestionnaireResponse").await, 21);
}

#[rstest]
#[case(&["_sort"])]
#[case(&["_lastUpdated"])]
#[case(&["_sort", "_lastUpdated"])]
#[tokio::test]
async fn a_server_that_ignores_a_parameter_is_followed_by_its_links(#[case] ignored: &[&str]) {
    let world = Connected::new(|ehr| ehr.poll.page_size = 6).await;
    // The order of ids is not that of changes.
    for n in (0..20).rev() {
        world.chart.put(world.form(n));
    }
    world.misbehave(|how| how.ignore_parameters = ignored.iter().map(|one| (*one).to_owned()).collect());
    for round in 0..2 {
        let visit = world.sweep().await;
        assert_eq!(visit.swept[1].failed, None, "{round}");
        assert_eq!(world.arrived("QuestionnaireResponse").await, 20);
    }
    assert!(world.chart.log().len() < 40, "{}", world.chart.log().len());
}

#[tokio::test]
async fn a_server_that_searches_by_patient_only_is_asked_about_those_in_care() {
    let world = Connected::new(|_| {}).await;
    world.fill(6);
    world.misbehave(|how| how.wants_parameter = "patient".to_owned());
    for id in ["p1", "p4"] {
        let arrival = world.app.intake.read(CLINIC, &patient(id).to_string()).unwrap();
        world.app.intake.take(CLINIC, "test", arrival, Condition::None).await.unwrap();
        let whom = PatientKey::Key(format!("Patient/{id}"));
        let episode = Box::new(episode("2026-02-20"));
        world.app.recorder.one(CLINIC, "test", Command::Enroll { whom, episode, fit: None }).await.unwrap();
    }
    let visit = world.sweep().await;
    assert!(visit.swept.iter().all(|swept| swept.failed.is_none()), "{visit:?}");
    assert_eq!(world.watermark("QuestionnaireResponse").await.way, "by_patient");
    assert_eq!((world.arrived("Patient").await, world.arrived("QuestionnaireResponse").await), (2, 2));
}

#[tokio::test]
async fn a_resource_that_cannot_be_read_stops_nothing_and_is_listed_until_it_can() {
    let world = Connected::new(|_| {}).await;
    let mut bad = world.form(3);
    bad["status"] = json!("nonsense");
    world.chart.put(world.form(1));
    world.chart.put(bad.clone());
    world.chart.put(world.form(2));
    let visit = world.sweep().await;
    assert_eq!((visit.swept[1].seen, visit.swept[1].taken, visit.swept[1].unread), (3, 2, 1));
    let kept = world.in_vain().await;
    assert_eq!((kept.len(), kept[0].resource_id.as_str()), (1, "q3"));
    assert!(kept[0].last_error.as_ref().unwrap().starts_with("QuestionnaireResponse.status"), "{kept:?}");

    // A day later it is fetched by itself; corrected, it is no longer listed.
    world.clock.set(monday() + TimeDelta::hours(25));
    let visit = world.service.fetch_due(false).await.unwrap().remove(0);
    assert_eq!(visit.fetched, 1);
    assert_eq!(world.in_vain().await.len(), 1);
    bad["status"] = json!("completed");
    world.chart.put(bad);
    world.sweep().await;
    assert!(world.in_vain().await.is_empty());
    assert_eq!(world.arrived("QuestionnaireResponse").await, 3);
}

#[tokio::test]
async fn a_change_dated_in_the_future_does_not_hide_what_comes_after_it() {
    let world = Connected::new(|_| {}).await;
    world.chart.put_at(world.form(1), instant("2099-01-01T00:00:00Z"));
    world.sweep().await;
    world.chart.put_at(world.form(2), chrono::DateTime::from(std::time::SystemTime::now()));
    assert_eq!(world.sweep().await.swept[1].taken, 1);
    assert_eq!(world.arrived("QuestionnaireResponse").await, 2);
}

#[tokio::test]
async fn of_two_replicas_one_sweeps() {
    let world = Connected::new(|_| {}).await;
    let other = replica(&world.database, &world.clock, world.chart.url(), |_| {}).await;
    world.fill(3);
    let of = ConnectionKey { clinic: CLINIC, connection: "ehr" };
    let mut tx = world.app.db.begin("test").await.unwrap();
    connection::register(&mut tx, of, monday()).await.unwrap();
    let (token, until) = (Uuid::from_u128(1), monday() + TimeDelta::minutes(2));
    assert!(connection::claim(&mut tx, of, token, monday(), until).await.unwrap().is_some());
    tx.commit().await.unwrap();
    assert!(other.fetch_due(true).await.unwrap()[0].swept.is_empty());
    world.clock.set(until);
    assert_eq!(other.fetch_due(true).await.unwrap()[0].swept.len(), 3);
    // And it is not due again before the period is over.
    assert!(world.service.fetch_due(false).await.unwrap()[0].swept.is_empty());
    world.clock.set(until + TimeDelta::minutes(15));
    assert_eq!(world.service.fetch_due(false).await.unwrap()[0].swept.len(), 3);
}

#[tokio::test]
async fn one_refusal_is_not_remembered_and_the_next_sweep_asks_as_before() {
    let world = Connected::new(|_| {}).await;
    world.fill(5);
    world.sweep().await;
    // Everything is refused but a search by patient, and nobody is in care: nothing could be asked.
    world.misbehave(|how| how.wants_parameter = "patient".to_owned());
    world.clock.set(monday() + TimeDelta::minutes(15));
    let visit = world.sweep().await;
    for swept in &visit.swept {
        let failure = swept.failed.as_ref().unwrap_or_else(|| panic!("{swept:?}"));
        assert!(failure.in_full().contains("this parameter is not supported"), "{}", failure.in_full());
    }
    let mark = world.watermark("QuestionnaireResponse").await;
    assert_eq!((mark.swept_at, mark.failed_at), (Some(monday()), Some(world.clock.now())));
    let said = "refused with 400: not-supported (“this parameter is not supported”)";
    assert_eq!(mark.last_error.as_deref(), Some(said));
    world.chart.behave();
    world.chart.put(world.form(5));
    let visit = world.sweep().await;
    assert_eq!((visit.swept[1].taken, visit.swept[1].failed.clone()), (1, None));
    let mark = world.watermark("QuestionnaireResponse").await;
    assert_eq!((mark.way.as_str(), mark.last_error, mark.refusal), ("last_updated", None, None));
}

#[tokio::test]
async fn a_web_page_of_a_proxy_is_no_answer() {
    let world = Connected::new(|_| {}).await;
    world.fill(3);
    world.sweep().await;
    let arrival = world.app.intake.read(CLINIC, &patient("p1").to_string()).unwrap();
    world.app.intake.take(CLINIC, "test", arrival, Condition::None).await.unwrap();
    let whom = PatientKey::Key("Patient/p1".into());
    let episode = Box::new(episode("2026-02-20"));
    world.app.recorder.one(CLINIC, "test", Command::Enroll { whom, episode, fit: None }).await.unwrap();
    world.misbehave(|how| how.proxy_not_found = true);
    let connection = world.app.connections.named("ehr").unwrap().clone();
    let said = connection.understand(r#"{"changed": ["QuestionnaireResponse/q1"]}"#).unwrap();
    world.app.intake.hear(&connection, &said).await.unwrap();
    let visit = world.sweep().await;
    assert!(visit.swept.iter().all(|swept| swept.failed.is_some()), "{visit:?}");
    let mark = world.watermark("Patient").await;
    let why = "no usable answer: what answers is no FHIR server; a proxy on the way, or a wrong address (404)";
    assert_eq!((mark.way.as_str(), mark.last_error.as_deref()), ("last_updated", Some(why)));
    // What was said to have changed is neither deleted nor forgotten.
    assert_eq!(world.arrived("QuestionnaireResponse").await, 3);
    assert_eq!(world.in_vain().await[0].last_error.as_deref(), Some(why));
    world.chart.behave();
    world.clock.set(monday() + TimeDelta::hours(2));
    assert!(world.sweep().await.swept.iter().all(|swept| swept.failed.is_none()));
    assert!(world.in_vain().await.is_empty());
}

#[tokio::test]
async fn a_page_size_above_the_servers_maximum_is_left_to_the_server() {
    let world = Connected::new(|ehr| ehr.poll.page_size = 200).await;
    world.fill(120);
    world.misbehave(|how| how.largest_page = 50);
    let visit = world.sweep().await;
    assert_eq!((visit.swept[1].taken, visit.swept[1].failed.clone()), (120, None));
    let mark = world.watermark("QuestionnaireResponse").await;
    assert_eq!(mark.way, "last_updated");
    assert_eq!(mark.refusal.as_deref(), Some("refused with 400: invalid (“_count must not be above 50”)"));
}

/// A server that counts pages by offset, and where a person changes the first resource after the first page was read.
async fn restless() -> String {
    type Chart = Arc<Mutex<(Vec<Value>, usize)>>;
    async fn search(State(chart): State<Chart>, RawQuery(query): RawQuery) -> Json<Value> {
        let query = query.unwrap_or_default();
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(|v| v.replace("%3A", ":")))
        };
        let mut chart = chart.lock().unwrap();
        let (all, asked) = &mut *chart;
        let from = parameter("_lastUpdated").map_or(String::new(), |from| from.trim_start_matches("ge").to_owned());
        let offset: usize = parameter("offset").map_or(0, |offset| offset.parse().unwrap());
        let updated = |one: &Value| one["meta"]["lastUpdated"].as_str().unwrap().to_owned();
        all.sort_by_key(updated);
        let found: Vec<Value> = all.iter().filter(|one| updated(one) >= from).cloned().collect();
        let entries: Vec<Value> = found.iter().skip(offset).take(5).map(|one| json!({"resource": one})).collect();
        let more = offset + entries.len() < found.len();
        let query: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("offset=")).collect();
        let next = format!("QuestionnaireResponse?{}&offset={}", query.join("&"), offset + 5);
        let link = if more { json!([{"relation": "next", "url": next}]) } else { json!([]) };
        *asked += 1;
        if *asked == 1 {
            all[0]["meta"] = json!({"versionId": "2", "lastUpdated": "2026-03-01T12:00:00.000Z"});
        }
        Json(json!({"resourceType": "Bundle", "type": "searchset", "link": link, "entry": entries}))
    }
    let forms = (0..12).map(|n| {
        let mut form = version(phq9(&format!("q{n}"), &format!("p{n}"), "2026-03-01", [1; 9]), 1);
        form["meta"]["lastUpdated"] = json!(format!("2026-03-01T10:00:{n:02}.000Z"));
        form
    });
    let chart: Chart = Arc::new(Mutex::new((forms.collect(), 0)));
    let router = Router::new().route("/QuestionnaireResponse", get(search)).with_state(chart);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn what_is_changed_during_a_sweep_costs_nobody_their_place() {
    let url = restless().await;
    let world = Connected::new(|ehr| {
        ehr.base_url = url;
        ehr.poll.page_size = 5;
        ehr.poll.types = vec!["QuestionnaireResponse".into()];
    })
    .await;
    world.sweep().await;
    assert_eq!(world.arrived("QuestionnaireResponse").await, 12);
}
