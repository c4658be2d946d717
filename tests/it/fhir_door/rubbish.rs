//! Bodies that nobody should send.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use rstest::rstest;
use serde_json::json;

use super::{ONES, patient, phq9};
use crate::fhir_world::FhirWorld;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn deep(levels: usize) -> String {
    let inner = format!("{}1{}", r#"{"a":"#.repeat(levels - 1), "}".repeat(levels - 1));
    format!(r#"{{"resourceType":"Patient","id":"1","extension":{inner}}}"#)
}

#[rstest]
#[case::nothing(Vec::new(), 400, "structure")]
#[case::truncated(br#"{"resourceType":"Patient","id":"#.to_vec(), 400, "structure")]
#[case::two(br#"{"resourceType":"Patient","id":"1"}{"resourceType":"Patient"}"#.to_vec(), 400, "structure")]
#[case::list(b"[]".to_vec(), 400, "structure")]
#[case::not_utf8(b"{\"resourceType\":\"Patient\",\"id\":\"1\",\"x\":\"\xff\"}".to_vec(), 400, "structure")]
#[case::deep(deep(100).into_bytes(), 413, "too-long")]
#[case::endless(vec![b'['; 1 << 20], 413, "too-long")]
#[case::large(vec![b' '; (1 << 20) + 1], 413, "too-long")]
#[tokio::test]
async fn rubbish_is_refused_at_once(#[case] body: Vec<u8>, #[case] status: u16, #[case] code: &str) {
    let world = FhirWorld::new().await;
    for (method, path) in [("PUT", "/fhir/Patient/1"), ("POST", "/fhir/Patient")] {
        let begun = std::time::Instant::now();
        let answer = world.ask(method, path).send(body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.issue().0.as_str()), (status, code), "{method}");
        assert!(begun.elapsed().as_millis() < 1000, "{method} took {:?}", begun.elapsed());
    }
    assert_eq!(world.get("/fhir/Patient/1").await.status, 404);
}

#[tokio::test]
async fn what_is_just_within_the_bounds_is_taken() {
    let world = FhirWorld::new().await;
    assert_eq!(world.ask("PUT", "/fhir/Patient/1").send(deep(60)).await.status, 201);
    let mut large = patient("2", "8").to_string();
    large.extend(std::iter::repeat_n(' ', (1 << 20) - large.len()));
    assert_eq!(world.ask("PUT", "/fhir/Patient/2").send(large).await.status, 201);
    let marked = format!("\u{feff}{}", patient("3", "9"));
    assert_eq!(world.ask("PUT", "/fhir/Patient/3").send(marked).await.status, 201);
    assert_eq!(world.get("/fhir/Patient/3").await.json(), patient("3", "9"));
    let found = world.get("/fhir/Patient?_id=1,2,3").await.json();
    assert_eq!(found["total"], 3);
}

#[tokio::test]
async fn a_compressed_body_is_read_and_a_bomb_is_not() {
    let world = FhirWorld::new().await;
    let packed = |body: Vec<u8>| world.ask("PUT", "/fhir/Patient/1").header("content-encoding", "gzip").send(body);
    assert_eq!(packed(gzip(patient("1", "7").to_string().as_bytes())).await.status, 201);
    assert_eq!(packed(gzip(&vec![b' '; 64 << 20])).await.status, 413);
    assert_eq!(packed(b"not gzip".to_vec()).await.issue().0, "structure");
    let brotli = world.ask("PUT", "/fhir/Patient/1").header("content-encoding", "br").send("x").await;
    assert_eq!((brotli.status.as_u16(), brotli.issue().0.as_str()), (415, "not-supported"));
}

#[tokio::test]
async fn a_bundle_has_bounds_of_its_own() {
    let world = FhirWorld::new().await;
    let answer = world.ask("POST", "/fhir").send(vec![b' '; (8 << 20) + 1]).await;
    assert_eq!((answer.status.as_u16(), answer.issue().0.as_str()), (413, "too-long"));
    let many = vec![json!({}); 1001];
    let answer = world.bundle("batch", json!(many)).await;
    assert_eq!((answer.status.as_u16(), answer.issue()), (413, ("too-long".into(), "Bundle.entry".into())));
    for body in ["{", "{}", "[]", r#"{"resourceType":"Bundle"}"#, r#"{"resourceType":7}"#, "nonsense"] {
        let answer = world.ask("POST", "/fhir").send(body).await;
        assert_eq!(answer.status, 400, "{body}");
        answer.issue();
    }
}

#[tokio::test]
async fn odd_forms_are_kept_and_never_read_as_well() {
    let world = FhirWorld::new().await;
    world.put(&patient("1", "7")).await;
    let mut form = phq9(Some("q"), "Patient/1", ONES, "2026-03-01");
    form["item"] = json!([{"linkId": 5, "answer": "x"}, null, 7]);
    form["extension"] = json!("none");
    assert_eq!(world.put(&form).await.status, 201);
    assert_eq!(world.get("/fhir/QuestionnaireResponse/q").await.json(), form);
    assert!(world.totals("Patient/1").await.iter().all(Option::is_none));
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up_in_the_doors_own_words() {
    let limit = std::time::Duration::from_millis(200);
    let world = FhirWorld::with(|config| config.limits.request_timeout = limit).await;
    let endless = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let answer = world.ask("PUT", "/fhir/Patient/1").send(axum::body::Body::from_stream(endless)).await;
    assert_eq!((answer.status.as_u16(), answer.issue().0.as_str()), (503, "transient"));
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn an_identifier_of_any_length_costs_nobody_their_answer() {
    let world = FhirWorld::new().await;
    // What no index can hold, and no compression makes shorter.
    let part = |n: u32| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &n.to_be_bytes()).simple().to_string();
    let long: String = (0..500).map(part).collect();
    let mut worried = phq9(Some("1"), "Patient/1", [0, 0, 0, 0, 0, 0, 0, 0, 2], "2026-03-01T10:00:00Z");
    worried["subject"] = json!({"identifier": {"system": "urn:mrn", "value": long}});
    worried["identifier"] = json!({"system": "urn:forms", "value": long});
    assert_eq!(world.put(&worried).await.status, 201);
    let mut person = patient("1", &long);
    person["name"] = json!([{"text": long}]);
    assert_eq!(world.put(&person).await.status, 201);
    assert_eq!(world.totals("Patient/1").await, [Some(2)], "found by the same identifier");
    assert_eq!(world.person("Patient/1").await.display_name.as_deref(), Some(long.as_str()));
    let found = world.get(&format!("/fhir/QuestionnaireResponse?identifier=urn:forms%7C{long}")).await.json();
    assert_eq!(found["total"], 1);
    let mut other = long.clone();
    other.replace_range(other.len() - 1.., "!");
    let none = world.get(&format!("/fhir/QuestionnaireResponse?identifier=urn:forms%7C{other}")).await.json();
    assert_eq!(none["total"], 0, "one letter makes another identifier");
}
