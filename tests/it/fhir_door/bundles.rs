//! Bundles: entry by entry, or all or nothing.

use std::time::Duration;

use cocm_registry::identity::Role;
use serde_json::{Value, json};

use super::{ONES, at_version, patient, phq9};
use crate::fhir_world::FhirWorld;

fn statuses(bundle: &Value) -> Vec<&str> {
    let entries = bundle["entry"].as_array().unwrap_or_else(|| panic!("{bundle}"));
    entries.iter().map(|entry| &entry["response"]["status"].as_str().unwrap()[..3]).collect()
}

fn post(resource: Value) -> Value {
    let kind = resource["resourceType"].clone();
    json!({"resource": resource, "request": {"method": "POST", "url": kind}})
}

fn put(resource: Value) -> Value {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({"resource": resource, "request": {"method": "PUT", "url": url}})
}

fn anonymous(mrn: &str) -> Value {
    let mut patient = patient("x", mrn);
    patient.as_object_mut().unwrap().remove("id");
    patient
}

#[tokio::test]
async fn every_entry_of_a_batch_is_answered_for_itself() {
    let world = FhirWorld::new().await;
    world.put(&patient("known", "0")).await;
    let entries = json!([
        put(patient("1", "7")),
        put(json!({"resourceType": "Patient", "id": "1 2"})),
        {"request": {"method": "PUT", "url": "Patient/2"}, "resource": {"resourceType": "Patient", "id": "3"}},
        post(json!({"resourceType": "Encounter"})),
        post(phq9(None, "Patient/1", ONES, "2026-03-01")),
        {"request": {"method": "DELETE", "url": "Patient/known"}},
        {"request": {"method": "DELETE", "url": "Patient/never"}},
        {"request": {"method": "PUT", "url": "Patient/1", "ifMatch": "W/\"9\""}, "resource": patient("1", "8")},
        {"request": {"method": "PATCH", "url": "Patient/1"}},
        {"request": {"method": "POST", "url": "Patient"}},
        {"resource": patient("4", "4")},
        7,
        {"request": {"method": "GET", "url": "Patient/1"}},
        {"request": {"method": "GET", "url": "/QuestionnaireResponse?patient=Patient/1&_sort=-authored&_count=1"}},
        {"request": {"method": "GET", "url": "Patient/known"}},
        {"request": {"method": "GET", "url": "Patient/1", "ifNoneMatch": "W/\"1\""}},
    ]);
    let answer = world.bundle("batch", entries).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let bundle = answer.json();
    assert_eq!(bundle["type"], "batch-response");
    assert_eq!(
        statuses(&bundle),
        [
            "201", "400", "400", "404", "201", "204", "404", "412", "405", "400", "201", "400", "200", "200", "410",
            "304"
        ]
    );
    let entry = |i: usize| &bundle["entry"][i];
    assert_eq!(entry(0)["response"]["location"], "Patient/1/_history/1");
    assert_eq!(entry(0)["response"]["etag"], "W/\"1\"");
    assert_eq!(entry(0)["response"]["lastModified"], "2026-03-02T09:00:00.000000Z");
    assert!(entry(0)["resource"].is_null());
    for (i, place) in [
        (1, "Bundle.entry[1].request.url"),
        (2, "Bundle.entry[2].resource.id"),
        (3, "Bundle.entry[3].request.url"),
        (6, "Bundle.entry[6]"),
        (7, "Bundle.entry[7]"),
        (9, "Bundle.entry[9].resource"),
        (11, "Bundle.entry[11]"),
        (14, "Bundle.entry[14]"),
    ] {
        assert_eq!(entry(i)["response"]["outcome"]["issue"][0]["expression"][0], place, "{}", entry(i));
    }
    assert_eq!(entry(12)["resource"], patient("1", "7"));
    assert_eq!(entry(13)["resource"]["total"], 1);
    assert_eq!(world.totals("Patient/1").await, [Some(9)]);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing_and_names_what_failed() {
    let world = FhirWorld::new().await;
    world.put(&patient("known", "0")).await;
    let good = put(patient("1", "7"));
    for (bad, status, place) in [
        (post(json!({"resourceType": "Encountr"})), 404, "Bundle.entry[1].request.url"),
        (
            json!({"request": {"method": "POST", "url": "Encounter"}, "resource": patient("9", "9")}),
            404,
            "Bundle.entry[1].request.url",
        ),
        (
            json!({"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Encounter"}}),
            422,
            "Bundle.entry[1].resource.resourceType",
        ),
        (
            post(json!({"resourceType": "QuestionnaireResponse", "status": "done"})),
            400,
            "Bundle.entry[1].resource.status",
        ),
        (put(patient("1", "8")), 400, "Bundle.entry[1].request.url"),
        (json!({"request": {"method": "DELETE", "url": "Patient/never"}}), 404, "Bundle.entry[1]"),
        (
            json!({"request": {"method": "PUT", "url": "Patient/known", "ifMatch": "W/\"9\""}, "resource": patient("known", "0")}),
            412,
            "Bundle.entry[1]",
        ),
        (
            json!({"request": {"method": "PUT", "url": "Patient?identifier=urn:mrn|0"}, "resource": patient("other", "0")}),
            400,
            "Bundle.entry[1].resource.id",
        ),
        (
            json!({"request": {"method": "PUT", "url": "Patient?name=x"}, "resource": anonymous("0")}),
            400,
            "Bundle.entry[1].request.url",
        ),
        (json!({}), 400, "Bundle.entry[1].request"),
        (json!("x"), 400, "Bundle.entry[1]"),
    ] {
        let answer = world.bundle("transaction", json!([good, bad])).await;
        assert_eq!((answer.status.as_u16(), answer.issue().1.as_str()), (status, place), "{bad}");
        assert_eq!(world.get("/fhir/Patient/1").await.status, 404, "{bad}");
    }
    let answer = world.bundle("transaction", json!([good, post(phq9(None, "Patient/1", ONES, "2026-03-01"))])).await;
    assert_eq!(
        (&answer.json()["type"], statuses(&answer.json())),
        (&json!("transaction-response"), vec!["201", "201"])
    );
}

#[tokio::test]
async fn a_transaction_keeps_ours_and_says_what_is_not_kept() {
    let world = FhirWorld::new().await;
    let entries = json!([
        put(patient("1", "7")),
        put(json!({"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/1"}})),
        {"request": {"method": "GET", "url": "Encounter?patient=1"}},
        post(phq9(None, "Patient/1", ONES, "2026-03-01")),
    ]);
    let answer = world.bundle("transaction", entries).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    assert_eq!(statuses(&answer), ["201", "200", "200", "201"]);
    let issue = &answer["entry"][1]["response"]["outcome"]["issue"][0];
    assert_eq!(issue["severity"], "information");
    assert!(issue["diagnostics"].as_str().unwrap().starts_with("not kept here"));
    assert_eq!(world.totals("Patient/1").await, [Some(9)]);
}

#[tokio::test]
async fn bundles_of_converters_are_taken_in() {
    let world = FhirWorld::new().await;
    let urn = "urn:uuid:7b1f3f2e-0000-4000-8000-000000000001";
    for (n, kind) in ["transaction", "batch", "collection", "message", "document"].into_iter().enumerate() {
        let person = format!("p{n}");
        let entries = json!([
            {"resource": {"resourceType": "MessageHeader", "id": "m"}},
            {"fullUrl": urn, "resource": patient(&person, &person)},
            {"resource": phq9(None, urn, ONES, "2026-03-01")},
            {"resource": {"resourceType": "Encounter"}},
        ]);
        let bundle = json!({"resourceType": "Bundle", "type": kind, "entry": entries});
        // To the type, as some engines send everything.
        let path = if n % 2 == 0 { "/fhir/Bundle" } else { "/fhir/Bundle/" };
        let answer = world.post(path, &bundle).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        assert_eq!(statuses(&answer.json()), ["200", "201", "201", "200"], "{kind}");
        assert_eq!(world.totals(&format!("Patient/{person}")).await, [Some(9)], "{kind}");
    }
    assert_eq!(world.get("/fhir/metadata/").await.status, 200);
    assert_eq!(world.get("/fhir/Patient/p1/").await.status, 200);
    assert_eq!(world.get("/fhir/Patient/?_id=p1").await.json()["total"], 1);
    assert_eq!(world.get("/fhir/Bundle").await.status, 405);
}

#[tokio::test]
async fn a_condition_may_name_its_type() {
    let world = FhirWorld::new().await;
    let mut entry = post(anonymous("7"));
    for condition in ["Patient?identifier=urn:mrn|7", "/Patient?identifier=urn:mrn|7", "identifier=urn:mrn|7"] {
        entry["request"]["ifNoneExist"] = json!(condition);
        let answer = world.bundle("transaction", json!([entry])).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(world.get("/fhir/Patient?identifier=urn:mrn|7").await.json()["total"], 1);
}

#[tokio::test]
async fn references_between_the_entries_are_resolved() {
    let world = FhirWorld::new().await;
    let name = |n: u8| format!("urn:uuid:7b1f3f2e-0000-4000-8000-{n:012}");
    let with = |mut entry: Value, n: u8| {
        entry["fullUrl"] = json!(name(n));
        entry
    };
    // Forms before their patients: the order of a Bundle says nothing.
    let entries = json!([
        post(phq9(None, &name(1), ONES, "2026-03-01")),
        post(phq9(Some("q2"), &name(2), [2; 9], "2026-03-01")),
        with(post(anonymous("7")), 1),
        with(put(patient("given", "8")), 2),
        with(post(json!({"resourceType": "Patient", "name": [{"family": "Canary"}]})), 3),
        post(phq9(None, &name(3), [3; 9], "2026-03-01")),
        post(phq9(Some("nobody"), &name(9), ONES, "2026-03-01")),
    ]);
    let first = world.bundle("transaction", entries.clone()).await.json();
    assert_eq!(statuses(&first), ["201"; 7]);
    let place = |i: usize| first["entry"][i]["response"]["location"].as_str().unwrap().replace("/_history/1", "");
    assert_eq!(place(3), "Patient/given");
    for (patient, form, total) in [(2, 0, 9), (3, 1, 18), (4, 5, 27)] {
        assert_eq!(world.totals(&place(patient)).await, [Some(total)]);
        let stored = world.get(&format!("/fhir/{}", place(form))).await.json();
        assert_eq!(stored["subject"]["reference"], place(patient), "stored with what the reference means");
    }
    let waiting = world.quarantine().await;
    assert_eq!(waiting.iter().map(|kept| kept.resource_id.as_str()).collect::<Vec<_>>(), ["nobody"]);
    let again = world.bundle("transaction", entries).await.json();
    assert_eq!(statuses(&again), ["200"; 7], "sent again, nothing is new");
}

#[tokio::test]
async fn a_conditional_create_in_a_bundle_leads_to_whoever_is_there() {
    let world = FhirWorld::new().await;
    world.put(&patient("known", "7")).await;
    let bundle = |mrn: &str, day: &str| {
        let mut patient = post(anonymous(mrn));
        patient["resource"]["gender"] = json!("other");
        patient["fullUrl"] = json!("urn:uuid:a");
        patient["request"]["ifNoneExist"] = json!(format!("identifier=urn:mrn|{mrn}"));
        json!([post(phq9(None, "urn:uuid:a", ONES, day)), patient])
    };
    for (mrn, day, expected, count) in [
        ("7", "2026-03-01", ["201", "200"], 1),
        ("7", "2026-03-01", ["200", "200"], 1),
        ("8", "2026-03-01", ["201", "201"], 1),
        ("8", "2026-02-01", ["201", "200"], 2),
    ] {
        let answer = world.bundle("transaction", bundle(mrn, day)).await.json();
        assert_eq!(statuses(&answer), expected, "{mrn} {day}");
        assert_eq!(world.totals(&format!("urn:mrn|{mrn}")).await, vec![Some(9); count]);
    }
    assert_eq!(world.get("/fhir/Patient/known").await.header("etag"), "W/\"1\"");
    assert!(world.quarantine().await.is_empty());
    world.put(&patient("twin", "7")).await;
    let answer = world.bundle("transaction", bundle("7", "2026-01-01")).await;
    assert_eq!((answer.status.as_u16(), answer.issue().1.as_str()), (412, "Bundle.entry[1]"));
}

#[tokio::test]
async fn many_conditional_creates_at_once_make_one_patient() {
    let world = FhirWorld::new().await;
    let bundle = |i: u8| {
        let mut patient = post(patient(&format!("try-{i}"), "7"));
        patient["fullUrl"] = json!("urn:uuid:a");
        patient["request"]["ifNoneExist"] = json!("identifier=urn:mrn%7C7");
        json!([patient, post(phq9(Some(&format!("q{i}")), "urn:uuid:a", ONES, "2026-03-01"))])
    };
    let answers = futures_util::future::join_all((0..12).map(|i| world.bundle("transaction", bundle(i)))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(world.get("/fhir/Patient").await.json()["total"], 1);
    assert_eq!(world.totals("urn:mrn|7").await.len(), 12, "every form found the one patient");
    assert!(world.quarantine().await.is_empty());
}

#[tokio::test]
async fn conditional_and_absolute_references_lead_to_the_patient() {
    let world = FhirWorld::new().await;
    let mut absolute = post(anonymous("9"));
    absolute["fullUrl"] = json!("https://ehr.example/records/9");
    let entries = json!([
        put(patient("1", "7")),
        post(phq9(None, "Patient?identifier=urn:mrn|7", ONES, "2026-03-01")),
        post(phq9(None, "Patient?identifier=urn%3Amrn%7C7", ONES, "2026-02-01")),
        post(phq9(None, "http://registry.example/fhir/Patient/1", ONES, "2026-01-01")),
        absolute,
        post(phq9(None, "https://ehr.example/records/9", [2; 9], "2026-03-01")),
    ]);
    let answer = world.bundle("transaction", entries).await;
    assert_eq!(statuses(&answer.json()), ["201"; 6]);
    assert_eq!(world.totals("Patient/1").await, [Some(9), Some(9), Some(9)]);
    assert_eq!(world.totals("urn:mrn|9").await, [Some(18)]);
    assert!(world.quarantine().await.is_empty());
}

#[tokio::test]
async fn a_collection_is_taken_as_far_as_it_can_be() {
    let world = FhirWorld::new().await;
    let entries = json!([
        {"fullUrl": "https://ehr.example/r4/Patient/1", "resource": anonymous("7")},
        {"resource": {"resourceType": "Encounter", "id": "e"}},
        {"resource": phq9(Some("q"), "Patient/1", ONES, "2026-03-01"), "search": {"mode": "match"}},
        {"resource": {"resourceType": "QuestionnaireResponse", "status": "done"}},
        {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}},
        {},
    ]);
    for (kind, expected) in [
        ("collection", ["201", "200", "201", "400", "200", "200"]),
        ("searchset", ["200", "200", "200", "400", "200", "200"]),
    ] {
        let answer = world.bundle(kind, entries.clone()).await.json();
        assert_eq!(statuses(&answer), expected, "{kind}");
        assert_eq!(answer["entry"][1]["response"]["outcome"]["issue"][0]["severity"], "information");
    }
    assert_eq!(world.get("/fhir/Patient/1").await.json()["id"], "1", "called as its address calls it");
    assert_eq!(world.totals("Patient/1").await, [Some(9)]);
}

#[tokio::test]
async fn a_history_is_told_newest_first() {
    let world = FhirWorld::new().await;
    let form = |answers, version: &str| at_version(phq9(Some("q"), "Patient/1", answers, "2026-03-01"), version);
    let entries = json!([
        put(form([3; 9], "3")),
        {"request": {"method": "DELETE", "url": "QuestionnaireResponse/q"}},
        put(form(ONES, "1")),
        {"request": {"method": "DELETE", "url": "Patient/never"}},
        {"request": {"method": "DELETE", "url": "Encounter/1"}},
        put(patient("1", "7")),
    ]);
    let answer = world.bundle("history", entries).await.json();
    assert_eq!(statuses(&answer), ["201", "200", "200", "200", "200", "201"]);
    assert_eq!(world.totals("Patient/1").await, [Some(27)]);
    let deleted = json!([{"request": {"method": "DELETE", "url": "QuestionnaireResponse/q"}}, put(form([3; 9], "3"))]);
    assert_eq!(statuses(&world.bundle("history", deleted).await.json()), ["204", "200"]);
    assert!(world.totals("Patient/1").await.is_empty());
}

#[tokio::test]
async fn notifications_are_heard_whatever_they_carry() {
    let world = FhirWorld::new().await;
    for head in ["Parameters", "SubscriptionStatus"] {
        let head = json!({"fullUrl": "urn:uuid:s", "resource": {"resourceType": head, "id": "s"},
            "request": {"method": "GET", "url": "Subscription/1/$status"}, "response": {"status": "200"}});
        let full = json!([head, {"fullUrl": "https://ehr.example/r4/Patient/1", "resource": patient("1", "7"),
            "request": {"method": "PUT", "url": "Patient/1"}, "response": {"status": "200"}}]);
        for kind in ["history", "subscription-notification"] {
            assert_eq!(world.bundle(kind, full.clone()).await.status, 200);
            assert_eq!(world.bundle(kind, json!([head])).await.status, 200, "a handshake or a heartbeat");
            let named = json!([head, {"fullUrl": "https://ehr.example/r4/Patient/2",
                "request": {"method": "GET", "url": "Patient/2"}, "response": {"status": "200"}}]);
            assert_eq!(world.bundle(kind, named).await.status, 200, "only its name");
        }
    }
    assert_eq!(world.get("/fhir/Patient/1").await.status, 200);
    for path in ["/fhir", "/fhir/"] {
        let heard = world.ask("POST", path).header("content-length", "0").send("").await;
        assert_eq!(heard.status, 200, "an empty body says: look again");
        let form = phq9(Some("q"), "Patient/1", ONES, "2026-03-01");
        assert!(world.post(path, &form).await.status.is_success(), "a resource without an address");
    }
    assert_eq!(world.totals("Patient/1").await, [Some(9)]);
    assert_eq!(world.post("/fhir", &json!({"resourceType": "Encounter"})).await.issue().0, "not-supported");
}

#[tokio::test]
async fn whoever_may_only_read_writes_nothing_by_a_bundle() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    let care = |body: Value| async {
        let body = body;
        world.ask("POST", "/fhir").of("demo", Role::CareManager).json(&body).await
    };
    let entries = json!([put(patient("1", "8")), {"request": {"method": "GET", "url": "Patient/1"}}]);
    let batch = care(json!({"resourceType": "Bundle", "type": "batch", "entry": entries})).await;
    assert_eq!(statuses(&batch.json()), ["403", "200"]);
    let transaction = care(json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})).await;
    assert_eq!((transaction.status.as_u16(), transaction.issue().1.as_str()), (403, "Bundle.entry[0]"));
    let collection = json!([{"resource": patient("1", "8")}]);
    let answer = care(json!({"resourceType": "Bundle", "type": "collection", "entry": collection})).await;
    assert_eq!(statuses(&answer.json()), ["403"]);
    assert_eq!(care(json!({"resourceType": "Bundle", "type": "history"})).await.status, 403);
    assert_eq!(care(patient("1", "8")).await.status, 403);
    assert_eq!(world.get("/fhir/Patient/1").await.header("etag"), "W/\"1\"");
}

#[tokio::test]
async fn the_caller_chooses_how_much_of_the_entries_is_answered() {
    let world = FhirWorld::new().await;
    let body =
        json!({"resourceType": "Bundle", "type": "batch", "entry": [put(patient("1", "7")), post(anonymous("8"))]});
    let whole = world.ask("POST", "/fhir").header("prefer", "return=representation").json(&body).await.json();
    assert_eq!(whole["entry"][0]["resource"], patient("1", "7"));
    assert_eq!(whole["entry"][0]["fullUrl"], "http://registry.example/fhir/Patient/1");
    assert!(whole["entry"][1]["resource"]["id"].is_string());
    let told = world.ask("POST", "/fhir").header("prefer", "return=OperationOutcome").json(&body).await.json();
    assert_eq!(told["entry"][0]["response"]["outcome"]["issue"][0]["severity"], "information");
}

#[tokio::test]
async fn a_thousand_forms_are_one_submission() {
    // What is tried is that they are one, not how long a build without optimisation takes over them.
    let world = FhirWorld::with(|config| config.limits.request_timeout = Duration::from_mins(5)).await;
    world.put(&patient("1", "7")).await;
    let forms: Vec<Value> = (0..1000)
        .map(|i| {
            let mut form = phq9(None, "Patient/1", ONES, "2026-03-01");
            form["identifier"] = json!({"system": "urn:form", "value": i.to_string()});
            form["item"] = json!([]);
            post(form)
        })
        .collect();
    let answer = world.bundle("transaction", json!(forms)).await;
    assert_eq!(statuses(&answer.json()), ["201"; 1000]);
    let counted = world.get("/fhir/QuestionnaireResponse?patient=1&_summary=count").await;
    assert_eq!(counted.json()["total"], 1000);
}
