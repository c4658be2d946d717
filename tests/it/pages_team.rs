//! A team's day on the pages: a doctor's own patients, the month's minutes, and finding a person.

use rstest::rstest;
use serde_json::{Value, json};

use super::api_world::World;
use super::pages_world::{Browser, Seen};
use super::world::Engine;

/// Somebody in care with a doctor, and a recommendation that waits for the doctor: (patient, episode, recommendation).
async fn with_recommendation(world: &World, id: &str, family: &str, doctor: &str) -> (String, String, String) {
    let patient = world.patient(id, family).await;
    let body = json!({"patient": {"id": patient}, "enrolled_on": "2026-01-05", "consent_on": "2026-01-05",
        "care_manager": "Kim", "primary_care_provider": doctor});
    let episode = world.post("episodes", body).await.expect(201).id();
    let review = json!({"reviewed_on": "2026-03-10", "reviewer": "Weiss", "summary": "No change.",
        "recommendations": [{"kind": "medication", "text": "Sertraline 100 mg", "to": "primary_care"}]});
    let review = world.post(&format!("episodes/{episode}/case-reviews"), review).await.expect(201);
    let recommendation = review.body["recommendations"][0]["id"].as_str().unwrap().to_owned();
    (patient, episode, recommendation)
}

async fn decision_of(world: &World, episode: &str) -> Value {
    let all = world.get(&format!("episodes/{episode}/recommendations")).await.expect(200).body;
    all["items"][0]["decision"].clone()
}

fn count(page: &Seen, heading: &str) -> usize {
    let after = page.text.split(heading).nth(1).unwrap_or_else(|| panic!("no {heading} in {}", page.text));
    after.split(['(', ')']).nth(1).unwrap().parse().unwrap()
}

#[rstest]
#[tokio::test]
async fn a_doctor_sees_the_own_patients_and_decides_with_one_click(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    let (patient, episode, recommendation) = with_recommendation(&world, "a", "Byron", "Dr. A. Brandt").await;
    with_recommendation(&world, "b", "Hopper", "Dr. Roy").await;
    let doctor = Browser::as_role(&world.app, "primary_care").await;
    assert_eq!(doctor.get("/").await.expect(303).header("location"), "/my-patients");
    let choice = doctor.get("/my-patients").await.expect(200).text;
    assert!(choice.contains("Choose whose patients to show") && choice.contains("Dr. Roy (1)"), "{choice}");
    let own = "/my-patients?doctor=Dr.+A.+Brandt";
    let page = doctor.get(own).await.expect(200);
    assert_eq!((count(&page, "Recommendations for"), count(&page, "In care")), (1, 1));
    assert!(page.text.contains("Sertraline 100 mg") && page.text.contains("Byron") && !page.text.contains("Hopper"));
    let once = page.hidden("once");
    let decide = format!("/patients/{patient}/decision");
    let accept = [
        ("once", once.as_str()),
        ("recommendation", recommendation.as_str()),
        ("decision", "accepted"),
        ("decided_on", "2026-03-16"),
        ("to", own),
    ];
    let accepted = doctor.post(&decide, &accept).await.expect(303);
    let again = doctor.post(&decide, &accept).await.expect(303);
    assert_eq!(accepted.header("location"), again.header("location"), "sent twice, it is one decision");
    assert_eq!(decision_of(&world, &episode).await, "accepted");
    let after = doctor.get(accepted.header("location")).await.expect(200).text;
    assert!(after.contains("The decision was recorded.") && after.contains("not done yet"));
    let undo = format!("/patients/{patient}/take-back?entry=");
    assert!(after.contains(&undo), "the decision can be taken back at once");
}

#[tokio::test]
async fn a_doctor_who_declines_says_why_and_is_led_to_no_other_site() {
    let world = World::on("2026-03-16").await;
    let (patient, episode, recommendation) = with_recommendation(&world, "a", "Byron", "Roy").await;
    let doctor = Browser::as_role(&world.app, "primary_care").await;
    let decide = format!("/patients/{patient}/decision");
    let declined = |reason: &'static str, to: &'static str| {
        let (doctor, decide, recommendation) = (&doctor, &decide, &recommendation);
        async move {
            let fields = [
                ("recommendation", recommendation.as_str()),
                ("decision", "declined"),
                ("decided_on", "2026-03-16"),
                ("reason", reason),
                ("to", to),
            ];
            doctor.post(decide, &fields).await
        }
    };
    assert!(declined(" ", "/my-patients?doctor=Roy").await.expect(422).text.contains("this is needed"));
    assert_eq!(decision_of(&world, &episode).await, Value::Null);
    let back = declined("Long QT.", "//evil.example/my-patients?").await.expect(303);
    assert_eq!(back.header("location"), format!("/patients/{patient}#recommendations"));
    assert_eq!(decision_of(&world, &episode).await, "declined");
    let page = doctor.get("/my-patients").await.expect(200);
    assert_eq!(count(&page, "Recommendations for"), 0, "the clinic's only doctor needs no choice");
}

#[tokio::test]
async fn the_month_says_which_codes_the_minutes_suggest_and_what_is_missing() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let body = json!({"patient": {"id": patient}, "enrolled_on": "2026-03-02", "consent_on": "2026-03-02", "care_manager": "Kim"});
    let episode = world.post("episodes", body).await.expect(201).id();
    let contact = json!({"on": "2026-03-03", "kind": "treatment", "outcome": "attended", "minutes": 40});
    world.post(&format!("episodes/{episode}/contacts"), contact).await.expect(201);
    let time = world.get("time?month=2026-03").await.expect(200).body;
    let item = &time["items"][0];
    assert_eq!(item["patient"]["id"], patient.as_str());
    assert_eq!((&item["care_manager"], &item["minutes"]), (&json!("Kim"), &json!(40)));
    assert_eq!(item["next_code"], json!({"code": "99494", "minutes": 46}));
    assert_eq!(item["missing"], json!(["score", "case_review"]));
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let page = browser.get("/month").await.expect(200).text;
    for words in ["Minutes of March 2026", "99492", "46 min to 99494", "score of a target measure", "case review"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    world.phq9(&patient, "2026-03-05", 14).await;
    assert_eq!(world.get("time?care_manager=Kim").await.body["items"][0]["missing"], json!(["case_review"]));
    assert_eq!(world.get("time?care_manager=Lee").await.expect(200).body["items"], json!([]));
    // Another month, an unknown one and one that has not begun are no faults.
    for other in ["2026-02", "soon", "2030-01"] {
        browser.get(&format!("/month?month={other}")).await.expect(200);
    }
    let file = browser.get("/month.csv?month=2026-03").await.expect(200);
    assert!(file.header("content-disposition").contains("minutes-2026-03.csv"));
    let lines: Vec<&str> = file.text.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("2026-03,Ada Byron,urn:mrn|p,,Patient/p,Kim,40,yes,99492,1,,case_review,0,"));
    browser.get("/month.csv?month=soon").await.expect(400);
}

#[tokio::test]
async fn an_export_is_exactly_what_the_page_shows() {
    let world = World::on("2026-03-16").await;
    for (id, family, on) in [("a", "Byron", "2026-01-05"), ("b", "Hopper", "2026-03-10"), ("c", "Curie", "2026-01-05")]
    {
        let patient = world.patient(id, family).await;
        world.enroll(&patient, on).await;
        world.phq9(&patient, on, if id == "c" { 8 } else { 18 }).await;
    }
    let browser = Browser::as_role(&world.app, "care_manager").await;
    for query in ["", "?finding=measure_due&sort=name", "?finding=for_review", "?sort=name", "?q=byron&sort=week"] {
        let page = browser.get(&format!("/caseload{query}")).await.expect(200).text;
        let link = page.split("href=\"/caseload.csv").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
        let file = browser.get(&format!("/caseload.csv{link}")).await.expect(200).text;
        let exported: Vec<&str> = file.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        let rows = page.split("<th scope=\"row\"").skip(1).map(|row| row.split("\">").nth(2).unwrap());
        let shown: Vec<&str> = rows.map(|name| name.split('<').next().unwrap()).collect();
        assert_eq!(exported, shown, "{query}");
    }
    Browser::of(&world.app).get("/caseload.csv").await.expect(303);
}

#[rstest]
#[tokio::test]
async fn a_person_is_found_by_any_part_of_the_name_and_by_number(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    for (id, family) in [("demo-003", "Bergström"), ("x9", "O’Brien-Núñez"), ("x_7", "Petrov")] {
        let patient = world.patient(id, family).await;
        world.enroll(&patient, "2026-03-02").await;
    }
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let found = async |typed: &str| {
        let typed: String = form_urlencoded::byte_serialize(typed.as_bytes()).collect();
        let page = browser.get(&format!("/caseload?q={typed}")).await.expect(200).text;
        let listed = world.get(&format!("caseload?q={typed}")).await.expect(200).body;
        let listed = listed["items"].as_array().unwrap().len();
        assert_eq!(page.matches("<th scope=\"row\"").count(), listed, "the page and the API find the same: {typed}");
        (listed, page)
    };
    for typed in
        ["bergstrom", "BERGSTRÖM, ada", "strom", "demo-003", "DEMO-003", "nunez obrien", "o'brien", "x9", "x_7"]
    {
        assert_eq!(found(typed).await.0, 1, "{typed}");
    }
    assert_eq!(found("ada").await.0, 3);
    for typed in ["bergstrom, bob", "demo-004", "b_rg", "mrn0", "%", "—", "urn:mrn1"] {
        assert_eq!(found(typed).await.0, 0, "{typed}");
    }
    let (_, page) = found("demo-003").await;
    assert!(page.contains("demo-003</small>"), "the row says its number: {page}");
}
