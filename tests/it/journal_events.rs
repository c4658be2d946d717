//! Server-sent events: nothing is missed, nothing is told twice, and nobody hears of another clinic.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use cocm_registry::identity::Role;
use cocm_registry::limits::PERSON_STREAMS;
use cocm_registry::listener;
use cocm_registry::record::Submission;
use rstest::rstest;
use serde_json::Value;

use super::journal_world::{Door, Ear, Heard, reads};
use super::world::{CLINIC, Engine, OTHER, World, patient, phq9};

const MANAGER: (&str, Role) = (CLINIC, Role::CareManager);

async fn listen(door: &Door, who: (&str, Role), query: &str, last: Option<&str>) -> Ear {
    let headers: Vec<(&str, &str)> = last.iter().map(|last| ("last-event-id", *last)).collect();
    Ear::on(door.send(who, "GET", &format!("/api/v1/events{query}"), &headers, "").await)
}

async fn all(ear: &mut Ear) -> Vec<Heard> {
    let mut heard = Vec::new();
    while let Some(one) = ear.next().await {
        heard.push(one);
    }
    heard
}

#[rstest]
#[tokio::test]
async fn a_thousand_events_with_disconnects_are_each_heard_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let door = Door::of(&world);
    world.send(&patient("1")).await.unwrap();
    world.enroll("1", "2026-02-23").await;
    let app = world.app.clone();
    let facts: Vec<_> = (0..1000).map(|n| world.fact(&patient(&format!("p{n}")))).collect();
    let forms: Vec<_> = (0..40)
        .map(|n| {
            let last = if n % 2 == 0 { 0 } else { 3 };
            let at = format!("2026-03-01T10:{n:02}:00Z");
            world.fact(&phq9(&format!("f{n}"), "1", &at, [2, 2, 2, 2, 2, 2, 2, 2, last]))
        })
        .collect();
    // Sealed while it is listened to.
    let writing = tokio::spawn(async move {
        for (n, some) in facts.chunks(50).enumerate() {
            let forms = forms.iter().skip(n * 2).take(2).cloned();
            let commands = some.iter().cloned().chain(forms).collect();
            let submission = Submission { clinic: CLINIC.into(), by: "test".into(), commands, atomic: false };
            app.recorder.record(submission).await.unwrap();
            app.journal.seal().await.unwrap();
        }
    });
    let (mut heard, mut last): (Vec<Heard>, Option<String>) = (Vec::new(), None);
    for turn in 0.. {
        let mut ear = listen(&door, MANAGER, "?after=0", last.as_deref()).await;
        let before = heard.len();
        // Cut off in the middle of things, also in the middle of a line's events.
        while heard.len() - before < 1 + (turn * 37) % 101 {
            let Some(one) = ear.next().await else { break };
            last = Some(one.id.clone());
            heard.push(one);
        }
        if heard.len() == before && writing.is_finished() {
            break;
        }
    }
    writing.await.unwrap();
    let whole = all(&mut listen(&door, MANAGER, "?after=0", None).await).await;
    assert_eq!(heard, whole);
    let ids: HashSet<&str> = heard.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), heard.len());
    assert_eq!(heard.iter().filter(|one| one.event == "patient.recorded").count(), 1001);
    assert_eq!(heard.iter().filter(|one| one.event == "measurement.recorded").count(), 40);
    assert!(heard.iter().any(|one| one.id.contains('.')) && heard.iter().any(|one| one.event == "safety.opened"));
    // Ids and codes only.
    for one in &heard {
        let data: Value = serde_json::from_str(&one.data).unwrap();
        assert_eq!((data["id"].as_str(), data["type"].as_str()), (Some(one.id.as_str()), Some(one.event.as_str())));
        assert!(!one.data.contains("Family") && !one.data.contains("Given") && !one.data.contains("mrn-"), "{one:?}");
    }
}

#[rstest]
#[tokio::test]
async fn another_clinic_hears_nothing_and_types_are_chosen(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let door = Door::of(&world);
    world.send(&patient("1")).await.unwrap();
    world.enroll("1", "2026-02-23").await;
    world.send(&phq9("f", "1", "2026-03-01T10:00:00Z", [2, 2, 2, 2, 2, 2, 2, 2, 3])).await.unwrap();
    world.app.journal.seal().await.unwrap();
    let others = (OTHER, Role::Admin);
    assert_eq!(all(&mut listen(&door, others, "?after=0", None).await).await, []);
    // An id of another clinic is none of this one.
    let reset = all(&mut listen(&door, others, "", Some("2")).await).await;
    assert_eq!(reset.iter().map(|one| (one.event.as_str(), one.id.as_str())).collect::<Vec<_>>(), [("reset", "0")]);
    let safety = all(&mut listen(&door, MANAGER, "?after=0&types=safety.*,episode.enrolled", None).await).await;
    assert_eq!(safety.iter().map(|one| one.event.as_str()).collect::<Vec<_>>(), ["episode.enrolled", "safety.opened"]);

    // Without an id it begins now; an id of the future, or none at all, begins anew.
    let mut ear = listen(&door, MANAGER, "", None).await;
    assert_eq!(ear.next().await, None);
    for unknown in ["4711", "x", ""] {
        let heard = listen(&door, MANAGER, "", Some(unknown)).await.next().await.unwrap();
        assert_eq!((heard.event.as_str(), heard.id.as_str()), ("reset", "3"), "{unknown}");
    }
    world.send(&patient("2")).await.unwrap();
    world.app.journal.seal().await.unwrap();
    assert_eq!(ear.next().await.unwrap().event, "patient.recorded");

    assert_eq!(door.get((CLINIC, Role::Ehr), "/api/v1/events").await.0, 403);
    assert_eq!(door.get(MANAGER, "/api/v1/events?types=Safety").await.0, 400);
    assert_eq!(door.get(MANAGER, "/api/v1/events?after=x").await.0, 400);
}

#[tokio::test]
async fn a_clinic_has_so_many_listeners_and_no_more() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    let door = Door::of(&world);
    let mut ears = Vec::new();
    for _ in 0..PERSON_STREAMS {
        ears.push(listen(&door, MANAGER, "", None).await);
    }
    let refused = door.send(MANAGER, "GET", "/api/v1/events", &[], "").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    drop(listen(&door, (CLINIC, Role::Admin), "", None).await);
    drop(listen(&door, (OTHER, Role::Admin), "", None).await);
    ears.pop();
    drop(listen(&door, MANAGER, "", None).await);
    let lines = reads(&world, CLINIC).await.into_iter().filter(|line| line.everybody).count();
    assert_eq!(lines, 2, "who comes back within the hour is no news to the journal");
}

#[tokio::test]
async fn a_stream_ends_when_the_service_stops() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    let door = Door::of(&world);
    let socket = listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (router, limits) = (door.router.clone(), world.app.config.limits.clone());
    let serving =
        tokio::spawn(async move { listener::serve(socket, router, &limits, async { drop(stopped.await) }).await });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = door.token(CLINIC, Role::CareManager);
    let mut response = http
        .get(format!("http://{address}/api/v1/events"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    stop.send(()).unwrap();
    let begun = Instant::now();
    assert_eq!(response.chunk().await.unwrap(), None);
    serving.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
