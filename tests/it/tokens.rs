//! P17: which tokens are believed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair,
};
use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use cocm_registry::config::{AuthConfig, Clinic, ClinicId, Config, Development, Issuer};
use cocm_registry::identity::{Caller, Role, TokenError, Verifier, development};
use jsonwebtoken::{Algorithm, EncodingKey, get_current_timestamp, jwk::Jwk};
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;

const ISSUER: &str = "https://id.example";

/// A key pair that signs whatever it is given.
pub enum Key {
    Ec(EcdsaKeyPair, Value),
    Rsa(RsaKeyPair, Value),
}

impl Key {
    fn ec(id: &str, algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
        let jwk = json!({ "kty": "EC", "crv": curve, "kid": id, "x": B64.encode(x), "y": B64.encode(y) });
        Self::Ec(pair, jwk)
    }

    pub fn p256(id: &str) -> Self {
        Self::ec(id, &ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    pub fn p384(id: &str) -> Self {
        Self::ec(id, &ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
    }

    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        // A PKCS#8 header of 26 bytes, then the PKCS#1 key.
        let jwk = Jwk::from_encoding_key(&EncodingKey::from_rsa_der(&der.as_ref()[26..]), Algorithm::RS256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk["kid"] = json!(id);
        Self::Rsa(pair, jwk)
    }

    pub fn jwk(&self) -> Value {
        match self {
            Self::Ec(_, jwk) | Self::Rsa(_, jwk) => jwk.clone(),
        }
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
        let signature = match self {
            Self::Ec(pair, _) => pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rsa(pair, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn signature::RsaEncoding = match header["alg"].as_str() {
                    Some("RS384") => &signature::RSA_PKCS1_SHA384,
                    Some("PS256") => &signature::RSA_PSS_SHA256,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", B64.encode(signature))
    }

    pub fn token(&self, algorithm: &str) -> String {
        self.sign(&json!({ "alg": algorithm, "typ": "JWT", "kid": self.jwk()["kid"] }), &claims())
    }
}

pub fn claims() -> Value {
    let now = get_current_timestamp();
    json!({ "iss": ISSUER, "aud": "cocm", "sub": "u1", "exp": now + 600, "clinic": "north", "role": "care_manager" })
}

pub fn with(field: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

pub fn config(jwks_url: Option<String>, jwks_file: Option<&Path>) -> Config {
    let issuer = Issuer { jwks_url, jwks_file: jwks_file.map(Path::to_owned), ..Issuer::new(ISSUER, "cocm") };
    let north = Clinic {
        id: ClinicId::new("north").unwrap(),
        name: None,
        time_zone: chrono_tz::UTC,
        ehr: None,
        close_month_on: 10,
    };
    Config {
        auth: AuthConfig { issuers: vec![issuer], client_certificates: None },
        clinics: vec![north],
        ..Config::default()
    }
}

/// A verifier of one key, published in a file.
fn verifier_of(keys: &[&Key]) -> (tempfile::TempDir, Verifier) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwks.json");
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    std::fs::write(&file, json!({ "keys": keys }).to_string()).unwrap();
    let verifier = Verifier::new(&config(None, Some(&file))).unwrap();
    (dir, verifier)
}

#[tokio::test]
async fn each_algorithm_of_the_list_is_believed_with_a_key_of_its_kind_only() {
    let keys = [Key::p256("a"), Key::p384("b"), Key::rsa("c")];
    let (_dir, verifier) = verifier_of(&keys.each_ref());
    for (key, algorithm) in [(0, "ES256"), (1, "ES384"), (2, "RS256"), (2, "RS384"), (2, "PS256")] {
        let caller = verifier.verify(&keys[key].token(algorithm)).await.unwrap();
        assert_eq!((caller.clinic.as_str(), caller.subject.as_str(), caller.role), ("north", "u1", Role::CareManager));
    }
    for (key, algorithm) in
        [(0, "ES384"), (0, "RS256"), (1, "ES256"), (2, "ES256"), (2, "PS512"), (2, "RS512"), (0, "EdDSA")]
    {
        assert_eq!(verifier.verify(&keys[key].token(algorithm)).await, Err(TokenError::Algorithm), "{algorithm}");
    }
}

#[tokio::test]
async fn no_signature_and_a_public_key_as_a_secret_are_refused() {
    let key = Key::rsa("c");
    let (_dir, verifier) = verifier_of(&[&key]);
    let good = key.token("RS256");
    let (message, signature) = good.rsplit_once('.').unwrap();

    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({ "alg": alg, "kid": "c" });
        let unsigned = format!("{}.{}.", B64.encode(header.to_string()), B64.encode(claims().to_string()));
        assert_eq!(verifier.verify(&unsigned).await, Err(TokenError::Signature));
        assert_eq!(verifier.verify(&format!("{unsigned}{signature}")).await, Err(TokenError::Algorithm));
    }
    let secret = EncodingKey::from_secret(key.jwk()["n"].as_str().unwrap().as_bytes());
    let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
    header.kid = Some("c".into());
    let confused = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    assert_eq!(verifier.verify(&confused).await, Err(TokenError::Algorithm));

    assert_eq!(verifier.verify(&format!("{message}.")).await, Err(TokenError::Signature));
    assert_eq!(verifier.verify(&format!("{message}.AAAA")).await, Err(TokenError::Signature));
    let forged = with("role", json!("admin")).to_string();
    let header = message.split('.').next().unwrap();
    assert_eq!(
        verifier.verify(&format!("{header}.{}.{signature}", B64.encode(forged))).await,
        Err(TokenError::Signature)
    );
    assert!(verifier.verify(&good).await.is_ok());
}

#[rstest]
#[case::no_exp(without("exp"), TokenError::Claim("exp"))]
#[case::null(with("exp", json!(null)), TokenError::Claim("exp"))]
#[case::string(with("exp", json!((get_current_timestamp() + 600).to_string())), TokenError::Claim("exp"))]
#[case::float(with("exp", json!(4_102_444_800.5)), TokenError::Claim("exp"))]
#[case::whole_float(with("exp", json!(4_102_444_800.0)), TokenError::Claim("exp"))]
#[case::huge(with("exp", json!(1_u64 << 63)), TokenError::Claim("exp"))]
#[case::huge_float(with("exp", json!(1e300)), TokenError::Claim("exp"))]
#[case::negative(with("exp", json!(-1)), TokenError::Claim("exp"))]
#[case::list(with("exp", json!([1])), TokenError::Malformed)]
#[case::expired(with("exp", json!(get_current_timestamp() - 31)), TokenError::Expired)]
#[case::never(with("exp", json!(0)), TokenError::Expired)]
#[case::nbf_later(with("nbf", json!(get_current_timestamp() + 60)), TokenError::NotYet)]
#[case::nbf_string(with("nbf", json!("0")), TokenError::Claim("nbf"))]
#[case::nbf_float(with("nbf", json!(0.5)), TokenError::Claim("nbf"))]
#[case::no_iss(without("iss"), TokenError::Claim("iss"))]
#[case::iss_list(with("iss", json!([ISSUER])), TokenError::Claim("iss"))]
#[case::other_iss(with("iss", json!("https://id.example/")), TokenError::Issuer)]
#[case::no_aud(without("aud"), TokenError::Claim("aud"))]
#[case::other_aud(with("aud", json!("billing")), TokenError::Audience)]
#[case::other_auds(with("aud", json!(["billing", "COCM"])), TokenError::Audience)]
#[case::no_auds(with("aud", json!([])), TokenError::Audience)]
#[case::aud_number(with("aud", json!(1)), TokenError::Claim("aud"))]
#[case::no_sub(without("sub"), TokenError::Claim("sub"))]
#[case::empty_sub(with("sub", json!("")), TokenError::Claim("sub"))]
#[case::no_clinic(without("clinic"), TokenError::Clinic)]
#[case::other_clinic(with("clinic", json!("south")), TokenError::Clinic)]
#[case::odd_clinic(with("clinic", json!("NORTH")), TokenError::Clinic)]
#[case::clinics(with("clinic", json!(["north", "south"])), TokenError::Clinic)]
#[case::no_role(without("role"), TokenError::Role)]
#[case::other_role(with("role", json!("root")), TokenError::Role)]
#[case::two_roles(with("role", json!(["admin", "care_manager"])), TokenError::SeveralRoles)]
#[tokio::test]
async fn a_wrong_claim_is_named(#[case] claims: Value, #[case] expected: TokenError) {
    let key = Key::p256("a");
    let (_dir, verifier) = verifier_of(&[&key]);
    let token = key.sign(&json!({ "alg": "ES256", "kid": "a" }), &claims);
    assert_eq!(verifier.verify(&token).await, Err(expected));
}

#[rstest]
#[case::aud_list(with("aud", json!(["billing", "cocm"])))]
#[case::just_expired(with("exp", json!(get_current_timestamp() - 20)))]
#[case::nearly_valid(with("nbf", json!(get_current_timestamp() + 20)))]
#[case::one_clinic_in_a_list(with("clinic", json!(["north"])))]
#[case::one_role_of_ours(with("role", json!(["offline_access", "care_manager"])))]
#[tokio::test]
async fn a_right_claim_may_have_several_forms(#[case] claims: Value) {
    let key = Key::p256("a");
    let (_dir, verifier) = verifier_of(&[&key]);
    let token = key.sign(&json!({ "alg": "ES256", "kid": "a" }), &claims);
    assert!(verifier.verify(&token).await.is_ok());
}

#[rstest]
#[case::crit(json!({ "crit": ["exp"] }), TokenError::Header("crit"))]
#[case::jku(json!({ "jku": "https://evil.example/keys" }), TokenError::Header("jku"))]
#[case::x5u(json!({ "x5u": "https://evil.example/cert" }), TokenError::Header("x5u"))]
#[case::x5c(json!({ "x5c": ["MII="] }), TokenError::Header("x5c"))]
#[case::b64(json!({ "b64": false }), TokenError::Header("b64"))]
#[case::zip(json!({ "zip": "DEF" }), TokenError::Header("zip"))]
#[case::null_crit(json!({ "crit": null }), TokenError::Header("crit"))]
#[case::kid_path(json!({ "kid": "../../../../dev/null" }), TokenError::Key)]
#[case::kid_sql(json!({ "kid": "a' OR '1'='1" }), TokenError::Key)]
#[case::kid_number(json!({ "kid": 1 }), TokenError::Header("kid"))]
#[case::kid_list(json!({ "kid": ["a"] }), TokenError::Header("kid"))]
#[case::kid_long(json!({ "kid": "a".repeat(300) }), TokenError::Header("kid"))]
#[case::logout(json!({ "typ": "logout+jwt" }), TokenError::Header("typ"))]
#[tokio::test]
async fn a_header_cannot_choose_the_key_or_change_the_meaning(#[case] fields: Value, #[case] expected: TokenError) {
    let key = Key::p256("a");
    let (_dir, verifier) = verifier_of(&[&key]);
    let mut header = json!({ "alg": "ES256", "kid": "a" });
    header.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    assert_eq!(verifier.verify(&key.sign(&header, &claims())).await, Err(expected));
}

#[tokio::test]
async fn a_token_that_brings_its_own_key_is_refused() {
    let (key, own) = (Key::p256("a"), Key::p256("a"));
    let (_dir, verifier) = verifier_of(&[&key]);
    let token = own.sign(&json!({ "alg": "ES256", "kid": "a", "jwk": own.jwk() }), &claims());
    assert_eq!(verifier.verify(&token).await, Err(TokenError::Header("jwk")));
    assert_eq!(verifier.verify(&own.token("ES256")).await, Err(TokenError::Signature));
}

#[tokio::test]
async fn what_is_no_signed_token_is_refused_at_once() {
    let key = Key::p256("a");
    let (_dir, verifier) = verifier_of(&[&key]);
    let good = key.token("ES256");
    let encrypted = "a.b.c.d.e";
    let bomb = format!("{}.{}.AA", B64.encode("[".repeat(4000)), B64.encode("{}"));
    for bad in [
        "",
        ".",
        "..",
        "a.b",
        encrypted,
        "a.b.c",
        &format!("{good}.x"),
        &format!("{good}="),
        &format!(" {good}"),
        &bomb,
    ] {
        assert!(matches!(verifier.verify(bad).await, Err(TokenError::Malformed | TokenError::Signature)), "{bad}");
    }
    let started = std::time::Instant::now();
    assert_eq!(verifier.verify(&"a".repeat(1 << 20)).await, Err(TokenError::TooLong));
    assert!(started.elapsed() < Duration::from_millis(20));
}

#[derive(Clone)]
struct App(Arc<Verifier>);

impl FromRef<App> for Arc<Verifier> {
    fn from_ref(app: &App) -> Self {
        app.0.clone()
    }
}

#[tokio::test]
async fn a_request_without_a_good_token_is_told_to_bring_one() {
    let key = Key::p256("a");
    let (_dir, verifier) = verifier_of(&[&key]);
    let app = Router::new()
        .route("/who", get(|caller: Caller| async move { format!("{} {}", caller.clinic, caller.role) }))
        .with_state(App(Arc::new(verifier)));
    let good = format!("Bearer {}", key.token("ES256"));
    let ask = |headers: Vec<String>| {
        let mut request = axum::http::Request::get("/who");
        for value in headers {
            request = request.header("authorization", value);
        }
        app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap())
    };
    let bad = [
        vec![],
        vec!["Basic YTpi".into()],
        vec!["Bearer".into()],
        vec!["Bearer Canary".into()],
        vec![good.clone(), good.clone()],
    ];
    for headers in bad {
        let response = ask(headers).await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("Canary"));
    }
    let response = ask(vec![good.replace("Bearer", "bearer")]).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(axum::body::to_bytes(response.into_body(), 99).await.unwrap(), "north care_manager");
}

#[tokio::test(flavor = "multi_thread")]
async fn development_tokens_are_believed_whoever_made_the_keys_first() {
    let dir = tempfile::tempdir().unwrap();
    let clinic = ClinicId::new("elsewhere").unwrap();
    let minted: Vec<_> = (0..16)
        .map(|_| {
            let (path, clinic) = (dir.path().to_owned(), clinic.clone());
            tokio::task::spawn_blocking(move || {
                development::mint(&path, &clinic, Role::Ehr, development::LIFETIME).unwrap()
            })
        })
        .collect();
    let options = Development { data_dir: Some(dir.path().to_owned()), ..Development::default() };
    let config = Config::development(options).unwrap();
    let mut tokens = Vec::new();
    for token in minted {
        tokens.push(token.await.unwrap());
    }
    let verifier = Verifier::new(&config).unwrap();
    for token in tokens {
        let caller = verifier.verify(&token).await.unwrap();
        assert_eq!((caller.clinic.as_str(), caller.role), ("elsewhere", Role::Ehr));
    }
    let folder = dir.path().join("development-keys");
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["jwks.json", "signing-key.der"], "no drafts are left");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.join("signing-key.der")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let published = std::fs::read_to_string(folder.join("jwks.json")).unwrap();
    assert!(!published.contains("\"d\""), "nothing private is published");
}
