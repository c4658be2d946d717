//! Signing in with another's word: a small identity provider that also plays an EHR, and everything that may be wrong
//! with its answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use cocm_registry::config::{ClientAuth, ClinicId, Config, SignInConfig};
use cocm_registry::id::PatientId;
use cocm_registry::store::patient::{self, Patient};
use jsonwebtoken::get_current_timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::api_world::World;
use super::pages_world::{Browser, Seen};
use super::world::phq9;

/// What the provider knows and says.
struct Provider {
    base: String,
    key: EcdsaKeyPair,
    /// Beside or instead of the usual claims.
    claims: Mutex<Value>,
    /// Beside the ID token.
    beside: Mutex<Value>,
    /// The nonce of the sign-in that is under way.
    nonce: Mutex<String>,
    /// What was posted to the token endpoint.
    redeemed: Mutex<Vec<HashMap<String, String>>>,
    /// How the client proved there who it is.
    authorized: Mutex<Option<String>>,
    /// What userinfo says; nothing where it is `null`.
    userinfo: Mutex<Value>,
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let provider = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap(),
            claims: Mutex::new(json!({})),
            beside: Mutex::new(json!({})),
            nonce: Mutex::default(),
            redeemed: Mutex::default(),
            authorized: Mutex::default(),
            userinfo: Mutex::default(),
        });
        let endpoints = |State(p): State<Arc<Self>>| async move {
            Json(
                json!({"authorization_endpoint": format!("{}/authorize?tenant=1", p.base), "token_endpoint": format!("{}/token", p.base),
                    "userinfo_endpoint": format!("{}/userinfo", p.base), "end_session_endpoint": format!("{}/logout?x=1", p.base)}),
            )
        };
        let jwks = |State(p): State<Arc<Self>>| async move {
            let (x, y) = p.key.public_key().as_ref()[1..].split_at(32);
            Json(json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "x": B64.encode(x), "y": B64.encode(y)}]}))
        };
        let userinfo = |State(p): State<Arc<Self>>, headers: axum::http::HeaderMap| async move {
            assert_eq!(headers["authorization"], "Bearer unused");
            Json(p.userinfo.lock().unwrap().clone())
        };
        let token = |State(p): State<Arc<Self>>, headers: axum::http::HeaderMap, body: String| async move {
            let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            *p.authorized.lock().unwrap() = authorization;
            let posted = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            p.redeemed.lock().unwrap().push(posted);
            let mut answer = json!({"access_token": "unused", "token_type": "Bearer", "id_token": p.id_token()});
            merge(&mut answer, &p.beside.lock().unwrap());
            Json(answer)
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(endpoints))
            .route("/fhir/.well-known/smart-configuration", get(endpoints))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    fn id_token(&self) -> String {
        let now = get_current_timestamp();
        let mut claims = json!({"iss": self.base, "aud": "cocm-pages", "sub": "u-1", "exp": now + 300, "iat": now,
            "nonce": *self.nonce.lock().unwrap(), "name": "Kim <b>Lee</b>", "clinic": "demo", "role": "care_manager"});
        merge(&mut claims, &self.claims.lock().unwrap());
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "k1"});
        let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", B64.encode(signature.as_ref()))
    }

    fn says(&self, claims: Value, beside: Value) {
        *self.claims.lock().unwrap() = claims;
        *self.beside.lock().unwrap() = beside;
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().unwrap() {
        into[name] = value.clone();
    }
}

/// The service as configured for production: two ways to sign in, no development.
fn served(world: &World, provider: &Provider) -> Browser {
    served_with(world, provider, |_| {})
}

/// The same, with the first way changed.
fn served_with(world: &World, provider: &Provider, change: impl FnOnce(&mut SignInConfig)) -> Browser {
    let mut way = SignInConfig {
        jwks_url: Some(format!("{}/jwks", provider.base)),
        ..SignInConfig::new("Clinic account", provider.base.clone(), "cocm-pages")
    };
    change(&mut way);
    let ehr = SignInConfig {
        name: "Example EHR".into(),
        fhir_base: Some(format!("{}/fhir", provider.base)),
        frame_origins: vec!["https://ehr.test".into(), "https://ehr2.test".into()],
        clinic: Some(ClinicId::new("demo").unwrap()),
        roles: [("Practitioner/7".to_owned(), "psychiatric_consultant".to_owned())].into(),
        ..way.clone()
    };
    let mut app = world.app.clone();
    app.config = Arc::new(Config {
        public_url: Some("https://registry.test".into()),
        any_clinic: false,
        sign_ins: vec![way, ehr],
        ..(*app.config).clone()
    });
    Browser::of(&app)
}

/// The parameters of the redirect to the provider.
fn asked(seen: &Seen) -> HashMap<String, String> {
    let location = reqwest::Url::parse(seen.header("location")).unwrap();
    location.query_pairs().into_owned().collect()
}

fn cookie(seen: &Seen, name: &str) -> Option<String> {
    let all = seen.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap());
    all.filter_map(|v| v.split(';').next()).find(|v| v.starts_with(name) && !v.ends_with('=')).map(str::to_owned)
}

/// Leaves at `path`, and comes back as the provider would send one.
async fn round(browser: &mut Browser, provider: &Provider, path: &str) -> (HashMap<String, String>, Seen) {
    browser.cookie = None;
    let left = browser.get(path).await.expect(303);
    let asked = asked(&left);
    browser.cookie = cookie(&left, "__Host-cocm-leaving");
    provider.nonce.lock().unwrap().clone_from(&asked["nonce"]);
    let back = format!("/sign-in/back?code=c-1&state={}", asked["state"]);
    let seen = browser.get(&back).await;
    browser.cookie = cookie(&seen, "__Host-cocm=");
    (asked, seen)
}

#[tokio::test]
async fn an_identity_provider_lets_one_in_with_a_code_and_a_proof() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let mut browser = served(&world, &provider);
    let page = browser.get("/sign-in?to=/review").await.expect(200).text;
    assert!(
        page.contains("/sign-in/with/0?to=%2Freview") && page.contains("Example EHR") && !page.contains("development")
    );
    let (asked, seen) = round(&mut browser, &provider, "/sign-in/with/0?to=/review").await;
    assert_eq!(seen.expect(303).header("location"), "/review");
    assert_eq!(asked["tenant"], "1", "what the endpoint had in its query stays");
    assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
    assert_eq!(asked["redirect_uri"], "https://registry.test/sign-in/back");
    let redeemed = provider.redeemed.lock().unwrap().pop().unwrap();
    assert_eq!(redeemed["code"], "c-1");
    assert_eq!(
        B64.encode(Sha256::digest(&redeemed["code_verifier"])),
        asked["code_challenge"],
        "only we can redeem it"
    );
    let page = browser.get("/caseload").await.expect(200).text;
    assert!(page.contains("Kim &#60;b&#62;Lee&#60;/b&#62;"));
}

#[tokio::test]
async fn roles_are_found_where_keycloak_and_entra_put_them() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let nobody = json!({"role": null, "clinic": null});
    for (claims, role_claim, role_map) in [
        (json!({"realm_access": {"roles": ["offline_access", "care_manager"]}}), "realm_access.roles", json!({})),
        (
            json!({"resource_access": {"cocm-pages": {"roles": ["cm"]}}}),
            "resource_access.cocm-pages.roles",
            json!({"cm": "care_manager"}),
        ),
        (json!({"roles": ["Registry.CareManager"]}), "roles", json!({"Registry.CareManager": "care_manager"})),
        (json!({"role": ["care_manager"]}), "role", json!({})),
    ] {
        let mut browser = served_with(&world, &provider, |way| {
            way.clinic = Some(ClinicId::new("demo").unwrap());
            way.role_claim = role_claim.to_owned();
            way.role_map = serde_json::from_value(role_map).unwrap();
        });
        let mut said = nobody.clone();
        merge(&mut said, &claims);
        provider.says(said, json!({}));
        let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
        assert_eq!(seen.expect(303).header("location"), "/", "{claims}");
        provider.says(nobody.clone(), json!({}));
        let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
        assert!(seen.expect(403).text.contains("you have no role in this care team"));
    }
    let mut browser = served(&world, &provider);
    provider.says(json!({"role": ["admin", "care_manager"]}), json!({}));
    let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
    assert!(seen.expect(403).text.contains("several roles"));
}

#[tokio::test]
async fn what_only_userinfo_says_is_asked_for_and_is_about_the_same_person() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let mut browser = served_with(&world, &provider, |way| way.scope = Some("openid registry".to_owned()));
    provider.says(json!({"role": null, "clinic": null, "name": null}), json!({}));
    let said = json!({"sub": "u-1", "clinic": "demo", "role": "admin", "name": "Lee Kim"});
    *provider.userinfo.lock().unwrap() = said.clone();
    let (asked, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
    assert_eq!(asked["scope"], "openid registry");
    assert_eq!(seen.expect(303).header("location"), "/");
    let mut other = said;
    other["sub"] = json!("u-2");
    *provider.userinfo.lock().unwrap() = other;
    let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
    assert_eq!(seen.status, 403);
}

#[tokio::test]
async fn a_secret_with_any_characters_is_sent_as_oauth_has_it() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let mut browser = served_with(&world, &provider, |way| way.client_secret = Some("a+b/c=d%:e f".into()));
    let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
    seen.expect(303);
    let sent = provider.authorized.lock().unwrap().take().unwrap();
    let sent = base64::engine::general_purpose::STANDARD.decode(sent.trim_start_matches("Basic ")).unwrap();
    assert_eq!(String::from_utf8(sent).unwrap(), "cocm-pages:a%2Bb%2Fc%3Dd%25%3Ae+f");
    let mut browser = served_with(&world, &provider, |way| {
        way.client_secret = Some("a+b".into());
        way.client_auth = Some(ClientAuth::ClientSecretPost);
    });
    let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
    seen.expect(303);
    assert!(provider.authorized.lock().unwrap().is_none());
    assert_eq!(provider.redeemed.lock().unwrap().pop().unwrap()["client_secret"], "a+b");
}

#[tokio::test]
async fn who_signs_out_here_signs_out_at_the_provider() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let mut browser = served(&world, &provider);
    let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
    seen.expect(303);
    let page = browser.get("/caseload").await.expect(200);
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.contains(&format!("form-action 'self' {}", provider.base)), "{policy}");
    let out = browser.post("/sign-out", &[]).await.expect(303);
    let location = reqwest::Url::parse(out.header("location")).unwrap();
    assert!(location.as_str().starts_with(&format!("{}/logout?x=1&", provider.base)), "{location}");
    let said: HashMap<String, String> = location.query_pairs().into_owned().collect();
    assert_eq!(said["client_id"], "cocm-pages");
    assert_eq!(said["post_logout_redirect_uri"], "https://registry.test/sign-in");
    assert_eq!(said["id_token_hint"].split('.').count(), 3);
    assert_eq!(browser.get("/caseload").await.status, 303);
}

#[tokio::test]
async fn a_word_given_to_another_client_lets_nobody_in() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let mut browser = served(&world, &provider);
    for claims in [json!({"azp": "other"}), json!({"aud": ["cocm-pages", "other"]})] {
        provider.says(claims, json!({}));
        let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
        assert_eq!(seen.status, 403);
    }
    provider.says(json!({"azp": "cocm-pages", "aud": ["cocm-pages", "other"]}), json!({}));
    let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
    seen.expect(303);
}

#[tokio::test]
async fn an_ehr_opens_the_patient_that_it_had_open() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let patient = world.patient("p7", "Byron").await;
    let mut browser = served(&world, &provider);
    let fhir_user = json!({"fhirUser": format!("{}/fhir/Practitioner/7", provider.base), "role": null});
    provider.says(fhir_user.clone(), json!({"patient": "p7"}));
    let launch = format!("/launch?iss={}/fhir&launch=xyz", provider.base);
    let (asked, seen) = round(&mut browser, &provider, &launch).await;
    assert_eq!((asked["launch"].as_str(), asked["scope"].as_str()), ("xyz", "openid fhirUser launch"));
    assert_eq!(asked["aud"], format!("{}/fhir", provider.base));
    assert_eq!(seen.expect(303).header("location"), format!("/patients/{patient}"));
    // The table of roles knows what they are.
    browser.get("/operations/rules").await.expect(200);
    browser.get("/operations").await.expect(403);
    // Standalone: no launch, and no patient.
    provider.says(fhir_user, json!({}));
    let (asked, seen) = round(&mut browser, &provider, "/sign-in/with/1").await;
    assert!(!asked.contains_key("launch"));
    assert_eq!(seen.expect(303).header("location"), "/");
    // An EHR that nobody configured is sent nobody.
    let foreign = browser.get("/launch?iss=https://evil.example/fhir&launch=xyz").await.expect(403);
    assert!(foreign.headers.get("location").is_none());
}

#[tokio::test]
async fn a_card_that_launches_us_leads_to_its_patient_and_to_nobody_elses() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let mut browser = served(&world, &provider);
    let byron = world.patient("p7", "Byron").await;
    let shelley = world.patient("p8", "Shelley").await;
    let mut form = phq9("f", "x", "2026-03-10T10:00:00Z", [2; 9]);
    form["subject"] = json!({"identifier": {"system": "urn:mrn", "value": "77"}});
    world.arrives(form).await;
    let numbered = {
        let mut tx = world.app.db.read().await.unwrap();
        patient::by_key(&mut tx, "demo", "urn:mrn|77").await.unwrap().remove(0).id.to_string()
    };
    let elsewhere = {
        let mut tx = world.app.db.begin("test").await.unwrap();
        let row = Patient::unseen(PatientId(Uuid::from_u128(5)), "Patient/p9".into(), world.app.clock.now());
        assert!(patient::insert(&mut tx, "elsewhere", &row).await.unwrap());
        tx.commit().await.unwrap();
        row.id.to_string()
    };
    let unknown = "/caseload?launched=unknown".to_owned();
    let page = |id: &str| format!("/patients/{id}");
    for (beside, to) in [
        (json!({"patient": "p7", "appContext": byron}), page(&byron)),
        (json!({"patient": "Patient/p7"}), page(&byron)),
        (json!({"appContext": byron}), page(&byron)),
        // The chart has somebody open whom the card knew by a number.
        (json!({"patient": "77", "appContext": numbered}), page(&numbered)),
        // Who is open in the chart goes before what the card said.
        (json!({"patient": "p7", "appContext": shelley}), page(&byron)),
        (json!({"patient": "77", "appContext": shelley}), unknown.clone()),
        // Nobody, nobody of this clinic, and rubbish.
        (json!({"patient": "nobody"}), unknown.clone()),
        (json!({"patient": "p9", "appContext": elsewhere}), unknown.clone()),
        (json!({"appContext": elsewhere}), unknown.clone()),
        (json!({"patient": "../p7"}), unknown.clone()),
        (json!({"appContext": "//evil.example"}), "/caseload".to_owned()),
        (json!({"patient": 7, "appContext": {"patient": byron}}), "/caseload".to_owned()),
    ] {
        let fhir_user = json!({"fhirUser": format!("{}/fhir/Practitioner/7", provider.base), "role": null});
        provider.says(fhir_user, beside.clone());
        let launch = format!("/launch?iss={}/fhir&launch=xyz", provider.base);
        let (_, seen) = round(&mut browser, &provider, &launch).await;
        assert_eq!(seen.expect(303).header("location"), to, "{beside}");
        let text = browser.get(&to).await.expect(200).text;
        assert_eq!(text.contains("is not known in this registry, or not in your clinic"), to == unknown, "{beside}");
    }
    // By an absolute link: behind the sign-in is the page that was asked for.
    browser.cookie = None;
    let sent = browser.get(&page(&byron)).await.expect(303).header("location").to_owned();
    let choice = browser.get(&sent).await.expect(200).text;
    let way = format!("/sign-in/with/0?to=%2Fpatients%2F{byron}");
    assert!(choice.contains(&way), "{choice}");
    provider.says(json!({}), json!({}));
    let (_, seen) = round(&mut browser, &provider, &way).await;
    assert_eq!(seen.expect(303).header("location"), page(&byron));
    browser.get(&page(&elsewhere)).await.expect(404);
}

#[tokio::test]
async fn a_word_that_is_not_about_this_sign_in_lets_nobody_in() {
    let (world, provider) = (World::on("2026-03-16").await, Provider::start().await);
    let mut browser = served(&world, &provider);
    let now = get_current_timestamp();
    for (why, claims, beside) in [
        ("another nonce", json!({"nonce": "another"}), json!({})),
        ("no nonce", json!({"nonce": null}), json!({})),
        ("for another client", json!({"aud": "somebody-else"}), json!({})),
        ("of another issuer", json!({"iss": "https://evil.example"}), json!({})),
        ("expired", json!({"exp": now - 600}), json!({})),
        ("no token", json!({}), json!({"id_token": null})),
        ("unsigned", json!({}), json!({"id_token": "eyJhbGciOiJub25lIn0.e30."})),
        ("no role", json!({"role": "patient"}), json!({})),
        ("a program", json!({"role": "ehr"}), json!({})),
        ("another clinic", json!({"clinic": "elsewhere"}), json!({})),
        ("nobody", json!({"sub": ""}), json!({})),
    ] {
        provider.says(claims, beside);
        let (_, seen) = round(&mut browser, &provider, "/sign-in/with/0").await;
        assert_eq!(seen.status, 403, "{why}");
        assert!(browser.cookie.is_none(), "{why}: no session");
    }
    provider.says(json!({}), json!({}));
    // A state that was not given to this browser, or no cookie at all: somebody else's sign-in.
    let left = browser.get("/sign-in/with/0").await.expect(303);
    let state = asked(&left)["state"].clone();
    let before = provider.redeemed.lock().unwrap().len();
    browser.cookie = None;
    browser.get(&format!("/sign-in/back?code=c&state={state}")).await.expect(403);
    browser.cookie = cookie(&left, "__Host-cocm-leaving");
    browser.get("/sign-in/back?code=c&state=guessed").await.expect(403);
    browser.get(&format!("/sign-in/back?error=access_denied&state={state}")).await.expect(403);
    browser.get(&format!("/sign-in/back?code=c&state={state}&iss=https://evil.example")).await.expect(403);
    assert_eq!(provider.redeemed.lock().unwrap().len(), before, "no code was redeemed");
    let set = left.header("set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Secure"), "{set}");
}

#[tokio::test]
async fn within_the_frame_of_an_ehr_that_may_the_pages_open_and_nowhere_else() {
    let world = World::on("2026-03-16").await;
    let provider = Provider::start().await;
    provider.says(json!({"fhirUser": "https://ehr/Practitioner/7", "role": null}), json!({}));
    let mut browser = served(&world, &provider);
    let launch = format!("/launch?launch=l-1&iss={}/fhir", provider.base);
    let frame = [("sec-fetch-dest", "iframe")];
    let none = "frame-ancestors 'none'";
    let theirs = "frame-ancestors https://ehr.test https://ehr2.test";
    let left = browser.send("GET", &launch, None, &frame).await.expect(303);
    let set = left.header("set-cookie").to_owned();
    assert!(set.starts_with("__Host-cocm-leaving-framed="), "{set}");
    let is_framed = |set: &str| set.contains("; HttpOnly; SameSite=None; ") && set.ends_with("; Partitioned; Secure");
    assert!(is_framed(&set), "{set}");
    let asked = asked(&left);
    provider.nonce.lock().unwrap().clone_from(&asked["nonce"]);
    browser.cookie = set.split(';').next().map(str::to_owned);
    // What goes wrong on the way back can be read in the frame.
    let wrong = browser.get("/sign-in/back?code=c-1&state=other").await.expect(403);
    assert!(wrong.header("content-security-policy").ends_with(theirs));
    let back = browser.get(&format!("/sign-in/back?code=c-1&state={}", asked["state"])).await.expect(303);
    let all: Vec<String> = back.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
    assert!(all.iter().all(|set| is_framed(set)), "{all:?}");
    let framed = cookie(&back, "__Host-cocm-framed=").unwrap();
    browser.cookie = Some(framed.clone());
    let page = browser.get("/caseload").await.expect(200);
    assert!(page.header("content-security-policy").ends_with(theirs), "{}", page.header("content-security-policy"));
    // The way is part of the secret: who changes it has no session.
    let (clinic, secret) = framed.split_once("=demo.").map(|(_, secret)| ("demo", secret)).unwrap();
    let forged = secret.replacen("1~", "0~", 1);
    for value in [forged, secret.replacen("1~", "", 1)] {
        browser.cookie = Some(format!("__Host-cocm-framed={clinic}.{value}"));
        let seen = browser.get("/caseload").await.expect(303);
        assert!(seen.header("content-security-policy").ends_with(none));
    }
    // A session of a tab beside it stays what it is, and neither gets in the other's way.
    browser.cookie = Some(framed);
    let out = browser.post("/sign-out", &[]).await.expect(303);
    // What is left says whose frame it is, so that the page to sign in can be shown there; it opens nothing.
    assert_eq!(cookie(&out, "__Host-cocm-framed=").as_deref(), Some("__Host-cocm-framed=demo.1~"));
    browser.cookie = Some("__Host-cocm-framed=demo.1~".into());
    let seen = browser.get("/caseload").await.expect(303);
    assert!(seen.header("content-security-policy").ends_with(theirs));
    // In a tab of its own the same launch is as strict as any, and so is a way that nobody may frame.
    browser.cookie = None;
    let tab = browser.get(&launch).await.expect(303);
    assert!(
        tab.header("set-cookie").starts_with("__Host-cocm-leaving=")
            && tab.header("set-cookie").contains("SameSite=Lax")
    );
    assert!(tab.header("content-security-policy").ends_with(none));
    let other = browser.send("GET", "/sign-in/with/0", None, &frame).await.expect(303);
    assert!(
        other.header("set-cookie").starts_with("__Host-cocm-leaving=")
            && other.header("set-cookie").contains("SameSite=Lax")
    );
}

#[test]
fn only_an_ehr_over_https_may_frame_the_pages_and_only_by_its_origin() {
    let with = |origins: &str, base: &str, public: &str| {
        let text = format!(
            "public_url = \"{public}\"\n[[clinic]]\nid = \"demo\"\ntime_zone = \"Europe/Berlin\"\n[[sign_in]]\nname = \"E\"\nissuer = \"https://e.test\"\n\
             jwks_url = \"https://e.test/k\"\nclient_id = \"c\"\nframe_origins = {origins}\n{base}"
        );
        let config = Config::parse(&text, [], &cocm_registry::config::Flags::default()).unwrap();
        config.check().err().map(|error| error.to_string()).unwrap_or_default()
    };
    let base = "fhir_base = \"https://e.test/fhir\"";
    let good = with("[\"https://e.test\"]", base, "https://us.test");
    assert!(!good.contains("frame_origins"), "{good}");
    for (origins, base, public) in [
        ("[\"https://e.test\"]", "", "https://us.test"),
        ("[\"https://e.test\"]", base, "http://us.test"),
        ("[\"https://e.test/\"]", base, "https://us.test"),
        ("[\"*\"]", base, "https://us.test"),
        ("[\"https://e.test; script-src *\"]", base, "https://us.test"),
        ("[\"http://e.test\"]", base, "https://us.test"),
    ] {
        let error = with(origins, base, public);
        assert!(error.contains("frame_origins"), "{origins} {base}: {error}");
    }
}
