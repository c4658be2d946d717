//! Walls between clinics, for every operation of the OpenAPI document: one that is added is covered without anybody
//! thinking of it, or fails here until the table knows how to fill it.
//!
//! Clinic A and clinic B each have one of everything. Whatever B asks about A's ids is answered word for word as if
//! they did not exist, and what B lists holds nothing of A.

use calamine::{Reader, Xlsx};
use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_document::{Document, Operation};
use crate::api_world::{CLINIC, Heard, World};
use crate::world::Engine;

const OTHER: &str = "other";
const NOBODY: &str = "01890000-0000-7000-8000-00000000abcd";
const ROLES: [Role; 4] = [Role::CareManager, Role::Admin, Role::PrimaryCare, Role::PsychiatricConsultant];

/// What a clinic has only where somebody listens: `webhook.rs` tries its walls.
const OF_LISTENERS: &str = "/api/v1/webhook-deliveries";

/// What answers to anybody at all.
const OPEN: [&str; 7] = [
    "/.well-known/jwks.json",
    "/livez",
    "/readyz",
    "/fhir/metadata",
    "/fhir/.well-known/smart-configuration",
    "/cds-services",
    "/problems/{name}",
];

/// What belongs to a configured chart, which this world has none of: `connect_notifications.rs` tries its walls.
const OF_CONNECTIONS: &str = "/api/v1/connections/";

/// What an EHR asks with a signature of its own, which this world has none of: `cds_hooks.rs` tries its walls.
const OF_CDS_CLIENTS: &str = "/cds-services/";

/// Whether somebody else tries the walls of an operation.
fn is_tried_elsewhere(operation: &Operation) -> bool {
    operation.path.starts_with(OF_CONNECTIONS) || operation.path.starts_with(OF_CDS_CLIENTS)
}

/// What the EHR's program may ask of the registry.
const FOR_THE_EHR: [(&str, &str); 1] = [("GET", "/api/v1/patients")];

/// The ids of a clinic, by the name of what they are of.
type Ids = Vec<(&'static str, String)>;

fn id<'a>(ids: &'a Ids, of: &str) -> &'a str {
    &ids.iter().find(|(name, _)| *name == of).unwrap_or_else(|| panic!("no id of a {of}: add one to `furnish`")).1
}

/// One of everything for a clinic, all by its own tokens; `name` and `mrn` are nobody else's.
async fn furnish(world: &World, clinic: &str, name: &str, mrn: &str) -> Ids {
    let as_role = async |role: Role, method: &str, path: &str, body: Value| {
        world.ask((clinic, role), method, path, (body != Value::Null).then_some(body), &[]).await
    };
    let kim = async |path: &str, body: Value| as_role(Role::CareManager, "POST", path, body).await.expect(201);
    let read = async |path: &str| as_role(Role::CareManager, "GET", path, Value::Null).await.expect(200).body;
    let fhir = async |resource: Value| {
        let uri = format!("/fhir/{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let body = Some(("application/fhir+json", resource.to_string()));
        let heard = world.call(Some((clinic, Role::Ehr)), "PUT", &uri, body, &[]).await;
        assert!(matches!(heard.status, 200 | 201), "{}", heard.text());
    };
    fhir(json!({"resourceType": "Patient", "id": mrn, "name": [{"family": name, "given": ["Ada"]}],
        "identifier": [{"system": "urn:mrn", "value": mrn}]}))
    .await;
    let patient = read(&format!("patients?reference=Patient/{mrn}")).await["items"][0]["id"].clone();
    let patient = patient.as_str().unwrap().to_owned();
    let form =
        json!({"instrument": "phq9", "taken_at": "2026-02-01T08:00:00Z", "answers": [3, 3, 3, 3, 3, 0, 0, 0, 1]});
    let measurement = kim(&format!("patients/{patient}/measurements"), form).await.id();
    let manager = format!("Kim of {name}");
    let enrollment = json!({"patient": {"id": patient}, "enrolled_on": "2026-02-01", "care_manager": manager});
    let episode = kim("episodes", enrollment).await.id();
    let review = json!({"reviewed_on": "2026-02-02", "reviewer": "Dr Freud",
        "recommendations": [{"kind": "referral", "text": format!("refer {name}"), "to": "primary_care"}]});
    let review = kim(&format!("episodes/{episode}/case-reviews"), review).await;
    let contact = json!({"on": "2026-02-02", "kind": "treatment", "minutes": 31, "note": format!("{name} called")});
    let entry = kim(&format!("episodes/{episode}/contacts"), contact).await.id();
    fhir(json!({"resourceType": "QuestionnaireResponse", "id": format!("q-{mrn}"), "status": "completed",
        "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": format!("Patient/{mrn}")},
        "item": [{"linkId": "/44250-9", "answer": [{"valueInteger": 1}]}]}))
    .await;
    as_role(Role::Admin, "POST", "rule-sets", json!({"rules": {"checkpoints": {"nonresponse_day": 50}}}))
        .await
        .expect(201);
    // Somebody who is not in care, and might be; and a second record of the same name and birth date.
    for record in ["c", "d"] {
        fhir(json!({"resourceType": "Patient", "id": format!("{record}-{mrn}"), "birthDate": "1980-01-01",
            "name": [{"family": name, "given": ["Candid"]}]}))
        .await;
    }
    let candidate = read(&format!("patients?reference=Patient/c-{mrn}")).await["items"][0]["id"].clone();
    let candidate = candidate.as_str().unwrap().to_owned();
    let form = json!({"instrument": "phq9", "taken_at": "2026-02-01T08:00:00Z", "total": 15});
    kim(&format!("patients/{candidate}/measurements"), form).await;
    // Before the answer: it closes nothing.
    let assessment = json!({"assessed_at": "2026-01-31T08:00:00Z", "instrument": "C-SSRS", "result": "low",
        "disposition": "none", "assessor": "Kim"});
    let assessment = kim(&format!("patients/{patient}/safety-assessments"), assessment).await.id();
    let session = json!({"held_on": "2026-02-02", "consultant": format!("Dr {name}")});
    let session = as_role(Role::PsychiatricConsultant, "POST", "review-sessions", session).await.expect(201).id();
    as_role(Role::Admin, "POST", "metrics/2026-01/close", Value::Null).await;
    let plan = json!({"problems": ["low mood"]});
    kim(&format!("episodes/{episode}/care-plan"), plan).await;
    let kept = read("quarantine").await["items"][0]["id"].clone();
    let delivery = read("deliveries").await["items"][0]["id"].clone();
    let same = read("patient-matches").await["items"][0]["id"].clone();
    vec![
        ("patient", patient),
        ("episode", episode),
        ("measurement", measurement),
        ("review", review.id()),
        ("recommendation", review.body["recommendations"][0]["id"].as_str().unwrap().to_owned()),
        ("entry", entry),
        ("assessment", assessment),
        ("session", session),
        ("candidate", candidate),
        ("delivery", delivery.as_str().unwrap().to_owned()),
        ("quarantine", kept.as_str().unwrap().to_owned()),
        ("match", same.as_str().unwrap().to_owned()),
        ("Patient", mrn.to_owned()),
    ]
}

/// The collections whose members are named by `{id}`, and what such a member is.
const COLLECTIONS: [(&str, &str); 9] = [
    ("patient-matches", "match"),
    ("patients", "patient"),
    ("episodes", "episode"),
    ("deliveries", "delivery"),
    ("quarantine", "quarantine"),
    ("recommendations", "recommendation"),
    ("case-reviews", "review"),
    ("review-sessions", "session"),
    ("webhook-deliveries", "delivery"),
];

/// Fills the placeholders of a path. A rule set is of version 2, which both have, or of one that nobody has.
fn filled(operation: &Operation, ids: &Ids) -> String {
    let mut before = "";
    let parts = operation.path.split('/').map(|part| {
        let value = match (part, before) {
            ("{id}", "{type}") => id(ids, "Patient").to_owned(),
            ("{id}", collection) => match COLLECTIONS.iter().find(|(name, _)| *name == collection) {
                Some((_, of)) => id(ids, of).to_owned(),
                None => panic!("{}: of what is {{id}} after {collection}? Add it to COLLECTIONS", operation.path),
            },
            ("{version}", "_history" | "versions") => "1".to_owned(),
            ("{version}", "rule-sets") => "2".to_owned(),
            ("{month}", _) => "2026-01".to_owned(),
            ("{name}", "problems") => "not-found".to_owned(),
            ("{entry}", _) if operation.path.starts_with("/api/v1/patients/") => id(ids, "assessment").to_owned(),
            ("{type}", _) => "Patient".to_owned(),
            (placeholder, _) if placeholder.starts_with('{') => {
                let name = placeholder.trim_matches(['{', '}']);
                assert!(ids.iter().any(|(of, _)| *of == name), "{}: what is {placeholder}?", operation.path);
                id(ids, name).to_owned()
            }
            (plain, _) => plain.to_owned(),
        };
        before = part;
        value
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Bodies that cannot be made from the schema alone; the rest are.
fn body(document: &Document, operation: &Operation, ids: &Ids) -> Option<(&'static str, String)> {
    if operation.path.starts_with("/fhir") {
        let kind = operation.said["requestBody"]["content"].as_object()?.keys().next()?.clone();
        if kind.contains("form") {
            return Some(("application/x-www-form-urlencoded", format!("_id={}", id(ids, "Patient"))));
        }
        let patient = json!({"resourceType": "Patient", "id": id(ids, "Patient"), "name": [{"family": "Intruder"}],
            "identifier": [{"system": "urn:mrn", "value": id(ids, "Patient")}]});
        return Some(("application/fhir+json", patient.to_string()));
    }
    let known = |name: &str| match name {
        "patient" => Some(json!({"id": id(ids, "patient")})),
        "one" => Some(json!(id(ids, "patient"))),
        "other" => Some(json!(id(ids, "candidate"))),
        "measurement" | "recommendation" | "episode" | "entry" | "review" | "delivery" | "session" => {
            Some(json!(id(ids, name)))
        }
        _ => None,
    };
    let mut body = document.body(operation, &known)?;
    let more = match operation.path.rsplit('/').next().unwrap() {
        "contacts" => json!({"on": "2026-02-02"}),
        "decision" if operation.path.contains("/patient-matches/") => json!({"decision": "keep_apart"}),
        "measurements" => json!({"total": 9}),
        "treatment-changes" => json!({"kinds": ["medication"]}),
        "case-reviews" => json!({"summary": "words"}),
        "care-plan" => json!({"problems": ["low mood"]}),
        "fit-check" => json!({"reason": "words"}),
        "transfer" => json!({"to_care_manager": "Lee"}),
        "close" => json!({"deferred": [{"episode": id(ids, "episode"), "reason": "words"}]}),
        "simulate" => json!({"version": 2}),
        "rule-sets" => json!({"rules": {}}),
        "caseload" => json!({"csv": "MRN,Enrolled\n1,2026-01-05", "identifier_system": "urn:mrn"}),
        _ => json!({}),
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Some(("application/json", body.to_string()))
}

/// The query that names ids of a clinic, where the operation takes any.
fn query(operation: &Operation, ids: &Ids) -> String {
    let mut pairs = Vec::new();
    for name in operation.parameters("query") {
        match (name.as_str(), operation.path.starts_with("/fhir")) {
            ("_id", true) => pairs.push(format!("_id={}", id(ids, "Patient"))),
            ("identifier", _) => pairs.push(format!("identifier=urn:mrn%7C{}", id(ids, "Patient"))),
            ("reference", _) => pairs.push(format!("reference=Patient/{}", id(ids, "Patient"))),
            (name, false) if ids.iter().any(|(of, _)| *of == name) => pairs.push(format!("{name}={}", id(ids, name))),
            _ => {}
        }
    }
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Asks in the name of whichever role may; the answer to the last one where none may.
async fn ask(world: &World, clinic: &str, operation: &Operation, uri: &str, body: Option<(&str, String)>) -> Heard {
    let mut roles = ROLES.to_vec();
    if operation.path.starts_with("/fhir") {
        roles = vec![Role::Ehr];
    }
    let mut heard = None;
    for role in roles {
        let said = world.call(Some((clinic, role)), &operation.method, uri, body.clone(), &[]).await;
        let refused = said.status == 403;
        heard = Some(said);
        if !refused {
            break;
        }
    }
    heard.unwrap()
}

/// What of a clinic must never be in another one's answers.
fn secrets(ids: &Ids, name: &str) -> Vec<String> {
    ids.iter().map(|(_, id)| id.clone()).chain([name.to_owned()]).collect()
}

#[track_caller]
fn holds_nothing_of(secrets: &[String], what: &str, heard: &Heard) {
    let text = readable(heard);
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{what}: {text}");
    }
}

/// A workbook is looked into.
fn readable(heard: &Heard) -> String {
    if !heard.bytes.starts_with(b"PK") {
        return heard.text();
    }
    let mut book: Xlsx<_> = Xlsx::new(std::io::Cursor::new(heard.bytes.clone())).unwrap();
    let sheets = book.worksheets();
    let sheets: Vec<_> = sheets.iter().map(|(name, cells)| (name, cells.rows().collect::<Vec<_>>())).collect();
    format!("{sheets:?}")
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn another_clinics_id_is_answered_as_one_that_nobody_has(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-02").await else { return };
    let mine = furnish(&world, CLINIC, "Lovelace", "mrn-of-a").await;
    let theirs = furnish(&world, OTHER, "Hopper", "mrn-of-b").await;
    let nobodys: Ids = mine
        .iter()
        .map(|(of, _)| (*of, if *of == "Patient" { "mrn-of-none".to_owned() } else { NOBODY.to_owned() }))
        .collect();
    let document = Document::read();
    let secret = secrets(&mine, "Lovelace");
    let mut with_ids = 0;
    // A PUT or POST of FHIR with an id that a clinic does not have makes a resource of its own: they come last.
    let makes_its_own = |o: &Operation| {
        o.path.starts_with("/fhir") && matches!(o.method.as_str(), "PUT" | "POST") && !o.path.ends_with("_search")
    };
    let (makers, others): (Vec<_>, Vec<_>) = document.operations().into_iter().partition(makes_its_own);
    for operation in others.into_iter().chain(makers) {
        if is_tried_elsewhere(&operation) {
            continue;
        }
        let what = format!("{} {}", operation.method, operation.path);
        let makes_its_own = makes_its_own(&operation);
        let uri = format!("{}{}", filled(&operation, &mine), query(&operation, &mine));
        let sent = body(&document, &operation, &mine);

        let stranger = world.call(None, &operation.method, &uri, sent.clone(), &[]).await;
        if OPEN.contains(&operation.path.as_str()) {
            assert_eq!(stranger.status, 200, "{what}");
            continue;
        }
        assert_eq!(stranger.status, 401, "{what} without a token: {}", stranger.text());

        let of_nobody = format!("{}{}", filled(&operation, &nobodys), query(&operation, &nobodys));
        let sent_of_nobody = body(&document, &operation, &nobodys);
        let names_something = (uri != of_nobody || sent != sent_of_nobody) && !makes_its_own;
        let other = ask(&world, OTHER, &operation, &uri, sent.clone()).await;
        // The FHIR door repeats what it is asked for.
        let is_fhir = operation.path.starts_with("/fhir");
        holds_nothing_of(if is_fhir { &secret[secret.len() - 1..] } else { &secret }, &what, &other);
        if names_something {
            with_ids += 1;
            let absent = ask(&world, OTHER, &operation, &of_nobody, sent_of_nobody).await;
            let said = |heard: &Heard, asked: &Ids| {
                let text = heard.text();
                if is_fhir { text.replace(id(asked, "Patient"), "…") } else { text }
            };
            assert_eq!((other.status, said(&other, &mine)), (absent.status, said(&absent, &nobodys)), "{what}");
            let in_path = operation.path.contains("{id}");
            assert!(!in_path || other.status == 404, "{what} by another clinic: {} {}", other.status, other.text());
        }

        // Where the path names one's own, and only the body names another clinic's.
        let own = filled(&operation, &theirs);
        let named = document.names_in_body(&operation);
        if own != uri && mine.iter().any(|(of, _)| named.iter().any(|name| name == of)) {
            let with_mine = ask(&world, OTHER, &operation, &own, sent).await;
            let with_nobodys = ask(&world, OTHER, &operation, &own, body(&document, &operation, &nobodys)).await;
            assert!((400..500).contains(&with_mine.status), "{what}: {}", with_mine.text());
            let answers = [&with_mine, &with_nobodys].map(|heard| (heard.status, heard.text()));
            assert_eq!(answers[0], answers[1], "{what}");
        }
    }
    assert!(with_ids > 25, "only {with_ids} operations name anything");

    let still = world.call(Some((CLINIC, Role::Ehr)), "GET", "/fhir/Patient/mrn-of-a", None, &[]).await;
    assert!(still.text().contains("Lovelace"), "another clinic has changed it: {}", still.text());

    // The same requests are about something: by the clinic itself they are no 404.
    // Reads first: what is written has another version.
    let mut operations = document.operations();
    operations.retain(|operation| !is_tried_elsewhere(operation));
    operations.sort_by_key(|operation| operation.method != "GET");
    for operation in operations {
        let uri = format!("{}{}", filled(&operation, &mine), query(&operation, &mine));
        let without = operation.path.starts_with(OF_LISTENERS) && operation.path != OF_LISTENERS;
        if OPEN.contains(&operation.path.as_str()) || operation.method == "DELETE" || without {
            continue;
        }
        let heard = ask(&world, CLINIC, &operation, &uri, body(&document, &operation, &mine)).await;
        let what = format!("{} {}: {} {}", operation.method, operation.path, heard.status, heard.text());
        assert!(!matches!(heard.status, 400 | 401 | 403 | 404 | 405 | 415 | 500..), "{what}");
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn lists_keys_and_cursors_stay_within_their_clinic(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-02").await else { return };
    let mine = furnish(&world, CLINIC, "Lovelace", "mrn-of-a").await;
    // A second patient, so that there is a next page.
    furnish(&world, CLINIC, "Byron", "mrn-of-c").await;
    let theirs = furnish(&world, OTHER, "Hopper", "mrn-of-b").await;
    let secret = secrets(&mine, "Lovelace");
    let document = Document::read();
    let mut lists = 0;
    for operation in document.operations() {
        let is_read = operation.method == "GET" && !operation.path.contains('{');
        if !is_read || OPEN.contains(&operation.path.as_str()) {
            continue;
        }
        let own = query(&operation, &theirs);
        for query in ["", own.as_str()] {
            let uri = format!("{}{query}", operation.path);
            let heard = ask(&world, OTHER, &operation, &uri, None).await;
            assert!(matches!(heard.status, 200 | 400), "{uri} {}", heard.text());
            holds_nothing_of(&secret, &uri, &heard);
            lists += 1;
        }
        let pages = operation.parameters("query").iter().any(|name| name == "cursor");
        if pages && own.is_empty() && operation.path != OF_LISTENERS {
            let first = ask(&world, CLINIC, &operation, &format!("{}?limit=1", operation.path), None).await;
            let first: Value = serde_json::from_slice(&first.bytes).unwrap();
            let cursor = first["next"].as_str().unwrap_or_else(|| panic!("{}: one page: {first}", operation.path));
            let heard = ask(&world, OTHER, &operation, &format!("{}?cursor={cursor}", operation.path), None).await;
            assert_eq!(heard.status, 200, "{}", heard.text());
            holds_nothing_of(&secret, &operation.path, &heard);
        }
    }
    assert!(lists > 15, "only {lists} lists");
    for kind in ["Patient", "QuestionnaireResponse", "Observation"] {
        let found = world.call(Some((OTHER, Role::Ehr)), "GET", &format!("/fhir/{kind}"), None, &[]).await;
        holds_nothing_of(&secret, kind, &found);
    }

    // A key belongs to the clinic that used it.
    let path = |ids: &Ids| format!("/api/v1/episodes/{}/contacts", id(ids, "episode"));
    let contact = || Some(("application/json", json!({"on": "2026-02-02", "kind": "outreach"}).to_string()));
    let key = [("idempotency-key", "k-1")];
    let post =
        async |clinic, ids| world.call(Some((clinic, Role::CareManager)), "POST", &path(ids), contact(), &key).await;
    let first = post(CLINIC, &mine).await;
    assert_eq!(first.status, 201);
    let intruder = post(OTHER, &mine).await;
    assert_eq!((intruder.status, intruder.headers.get("idempotency-replayed")), (404, None));
    // The same key in another clinic is another key.
    let other = furnish(&world, "third", "Noether", "mrn-of-d").await;
    let own = post("third", &other).await;
    assert_eq!((own.status, own.headers.get("idempotency-replayed")), (201, None));
    assert_ne!(own.bytes, first.bytes);
}

#[tokio::test]
async fn the_ehrs_program_may_do_nothing_in_the_registry_but_look_up() {
    let world = World::on("2026-02-02").await;
    let mine = furnish(&world, CLINIC, "Lovelace", "mrn-of-a").await;
    let document = Document::read();
    let of_the_registry = |o: &&Operation| o.path.starts_with("/api/v1/") && !o.path.starts_with(OF_CONNECTIONS);
    for operation in document.operations().iter().filter(of_the_registry) {
        let uri = format!("{}{}", filled(operation, &mine), query(operation, &mine));
        let sent = body(&document, operation, &mine);
        let heard = world.call(Some((CLINIC, Role::Ehr)), &operation.method, &uri, sent, &[]).await;
        let allowed = FOR_THE_EHR.contains(&(operation.method.as_str(), operation.path.as_str()));
        let expected = if allowed { 200 } else { 403 };
        assert_eq!(heard.status, expected, "{} {}: {}", operation.method, operation.path, heard.text());
    }
    // What the care team's people may not do at the FHIR door: write.
    let patient = Some(("application/fhir+json", json!({"resourceType": "Patient", "id": "p"}).to_string()));
    for role in [Role::CareManager, Role::PrimaryCare, Role::PsychiatricConsultant] {
        let heard = world.call(Some((CLINIC, role)), "PUT", "/fhir/Patient/p", patient.clone(), &[]).await;
        assert_eq!(heard.status, 403, "{role:?}");
    }
}
