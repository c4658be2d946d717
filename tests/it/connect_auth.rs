//! SMART Backend Services against an authorization server that checks what it is sent, and `check-config` against
//! everything that usually goes wrong.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use cocm_registry::clock::Clock;
use cocm_registry::config::{self, AuthKind, BackendServices, KeyAlgorithm};
use cocm_registry::domain::chart_plan::Rung;
use cocm_registry::ehr::auth::KeyRing;
use cocm_registry::ehr::probe::{ProbeResult, Verdict};
use cocm_registry::ehr::{EhrClient, Failure};
use cocm_registry::intake::connection;
use cocm_registry::sandbox::Sandbox;
use cocm_registry::sandbox::misbehavior::Misbehavior;
use cocm_registry::service::connections::try_connection;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use rstest::rstest;
use serde_json::{Value, json};

use crate::connect_world::config;
use crate::world::{Database, Engine};

/// How the authorization server behaves, and what it has seen.
struct Office {
    ring: KeyRing,
    granted: String,
    lifetime: u64,
    refuse: Option<(u16, &'static str)>,
    issued: usize,
    seen: HashSet<String>,
    faults: Vec<String>,
}

type Shared = Arc<Mutex<Office>>;

/// Checks an assertion as SMART says: signature by our published key, iss, sub, aud, exp, jti.
async fn token(State((office, own)): State<(Shared, String)>, body: String) -> impl IntoResponse {
    // Slow enough that many ask meanwhile.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let url = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
    let form: std::collections::HashMap<String, String> = url.query_pairs().into_owned().collect();
    let mut office = office.lock().unwrap();
    if let Some((status, error)) = office.refuse {
        return (StatusCode::from_u16(status).unwrap(), Json(json!({"error": error})));
    }
    let fault = check(&office, &form, &own).err();
    if let Some(fault) = fault {
        office.faults.push(fault);
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client", "error_description": "no"})));
    }
    let claims = payload(&form["client_assertion"]);
    if !office.seen.insert(claims["jti"].as_str().unwrap().to_owned()) {
        office.faults.push("a jti was used twice".into());
    }
    office.issued += 1;
    let granted = json!({"access_token": format!("token-{}", office.issued), "token_type": "Bearer",
        "expires_in": office.lifetime, "scope": office.granted});
    (StatusCode::OK, Json(granted))
}

fn payload(assertion: &str) -> Value {
    use base64::Engine;
    let part = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn check(office: &Office, form: &std::collections::HashMap<String, String>, own: &str) -> Result<(), String> {
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    for (name, value) in expected {
        if form.get(name).map(String::as_str) != Some(value) {
            return Err(format!("{name} is {:?}", form.get(name)));
        }
    }
    let assertion = form.get("client_assertion").ok_or("no assertion")?;
    let header = decode_header(assertion).map_err(|e| e.to_string())?;
    let kid = header.kid.ok_or("no kid")?;
    let published = office.ring.published(chrono::DateTime::from(std::time::SystemTime::now())).unwrap();
    let jwk = published.into_iter().find(|key| key["kid"] == kid.as_str()).ok_or("an unpublished key")?;
    let jwk: Jwk = serde_json::from_value(jwk).map_err(|e| e.to_string())?;
    let mut rules = Validation::new(header.alg);
    rules.leeway = 0;
    rules.set_audience(&[format!("{own}/token")]);
    rules.set_issuer(&["client-7"]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims =
        decode::<Value>(assertion, &DecodingKey::from_jwk(&jwk).unwrap(), &rules).map_err(|e| e.to_string())?;
    let claims = claims.claims;
    let lifetime = claims["exp"].as_u64().unwrap() - jsonwebtoken::get_current_timestamp();
    if lifetime > 300 || claims["sub"] != "client-7" || !claims["jti"].is_string() {
        return Err(format!("{claims}"));
    }
    Ok(())
}

/// A sandbox that wants a token, an authorization server, and what we know of both.
struct Scene {
    database: Database,
    chart: Sandbox,
    office: Shared,
    office_url: String,
    clock: Clock,
    algorithm: KeyAlgorithm,
}

impl Scene {
    async fn new(algorithm: KeyAlgorithm) -> Self {
        let database = Database::on(Engine::Sqlite).await.unwrap();
        let clock = Clock::system();
        let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), clock.clone()).await.unwrap();
        let ring = KeyRing::at(database.folder.path().join("connection-keys"));
        let office = Office {
            ring,
            granted: "system/*.*".into(),
            lifetime: 300,
            refuse: None,
            issued: 0,
            seen: HashSet::new(),
            faults: Vec::new(),
        };
        let office = Arc::new(Mutex::new(office));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let office_url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/token", post(token)).with_state((office.clone(), office_url.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let scene = Self { database, chart, office, office_url, clock, algorithm };
        scene.accept(&["token-1"]);
        scene
    }

    fn accept(&self, tokens: &[&str]) {
        let wants_token = tokens.iter().map(|token| (*token).to_owned()).collect();
        self.chart.misbehave(Misbehavior { wants_token, ..Misbehavior::default() });
    }

    fn rotate(&self) {
        self.office.lock().unwrap().ring.rotate(self.algorithm, self.clock.now()).unwrap();
    }

    fn settings(&self, ehr: &mut config::EhrConnection) {
        ehr.auth = Some(BackendServices {
            kind: AuthKind::BackendServices,
            client_id: "client-7".into(),
            token_url: Some(format!("{}/token", self.office_url)),
            scopes: "system/Patient.rs system/Task.crus system/Flag.crus".into(),
            algorithm: self.algorithm,
            keys: None,
        });
    }

    fn ehr(&self) -> EhrClient {
        let config = config(&self.database, self.chart.url(), |ehr| self.settings(ehr));
        connection::client(&config, &config.ehrs[0], &self.clock).unwrap()
    }

    async fn check(&self, change: impl FnOnce(&mut config::EhrConnection)) -> Vec<ProbeResult> {
        let mut config = config(&self.database, self.chart.url(), |ehr| {
            self.settings(ehr);
            change(ehr);
        });
        config.public_url = Some("https://cocm.example".into());
        try_connection(&config, &config.ehrs[0], &self.clock).await.unwrap()
    }

    fn issued(&self) -> usize {
        self.office.lock().unwrap().issued
    }
}

#[rstest]
#[tokio::test]
async fn a_token_is_had_once_and_used_by_everybody(
    #[values(KeyAlgorithm::Rs384, KeyAlgorithm::Es384)] algorithm: KeyAlgorithm,
) {
    let scene = Scene::new(algorithm).await;
    scene.rotate();
    let ehr = scene.ehr();
    let calls = (0..50).map(|_| ehr.search("Patient", &[]));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    let office = scene.office.lock().unwrap();
    assert_eq!((office.issued, &office.faults), (1, &Vec::<String>::new()));
}

#[tokio::test]
async fn a_refused_token_is_renewed_exactly_once() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    scene.rotate();
    let ehr = scene.ehr();
    ehr.search("Patient", &[]).await.unwrap();
    // The server forgets the token before its time.
    scene.accept(&["token-2"]);
    let calls = (0..20).map(|_| ehr.search("Patient", &[]));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(scene.issued(), 2);
    // It accepts nothing: one renewal, then the refusal.
    scene.accept(&["nothing"]);
    scene.chart.clear_log();
    let refused = ehr.search("Patient", &[]).await.unwrap_err();
    assert!(matches!(refused, Failure::Refused { status: 401, .. }), "{refused:?}");
    assert_eq!((scene.issued(), scene.chart.log().len()), (3, 2));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    scene.rotate();
    scene.office.lock().unwrap().lifetime = 1;
    scene.accept(&["token-1", "token-2"]);
    let ehr = scene.ehr();
    ehr.search("Patient", &[]).await.unwrap();
    ehr.search("Patient", &[]).await.unwrap();
    assert_eq!(scene.issued(), 1);
    tokio::time::sleep(Duration::from_millis(920)).await;
    ehr.search("Patient", &[]).await.unwrap();
    assert_eq!(scene.issued(), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_endpoint_is_not_stormed() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    scene.rotate();
    scene.office.lock().unwrap().refuse = Some((400, "invalid_scope"));
    let ehr = scene.ehr();
    let calls = (0..20).map(|_| ehr.search("Patient", &[]));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap_err(), Failure::NotSent { cause: "no token: refused with invalid_scope" });
    }
    assert!(scene.chart.log().is_empty());
}

#[tokio::test]
async fn the_token_endpoint_is_discovered_and_nobody_else_gets_the_assertion() {
    async fn smart(State(token): State<String>) -> Json<Value> {
        Json(json!({"token_endpoint": token}))
    }
    async fn found() -> Json<Value> {
        Json(json!({"resourceType": "Bundle", "type": "searchset"}))
    }
    let scene = Scene::new(KeyAlgorithm::Rs384).await;
    scene.rotate();
    for (endpoint, works) in
        [(format!("{}/token", scene.office_url), true), ("http://auth.example/token".into(), false)]
    {
        let router = Router::new()
            .route("/fhir/.well-known/smart-configuration", get(smart))
            .route("/fhir/Patient", get(found))
            .with_state(endpoint);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/fhir", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = config(&scene.database, &base, |ehr| {
            scene.settings(ehr);
            ehr.auth.as_mut().unwrap().token_url = None;
        });
        let ehr = connection::client(&config, &config.ehrs[0], &scene.clock).unwrap();
        let answer = ehr.search("Patient", &[]).await;
        assert_eq!(answer.is_ok(), works, "{answer:?}");
    }
    assert_eq!(scene.issued(), 1);
}

fn only(findings: Vec<ProbeResult>, verdict: Verdict) -> String {
    let mut of: Vec<_> = findings.iter().filter(|finding| finding.verdict == verdict).collect();
    assert_eq!(of.len(), 1, "{findings:#?}");
    of.remove(0).sentence.clone()
}

#[tokio::test]
async fn check_config_says_what_works() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    scene.rotate();
    scene.accept(&["token-1", "token-2"]);
    let findings = scene.check(|_| {}).await;
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Works), "{findings:#?}");
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(text.iter().any(|line| line.contains("token: granted by")), "{text:#?}");
    for kind in ["Task", "Flag"] {
        let said = format!("a {kind} goes into the chart as a {kind}");
        assert!(text.iter().any(|line| line.contains(&said)), "{text:#?}");
    }
    // Nothing was written.
    assert!(scene.chart.log().iter().all(|call| call.method == "GET"), "{:?}", scene.chart.log());
}

#[tokio::test]
async fn check_config_against_a_wrong_address() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    scene.chart.behave();
    let url = format!("{}/wrong/path", scene.chart.url());
    let said = only(scene.check(|ehr| ehr.base_url = url).await, Verdict::Broken);
    assert!(said.contains("404") && said.contains("correct base_url"), "{said}");
    // Nobody listens there.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/fhir", free.local_addr().unwrap());
    drop(free);
    let said = only(scene.check(|ehr| ehr.base_url = url).await, Verdict::Broken);
    assert!(said.contains("it refuses the connection; correct the port in base_url"), "{said}");
}

/// A TLS server with a certificate that was good until then; and its authority.
async fn tls(not_after: (i32, u8, u8)) -> (String, Vec<u8>) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.not_before = date_time_ymd(2020, 1, 1);
    authority.not_after = date_time_ymd(2120, 1, 1);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    leaf.not_before = date_time_ymd(2020, 1, 1);
    leaf.not_after = date_time_ymd(not_after.0, not_after.1, not_after.2);
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let settings = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let settings = settings.with_no_client_auth().with_single_cert(chain, private).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/fhir", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // The client breaks the handshake off: that is what is tried.
                let _ = acceptor.accept(stream).await;
            });
        }
    });
    (url, authority.pem().into_bytes())
}

#[tokio::test]
async fn check_config_against_an_expired_certificate_and_an_unknown_authority() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    let (url, authority) = tls((2024, 1, 1)).await;
    let file = scene.database.folder.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    let known = file.clone();
    let said = only(scene.check(|ehr| (ehr.base_url, ehr.ca_file) = (url, Some(known))).await, Verdict::Broken);
    assert!(said.contains("its certificate has expired; it has to be renewed"), "{said}");

    let (url, _) = tls((2120, 1, 1)).await;
    let said = only(scene.check(|ehr| ehr.base_url = url).await, Verdict::Broken);
    assert!(said.contains("ca_file"), "{said}");
}

#[tokio::test]
async fn check_config_against_a_wrong_key_and_without_one() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    let said = only(scene.check(|_| {}).await, Verdict::Broken);
    assert!(said.contains("keys rotate") && said.contains("ES384"), "{said}");

    // The EHR knows other keys than ours.
    let elsewhere = scene.database.folder.path().join("others");
    KeyRing::at(&elsewhere).rotate(KeyAlgorithm::Es384, scene.clock.now()).unwrap();
    let said = only(scene.check(|ehr| ehr.auth.as_mut().unwrap().keys = Some(elsewhere)).await, Verdict::Broken);
    let expected = "register client client-7 there with our key set https://cocm.example/.well-known/jwks.json";
    assert!(said.contains(expected), "{said}");
}

#[tokio::test]
async fn check_config_against_missing_scopes() {
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    scene.rotate();
    scene.accept(&["token-1", "token-2", "token-3", "token-4", "token-5", "token-6"]);
    scene.office.lock().unwrap().granted = "system/Patient.read".into();
    let said = only(scene.check(|_| {}).await, Verdict::Limited);
    assert!(said.contains("did not grant system/Task.crus system/Flag.crus;"), "{said}");

    scene.office.lock().unwrap().granted = "system/*.*".into();
    let notes = |ehr: &mut config::EhrConnection| ehr.write.flag = Some(Rung::Communication);
    let said = scene.check(notes).await.into_iter().find(|one| one.sentence.contains("auth.scopes")).unwrap().sentence;
    assert!(said.contains("does not ask for system/Communication.crus;"), "{said}");

    scene.office.lock().unwrap().refuse = Some((400, "invalid_scope"));
    let said = only(scene.check(|_| {}).await, Verdict::Broken);
    assert!(said.contains("invalid_scope") && said.contains("system/Patient.rs system/Task.crus"), "{said}");
}

#[tokio::test]
async fn check_config_against_a_server_without_task_and_without_the_right_to_search() {
    async fn metadata() -> Json<Value> {
        let kinds = ["Patient", "Communication"];
        let resources = kinds.map(|kind| json!({"type": kind, "interaction": [{"code": "create"}]}));
        Json(json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "software": {"name": "Stub"},
            "rest": [{"mode": "server", "resource": resources}]}))
    }
    async fn found() -> Json<Value> {
        Json(json!({"resourceType": "Bundle", "type": "searchset"}))
    }
    async fn forbidden() -> StatusCode {
        StatusCode::FORBIDDEN
    }
    let scene = Scene::new(KeyAlgorithm::Es384).await;
    let router = Router::new()
        .route("/metadata", get(metadata))
        .route("/Patient", get(found))
        .route("/QuestionnaireResponse", get(forbidden));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let findings = scene
        .check(|ehr| {
            (ehr.base_url, ehr.auth) = (url, None);
            ehr.poll.types = vec!["Patient".into(), "QuestionnaireResponse".into()];
        })
        .await;
    // What can be created and never found again is no rung.
    let limited: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Limited).collect();
    assert_eq!(limited.len(), 2, "{findings:#?}");
    assert!(limited.iter().all(|one| one.sentence.contains("Communication, only to create it")), "{limited:#?}");
    let said = only(findings, Verdict::Broken);
    assert!(said.contains("scope system/QuestionnaireResponse.rs"), "{said}");
}
