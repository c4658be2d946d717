//! What arrives becomes a story, in whichever order it comes.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{ONES, patient, phq9};
use crate::fhir_world::FhirWorld;

fn observation(id: &str, code: &str, value: Value) -> Value {
    let mut observation = json!({"resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2026-03-01T10:00:00Z"});
    observation.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    observation
}

#[tokio::test]
async fn an_error_is_taken_back() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    let form = phq9(Some("q"), "Patient/1", ONES, "2026-03-01");
    world.put(&form).await;
    let mut error = form.clone();
    error["status"] = json!("entered-in-error");
    assert_eq!(world.put(&error).await.status, 200);
    assert!(world.totals("Patient/1").await.is_empty());
    world.put(&form).await;
    assert_eq!(world.totals("Patient/1").await, [Some(9)]);
    // The least that a system sends to take something back.
    let bare = json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "entered-in-error"});
    assert_eq!(world.put(&bare).await.status, 200);
    assert!(world.totals("Patient/1").await.is_empty());
    world.put(&form).await;
    world.ask("DELETE", "/fhir/QuestionnaireResponse/q").send("").await;
    assert!(world.totals("Patient/1").await.is_empty());
    assert!(world.measurements("Patient/1").await.iter().all(|m| m.counting.as_str() == "retracted"));
}

#[tokio::test]
async fn a_correction_replaces_what_it_corrects() {
    let world = FhirWorld::new().await;
    for id in ["1", "2"] {
        world.put(&patient(id, id)).await;
    }
    world.put(&phq9(Some("q"), "Patient/1", ONES, "2026-03-01")).await;
    world.put(&phq9(Some("q"), "Patient/1", [2; 9], "2026-03-01")).await;
    assert_eq!(world.totals("Patient/1").await, [Some(18)]);
    world.put(&phq9(Some("q"), "Patient/2", [2; 9], "2026-03-01")).await;
    assert!(world.totals("Patient/1").await.is_empty(), "it was somebody else's");
    assert_eq!(world.totals("Patient/2").await, [Some(18)]);
}

#[tokio::test]
async fn a_form_may_come_before_its_patient_under_any_name() {
    let world = FhirWorld::new().await;
    let urn = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0";
    let id = urn.trim_start_matches("urn:uuid:");
    world.put(&phq9(Some("by-reference"), &format!("Patient/{id}"), ONES, "2026-03-01")).await;
    world.put(&phq9(Some("by-urn"), urn, [2; 9], "2026-02-01")).await;
    let mut logical = phq9(Some("by-identifier"), "x", [3; 9], "2026-01-01");
    logical["subject"] = json!({"type": "Patient", "identifier": {"system": "urn:mrn", "value": "7"}});
    world.put(&logical).await;
    let waiting = world.quarantine().await;
    assert_eq!(waiting.iter().map(|kept| kept.code.as_str()).collect::<Vec<_>>(), ["patient_not_seen"; 3]);

    world.put(&patient(id, "7")).await;
    assert_eq!(world.quarantine().await, []);
    assert_eq!(world.totals(&format!("Patient/{id}")).await, [Some(27), Some(18), Some(9)]);
    let found = world.get(&format!("/fhir/QuestionnaireResponse?patient={id}")).await.json();
    assert_eq!(found["total"], 3);
}

#[tokio::test]
async fn a_merged_patient_is_the_survivor_whichever_comes_first() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let world = FhirWorld::new().await;
        let mut old = patient("old", "1");
        old["active"] = json!(false);
        old["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/new"}}]);
        old["name"][0]["family"] = json!("Before");
        let sent = [
            old,
            patient("new", "2"),
            phq9(Some("q1"), "Patient/old", ONES, "2026-02-01"),
            phq9(Some("q2"), "Patient/new", [2; 9], "2026-03-01"),
        ];
        for i in order {
            assert_eq!(world.put(&sent[i]).await.status, 201, "{order:?}");
        }
        for key in ["Patient/old", "Patient/new", "urn:mrn|1", "urn:mrn|2"] {
            let person = world.person(key).await;
            assert_eq!(person.reference, "Patient/new", "{key} {order:?}");
            assert_eq!(person.family.as_deref(), Some("Canary"), "{key} {order:?}");
            assert!(!person.inactive && person.seen, "{order:?}");
            assert_eq!(world.totals(key).await, [Some(9), Some(18)], "{key} {order:?}");
        }
        assert_eq!(world.quarantine().await, [], "{order:?}");
        assert_eq!(world.get("/fhir/Patient/old").await.json()["id"], "old", "readable as it came");
    }
}

#[tokio::test]
async fn a_merged_patient_that_is_sent_twice_before_the_survivor_does_not_take_its_place() {
    let world = FhirWorld::new().await;
    let mut old = patient("old", "1");
    old["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/new"}}]);
    world.put(&old).await;
    old["name"][0]["family"] = json!("Before");
    world.put(&old).await;
    world.put(&phq9(Some("q"), "Patient/old", ONES, "2026-02-01")).await;
    assert_eq!(world.quarantine().await.len(), 1);
    world.put(&patient("new", "2")).await;
    let person = world.person("Patient/old").await;
    assert_eq!((person.reference.as_str(), person.family.as_deref()), ("Patient/new", Some("Canary")));
    assert_eq!(world.quarantine().await, []);
}

#[tokio::test]
async fn an_identifier_that_was_replaced_leads_nowhere() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "old")).await;
    world.put(&patient("1", "new")).await;
    assert_eq!(world.get("/fhir/Patient?identifier=urn:mrn%7Cold").await.json()["total"], 0);
    assert_eq!(world.get("/fhir/Patient?identifier=urn:mrn%7Cnew").await.json()["total"], 1);
    world.put(&patient("2", "old")).await;
    let mut logical = phq9(Some("q"), "x", ONES, "2026-03-01");
    logical["subject"] = json!({"identifier": {"system": "urn:mrn", "value": "old"}});
    world.put(&logical).await;
    assert!(world.totals("Patient/1").await.is_empty(), "the number is somebody else's now");
    assert_eq!(world.totals("Patient/2").await, [Some(9)]);
}

#[tokio::test]
async fn two_patients_with_one_number_are_nobody() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    world.put(&patient("2", "7")).await;
    let mut logical = phq9(Some("q"), "x", ONES, "2026-03-01");
    logical["subject"] = json!({"identifier": {"system": "urn:mrn", "value": "7"}});
    world.put(&logical).await;
    assert_eq!(world.quarantine().await[0].code, "ambiguous_subject");
    for key in ["Patient/1", "Patient/2"] {
        assert!(world.totals(key).await.is_empty(), "{key}");
    }
}

#[tokio::test]
async fn death_is_known_from_either_form_and_can_be_an_error() {
    let world = FhirWorld::new().await;
    let mut dead = patient("1", "7");
    dead["deceasedDateTime"] = json!("2026-02-27");
    world.put(&dead).await;
    assert_eq!(world.person("Patient/1").await.deceased_on, Some("2026-02-27".parse().unwrap()));
    world.put(&patient("1", "7")).await;
    assert_eq!(world.person("Patient/1").await.deceased_on, None);
    dead.as_object_mut().unwrap().remove("deceasedDateTime");
    dead["deceasedBoolean"] = json!(true);
    world.put(&dead).await;
    assert_eq!(world.person("Patient/1").await.deceased_on, Some("2026-03-02".parse().unwrap()));
}

#[tokio::test]
async fn items_that_come_one_by_one_become_one_form() {
    const CODES: [&str; 9] =
        ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"];
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    for code in CODES {
        let answer = json!({"valueCodeableConcept": {"coding": [{"system": "http://loinc.org", "code": "LA6569-3"}]}});
        assert_eq!(world.put(&observation(code, code, answer)).await.status, 201);
    }
    assert_eq!(world.totals("Patient/1").await, [Some(9)]);
    world.ask("DELETE", "/fhir/Observation/44260-8").send("").await;
    let all = world.measurements("Patient/1").await;
    assert_eq!(all.iter().map(|m| m.item9).collect::<Vec<_>>(), [None]);
    world.put(&observation("total", "44261-6", json!({"valueQuantity": {"value": 12}}))).await;
    assert!(world.totals("Patient/1").await.contains(&Some(12)));
}

#[tokio::test]
async fn items_follow_their_patient_and_their_instant() {
    let world = FhirWorld::new().await;
    for id in ["1", "2"] {
        world.put(&patient(id, id)).await;
    }
    let item = |id: &str, subject: Value, code: &str, at: &str| {
        let answer = json!({"valueCodeableConcept": {"coding": [{"system": "http://loinc.org", "code": "LA6571-9"}]}});
        let mut item = observation(id, code, answer);
        item["subject"] = subject;
        item["effectiveDateTime"] = json!(at);
        item
    };
    let (first, second) = (json!({"reference": "Patient/1"}), json!({"reference": "Patient/2"}));
    let (early, late) = ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z");
    let item9s = async |key: &str| -> Vec<Option<u8>> {
        let all = world.measurements(key).await;
        all.iter().filter(|m| m.counting.as_str() != "retracted").map(|m| m.item9).collect()
    };
    world.put(&item("a", first.clone(), "44250-9", early)).await;
    world.put(&item("b", first.clone(), "44260-8", early)).await;
    assert_eq!(item9s("Patient/1").await, [Some(3)]);
    world.put(&item("b", first.clone(), "44260-8", late)).await;
    assert_eq!(item9s("Patient/1").await, [None, Some(3)], "each at its own instant");
    world.put(&item("b", second, "44260-8", late)).await;
    assert_eq!((item9s("Patient/1").await, item9s("Patient/2").await), (vec![None], vec![Some(3)]));
    world.put(&item("a", first, "69722-7", early)).await;
    assert!(item9s("Patient/1").await.is_empty(), "it was no item after all");

    // Items under two names of a person who then turns out to be one.
    let logical = json!({"identifier": {"system": "urn:mrn", "value": "3"}});
    world.put(&item("c", logical, "44250-9", early)).await;
    world.put(&patient("3", "3")).await;
    world.put(&item("d", json!({"reference": "Patient/3"}), "44260-8", early)).await;
    assert_eq!(item9s("Patient/3").await, [Some(3)]);
}

#[tokio::test]
async fn items_of_two_records_that_are_merged_are_one_taking() {
    let world = FhirWorld::new().await;
    for id in ["old", "new"] {
        world.put(&patient(id, id)).await;
    }
    let item = |id: &str, subject: &str, code: &str| {
        let answer = json!({"valueCodeableConcept": {"coding": [{"system": "http://loinc.org", "code": "LA6571-9"}]}});
        let mut item = observation(id, code, answer);
        item["subject"] = json!({"reference": subject});
        item
    };
    world.put(&item("a", "Patient/old", "44250-9")).await;
    let mut old = patient("old", "old");
    old["link"] = json!([{"type": "replaced-by", "other": {"reference": "Patient/new"}}]);
    world.put(&old).await;
    world.put(&item("b", "Patient/new", "44260-8")).await;
    let all = world.measurements("Patient/new").await;
    let counted: Vec<_> = all.iter().filter(|m| m.counting.as_str() != "retracted").collect();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0].answers.iter().flatten().count(), 2);
}

#[tokio::test]
async fn every_order_of_a_small_story_ends_the_same() {
    let retracted = {
        let mut form = phq9(Some("q1"), "Patient/1", ONES, "2026-02-01");
        form["status"] = json!("entered-in-error");
        form["meta"] = json!({"versionId": "3"});
        form
    };
    let versioned = |mut form: Value, version: &str| {
        form["meta"] = json!({"versionId": version});
        form
    };
    let sent = [
        versioned(patient("1", "7"), "1"),
        versioned(phq9(Some("q1"), "Patient/1", ONES, "2026-02-01"), "1"),
        versioned(phq9(Some("q1"), "Patient/1", [2; 9], "2026-02-01"), "2"),
        retracted,
        versioned(phq9(Some("q2"), "Patient/1", [3; 9], "2026-03-01"), "1"),
    ];
    // Every rotation, forwards and backwards, each thing twice.
    for shift in 0..sent.len() {
        for backwards in [false, true] {
            let mut order: Vec<usize> = (0..sent.len()).map(|i| (i + shift) % sent.len()).collect();
            if backwards {
                order.reverse();
            }
            let world = FhirWorld::new().await;
            for i in order.iter().chain(&order) {
                assert!(world.put(&sent[*i]).await.status.is_success(), "{order:?}");
            }
            assert_eq!(world.totals("Patient/1").await, [Some(27)], "{order:?}");
            assert_eq!(world.quarantine().await, [], "{order:?}");
        }
    }
}

/// `COCM_SHARED`, or a `shared` beside the project or above it.
fn corpus() -> Option<PathBuf> {
    let beside =
        [concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"), concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")];
    let places = std::env::var("COCM_SHARED").into_iter().chain(beside.map(str::to_owned));
    let found = places.map(|place| PathBuf::from(place).join("corpus")).find(|path| path.is_dir());
    if found.is_none() {
        eprintln!("\n!!! SKIPPED: no corpus; set COCM_SHARED to the folder that holds `corpus`\n");
    }
    found
}

fn rows(folder: &std::path::Path) -> Vec<(HashMap<String, String>, Value)> {
    let table = std::fs::read_to_string(folder.join("index.tsv")).unwrap();
    let mut lines = table.lines().map(|line| line.split('\t').map(str::to_owned));
    let columns: Vec<String> = lines.next().unwrap().collect();
    let rows = lines.map(|line| {
        let row: HashMap<String, String> = columns.iter().cloned().zip(line).collect();
        let raw = std::fs::read_to_string(folder.join(&row["file"])).unwrap();
        (row, serde_json::from_str(&raw).unwrap())
    });
    rows.collect()
}

/// What was measured from a resource, as (total, item 9).
async fn measured_from(world: &FhirWorld, subject: &str, source: &str) -> Vec<(Option<u16>, Option<u8>)> {
    let all = world.measurements(subject).await;
    all.iter().filter(|m| m.source == source).map(|m| (m.total, m.item9)).collect()
}

#[tokio::test]
async fn what_strangers_really_send_is_measured_as_the_corpus_says() {
    let Some(corpus) = corpus() else { return };
    let world = FhirWorld::new().await;
    world.clock.set("2026-06-01T12:00:00Z".parse().unwrap());
    world.put(&patient("joined", "joined")).await;
    for (row, mut patient) in rows(&corpus.join("patient")) {
        let file = &row["file"];
        let answer = world.post("/fhir/Patient", &patient).await;
        assert!(answer.status.is_success(), "{file} {}", answer.text);
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        patient["id"] = json!(id);
        assert_eq!(world.get(&format!("/fhir/Patient/{id}")).await.json(), patient, "{file}");
        let person = world.person(&format!("Patient/{id}")).await;
        assert_eq!(person.deceased_on.is_some(), row["expected_handling"].contains("deceased"), "{file}");
    }
    for (i, (row, form)) in rows(&corpus.join("qr")).into_iter().enumerate() {
        let file = &row["file"];
        let answer = world.post("/fhir/QuestionnaireResponse", &form).await;
        assert_eq!(answer.status, 201, "{file} {}", answer.text);
        // Once more about somebody known, under an id of its own: the same answers.
        let (id, mut joined) = (format!("corpus-{i}"), form);
        joined["id"] = json!(id);
        joined["subject"] = json!({"reference": "Patient/joined"});
        // One of them is from the year 2030.
        joined["authored"] = json!("2026-05-01");
        let answer = world.put(&joined).await;
        assert_eq!(answer.status, 201, "{file} {}", answer.text);
        let source = format!("QuestionnaireResponse/{id}");
        let measured = measured_from(&world, "Patient/joined", &source).await;
        if row["instrument"].starts_with("PHQ-9") || row["instrument"].starts_with("GAD-7") {
            let [(total, item9)] = measured[..] else { panic!("{file} {measured:?}") };
            let answers: Vec<Option<u16>> = row["item_scores_in_order"].split(' ').map(|a| a.parse().ok()).collect();
            if answers.iter().all(Option::is_some) {
                assert_eq!(total, row["expected_sum_of_answered_items"].parse().ok(), "{file}");
            }
            assert_eq!(item9, row["expected_item9"].parse().ok(), "{file}");
        } else {
            // A form of another kind has no PHQ-9 or GAD-7 score and raises nothing about self-harm.
            assert!(measured.iter().all(|(total, item9)| total.is_none() && item9.is_none()), "{file} {measured:?}");
        }
    }
    for (i, (row, mut observation)) in rows(&corpus.join("obs")).into_iter().enumerate() {
        let file = &row["file"];
        let answer = world.post("/fhir/Observation", &observation).await;
        assert_eq!(answer.status, 201, "{file} {}", answer.text);
        let id = format!("corpus-{i}");
        observation["id"] = json!(id);
        observation["subject"] = json!({"reference": "Patient/joined"});
        assert_eq!(world.put(&observation).await.status, 201, "{file}");
        if let Ok(total) = row["expected_total_or_value"].parse::<u16>()
            && row["instrument"] != "AUDIT-C"
        {
            let measured = measured_from(&world, "Patient/joined", &format!("Observation/{id}")).await;
            assert_eq!(measured.iter().map(|m| m.0).collect::<Vec<_>>(), [Some(total)], "{file}");
        }
    }
}
