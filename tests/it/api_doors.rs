//! Who may do what, and what is told to whom: walls, roles, bad requests.

use cocm_registry::identity::Role;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World};

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// Every route that names something, with a body that would be accepted.
fn routes(ids: &Ids) -> Vec<(&'static str, String, Option<Value>)> {
    let Ids { patient, episode, entry, recommendation, delivery, kept, measurement } = ids;
    let on = "2026-02-02";
    let post = |path: String, body: Value| ("POST", path, Some(body));
    vec![
        ("GET", format!("patients/{patient}"), None),
        ("GET", format!("episodes?patient={patient}"), None),
        ("GET", format!("episodes/{episode}"), None),
        ("PATCH", format!("episodes/{episode}"), Some(json!({"care_manager": "Lee"}))),
        ("GET", format!("episodes/{episode}/standing"), None),
        ("GET", format!("episodes/{episode}/timeline"), None),
        ("GET", format!("deliveries/{delivery}"), None),
        post("episodes".into(), json!({"patient": {"id": patient}})),
        post("episodes".into(), json!({"patient": {"reference": "Patient/1"}})),
        post("episodes".into(), json!({"patient": {"identifier": {"system": "urn:mrn", "value": "1"}}})),
        post(format!("episodes/{episode}/contacts"), json!({"on": on, "kind": "treatment"})),
        post(
            format!("episodes/{episode}/treatment-changes"),
            json!({"changed_on": on, "kinds": ["medication"], "summary": "more"}),
        ),
        post(
            format!("episodes/{episode}/case-reviews"),
            json!({"reviewed_on": on, "reviewer": "Dr Freud", "summary": "Seen."}),
        ),
        post(
            format!("episodes/{episode}/baseline-override"),
            json!({"instrument": "phq9", "measurement": measurement, "reason": "so"}),
        ),
        post(format!("episodes/{episode}/hold"), json!({"from": on, "reason": "away"})),
        post(format!("episodes/{episode}/resume"), json!({"on": on})),
        post(format!("episodes/{episode}/relapse-prevention"), json!({"on": on, "plan": "walk"})),
        post(format!("episodes/{episode}/discharge"), json!({"discharged_on": on, "reason": "transferred"})),
        post(format!("episodes/{episode}/discussion-flag"), json!({"raised": true})),
        post(format!("episodes/{episode}/entries/{entry}/take-back"), json!({"reason": "wrong"})),
        post(format!("recommendations/{recommendation}/decision"), json!({"decision": "accepted", "decided_on": on})),
        post(
            format!("patients/{patient}/measurements"),
            json!({"instrument": "gad7", "taken_at": "2026-02-02", "total": 3}),
        ),
        post(
            format!("patients/{patient}/safety-assessments"),
            json!({"assessed_at": "2026-02-02T08:30:00Z", "instrument": "C-SSRS", "result": "low", "disposition": "none",
                "assessor": "Dr Who"}),
        ),
        ("POST", format!("deliveries/{delivery}/retry"), None),
        ("POST", format!("quarantine/{kept}/replay"), None),
        post(format!("quarantine/{kept}/completion"), json!({"taken_on": "2026-02-01"})),
    ]
}

struct Ids {
    patient: String,
    episode: String,
    entry: String,
    recommendation: String,
    delivery: String,
    kept: String,
    measurement: String,
}

impl Ids {
    fn all(id: &str) -> Self {
        let id = || id.to_owned();
        Self {
            patient: id(),
            episode: id(),
            entry: id(),
            recommendation: id(),
            delivery: id(),
            kept: id(),
            measurement: id(),
        }
    }
}

/// One of everything.
async fn furnished() -> (World, Ids) {
    let world = World::on("2026-02-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let form =
        json!({"instrument": "phq9", "taken_at": "2026-02-01T08:00:00Z", "answers": [3, 3, 3, 3, 3, 0, 0, 0, 1]});
    let measurement = world.post(&format!("patients/{patient}/measurements"), form).await.expect(201).id();
    let episode = world.enroll(&patient, "2026-02-01").await;
    let review = json!({"reviewed_on": "2026-02-02", "reviewer": "Dr Freud",
        "recommendations": [{"kind": "referral", "text": "out", "to": "primary_care"}]});
    let review = world.post(&format!("episodes/{episode}/case-reviews"), review).await.expect(201);
    let recommendation = review.body["recommendations"][0]["id"].as_str().unwrap().to_owned();
    let entry = json!({"on": "2026-02-02", "kind": "outreach"});
    let entry = world.post(&format!("episodes/{episode}/contacts"), entry).await.expect(201).id();
    let delivery = world.get("deliveries").await.expect(200).body["items"][0]["id"].as_str().unwrap().to_owned();
    world
        .arrives(json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
            "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": "Patient/1"},
            "item": [{"linkId": "/44250-9", "answer": [{"valueInteger": 1}]}]}))
        .await;
    let kept = world.get("quarantine").await.expect(200).body["items"][0]["id"].as_str().unwrap().to_owned();
    (world, Ids { patient, episode, entry, recommendation, delivery, kept, measurement })
}

#[tokio::test]
async fn another_clinic_and_an_unknown_id_are_the_same() {
    let (world, ids) = furnished().await;
    for (method, path, body) in routes(&ids) {
        let other = world.ask(("other", Role::CareManager), method, &path, body.clone(), &[]).await;
        assert_eq!(other.status, 404, "{method} {path} {}", other.body);
    }
    for id in [NOBODY, "no-id-at-all", "%00", "%ff", "..%2f..%2fetc"] {
        for (method, path, body) in routes(&Ids::all(id)) {
            if path == "episodes" || path.starts_with("episodes?") {
                continue;
            }
            let absent = world.ask((CLINIC, Role::CareManager), method, &path, body.clone(), &[]).await;
            let is_measurement = path.ends_with("baseline-override") && absent.status == 422;
            assert!(absent.status == 404 || is_measurement, "{method} {path} {}", absent.body);
            assert_eq!(absent.header("content-type"), "application/problem+json", "{method} {path}");
        }
    }
    let lists = [
        "patients",
        "caseload",
        "review-queue",
        "review-queue?on=2026-02-05",
        "safety-concerns",
        "deliveries",
        "quarantine",
    ];
    for list in lists.map(str::to_owned).into_iter().chain([format!("deliveries?patient={}", ids.patient)]) {
        let mine = world.get(&list).await.expect(200);
        assert_ne!(mine.body["items"], json!([]), "{list}");
        let theirs = world.ask(("other", Role::CareManager), "GET", &list, None, &[]).await.expect(200);
        assert_eq!(theirs.body["items"], json!([]), "{list}");
    }
    for query in ["identifier=urn:mrn%7C1", "reference=Patient/1"] {
        let theirs = world.ask(("other", Role::CareManager), "GET", &format!("patients?{query}"), None, &[]).await;
        assert_eq!(theirs.expect(200).body["items"], json!([]));
    }
    let before = world.get(&format!("episodes/{}", ids.episode)).await.expect(200).body["revision"].clone();
    assert_eq!(before, 3, "nobody else has touched it");
    for (method, path, body) in routes(&ids) {
        let mine = world.ask((CLINIC, Role::CareManager), method, &path, body.clone(), &[]).await;
        assert!(!matches!(mine.status, 404 | 500), "{method} {path} {}", mine.body);
    }
}

#[tokio::test]
async fn every_role_may_do_its_own() {
    let (world, ids) = furnished().await;
    for (method, path, body) in routes(&ids) {
        let program = world.ask((CLINIC, Role::Ehr), method, &path, body.clone(), &[]).await;
        assert_eq!(program.status, 403, "{method} {path}");
        if method == "GET" {
            for role in [Role::Admin, Role::PrimaryCare, Role::PsychiatricConsultant] {
                world.ask((CLINIC, role), method, &path, None, &[]).await.expect(200);
            }
        } else if !path.starts_with("deliveries") && !path.starts_with("quarantine") {
            world.ask((CLINIC, Role::Admin), method, &path, body.clone(), &[]).await.expect(403);
        }
        if path.ends_with("/contacts") || path.ends_with("/discharge") || path.ends_with("/case-reviews") {
            world.ask((CLINIC, Role::PrimaryCare), method, &path, body.clone(), &[]).await.expect(403);
        }
        if path.ends_with("/decision") {
            world.ask((CLINIC, Role::PsychiatricConsultant), method, &path, body, &[]).await.expect(403);
        }
    }
    let lookup = world.ask((CLINIC, Role::Ehr), "GET", "patients?reference=Patient/1", None, &[]).await.expect(200);
    assert_eq!(lookup.body["items"][0]["id"], ids.patient.as_str());
    for path in ["patients", "caseload", "review-queue", "safety-concerns", "deliveries", "quarantine", "rule-sets"] {
        world.ask((CLINIC, Role::Ehr), "GET", path, None, &[]).await.expect(403);
    }
    world.post("rule-sets", json!({"rules": {}})).await.expect(403);
    world.post("rule-sets/simulate", json!({"version": 1})).await.expect(403);
    world.post("rule-sets/1/activate", json!({})).await.expect(403);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_place() {
    let (world, ids) = furnished().await;
    let measurements = format!("patients/{}/measurements", ids.patient);
    let taken = "2026-02-02T08:00:00Z";
    for (path, body, at) in [
        (&measurements, json!({"instrument": "phq9", "taken_at": taken}), Some("answers")),
        (&measurements, json!({"instrument": "phq9", "taken_at": taken, "total": 28}), Some("total")),
        (&measurements, json!({"instrument": "phq9", "taken_at": taken, "total": -1}), Some("total")),
        (
            &measurements,
            json!({"instrument": "gad7", "taken_at": taken, "answers": [0, 0, 0, 4, 0, 0, 0]}),
            Some("answers[3]"),
        ),
        (&measurements, json!({"instrument": "gad7", "taken_at": taken, "answers": [0, 0]}), Some("answers")),
        (&measurements, json!({"instrument": "phq7", "taken_at": taken, "total": 2}), Some("instrument")),
        (&measurements, json!({"instrument": "phq9", "taken_at": "2026-02-30", "total": 2}), Some("taken_at")),
        (
            &measurements,
            json!({"instrument": "phq9", "taken_at": "2026-02-04T08:00:00Z", "total": 2}),
            Some("taken_at"),
        ),
        (&measurements, json!({"instrument": "phq9", "taken_at": "0001-01-01", "total": 2}), Some("taken_at")),
        (&measurements, json!({"instrument": "phq9", "total": 2}), None),
        (&measurements, json!({"instrument": "phq9", "taken_at": taken, "totl": 2}), Some("totl")),
        (&"episodes".to_owned(), json!({"patient": {}}), Some("patient")),
        (&"episodes".to_owned(), json!({"patient": {"id": "x", "reference": "y"}}), Some("patient")),
        (
            &"episodes".to_owned(),
            json!({"patient": {"reference": "Patient/1"}, "primary_instrument": "gad7", "target_instruments": ["phq9"]}),
            Some("target_instruments"),
        ),
    ] {
        let said = world.post(path, body.clone()).await;
        assert_eq!((said.status, said.body["expression"].as_str()), (422, at), "{body} {}", said.body);
    }
    let hold = format!("episodes/{}/hold", ids.episode);
    for body in [
        json!({"from": "2026-02-02", "reason": "  "}),
        json!({"from": "2026-02-02", "reason": "x".repeat(20_001)}),
        json!({"from": "2026-02-02"}),
        json!({"from": "-262143-01-01", "reason": "x"}),
        json!({"from": "+262142-12-31", "reason": "x"}),
        json!({"from": "2026-02-05", "reason": "x"}),
    ] {
        world.post(&hold, body).await.expect(422);
    }
    world.post(&hold, json!({"from": "2026-02-02", "reason": "away"})).await.expect(201);
    let resume = format!("episodes/{}/resume", ids.episode);
    assert_eq!(world.post(&resume, json!({"on": "2026-02-01"})).await.expect(422).body["expression"], "on");
    for (query, at) in [
        ("caseload?limit=0", "limit"),
        ("caseload?limit=many", "limit"),
        ("caseload?cursor=x", "cursor"),
        ("caseload?sort=mood", "sort"),
        ("caseload?finding=sadness", "finding"),
        ("caseload?status=away", "status"),
        ("caseload?care_managr=Kim", "care_managr"),
        ("deliveries?state=lost", "state"),
        ("deliveries?patient=x", "patient"),
        ("episodes", "patient"),
        ("review-queue?on=2026-02-30", "on"),
        ("review-queue?on=%2B262142-12-31", "on"),
    ] {
        let said = world.get(query).await;
        assert_eq!(said.status, 400, "{query}");
        if query != "episodes" {
            assert_eq!(said.body["expression"], at, "{query} {}", said.body);
        }
        assert!(!said.body["detail"].as_str().unwrap().contains("mood"));
    }
    let standing = format!("episodes/{}/standing?as_of=", ids.episode);
    for date in ["tomorrow", "2026-02-30", "0000-01-01", "%2B262142-12-31", "-262143-01-01"] {
        assert_eq!(world.get(&format!("{standing}{date}")).await.expect(400).body["expression"], "as_of");
    }
    for date in ["1900-01-01", "2200-12-31"] {
        world.get(&format!("{standing}{date}")).await.expect(200);
    }
}

#[tokio::test]
async fn if_match_holds_or_nothing_is_done() {
    let (world, ids) = furnished().await;
    let path = format!("episodes/{}", ids.episode);
    let tag = world.get(&path).await.header("etag").to_owned();
    let kim = (CLINIC, Role::CareManager);
    let amendment = |manager: &str| Some(json!({"care_manager": manager}));
    let changed = world.ask(kim, "PATCH", &path, amendment("Lee"), &[("if-match", &tag)]).await.expect(200);
    assert_ne!(changed.header("etag"), tag);
    world.ask(kim, "PATCH", &path, amendment("Max"), &[("if-match", &tag)]).await.expect(412);
    world.ask(kim, "PATCH", &path, amendment("Max"), &[("if-match", "nonsense")]).await.expect(400);
    assert_eq!(world.get(&path).await.body["care_manager"], "Lee");
    let hold = Some(json!({"from": "2026-02-02", "reason": "away"}));
    let hold_path = format!("{path}/hold");
    world.ask(kim, "POST", &hold_path, hold.clone(), &[("if-match", &tag)]).await.expect(412);
    world.ask(kim, "POST", &hold_path, hold, &[("if-match", changed.header("etag"))]).await.expect(201);
}
