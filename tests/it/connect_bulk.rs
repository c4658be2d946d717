//! Everything at once: Bulk Data export, interrupted and resumed; files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cocm_registry::intake::bulk_load::LoadProgress;
use cocm_registry::intake::sweep::SweepStop;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::connect_world::{Connected, instant};
use crate::world::{CLINIC, patient, phq9};

/// How often each thing was asked for.
#[derive(Default)]
struct Asked {
    exports: AtomicUsize,
    states: AtomicUsize,
    patients: AtomicUsize,
    without_token: AtomicUsize,
}

type Shared = Arc<Asked>;

fn lines(resources: impl Iterator<Item = Value>) -> String {
    resources.map(|one| one.to_string() + "\n").collect()
}

async fn export(State(asked): State<Shared>, headers: HeaderMap) -> impl IntoResponse {
    assert_eq!(headers["prefer"], "respond-async");
    asked.exports.fetch_add(1, Ordering::SeqCst);
    (StatusCode::ACCEPTED, [("content-location", "/jobs/1")])
}

async fn state(State(asked): State<Shared>) -> Response {
    if asked.states.fetch_add(1, Ordering::SeqCst) == 0 {
        return (StatusCode::ACCEPTED, [("retry-after", "1"), ("x-progress", "half")]).into_response();
    }
    let file = |kind: &str, name: &str| json!({"type": kind, "url": format!("/files/{name}")});
    axum::Json(json!({
        "transactionTime": "2026-03-02T13:00:00Z", "request": "x", "requiresAccessToken": true,
        "output": [file("Patient", "patients"), file("QuestionnaireResponse", "forms"), file("Observation", "observations"),
            file("Encounter", "none")],
        "deleted": [file("Bundle", "deleted")], "error": [],
    }))
    .into_response()
}

/// The first time the connection breaks in the middle.
async fn patients(State(asked): State<Shared>, headers: HeaderMap) -> Response {
    if headers.get("authorization").is_none_or(|value| value != "Bearer the-token") {
        asked.without_token.fetch_add(1, Ordering::SeqCst);
    }
    let all = lines((0..500).map(|n| patient(&format!("p{n}"))));
    if asked.patients.fetch_add(1, Ordering::SeqCst) > 0 {
        return all.into_response();
    }
    let half = all[..all.len() / 2].to_owned();
    // What came before has to be on its way, or nothing comes at all.
    let broken = futures_util::stream::iter([Ok(half), Err(std::io::Error::other("broken"))]).then(async |part| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        part
    });
    Body::from_stream(broken).into_response()
}

async fn forms() -> String {
    let mut all = lines((0..10).map(|n| phq9(&format!("q{n}"), &format!("p{n}"), "2026-03-01", [1; 9])));
    all.push_str("this is no JSON\n\n");
    all
}

async fn observations() -> String {
    let of = |id: &str, code: &str| {
        json!({"resourceType": "Observation", "id": id, "status": "final", "subject": {"reference": "Patient/p1"},
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]}, "valueInteger": 12,
            "effectiveDateTime": "2026-02-20T10:00:00Z"})
    };
    lines([of("score", "44261-6"), of("pressure", "85354-9")].into_iter())
}

async fn deleted() -> String {
    let entry = |url: &str| json!({"request": {"method": "DELETE", "url": url}});
    let entries = [entry("Patient/p7"), entry("Encounter/1"), entry("Patient/unknown")];
    lines(std::iter::once(json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})))
}

async fn server() -> (String, Shared) {
    let asked = Shared::default();
    let router = Router::new()
        .route("/fhir/Patient/$export", get(export))
        .route("/jobs/1", get(state).delete(async || StatusCode::ACCEPTED))
        .route("/files/patients", get(patients))
        .route("/files/forms", get(forms))
        .route("/files/observations", get(observations))
        .route("/files/deleted", get(deleted))
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/fhir", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test]
async fn an_export_that_breaks_goes_on_where_it_was() {
    let (url, asked) = server().await;
    let world = Connected::new(|ehr| {
        ehr.base_url = url;
        ehr.bearer_token = Some("the-token".into());
    })
    .await;
    let connection = world.app.connections.named("ehr").unwrap().clone();
    let broken = world.app.intake.bootstrap(&connection, &|_, _| {}).await;
    assert!(matches!(broken, Err(SweepStop::Failed(_))), "{broken:?}");
    assert_eq!(world.arrived("Patient").await, 200);

    let loaded = world.app.intake.bootstrap(&connection, &|_, _| {}).await.unwrap();
    // The two hundred from before are not sent through again.
    assert_eq!((loaded.seen, loaded.deleted, loaded.unread), (300 + 10 + 1 + 2, 1, 1), "{loaded:?}");
    assert_eq!((world.arrived("Patient").await, world.arrived("QuestionnaireResponse").await), (499, 10));
    // A blood pressure is none of our business.
    assert_eq!(world.arrived("Observation").await, 1);
    let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    assert_eq!((count(&asked.exports), count(&asked.patients), count(&asked.without_token)), (1, 2, 0));
    // The sweep begins where the export ended.
    assert_eq!(world.watermark("Patient").await.watermark, Some(instant("2026-03-02T13:00:00Z")));
    // The next one is another one.
    world.app.intake.bootstrap(&connection, &|_, _| {}).await.unwrap();
    assert_eq!(count(&asked.exports), 2);
}

#[tokio::test]
async fn files_are_loaded_whatever_they_hold() {
    let world = Connected::new(|_| {}).await;
    let mut loaded = LoadProgress::default();
    let ndjson = lines((0..3).map(|n| patient(&format!("p{n}")))) + "\nrubbish\n";
    // As Synthea writes it: one Bundle over many lines, of a person with everything.
    let person = json!({"fullUrl": "urn:uuid:aaaaaaaa-0000-4000-8000-000000000001", "request": {"method": "POST", "url": "Patient"},
        "resource": {"resourceType": "Patient", "id": "aaaaaaaa-0000-4000-8000-000000000001"}});
    let mut form = phq9("form-1", "x", "2026-03-01", [2; 9]);
    form["subject"] = json!({"reference": "urn:uuid:aaaaaaaa-0000-4000-8000-000000000001"});
    let encounter = json!({"resource": {"resourceType": "Encounter", "id": "e"}});
    let entries = [person, encounter, json!({"fullUrl": "urn:uuid:b", "resource": form})];
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    for text in [ndjson, serde_json::to_string_pretty(&bundle).unwrap(), patient("p9").to_string()] {
        world.app.intake.load_text(CLINIC, "file", &text, &mut loaded).await.unwrap();
    }
    assert_eq!((loaded.seen, loaded.taken, loaded.unread), (4 + 2 + 1, 6, 1), "{loaded:?}");
    assert_eq!((world.arrived("Patient").await, world.arrived("QuestionnaireResponse").await), (5, 1));
    let mut tx = world.app.db.read().await.unwrap();
    let key = "Patient/aaaaaaaa-0000-4000-8000-000000000001";
    let person = cocm_registry::store::patient::by_key(&mut tx, CLINIC, key).await.unwrap().remove(0);
    let taken = cocm_registry::store::measurement::of_patient(&mut tx, CLINIC, person.id).await.unwrap();
    assert_eq!(taken.iter().map(|one| one.total).collect::<Vec<_>>(), [Some(18)]);
}
