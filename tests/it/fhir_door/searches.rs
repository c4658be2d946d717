//! Searches.

use cocm_registry::identity::Role;
use serde_json::{Value, json};

use super::{ONES, patient, phq9};
use crate::fhir_world::FhirWorld;

fn ids(bundle: &Value) -> Vec<&str> {
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry["resource"]["id"].as_str()).collect()
}

fn next(bundle: &Value) -> Option<String> {
    let link = bundle["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next")?;
    Some(link["url"].as_str().unwrap().trim_start_matches("http://registry.example").to_owned())
}

/// Three patients; four forms of the first, one of the second.
async fn world() -> FhirWorld {
    let world = FhirWorld::new().await;
    for (id, mrn) in [("a", "1"), ("b", "2"), ("c_d", "100%")] {
        world.put(&patient(id, mrn)).await;
    }
    for (minute, (id, subject, day)) in [
        ("q1", "Patient/a", "2026-02-20"),
        ("q2", "Patient/a", "2026-02-27T10:00:00Z"),
        ("q3", "Patient/a", "2026-01-15"),
        ("q4", "http://registry.example/fhir/Patient/a", "2025-12-15"),
        ("q5", "Patient/b", "2026-02-01"),
    ]
    .iter()
    .enumerate()
    {
        world.clock.set(format!("2026-03-02T10:{minute:02}:00Z").parse().unwrap());
        let mut form = phq9(Some(id), subject, ONES, day);
        form["identifier"] = json!({"system": "urn:form", "value": id});
        assert_eq!(world.put(&form).await.status, 201);
    }
    world
}

#[tokio::test]
async fn every_parameter_finds_what_it_should() {
    let world = world().await;
    let form = "QuestionnaireResponse";
    for (path, expected) in [
        ("Patient?identifier=urn:mrn%7C1".to_owned(), vec!["a"]),
        ("Patient?identifier=urn:mrn|1,urn:mrn|2".to_owned(), vec!["a", "b"]),
        ("Patient?identifier=1".to_owned(), vec!["a"]),
        ("Patient?identifier=%7C1".to_owned(), vec![]),
        ("Patient?identifier=urn:mrn%7C".to_owned(), vec!["a", "b", "c_d"]),
        ("Patient?identifier=URN:MRN%7C1".to_owned(), vec![]),
        ("Patient?identifier=100%25".to_owned(), vec!["c_d"]),
        ("Patient?identifier=%25".to_owned(), vec![]),
        ("Patient?_id=b,a,nobody".to_owned(), vec!["a", "b"]),
        ("Patient?_id=a&identifier=urn:mrn%7C2".to_owned(), vec![]),
        ("Patient".to_owned(), vec!["a", "b", "c_d"]),
        (format!("{form}?patient=Patient/a"), vec!["q1", "q2", "q3", "q4"]),
        (format!("{form}?subject=a,b&_sort=-_lastUpdated"), vec!["q5", "q4", "q3", "q2", "q1"]),
        (format!("{form}?subject:Patient=http://registry.example/fhir/Patient/b"), vec!["q5"]),
        (format!("{form}?subject:Patient=http://x/Patient/b"), vec![]),
        (format!("{form}?patient.identifier=urn:mrn%7C2"), vec!["q5"]),
        (format!("{form}?patient=a&patient=b"), vec![]),
        (format!("{form}?patient=nobody"), vec![]),
        (format!("{form}?identifier=urn:form%7Cq3"), vec!["q3"]),
        (format!("{form}?patient=a&_sort=-authored&_count=1"), vec!["q2"]),
        (format!("{form}?patient=a&_sort=authored"), vec!["q4", "q3", "q1", "q2"]),
        (format!("{form}?patient=a&authored=ge2026-02&authored=lt2026-02-27"), vec!["q1"]),
        (format!("{form}?questionnaire=http%3A%2F%2Floinc.org%2Fq%2F44249-1&_count=2"), vec!["q1", "q2"]),
        (format!("{form}?questionnaire=http://loinc.org/q/69737-5"), vec![]),
        (format!("{form}?status=completed&subject=b"), vec!["q5"]),
        (format!("{form}?status=amended"), vec![]),
        (format!("{form}?_lastUpdated=ge2026-03-02T10:03:00Z"), vec!["q4", "q5"]),
        (format!("{form}?_lastUpdated=gt2026-03-02T10:03:00Z"), vec!["q5"]),
        (format!("{form}?_lastUpdated=gt2026-03-02T10:00:00Z&_lastUpdated=lt2026-03-02T10:02:00Z"), vec!["q2"]),
        (format!("{form}?patient=a&_lastUpdated=le2026-03-02T10:00:00Z"), vec!["q1"]),
        (format!("{form}?_lastUpdated=2026-03-01"), vec![]),
        (format!("{form}?_sort=_lastUpdated&patient="), vec!["q1", "q2", "q3", "q4", "q5"]),
        ("Observation?patient=a".to_owned(), vec![]),
    ] {
        let answer = world.get(&format!("/fhir/{path}")).await;
        assert_eq!(answer.status, 200, "{path} {}", answer.text);
        let bundle = answer.json();
        assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("searchset")));
        assert_eq!(ids(&bundle), expected, "{path}");
        for entry in bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let name = format!("http://registry.example/fhir/{}", path.split('?').next().unwrap());
            assert_eq!(entry["fullUrl"], format!("{name}/{}", entry["resource"]["id"].as_str().unwrap()));
            assert_eq!(entry["search"]["mode"], "match");
        }
    }
}

#[tokio::test]
async fn the_pages_together_are_the_whole_and_none_comes_twice() {
    let world = world().await;
    // All in one instant, so that the pages have to part what has the same time.
    for i in 0..7 {
        world.put(&patient(&format!("tie-{i}"), &format!("tie-{i}"))).await;
    }
    for query in [
        "Patient?_count=2",
        "Patient?_count=3&_sort=_lastUpdated",
        "QuestionnaireResponse?patient=a&_count=3&_sort=-authored",
        "QuestionnaireResponse?status=completed&_count=2",
        "Patient?identifier=urn:mrn%7C&_count=4&_sort=-_lastUpdated",
    ] {
        let mut path = format!("/fhir/{query}");
        let mut seen: Vec<String> = Vec::new();
        let mut pages = 0;
        loop {
            let bundle = world.get(&path).await.json();
            seen.extend(ids(&bundle).into_iter().map(str::to_owned));
            pages += 1;
            let Some(url) = next(&bundle) else { break };
            path = url;
        }
        let whole = world.get(&format!("/fhir/{}", query.replace("_count=2", "").replace("_count=", "_count=9"))).await;
        assert_eq!(seen, ids(&whole.json()), "{query}");
        assert!(pages > 1, "{query}");
    }
}

#[tokio::test]
async fn what_is_counted_is_not_sent() {
    let world = world().await;
    for (query, total) in [
        ("Patient?_summary=count", 3),
        ("Patient?_count=0", 3),
        ("QuestionnaireResponse?_summary=count&patient=a", 4),
        ("QuestionnaireResponse?_summary=count&status=completed", 5),
        ("QuestionnaireResponse?_summary=count&_lastUpdated=gt2026-03-02T10:02:00Z", 2),
    ] {
        let bundle = world.get(&format!("/fhir/{query}")).await.json();
        assert_eq!((&bundle["total"], ids(&bundle).len()), (&json!(total), 0), "{query}");
    }
    let all = world.get("/fhir/QuestionnaireResponse").await.json();
    assert_eq!(all["total"], 5, "known where it all fits on a page");
}

#[tokio::test]
async fn what_is_not_understood_is_said() {
    let world = world().await;
    let lenient = world.get("/fhir/Patient?name=Canary&_id=a").await.json();
    let [found, told] = lenient["entry"].as_array().unwrap().as_slice() else { panic!("{lenient}") };
    assert_eq!((&found["search"]["mode"], &told["search"]["mode"]), (&json!("match"), &json!("outcome")));
    assert_eq!(told["resource"]["resourceType"], "OperationOutcome");
    assert_eq!(lenient["link"][0]["url"], "http://registry.example/fhir/Patient?_id=a", "as it was understood");
    let strict = world.ask("GET", "/fhir/Patient?name=Canary").header("prefer", "handling=strict").send("").await;
    assert_eq!((strict.status.as_u16(), strict.issue().0.as_str()), (400, "structure"));
    for (query, place) in [
        ("_lastUpdated=yesterday", "_lastUpdated"),
        ("_lastUpdated=ne2026", "_lastUpdated"),
        ("_count=many", "_count"),
        ("_count=-1", "_count"),
        ("_sort=name", "_sort"),
        ("_sort=-_lastUpdated", "_sort"),
        ("_summary=true", "_summary"),
        ("_cursor=x", "_cursor"),
        ("identifier:of-type=a|b|c", "identifier"),
    ] {
        let answer = world.get(&format!("/fhir/Patient?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.issue().1.as_str()), (400, place), "{query}");
    }
}

#[tokio::test]
async fn a_search_may_be_sent_as_a_form() {
    let world = world().await;
    let ask = |kind: &'static str| world.ask("POST", "/fhir/Patient/_search?_count=1").header("content-type", kind);
    let found = ask("application/x-www-form-urlencoded").send("identifier=urn%3Amrn%7C1").await;
    assert_eq!(ids(&found.json()), ["a"]);
    assert_eq!(ask("application/json").send("{}").await.status, 415);
    let care = world
        .ask("POST", "/fhir/Patient/_search")
        .of("demo", Role::CareManager)
        .header("content-type", "application/x-www-form-urlencoded")
        .send("_id=b")
        .await;
    assert_eq!(ids(&care.json()), ["b"]);
}

#[tokio::test]
async fn what_is_deleted_is_not_found() {
    let world = world().await;
    world.ask("DELETE", "/fhir/QuestionnaireResponse/q5").send("").await;
    for query in ["patient=b", "_id=q5", "identifier=urn:form%7Cq5", "_lastUpdated=ge2026-03-02T10:04:00Z"] {
        assert_eq!(world.get(&format!("/fhir/QuestionnaireResponse?{query}")).await.json()["total"], 0, "{query}");
    }
}
