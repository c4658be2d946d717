//! Cards in the chart: what they say, about whom, and what is written down of it.

use std::time::Instant;

use cocm_registry::identity::Role;
use reqwest::Url;
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api_world::CLINIC;
use crate::cds_hooks_world::{ENROLLED, Hooked, PUBLIC, TODAY, WITH_ITEM9, view};
use crate::world::{Engine, patient, phq9};

const MODERATE: [u8; 9] = [2, 2, 2, 2, 2, 2, 2, 2, 0];
const MILD: [u8; 9] = [1, 1, 1, 0, 0, 0, 0, 0, 0];

/// The shape of CDS Hooks 2.0, as far as we use it.
#[track_caller]
fn is_a_card(card: &Value) {
    let known = ["uuid", "summary", "detail", "indicator", "source", "links", "overrideReasons"];
    for name in card.as_object().unwrap().keys() {
        assert!(known.contains(&name.as_str()), "{name}");
    }
    assert!(card["uuid"].as_str().unwrap().parse::<Uuid>().is_ok());
    let summary = card["summary"].as_str().unwrap();
    assert!(!summary.is_empty() && summary.encode_utf16().count() < 140, "{summary}");
    assert!(!card["detail"].as_str().unwrap().is_empty());
    assert!(["info", "warning", "critical"].contains(&card["indicator"].as_str().unwrap()));
    assert!(!card["source"]["label"].as_str().unwrap().is_empty());
    assert!(Url::parse(card["source"]["url"].as_str().unwrap()).is_ok());
    let coding = |coding: &Value| {
        assert!(Url::parse(coding["system"].as_str().unwrap()).is_ok());
        assert!(coding["code"].is_string() && coding["display"].is_string());
    };
    if let Some(topic) = card["source"].get("topic") {
        coding(topic);
    }
    for link in card["links"].as_array().unwrap() {
        assert!(link["label"].is_string() && Url::parse(link["url"].as_str().unwrap()).is_ok());
        match link["type"].as_str().unwrap() {
            "absolute" => assert!(link.get("appContext").is_none()),
            "smart" => assert!(link["appContext"].is_string()),
            other => panic!("{other}"),
        }
    }
    card["overrideReasons"].as_array().unwrap().iter().for_each(coding);
}

#[rstest]
#[tokio::test]
async fn a_card_says_where_somebody_stands_and_why(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    let heard = hooked.world.call(None, "GET", "/cds-services", None, &[]).await;
    let services: Value = serde_json::from_slice(&heard.bytes).unwrap();
    let service = &services["services"][0];
    assert_eq!(
        (heard.status, &service["hook"], &service["id"]),
        (200, &json!("patient-view"), &json!("cocm-standing"))
    );
    assert!(service["description"].is_string() && service["prefetch"]["patient"].is_string());

    let ours = hooked.enrolled("ill", ENROLLED, &[(0, MODERATE), (42, MODERATE)]).await;
    let card = hooked.card("ill").await;
    is_a_card(&card);
    assert_eq!(card["indicator"], "warning");
    let detail = card["detail"].as_str().unwrap();
    assert!(detail.contains("week 8 of treatment"), "{detail}");
    assert!(detail.contains("PHQ-9: baseline 16 on 2026-01-05, latest 16 on 2026-02-16, unchanged."), "{detail}");
    assert!(detail.contains("**Asked:** Psychiatric case review, psychiatric consultant"), "{detail}");
    assert_eq!(card["links"][0]["url"], format!("{PUBLIC}/patients/{ours}"));
    // The reasons are the findings' own.
    let episode = hooked.world.get(&format!("patients/{ours}")).await.expect(200).body["episodes"][0]["id"].clone();
    let standing = hooked.world.standing(episode.as_str().unwrap()).await;
    let plain = detail.replace('\\', "");
    let said = standing["findings"].as_array().unwrap().iter();
    let said = said.filter(|finding| plain.contains(finding["reason"].as_str().unwrap())).count();
    assert_eq!(said, standing["findings"].as_array().unwrap().len().min(3), "{plain}\n{standing}");

    // Safety comes first, for everybody.
    hooked.world.arrives(phq9("ill-9", "ill", "2026-03-01T10:00:00Z", WITH_ITEM9)).await;
    let card = hooked.card("ill").await;
    is_a_card(&card);
    assert_eq!(
        (&card["indicator"], &card["source"]["topic"]["code"]),
        (&"critical".into(), &"safety_item9_high".into())
    );
    assert!(
        card["summary"]
            .as_str()
            .unwrap()
            .starts_with("Not assessed: Reported thoughts of death or self-harm on more than half the days"),
        "{card}"
    );
    assert!(card["detail"].as_str().unwrap().starts_with("- **Suicide risk assessment:**"), "{card}");
    hooked.assess(&ours).await;
    assert_eq!(hooked.card("ill").await["indicator"], "warning");

    // Somebody who is well.
    hooked.enrolled("well", ENROLLED, &[(0, MODERATE), (42, MILD)]).await;
    let card = hooked.card("well").await;
    is_a_card(&card);
    assert!(["info", "warning"].contains(&card["indicator"].as_str().unwrap()), "{card}");
}

#[rstest]
#[tokio::test]
async fn nobody_else_has_a_card(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    for nobody in ["nobody", "", "../../x", "a b", "%00", &"x".repeat(200), "Patient/nobody", "' OR 1=1 --"] {
        assert_eq!(hooked.cards(nobody).await, Vec::<Value>::new(), "{nobody}");
    }
    // Known, and not in care.
    hooked.world.arrives(patient("known")).await;
    hooked.world.arrives(phq9("f", "known", "2026-03-01T10:00:00Z", MODERATE)).await;
    assert_eq!(hooked.cards("known").await, Vec::<Value>::new());
    // Not in care, not even seen, and somebody has to ask: whoever opens the chart is told.
    hooked.world.arrives(phq9("g", "unseen", "2026-03-01T10:00:00Z", WITH_ITEM9)).await;
    let card = hooked.card("unseen").await;
    is_a_card(&card);
    assert_eq!(card["indicator"], "critical");
    assert!(!card["detail"].as_str().unwrap().contains("week"), "{card}");
    assert_eq!(hooked.card("Patient/unseen").await["uuid"], card["uuid"]);
    // Discharged.
    let ours = hooked.enrolled("gone", ENROLLED, &[(0, MODERATE)]).await;
    let episode = hooked.world.get(&format!("patients/{ours}")).await.expect(200).body["episodes"][0]["id"].clone();
    let end = json!({"discharged_on": TODAY, "reason": "withdrew"});
    let path = format!("episodes/{}/discharge", episode.as_str().unwrap());
    let said = hooked.world.post(&path, end).await;
    assert!(said.status < 300, "{said:?}");
    assert_eq!(hooked.cards("gone").await, Vec::<Value>::new());
    // The same id in another server is somebody else.
    let mut elsewhere = view("unseen");
    elsewhere["fhirServer"] = json!("https://test.north.example/fhir");
    let heard = hooked.post(&hooked.token(), "/cds-services/cocm-standing", elsewhere.to_string()).await;
    assert_eq!((heard.status, heard.text().as_str()), (200, r#"{"cards":[]}"#));
}

#[rstest]
#[tokio::test]
async fn a_patient_known_by_a_number_is_found_by_the_patient_sent_along(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    let mut form = phq9("g", "x", "2026-03-01T10:00:00Z", WITH_ITEM9);
    form["subject"] = json!({"identifier": {"system": "urn:mrn", "value": "mrn-77"}});
    hooked.world.arrives(form).await;
    let ask = async |prefetch: Value| {
        let mut body = view("77");
        body["prefetch"] = prefetch;
        let heard = hooked.post(&hooked.token(), "/cds-services/cocm-standing", body.to_string()).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        serde_json::from_slice::<Value>(&heard.bytes).unwrap()["cards"].as_array().unwrap().len()
    };
    assert_eq!(ask(json!({ "patient": patient("77") })).await, 1);
    // Another patient's resource beside this id, and rubbish.
    assert_eq!(ask(json!({ "patient": patient("78") })).await, 0);
    let mut swapped = patient("77");
    swapped["id"] = json!("78");
    assert_eq!(ask(json!({ "patient": swapped })).await, 0);
    for rubbish in
        [json!(null), json!([]), json!({"patient": null}), json!({"patient": {"resourceType": "Group"}}), json!(7)]
    {
        assert_eq!(ask(rubbish).await, 0);
    }
}

#[tokio::test]
async fn names_and_reasons_are_words_and_nothing_else() {
    let hooked = Hooked::on(Engine::Sqlite).await.unwrap();
    hooked.world.arrives(patient("one")).await;
    let found = hooked.world.get("patients?reference=Patient/one").await.expect(200);
    let ours = found.body["items"][0]["id"].as_str().unwrap().to_owned();
    let name =
        "<img src=x onerror=alert(1)> [Kim](javascript:alert(1)) **x** https://evil.example www.evil.example\n# x";
    let body = json!({"patient": {"id": ours}, "enrolled_on": ENROLLED, "care_manager": name});
    let episode = hooked.world.post("episodes", body).await.expect(201).id();
    let review = json!({"reviewed_on": "2026-02-20", "reviewer": "<b>Freud</b>", "recommendations":
        [{"kind": "referral", "text": "<script>alert(1)</script>\n- [click](https://evil.example)", "to": "primary_care"}]});
    hooked.world.post(&format!("episodes/{episode}/case-reviews"), review).await.expect(201);
    hooked.world.arrives(phq9("f", "one", "2026-03-01T10:00:00Z", WITH_ITEM9)).await;
    let card = hooked.card("one").await;
    is_a_card(&card);
    let detail = card["detail"].as_str().unwrap();
    assert!(detail.contains("Kim") && detail.contains("script"), "{detail}");
    for wrong in ["<", "[Kim]", "[click]", "s://", "www.", "\n#"] {
        assert!(!detail.contains(wrong), "{wrong}: {detail}");
    }
    assert!(detail.lines().all(|line| line.starts_with("- ")), "{detail}");
    assert!(!card["summary"].as_str().unwrap().contains('<'));
    assert!(!card.to_string().contains("CANARY"));
}

#[rstest]
#[tokio::test]
async fn a_card_keeps_its_name_as_long_as_its_cause(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    hooked.enrolled("one", ENROLLED, &[(0, MODERATE), (42, MODERATE)]).await;
    let before = hooked.card("one").await;
    assert_eq!(hooked.card("one").await, before);
    hooked.world.go_to("2026-03-03").await;
    assert_eq!(hooked.card("one").await["uuid"], before["uuid"], "a day more is no other cause");
    hooked.enrolled("two", ENROLLED, &[(0, MODERATE), (42, MODERATE)]).await;
    assert_ne!(hooked.card("two").await["uuid"], before["uuid"]);
    hooked.world.arrives(phq9("new", "one", "2026-03-02T10:00:00Z", WITH_ITEM9)).await;
    let after = hooked.card("one").await;
    assert_ne!(after["uuid"], before["uuid"]);
}

#[rstest]
#[tokio::test]
async fn the_journal_says_who_saw_a_card_and_what_became_of_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    let ours = hooked.enrolled("one", ENROLLED, &[(0, WITH_ITEM9)]).await;
    let card = hooked.card("one").await["uuid"].as_str().unwrap().to_owned();
    hooked.cards("nobody").await;
    let feedback = json!({"feedback": [
        {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-03-02T09:00:00Z", "overrideReason":
            {"reason": {"code": "known", "system": "x"}, "userComment": "Jane Canary told me"}},
        {"card": card, "outcome": "accepted", "acceptedSuggestions": []},
        {"card": card, "outcome": "overridden", "overrideReason": {"reason": {"code": "Jane Canary told me"}}},
    ]});
    let path = "/cds-services/cocm-standing/feedback";
    let heard = hooked.post(&hooked.token(), path, feedback.to_string()).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    assert_eq!(hooked.post("x.y.z", path, feedback.to_string()).await.status, 401);
    let used = hooked.token();
    assert_eq!(hooked.post(&used, path, feedback.to_string()).await.status, 200);
    assert_eq!(hooked.post(&used, path, feedback.to_string()).await.status, 401);
    assert_eq!(hooked.post(&hooked.token(), path, r#"{"feedback":[{"card":"x"}]}"#).await.status, 422);

    let lines = hooked.lines(CLINIC).await;
    assert_eq!(lines.len(), 1 + 3 + 3);
    let shown = &lines[0];
    assert_eq!(shown.by, "connection:north/Practitioner/example");
    assert_eq!((shown.role, shown.patient.unwrap().to_string()), (Some(Role::Ehr), ours));
    assert_eq!(shown.subject, Some(format!("card/{card}")));
    assert_eq!(shown.request.as_ref().unwrap().ids, ["cocm-standing"]);
    let mut told: Vec<String> = lines[1..4].iter().map(|l| l.changes.as_ref().unwrap().to_string()).collect();
    told.sort();
    assert_eq!(
        told,
        [
            r#"{"outcome":"accepted","reason":null}"#,
            r#"{"outcome":"overridden","reason":"known"}"#,
            r#"{"outcome":"overridden","reason":null}"#,
        ]
    );
    assert!(lines[1..].iter().all(|line| line.subject == shown.subject && !line.is_change()));
    assert!(lines.iter().all(|line| !line.line().contains("Canary")));
}

#[tokio::test]
async fn a_card_comes_when_nothing_can_be_written() {
    let hooked = Hooked::on(Engine::Sqlite).await.unwrap();
    hooked.world.arrives(phq9("g", "one", "2026-03-01T10:00:00Z", WITH_ITEM9)).await;
    let held = hooked.world.app.db.begin("test").await.unwrap();
    let begun = Instant::now();
    assert_eq!(hooked.card("one").await["indicator"], "critical");
    assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
    drop(held);
    assert_eq!(hooked.lines(CLINIC).await.len(), 1);
}

#[tokio::test]
async fn a_chart_is_told_when_the_registry_cannot_be_read() {
    let hooked = Hooked::on(Engine::Sqlite).await.unwrap();
    hooked.world.app.db.close().await;
    let card = hooked.card("one").await;
    assert_eq!(card["indicator"], "info");
    assert!(card["summary"].as_str().unwrap().contains("cannot be read"), "{card}");
}

/// How long a chart waits: `COCM_MEASURE=1 cargo test a_chart_does_not_wait -- --nocapture` says it.
#[rstest]
#[tokio::test]
async fn a_chart_does_not_wait(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    for n in 0..20 {
        hooked.enrolled(&format!("p{n}"), ENROLLED, &[(0, MODERATE), (14, WITH_ITEM9), (42, MODERATE)]).await;
    }
    let rounds = if std::env::var("COCM_MEASURE").is_ok() { 500 } else { 40 };
    let mut took = Vec::new();
    for n in 0..rounds {
        let (token, id) = (hooked.token(), format!("p{}", n % 20));
        let begun = Instant::now();
        let (status, _) = hooked.ask_with(&token, &id).await;
        took.push(begun.elapsed());
        assert_eq!(status, 200);
    }
    took.sort();
    println!("{engine:?}: p50 {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100]);
    // Of a debug build on a busy machine.
    assert!(took[took.len() / 2].as_millis() < 250, "{:?}", took[took.len() / 2]);
}
