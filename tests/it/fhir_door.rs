//! The FHIR door, from outside: one resource at a time. Bundles and searches have their own files below.

mod bundles;
mod rubbish;
mod scopes;
mod searches;
mod stories;

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::fhir_world::{FhirWorld, at_version, patient, phq9};

const ONES: [u8; 9] = [1; 9];

#[tokio::test]
async fn a_resource_is_created_updated_read_and_deleted() {
    let world = FhirWorld::new().await;
    let created = world.put(&patient("1", "7")).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), "http://registry.example/fhir/Patient/1/_history/1");
    assert_eq!(created.header("etag"), "W/\"1\"");
    assert_eq!(created.header("last-modified"), "Mon, 02 Mar 2026 09:00:00 GMT");
    assert_eq!(created.json(), patient("1", "7"));

    let mut changed = patient("1", "7");
    changed["gender"] = json!("female");
    let updated = world.put(&changed).await;
    assert_eq!((updated.status.as_u16(), updated.header("etag")), (200, "W/\"2\""));

    let read = world.get("/fhir/Patient/1").await;
    assert_eq!((read.status.as_u16(), read.header("etag")), (200, "W/\"2\""));
    assert_eq!(read.json(), changed);
    assert_eq!(world.get("/fhir/Patient/1/_history/2").await.status, 200);
    assert_eq!(world.get("/fhir/Patient/1/_history/1").await.status, 404);
    let same = world.ask("GET", "/fhir/Patient/1").header("if-none-match", "W/\"2\"").send("").await;
    assert_eq!((same.status.as_u16(), same.text.as_str(), same.header("etag")), (304, "", "W/\"2\""));

    assert_eq!(world.ask("DELETE", "/fhir/Patient/1").send("").await.status, 204);
    assert_eq!(world.ask("DELETE", "/fhir/Patient/1").send("").await.status, 204);
    let gone = world.get("/fhir/Patient/1").await;
    assert_eq!((gone.status.as_u16(), gone.issue().0.as_str()), (410, "deleted"));
    let never = world.ask("DELETE", "/fhir/Patient/2").send("").await;
    assert_eq!((never.status.as_u16(), never.issue().0.as_str()), (404, "not-found"));
    assert_eq!(world.get("/fhir/Patient/2").await.issue().0, "not-found");
}

#[tokio::test]
async fn a_deletion_is_only_for_the_version_that_if_match_names() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    let wrong = world.ask("DELETE", "/fhir/Patient/1").header("if-match", "W/\"9\"").send("").await;
    assert_eq!((wrong.status.as_u16(), wrong.issue().0.as_str()), (412, "conflict"));
    assert_eq!(world.ask("DELETE", "/fhir/Patient/1").header("if-match", "W/\"1\"").send("").await.status, 204);
}

#[tokio::test]
async fn a_subscription_may_name_the_version_that_it_sends() {
    // HAPI's rest-hook: PUT with `If-Match` of the chart's own version, also of what we have never seen.
    let world = FhirWorld::new().await;
    let sent = |version: &str, tag: &'static str| {
        let body = at_version(patient("1", "7"), version);
        let ask = world.ask("PUT", "/fhir/Patient/1").header("if-match", tag);
        async move { ask.json(&body).await.status.as_u16() }
    };
    assert_eq!(sent("4", "W/\"4\"").await, 201);
    assert_eq!(sent("5", "W/\"5\"").await, 200);
    assert_eq!(sent("4", "W/\"4\"").await, 200);
    assert_eq!(world.get("/fhir/Patient/1").await.json()["meta"]["versionId"], "5");
    assert_eq!(sent("6", "W/\"9\"").await, 412);
    assert_eq!(sent("a-uuid", "W/\"a-uuid\"").await, 200);
}

#[tokio::test]
async fn an_update_is_only_for_the_version_that_if_match_names() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    let with = |tag: &'static str| world.ask("PUT", "/fhir/Patient/1").header("if-match", tag);
    for tag in ["W/\"9\"", "nonsense"] {
        let wrong = with(tag).json(&patient("1", "8")).await;
        assert_eq!((wrong.status.as_u16(), wrong.issue().0.as_str()), (412, "conflict"), "{tag}");
    }
    assert_eq!(with("W/\"1\"").json(&patient("1", "8")).await.header("etag"), "W/\"2\"");
    let unknown = world.ask("PUT", "/fhir/Patient/2").header("if-match", "W/\"1\"").json(&patient("2", "9")).await;
    assert_eq!(unknown.status, 412);
    assert_eq!(world.get("/fhir/Patient/2").await.status, 404);
}

#[tokio::test]
async fn the_caller_chooses_how_much_is_answered() {
    let world = FhirWorld::new().await;
    let preferring = |what: &'static str| world.ask("POST", "/fhir/QuestionnaireResponse").header("prefer", what);
    let form = |day: &str| phq9(None, "Patient/nobody-yet", ONES, day);
    let minimal = preferring("return=minimal").json(&form("2026-03-01")).await;
    assert_eq!((minimal.status.as_u16(), minimal.text.as_str()), (201, ""));
    let outcome = preferring("handling=lenient; return=OperationOutcome").json(&form("2026-02-01")).await;
    assert_eq!(outcome.status, 201);
    assert_eq!(outcome.json()["issue"][0]["severity"], "information");
    assert!(outcome.text.contains("patient_not_seen"), "{}", outcome.text);
    let whole = preferring("return=representation").json(&form("2026-01-01")).await.json();
    let id = whole["id"].as_str().unwrap();
    let mut expected = form("2026-01-01");
    expected["id"] = json!(id);
    assert_eq!(whole, expected);
    assert_eq!(world.get(&format!("/fhir/QuestionnaireResponse/{id}")).await.json(), expected);
}

#[tokio::test]
async fn a_post_keeps_the_senders_id_and_else_the_id_follows_from_the_content() {
    let world = FhirWorld::new().await;
    assert_eq!(world.post("/fhir/Patient", &patient("abc_1", "7")).await.json()["id"], "abc_1");
    let form = phq9(None, "Patient/abc_1", ONES, "2026-03-01");
    let (first, again) = (
        world.post("/fhir/QuestionnaireResponse", &form).await,
        world.post("/fhir/QuestionnaireResponse", &form).await,
    );
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.json(), again.json());
    assert_eq!(world.totals("Patient/abc_1").await, [Some(9)]);
}

#[tokio::test]
async fn a_conditional_create_finds_what_is_there() {
    let world = FhirWorld::new().await;
    let mut anonymous = patient("x", "7");
    anonymous.as_object_mut().unwrap().remove("id");
    let create = |condition: &'static str| world.ask("POST", "/fhir/Patient").header("if-none-exist", condition);
    let first = create("identifier=urn:mrn|7").json(&anonymous).await;
    assert_eq!(first.status, 201);
    anonymous["gender"] = json!("male");
    let again = create("identifier=urn%3Amrn%7C7").json(&anonymous).await;
    assert_eq!((again.status.as_u16(), again.header("location")), (200, first.header("location")));
    assert_eq!(again.json(), first.json(), "what is there is answered, not what was sent");
    world.put(&patient("twin", "7")).await;
    let several = create("identifier=urn:mrn|7").json(&anonymous).await;
    assert_eq!((several.status.as_u16(), several.issue().0.as_str()), (412, "conflict"));
    assert_eq!(create("name=x").json(&anonymous).await.status, 400);
}

#[tokio::test]
async fn a_conditional_update_replaces_the_one_that_matches() {
    let world = FhirWorld::new().await;
    let path = "/fhir/Patient?identifier=urn:mrn%7C7";
    let mut anonymous = patient("x", "7");
    anonymous.as_object_mut().unwrap().remove("id");
    let first = world.ask("PUT", path).json(&anonymous).await;
    assert_eq!(first.status, 201);
    anonymous["gender"] = json!("male");
    let second = world.ask("PUT", path).json(&anonymous).await;
    assert_eq!((second.status.as_u16(), second.header("etag")), (200, "W/\"2\""));
    assert_eq!(second.json()["id"], first.json()["id"]);
    let other = world.ask("PUT", path).json(&patient("y", "7")).await;
    assert_eq!((other.status.as_u16(), other.issue().1.as_str()), (400, "Patient.id"));
    world.put(&patient("twin", "7")).await;
    assert_eq!(world.ask("PUT", path).json(&anonymous).await.status, 412);
    assert_eq!(world.ask("PUT", "/fhir/Patient?name=x").json(&anonymous).await.status, 400);
    assert_eq!(world.ask("PUT", "/fhir/Patient").json(&anonymous).await.status, 400);
}

#[rstest]
#[case("/fhir/Patient/1", patient("2", "7"), 400, "structure", "Patient.id")]
#[case("/fhir/Observation/1", patient("1", "7"), 400, "structure", "Resource.resourceType")]
#[case("/fhir/Patient/1", json!({"resourceType": "Encounter"}), 422, "invalid", "Resource.resourceType")]
#[case("/fhir/Patient/1", json!({"resourceType": "Patient", "id": "a/b"}), 400, "structure", "Patient.id")]
#[case("/fhir/Patient/1", json!({"resourceType": "Patient", "id": null}), 400, "structure", "Patient.id")]
#[case("/fhir/Patient/a%20b", patient("1", "7"), 400, "structure", "")]
#[case("/fhir/Patient/%ff", patient("1", "7"), 400, "structure", "")]
#[case("/fhir/Task/1", json!({"resourceType": "Task"}), 404, "not-supported", "")]
#[tokio::test]
async fn what_contradicts_the_address_is_refused_with_its_place(
    #[case] path: &str,
    #[case] body: Value,
    #[case] status: u16,
    #[case] code: &str,
    #[case] place: &str,
) {
    let world = FhirWorld::new().await;
    let answer = world.ask("PUT", path).json(&body).await;
    assert_eq!((answer.status.as_u16(), answer.issue()), (status, (code.to_owned(), place.to_owned())));
}

#[tokio::test]
async fn an_update_without_an_id_is_stored_under_that_of_the_address() {
    let world = FhirWorld::new().await;
    let anonymous = json!({"resourceType": "Patient", "identifier": [{"value": "7"}]});
    assert_eq!(world.ask("PUT", "/fhir/Patient/1").json(&anonymous).await.json()["id"], "1");
    assert_eq!(world.get("/fhir/Patient/1").await.json()["id"], "1");
}

#[rstest]
#[case("GET", "/fhir/Patient/1", "accept", "application/fhir+xml", 406)]
#[case("GET", "/fhir/Patient/1?_format=xml", "accept", "application/json", 406)]
#[case("GET", "/fhir/Patient/1?_format=json", "accept", "application/xml", 200)]
#[case("GET", "/fhir/Patient/1?_format=application/fhir+json", "accept", "text/html", 200)]
#[case("GET", "/fhir/Patient/1", "accept", "application/xml;q=0.9, */*;q=0.1", 200)]
#[case("GET", "/fhir/Patient/1", "accept", "application/fhir+json; fhirVersion=4.0", 200)]
#[case("PUT", "/fhir/Patient/1", "content-type", "application/fhir+xml", 415)]
#[case("PUT", "/fhir/Patient/1", "content-type", "text/plain", 415)]
#[case("PUT", "/fhir/Patient/1", "content-type", "application/json; charset=utf-8", 200)]
#[case("PUT", "/fhir/Patient/1", "content-type", "application/fhir+json;charset=UTF-8", 200)]
#[tokio::test]
async fn only_json_is_spoken(
    #[case] method: &str,
    #[case] path: &str,
    #[case] name: &str,
    #[case] value: &str,
    #[case] status: u16,
) {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    let answer = world.ask(method, path).header(name, value).json(&patient("1", "7")).await;
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    if status > 400 {
        assert_eq!(answer.issue().0, "not-supported");
    }
}

#[tokio::test]
async fn roles_and_clinics_are_kept_apart() {
    let world = FhirWorld::new().await;
    let nobody = world.ask("GET", "/fhir/Patient/1").nobody().send("").await;
    assert_eq!((nobody.status.as_u16(), nobody.issue().0.as_str()), (401, "login"));
    assert!(nobody.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(world.ask("GET", "/fhir/metadata").nobody().send("").await.status, 200);

    for role in Role::ALL {
        let may_write = matches!(role, Role::Ehr | Role::Admin);
        let written = world.ask("PUT", "/fhir/Patient/1").of("demo", *role).json(&patient("1", "7")).await;
        assert_eq!(written.status.is_success(), may_write, "{role}");
        if !may_write {
            assert_eq!((written.status.as_u16(), written.issue().0.as_str()), (403, "forbidden"));
            let deleted = world.ask("DELETE", "/fhir/Patient/1").of("demo", *role).send("").await;
            assert_eq!(deleted.status, 403);
        }
    }
    for role in Role::ALL {
        assert_eq!(world.ask("GET", "/fhir/Patient/1").of("demo", *role).send("").await.status, 200, "{role}");
        let other = world.ask("GET", "/fhir/Patient/1").of("elsewhere", *role).send("").await;
        let never = world.ask("GET", "/fhir/Patient/2").of("demo", *role).send("").await;
        assert_eq!((other.status.as_u16(), &other.text), (404, &never.text), "another clinic's looks like none");
    }
    let other = world.ask("DELETE", "/fhir/Patient/1").of("elsewhere", Role::Ehr).send("").await;
    assert_eq!(other.status, 404);
    let other = world.ask("GET", "/fhir/Patient?identifier=urn:mrn%7C7").of("elsewhere", Role::Ehr).send("").await;
    assert_eq!(other.json()["total"], 0);
}

#[tokio::test]
async fn a_wrong_address_or_method_is_told_as_an_outcome() {
    let world = FhirWorld::new().await;
    for (method, path, status) in [
        ("GET", "/fhir/Task/1", 404),
        ("GET", "/fhir/nothing/at/all/here", 404),
        ("GET", "/fhir/Patient/1/_history", 404),
        ("GET", "/fhir/Patient/$everything", 404),
        ("PATCH", "/fhir/Patient/1", 405),
        ("DELETE", "/fhir/Patient", 405),
        ("GET", "/fhir", 405),
        ("PUT", "/fhir/", 405),
        ("POST", "/fhir/metadata", 405),
    ] {
        let answer = world.ask(method, path).send("").await;
        assert_eq!((answer.status.as_u16(), answer.issue().0.as_str()), (status, "not-supported"), "{method} {path}");
        assert_eq!(status == 405, !answer.header("allow").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn the_door_says_what_it_can_do() {
    let world = FhirWorld::with(|config| config.public_url = Some("https://registry.clinic.example/".into())).await;
    let said = world.ask("GET", "/fhir/metadata").nobody().send("").await.json();
    assert_eq!((&said["resourceType"], &said["fhirVersion"]), (&json!("CapabilityStatement"), &json!("4.0.1")));
    assert_eq!(said["implementation"]["url"], "https://registry.clinic.example/fhir");
    let created = world.put(&patient("1", "7")).await;
    assert_eq!(created.header("location"), "https://registry.clinic.example/fhir/Patient/1/_history/1");
    for resource in said["rest"][0]["resource"].as_array().unwrap() {
        let kind = resource["type"].as_str().unwrap();
        for parameter in resource["searchParam"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let value = if parameter["type"] == "date" { "ge2026-01-01" } else { "x" };
            let path = format!("/fhir/{kind}?{name}={value}");
            let answer = world.ask("GET", &path).header("prefer", "handling=strict").send("").await;
            assert_eq!(answer.status, 200, "{path} {}", answer.text);
        }
    }
}

#[tokio::test]
async fn old_news_and_repetitions_change_nothing() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    let old = at_version(phq9(Some("q"), "Patient/1", ONES, "2026-03-01"), "1");
    let new = at_version(phq9(Some("q"), "Patient/1", [2; 9], "2026-03-01"), "2");
    assert_eq!(world.put(&new).await.status, 201);
    for late in [&old, &new, &old] {
        let answer = world.put(late).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "W/\"1\""));
        assert_eq!(answer.json(), new);
    }
    assert_eq!(world.totals("Patient/1").await, [Some(18)]);
    let newer = at_version(phq9(Some("q"), "Patient/1", [3; 9], "2026-03-01"), "10");
    assert_eq!(world.put(&newer).await.header("etag"), "W/\"2\"");
    assert_eq!(world.totals("Patient/1").await, [Some(27)]);

    world.ask("DELETE", "/fhir/QuestionnaireResponse/q").send("").await;
    assert_eq!(world.put(&newer).await.status, 200);
    assert_eq!(world.get("/fhir/QuestionnaireResponse/q").await.status, 410, "a late repetition revives nothing");
    assert_eq!(world.totals("Patient/1").await, [None::<u16>; 0]);
    assert_eq!(world.put(&at_version(newer, "11")).await.status, 200);
    assert_eq!(world.totals("Patient/1").await, [Some(27)]);
}

#[tokio::test]
async fn no_failure_repeats_what_was_sent() {
    let world = FhirWorld::new().await;
    let canary = "Canary-4711";
    for body in [
        json!({"resourceType": canary}),
        json!({"resourceType": "QuestionnaireResponse", "status": canary}),
        json!({"resourceType": "QuestionnaireResponse", "status": "completed", "authored": canary}),
        json!({"resourceType": "QuestionnaireResponse", "status": "completed", "subject": {"reference": "Jane Canary-4711"}}),
        json!({"resourceType": "Bundle", "type": canary}),
        json!({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": canary, "url": canary}}]}),
        json!({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "PUT", "url": "Patient/Canary-4711", "ifMatch": canary}, "resource": {"resourceType": "Patient"}}]}),
    ] {
        let answer = world.post("/fhir", &body).await;
        assert!(!answer.text.contains("4711"), "{}", answer.text);
        let answer = world.post("/fhir/QuestionnaireResponse", &body).await;
        assert!(answer.status.is_client_error() && !answer.text.contains("4711"), "{}", answer.text);
    }
    let answer = world.get("/fhir/Patient?Canary%204711=1&_lastUpdated=ge2026").await;
    assert!(!answer.text.contains("4711"), "{}", answer.text);
}
