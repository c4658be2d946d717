//! Who calls the CDS service: which tokens, tenants and browsers are believed, and what is answered to what cannot be read.

use axum::body::Body;
use axum::http::Request;
use cocm_registry::identity::Role;
use cocm_registry::listener::protect;
use cocm_registry::service;
use jsonwebtoken::get_current_timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::api_world::CLINIC;
use crate::cds_hooks_world::{ENROLLED, Hooked, OTHER, PUBLIC, SERVICE, WITH_ITEM9, client, view};
use crate::tokens::Key;
use crate::world::{Engine, patient, phq9};

#[rstest]
#[tokio::test]
async fn a_token_that_is_not_the_ehrs_own_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    hooked.world.arrives(phq9("g", "one", "2026-03-01T10:00:00Z", WITH_ITEM9)).await;
    let good = hooked.token();
    let with = |name: &str, value: Value| {
        let mut claims = hooked.claims();
        claims[name] = value;
        hooked.north.sign(&Hooked::header(), &claims)
    };
    let without = |name: &str| {
        let mut claims = hooked.claims();
        claims.as_object_mut().unwrap().remove(name);
        hooked.north.sign(&Hooked::header(), &claims)
    };
    let headed = |name: &str, value: Value| {
        let mut header = Hooked::header();
        header[name] = value;
        hooked.north.sign(&header, &hooked.claims())
    };
    let (message, signature) = good.rsplit_once('.').unwrap();
    let now = get_current_timestamp();
    let stranger = Key::p384("n");
    let small = Key::p256("n");
    let bad = [
        ("nothing", String::new()),
        ("rubbish", "a.b.c".to_owned()),
        ("unsigned", format!("{message}.")),
        ("another's payload", format!("{}.{signature}", without("sub").rsplit_once('.').unwrap().0)),
        ("alg none", headed("alg", json!("none"))),
        ("HS256", headed("alg", json!("HS256"))),
        ("ES256", small.sign(&json!({"alg": "ES256", "kid": "n"}), &hooked.claims())),
        ("RS256", hooked.south.sign(&json!({"alg": "RS256", "kid": "s"}), &hooked.claims())),
        ("a stranger's key", stranger.sign(&Hooked::header(), &hooked.claims())),
        ("the other EHR's key", hooked.south.sign(&json!({"alg": "RS384", "kid": "s"}), &hooked.claims())),
        ("keys of its own choice", headed("jku", json!("https://evil.example/jwks.json"))),
        ("a key of its own choice", headed("jwk", hooked.north.jwk())),
        ("crit", headed("crit", json!(["exp"]))),
        ("expired", with("exp", json!(now - 60))),
        ("for years", with("exp", json!(now + 400_000))),
        ("issued tomorrow", with("iat", json!(now + 3600))),
        ("not yet", with("nbf", json!(now + 3600))),
        ("no exp", without("exp")),
        ("no iat", without("iat")),
        ("no jti", without("jti")),
        ("an empty jti", with("jti", json!(""))),
        ("a long jti", with("jti", json!("x".repeat(300)))),
        ("no aud", without("aud")),
        ("another service", with("aud", json!("https://registry.example/cds-services/other"))),
        ("discovery", with("aud", json!("https://registry.example/cds-services"))),
        ("another host", with("aud", json!("https://evil.example/cds-services/cocm-standing"))),
        ("no iss", without("iss")),
        ("an unknown iss", with("iss", json!("https://evil.example"))),
        ("one of our own", hooked.world.token(CLINIC, Role::Admin)),
    ];
    for (what, token) in bad {
        let (status, body) = hooked.ask_with(&token, "one").await;
        assert_eq!(status, 401, "{what}: {body}");
        assert!(!body.to_string().contains("cards") && body["detail"].is_string(), "{what}: {body}");
    }
    // The good one is good once, and for an audience among others.
    assert_eq!(hooked.ask_with(&good, "one").await.1["cards"].as_array().unwrap().len(), 1);
    for _ in 0..2 {
        let (status, body) = hooked.ask_with(&good, "one").await;
        assert_eq!((status, &body["detail"]), (401, &"the token was used before".into()));
    }
    let several = with("aud", json!(["https://other.example", SERVICE]));
    assert_eq!(hooked.ask_with(&several, "one").await.0, 200);
    // A token of a CDS client opens nothing else.
    let request = Request::get("/api/v1/caseload").header("authorization", format!("Bearer {}", hooked.token()));
    assert_eq!(hooked.world.send(request.body(Body::empty()).unwrap()).await.status, 401);
    let request = Request::get("/fhir/Patient").header("authorization", format!("Bearer {}", hooked.token()));
    assert_eq!(hooked.world.send(request.body(Body::empty()).unwrap()).await.status, 401);
}

#[rstest]
#[tokio::test]
async fn ten_calls_with_one_token_at_once_are_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    let token = hooked.token();
    let all = futures_util::future::join_all((0..10).map(|_| hooked.ask_with(&token, "one"))).await;
    assert_eq!(all.iter().filter(|(status, _)| *status == 200).count(), 1, "{all:?}");
    assert_eq!(all.iter().filter(|(status, _)| *status == 401).count(), 9);
}

#[rstest]
#[tokio::test]
async fn a_clinics_ehr_learns_nothing_of_another_clinic(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(hooked) = Hooked::on(engine).await else { return };
    hooked.enrolled("one", ENROLLED, &[(0, WITH_ITEM9)]).await;
    let mut body = view("one");
    body["fhirServer"] = json!("https://south.example/fhir");
    // Whatever it says of itself in the body.
    body["context"]["clinic"] = json!(CLINIC);
    body["prefetch"] = json!({ "patient": patient("one") });
    let heard = hooked.post(&hooked.southern(), "/cds-services/cocm-standing", body.to_string()).await;
    assert_eq!((heard.status, heard.text().as_str()), (200, r#"{"cards":[]}"#));
    assert_eq!(hooked.cards("one").await.len(), 1);
    assert!(hooked.lines(OTHER).await.is_empty());
}

#[rstest]
#[case::empty("")]
#[case::no_json("{")]
#[case::a_list("[]")]
#[case::nothing("{}")]
#[case::no_context(r#"{"hook":"patient-view"}"#)]
#[case::no_patient(r#"{"hook":"patient-view","context":{}}"#)]
#[case::a_number(r#"{"hook":"patient-view","context":{"patientId":7}}"#)]
#[case::another_hook(r#"{"hook":"order-sign","context":{"patientId":"one"}}"#)]
#[tokio::test]
async fn a_call_that_cannot_be_read_is_told_so_without_repeating_it(#[case] body: &str) {
    let hooked = Hooked::on(Engine::Sqlite).await.unwrap();
    let heard = hooked.post(&hooked.token(), "/cds-services/cocm-standing", body.to_owned()).await;
    assert!([400, 422].contains(&heard.status), "{} {}", heard.status, heard.text());
    // Nobody is told anything before they have said who they are.
    let heard = hooked.post("x.y.z", "/cds-services/cocm-standing", body.to_owned()).await;
    assert_eq!(heard.status, 401);
}

#[tokio::test]
async fn a_call_that_is_too_large_or_too_deep_is_refused() {
    let hooked = Hooked::on(Engine::Sqlite).await.unwrap();
    let huge = format!(r#"{{"hook":"patient-view","x":"{}"}}"#, "x".repeat(2 << 20));
    assert_eq!(hooked.post(&hooked.token(), "/cds-services/cocm-standing", huge).await.status, 413);
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    assert!([400, 413].contains(&hooked.post(&hooked.token(), "/cds-services/cocm-standing", deep).await.status));
    let mut claims = hooked.claims();
    claims["aud"] = json!(format!("{PUBLIC}/cds-services/other"));
    let other = hooked.north.sign(&Hooked::header(), &claims);
    assert_eq!(hooked.post(&other, "/cds-services/other", view("one").to_string()).await.status, 404);
}

#[tokio::test]
async fn only_configured_origins_are_let_in_by_browsers() {
    let chart = "https://chart.north.example";
    let hooked = Hooked::configured(Engine::Sqlite, |config| {
        config.ehrs[0].cds_hooks.as_mut().unwrap().origins = vec![chart.to_owned()];
    })
    .await
    .unwrap();
    let preflight = |path: &str, origin: &str| {
        let request = Request::options(path).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization,content-type").body(Body::empty()).unwrap()
    };
    // As it is served, with everything that stands around the routes.
    let app = &hooked.world.app;
    let served = protect(service::router(app), &app.config.limits, &app.clock);
    for path in ["/cds-services", "/cds-services/cocm-standing", "/cds-services/cocm-standing/feedback"] {
        let heard = served.clone().oneshot(preflight(path, chart)).await.unwrap();
        assert_eq!(heard.status(), 200, "{path}");
        assert_eq!(heard.headers()["access-control-allow-origin"], chart, "{path}");
        assert!(heard.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
        assert!(heard.headers().get("access-control-allow-credentials").is_none());
        let patch = Request::patch(path).header("origin", chart).body(Body::empty()).unwrap();
        assert_eq!(served.clone().oneshot(patch).await.unwrap().status(), 405, "{path}");
    }
    let preflight = |origin: &str| preflight("/cds-services/cocm-standing", origin);
    for stranger in ["https://evil.example", "null", "https://chart.north.example.evil.example"] {
        let heard = hooked.world.send(preflight(stranger)).await;
        assert!(heard.headers.get("access-control-allow-origin").is_none(), "{stranger}");
    }
    let discovery = |origin: &str| Request::get("/cds-services").header("origin", origin).body(Body::empty()).unwrap();
    assert!(hooked.world.send(discovery(chart)).await.headers.contains_key("access-control-allow-origin"));
    // Nowhere else.
    let request = Request::get("/fhir/metadata").header("origin", chart).body(Body::empty()).unwrap();
    assert!(!hooked.world.send(request).await.headers.contains_key("access-control-allow-origin"));
    let closed = Hooked::on(Engine::Sqlite).await.unwrap();
    assert!(!closed.world.send(discovery(chart)).await.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn two_clinics_of_one_issuer_are_told_apart_by_their_tenants() {
    let key = Key::p384("both");
    let hooked = Hooked::configured(Engine::Sqlite, |config| {
        let both = client(&config.data_dir, "both", &key);
        for ehr in &mut config.ehrs {
            ehr.cds_hooks = Some(cocm_registry::config::CdsHooks { tenant: Some(ehr.name.clone()), ..both.clone() });
        }
        config.ehrs[0].cds_hooks.as_mut().unwrap().tenant = None;
        assert!(config.check().unwrap_err().to_string().contains("tenant"));
        config.ehrs[0].cds_hooks.as_mut().unwrap().tenant = Some("south".into());
        assert!(config.check().unwrap_err().to_string().contains("tenant"));
        config.ehrs[0].cds_hooks.as_mut().unwrap().tenant = Some("north".into());
    })
    .await
    .unwrap();
    hooked.world.arrives(phq9("g", "one", "2026-03-01T10:00:00Z", WITH_ITEM9)).await;
    for (tenant, status, cards) in [(Some("north"), 200, 1), (Some("east"), 401, 0), (None, 401, 0)] {
        let mut claims = hooked.claims();
        claims["iss"] = json!("https://both.example");
        claims["tenant"] = json!(tenant);
        let token = key.sign(&json!({"alg": "ES384", "kid": "both"}), &claims);
        let (said, body) = hooked.ask_with(&token, "one").await;
        assert_eq!((said, body["cards"].as_array().map_or(0, Vec::len)), (status, cards), "{tenant:?}");
    }
}
