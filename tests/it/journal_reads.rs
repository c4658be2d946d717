//! Who was shown what is in the journal before the answer goes out.

use std::time::{Duration, Instant};

use cocm_registry::api;
use cocm_registry::identity::Role;
use cocm_registry::journal::verify::verify;
use cocm_registry::store::journal::{JournalFilter, page};
use rstest::rstest;
use serde_json::Value;

use super::journal_world::{Door, reads};
use super::store_db::count;
use super::world::{CLINIC, Engine, OTHER, World, patient, phq9};

const MANAGER: (&str, Role) = (CLINIC, Role::CareManager);
const ADMIN: (&str, Role) = (CLINIC, Role::Admin);

/// Two patients with an episode each and an unassessed answer; our id of the first, and of her episode.
async fn people(world: &World) -> (String, String) {
    for id in ["1", "2"] {
        world.send(&patient(id)).await.unwrap();
        world.send(&phq9(&format!("f{id}"), id, "2026-02-23T10:00:00Z", [2, 2, 2, 2, 2, 2, 2, 2, 1])).await.unwrap();
    }
    let episode = world.enroll("1", "2026-02-23").await;
    world.enroll("2", "2026-02-23").await;
    // Of nobody who is known: waits in quarantine.
    world.send(&phq9("f3", "3", "2026-02-23T10:00:00Z", [1; 9])).await.unwrap();
    let mut tx = world.read().await;
    let one = cocm_registry::store::patient::by_key(&mut tx, CLINIC, "Patient/1").await.unwrap().remove(0);
    (one.id.to_string(), episode.to_string())
}

#[rstest]
#[tokio::test]
async fn a_line_says_who_was_shown_whom_and_never_what_was_looked_for(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let (one, _) = people(&world).await;
    let door = Door::of(&world);
    assert_eq!(door.get(MANAGER, &format!("/api/v1/patients/{one}")).await.0, 200);
    assert_eq!(door.get(MANAGER, "/api/v1/caseload?q=Given").await.0, 200);
    assert_eq!(door.get((CLINIC, Role::Ehr), "/fhir/Patient/1").await.0, 200);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let found =
        door.send((CLINIC, Role::Ehr), "POST", "/fhir/Patient/_search", &form, "identifier=urn:mrn|mrn-1").await;
    assert_eq!(found.status().as_u16(), 200);
    // Refused, absent, another clinic's; and one that changes something, which has its line from the hallway.
    assert_eq!(door.get((CLINIC, Role::Ehr), "/api/v1/caseload").await.0, 403);
    assert_eq!(door.get((OTHER, Role::Admin), &format!("/api/v1/patients/{one}")).await.0, 404);
    assert_eq!(door.get(MANAGER, "/api/v1/patients/Jane%20Canary").await.0, 404);
    let put = door
        .send(
            (CLINIC, Role::Ehr),
            "PUT",
            "/fhir/Patient/4",
            &[("content-type", "application/fhir+json")],
            &patient("4").to_string(),
        )
        .await;
    assert_eq!(put.status().as_u16(), 201);

    let lines = reads(&world, CLINIC).await;
    let told: Vec<(Role, String, u16, usize)> = lines
        .iter()
        .map(|l| {
            let r = l.request.as_ref().unwrap();
            (
                l.role.unwrap(),
                format!("{} {}", r.method, r.route),
                r.status,
                l.patient.iter().count() + l.patients.len(),
            )
        })
        .collect();
    let line = |role, what: &str, status, whom| (role, what.to_owned(), status, whom);
    assert_eq!(
        told,
        [
            line(Role::CareManager, "GET /api/v1/patients/{id}", 200, 1),
            line(Role::CareManager, "GET /api/v1/caseload", 200, 2),
            line(Role::Ehr, "GET /fhir/{type}/{id}", 200, 1),
            line(Role::Ehr, "POST /fhir/{type}/_search", 200, 1),
            line(Role::Ehr, "GET /api/v1/caseload", 403, 0),
            line(Role::CareManager, "GET /api/v1/patients/{id}", 404, 0),
        ]
    );
    assert_eq!(lines[0].patient.unwrap().to_string(), one);
    assert_eq!(lines[0].request.as_ref().unwrap().ids, std::slice::from_ref(&one));
    assert!(lines.iter().all(|line| !line.line().contains("Given") && !line.line().contains("mrn")));
    assert!(!lines[5].line().contains("Canary"));
    // The other clinic's attempt is in the other clinic's journal.
    let others = reads(&world, OTHER).await;
    assert_eq!(others.len(), 1);
    assert_eq!(others[0].request.as_ref().unwrap().status, 404);
    // Who sent a resource, and as what, is in the line of the change.
    let mut tx = world.read().await;
    let all = page(&mut tx, CLINIC, &JournalFilter::default(), 500).await.unwrap();
    assert!(all.iter().any(|l| l.entry.contains("\"role\":\"ehr\"") && l.entry.contains("Patient/4")));
    drop(tx);
    for report in verify(&world.app.db, &[]).await.unwrap() {
        assert_eq!((report.fault, report.unsealed), (None, 0));
    }
}

/// What shows nobody's data.
const NOBODYS: [&str; 9] = [
    "/api/v1/quarantine/groups",
    "/api/v1/connections",
    "/api/v1/rule-sets",
    "/api/v1/review-sessions",
    "/api/v1/metrics/{month}/versions",
    "/api/v1/audit",
    "/api/v1/webhook-deliveries",
    "/api/v1/webhook-deliveries/{id}",
    "/api/v1/events",
];

#[tokio::test]
async fn no_get_shows_a_patient_without_a_line() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    let (one, episode) = people(&world).await;
    // Somebody who might be offered care.
    world.send(&patient("4")).await.unwrap();
    world.send(&phq9("f4", "4", "2026-02-23T10:00:00Z", [2; 9])).await.unwrap();
    let door = Door::of(&world);
    let id_of = |list: &'static str| {
        let door = &door;
        async move {
            let (_, body) = door.get(ADMIN, list).await;
            body["items"][0]["id"].as_str().unwrap_or_default().to_owned()
        }
    };
    let (delivery, waiting) = (id_of("/api/v1/deliveries").await, id_of("/api/v1/quarantine").await);
    let mut tried = 0;
    for (path, item) in &api::openapi().paths.paths {
        if item.get.is_none() || !path.starts_with("/api/v1/") || NOBODYS.contains(&path.as_str()) {
            continue;
        }
        let id = match path.split('/').nth(3).unwrap() {
            "patients" => &one,
            "episodes" => &episode,
            "deliveries" => &delivery,
            "quarantine" => &waiting,
            _ => "",
        };
        let mut address = path.replace("{id}", id);
        if path == "/api/v1/patients" {
            address.push_str("?reference=Patient/1");
        }
        let before = reads(&world, CLINIC).await.len();
        let (status, body) = door.get(ADMIN, &address).await;
        if status != 200 || body["items"].as_array().is_some_and(Vec::is_empty) {
            // Needs something else than an id, or shows nobody here; its own tests know what.
            continue;
        }
        let after = reads(&world, CLINIC).await;
        assert_eq!(after.len(), before + 1, "{path} showed somebody without a line; or belongs into NOBODYS");
        tried += 1;
    }
    assert!(tried >= 12, "{tried}");
}

#[rstest]
#[tokio::test]
async fn the_audit_answers_who_has_seen_a_patient(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let (one, _) = people(&world).await;
    let door = Door::of(&world);
    door.get(MANAGER, &format!("/api/v1/patients/{one}")).await;
    door.get(MANAGER, "/api/v1/caseload").await;
    door.get(MANAGER, "/fhir/Patient/2").await;
    reads(&world, CLINIC).await;
    let (status, all) = door.get(ADMIN, &format!("/api/v1/audit?patient={one}")).await;
    assert_eq!(status, 200);
    let routes = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().unwrap().iter();
        items.filter_map(|i| i["request"]["route"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(routes(&all), ["/api/v1/caseload", "/api/v1/patients/{id}"]);
    assert!(all["items"].as_array().unwrap().iter().any(|i| i["events"][0] == "measurement.recorded"));

    // Page by page it is the same.
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = door.get(ADMIN, &format!("/api/v1/audit?patient={one}&limit=2{cursor}")).await;
        walked.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(Value::from(walked), all["items"]);

    let late = "/api/v1/audit?from=2026-03-03T00:00:00Z";
    assert_eq!(door.get(ADMIN, late).await.1["items"].as_array().unwrap().len(), 0);
    assert_eq!(door.get(MANAGER, "/api/v1/audit").await.0, 403);
    assert_eq!(door.get((OTHER, Role::Admin), "/api/v1/audit").await.1["items"].as_array().unwrap().len(), 0);

    let accept = [("accept", "application/fhir+json")];
    let response = door.send(ADMIN, "GET", &format!("/api/v1/audit?patient={one}"), &accept, "").await;
    assert_eq!(response.headers()["content-type"], "application/fhir+json");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let bundle: Value = serde_json::from_slice(&bytes).unwrap();
    let entries = bundle["entry"].as_array().unwrap();
    assert_eq!(entries.len(), all["items"].as_array().unwrap().len());
    for entry in entries {
        let event = &entry["resource"];
        assert_eq!(event["resourceType"], "AuditEvent");
        for required in ["type", "recorded", "agent", "source"] {
            assert!(!event[required].is_null(), "{required}: {event}");
        }
        assert!(event["agent"][0]["requestor"].is_boolean() && event["source"]["observer"].is_object());
    }
}

#[rstest]
#[tokio::test]
async fn the_next_page_of_audit_events_is_narrowed_as_the_first(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let (one, _) = people(&world).await;
    let door = Door::of(&world);
    reads(&world, CLINIC).await;
    let narrowed = format!("/api/v1/audit?patient={one}&from=2000-01-01T00:00:00%2B01:00&to=2100-01-01T00:00:00Z");
    let all = door.get(ADMIN, &narrowed).await.1["items"].as_array().unwrap().len();
    assert!(all > 2, "{all}");
    let accept = [("accept", "application/fhir+json")];
    let (mut found, mut next) = (0, Some(format!("{narrowed}&limit=2")));
    while let Some(address) = next.take() {
        let response = door.send(ADMIN, "GET", &address, &accept, "").await;
        assert_eq!(response.status().as_u16(), 200, "{address}");
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let bundle: Value = serde_json::from_slice(&bytes).unwrap();
        let entries = bundle["entry"].as_array().unwrap();
        assert!(entries.len() <= 2, "the length of a page is kept");
        for entry in entries {
            let whom = entry["resource"]["entity"].to_string();
            assert!(whom.contains(&one), "{whom}");
        }
        found += entries.len();
        next = bundle["link"][0]["url"].as_str().map(|url| format!("/api/v1/{url}"));
    }
    assert_eq!(found, all);
}

#[rstest]
#[tokio::test]
async fn every_page_of_a_long_list_that_is_sent_has_its_line(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let door = Door::of(&world);
    // One more than is read at once.
    let sheet: Vec<String> = (0..501).map(|n| format!("{n},2026-02-02")).collect();
    let body = serde_json::json!({"csv": format!("MRN,Enrolled\n{}", sheet.join("\n")), "identifier_system": "urn:mrn", "dry_run": false});
    let json = [("content-type", "application/json")];
    let taken = door.send(ADMIN, "POST", "/api/v1/imports/caseload", &json, &body.to_string()).await;
    assert_eq!(taken.status().as_u16(), 200);
    let before = reads(&world, CLINIC).await.len();
    let response = door.send(MANAGER, "GET", "/api/v1/caseload.csv", &[], "").await;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes).lines().count(), 502);
    let lines = reads(&world, CLINIC).await;
    let shown: std::collections::HashSet<_> =
        lines[before..].iter().flat_map(|line| line.patients.iter().chain(&line.patient)).collect();
    assert_eq!(shown.len(), 501);
    assert!(lines[before..].iter().all(|line| line.role == Some(Role::CareManager)));
}

#[tokio::test]
async fn a_read_is_answered_when_nothing_can_be_written_and_its_line_comes_later() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    people(&world).await;
    let door = Door::of(&world);
    let held = world.app.db.begin().await.unwrap();
    let begun = Instant::now();
    assert_eq!(door.get(MANAGER, "/api/v1/caseload").await.0, 200);
    let took = begun.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!(count(&world.app.db, "SELECT COUNT(*) FROM journal WHERE NOT is_change").await, 0);
    drop(held);
    assert_eq!(reads(&world, CLINIC).await.len(), 1);
}
