//! The ways to prove to an EHR who we are, each against a server that looks.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cocm_registry::clock::Clock;
use cocm_registry::config::{AuthKind, BackendServices, BasicAuth, ClientCertificate, EhrConnection, KeyAlgorithm};
use cocm_registry::ehr::EhrClient;
use cocm_registry::ehr::probe::Verdict;
use cocm_registry::intake::connection;
use cocm_registry::service::connections::try_connection;
use rstest::rstest;
use serde_json::json;

use crate::connect_world::config;
use crate::world::{Database, Engine, monday};

type Calls = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// A server that remembers how it was called, with a token endpoint beside it.
async fn server() -> (String, Calls) {
    async fn record(State(calls): State<Calls>, request: Request) -> impl IntoResponse {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let path = parts.uri.path().to_owned();
        calls.lock().unwrap().push((path.clone(), parts.headers, String::from_utf8(body.to_vec()).unwrap()));
        match path.as_str() {
            "/token" => Json(json!({"access_token": "granted", "token_type": "Bearer", "expires_in": 300})),
            "/fhir/metadata" => Json(json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})),
            _ => Json(json!({"resourceType": "Bundle", "type": "searchset"})),
        }
    }
    let calls = Calls::default();
    let router = Router::new().route("/token", post(record)).route("/fhir/{*path}", get(record));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = router.with_state(calls.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

fn shared_secret(url: &str, kind: AuthKind) -> BackendServices {
    BackendServices {
        kind,
        client_id: "client:7".into(),
        client_secret: Some("a+b/c=d%".into()),
        token_url: Some(format!("{url}/token")),
        scopes: "system/*.rs".into(),
        algorithm: KeyAlgorithm::Rs384,
        keys: None,
    }
}

async fn ehr(url: &str, change: impl FnOnce(&mut EhrConnection)) -> EhrClient {
    let database = Database::on(Engine::Sqlite).await.unwrap();
    let config = config(&database, &format!("{url}/fhir"), change);
    connection::client(&config, &config.ehrs[0], &Clock::standing_at(monday())).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[rstest]
#[case(AuthKind::ClientSecretBasic)]
#[case(AuthKind::ClientSecretPost)]
#[tokio::test]
async fn a_shared_secret_is_sent_as_oauth_has_it(#[case] kind: AuthKind) {
    let (url, calls) = server().await;
    let ehr = ehr(&url, |ehr| ehr.auth = Some(shared_secret(&url, kind))).await;
    ehr.search("Patient", &[]).await.unwrap();
    ehr.search("Patient", &[]).await.unwrap();
    let calls = calls.lock().unwrap();
    let paths: Vec<&str> = calls.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/token", "/fhir/Patient", "/fhir/Patient"]);
    let (_, headers, body) = &calls[0];
    let form: std::collections::HashMap<String, String> =
        form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!((form["grant_type"].as_str(), form["scope"].as_str()), ("client_credentials", "system/*.rs"));
    if kind == AuthKind::ClientSecretBasic {
        let pair = STANDARD.decode(header(headers, "authorization").trim_start_matches("Basic ")).unwrap();
        assert_eq!(String::from_utf8(pair).unwrap(), "client%3A7:a%2Bb%2Fc%3Dd%25");
        assert!(!form.contains_key("client_secret"));
    } else {
        assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("client:7", "a+b/c=d%"));
        assert_eq!(header(headers, "authorization"), "");
    }
    assert_eq!(header(&calls[1].1, "authorization"), "Bearer granted");
}

#[tokio::test]
async fn a_name_and_a_password_and_a_gateways_key_go_with_every_call() {
    let (url, calls) = server().await;
    let change = |ehr: &mut EhrConnection| {
        ehr.basic = Some(BasicAuth { username: "registry".into(), password: "p:ä w".into() });
        ehr.headers = [("Ocp-Apim-Subscription-Key".to_owned(), "k-1".into())].into();
    };
    let client = ehr(&url, change).await;
    client.search("Patient", &[]).await.unwrap();
    client.open_file(&format!("{url}/fhir/files/1"), &[]).await.unwrap();
    let database = Database::on(Engine::Sqlite).await.unwrap();
    let config = config(&database, &format!("{url}/fhir"), change);
    config.check().unwrap();
    let findings = try_connection(&config, &config.ehrs[0], &Clock::standing_at(monday())).await.unwrap();
    assert!(findings.iter().any(|finding| finding.verdict == Verdict::Works), "{findings:?}");
    let calls = calls.lock().unwrap();
    assert!(calls.len() > 3);
    for (path, headers, _) in calls.iter() {
        assert_eq!(header(headers, "ocp-apim-subscription-key"), "k-1", "{path}");
        if path != "/fhir/metadata" {
            let expected = format!("Basic {}", STANDARD.encode("registry:p:ä w"));
            assert_eq!(header(headers, "authorization"), expected, "{path}");
        }
    }
}

type Change<'c> = &'c dyn Fn(&mut EhrConnection);

#[tokio::test]
async fn check_config_says_what_cannot_go_together() {
    let database = Database::on(Engine::Sqlite).await.unwrap();
    let faults = |change: Change<'_>| {
        let config = config(&database, "http://127.0.0.1:1/fhir", change);
        config.check().err().map(|error| error.to_string()).unwrap_or_default()
    };
    let basic = || Some(BasicAuth { username: "u".into(), password: "p".into() });
    let cases: [(Change<'_>, &str); 6] = [
        (
            &|ehr| {
                ehr.basic = basic();
                ehr.bearer_token = Some("t".into());
            },
            "bearer_token and basic are set",
        ),
        (
            &|ehr| {
                let auth = shared_secret("http://127.0.0.1:1", AuthKind::ClientSecretPost);
                ehr.auth = Some(BackendServices { client_secret: None, ..auth });
            },
            "auth.client_secret: is needed for this kind",
        ),
        (
            &|ehr| ehr.auth = Some(shared_secret("http://127.0.0.1:1", AuthKind::BackendServices)),
            "auth.client_secret: backend_services signs with a key",
        ),
        (&|ehr| ehr.headers = [("Authorization".to_owned(), "x".into())].into(), "headers.Authorization: is set by us"),
        (&|ehr| ehr.headers = [("X Y".to_owned(), "s3cret".into())].into(), "headers.X Y: is no header"),
        (
            &|ehr| ehr.client_certificate = Some(ClientCertificate { certificate_file: "c".into(), key_file: None }),
            "client_certificate: is shown over https only",
        ),
    ];
    for (change, expected) in cases {
        let said = faults(change);
        assert!(said.contains(expected) && !said.contains("s3cret"), "{said}");
    }
    // Files that hold nothing usable are told by their key.
    let file = database.folder.path().join("us.pem");
    std::fs::write(&file, "rubbish").unwrap();
    let config = config(&database, "https://127.0.0.1:1/fhir", |ehr| {
        ehr.client_certificate = Some(ClientCertificate { certificate_file: file.clone(), key_file: None });
    });
    let refused = connection::client(&config, &config.ehrs[0], &Clock::standing_at(monday())).unwrap_err();
    assert_eq!(refused.expression.as_deref(), Some("client_certificate"));
}
