//! P17: what happens to keys when issuers rotate, lie, or fall silent, and how often they are asked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cocm_registry::identity::{KeyPolicy, TokenError, Verifier};
use serde_json::{Value, json};

use crate::tokens::{Key, claims, config, with};

/// An issuer's key endpoint that can change its mind, hesitate, lie and fall silent.
#[derive(Default)]
struct Endpoint {
    keys: Mutex<Vec<Value>>,
    asked: AtomicUsize,
    down: AtomicBool,
    slow: AtomicBool,
    redirects: AtomicBool,
    /// Blanks are added up to so many bytes.
    padded: AtomicUsize,
}

impl Endpoint {
    fn publishing(keys: &[&Key]) -> Arc<Self> {
        let endpoint = Arc::new(Self::default());
        endpoint.publish(keys);
        endpoint
    }

    fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.jwk()).collect();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn answer(State(this): State<Arc<Self>>) -> Response {
        this.asked.fetch_add(1, Ordering::SeqCst);
        if this.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if this.down.load(Ordering::SeqCst) {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        if this.redirects.load(Ordering::SeqCst) {
            return (StatusCode::FOUND, [("location", "/elsewhere")]).into_response();
        }
        let set = json!({ "keys": *this.keys.lock().unwrap() }).to_string();
        let blanks = this.padded.load(Ordering::SeqCst).saturating_sub(set.len());
        (set + &" ".repeat(blanks)).into_response()
    }

    /// A verifier that asks this endpoint.
    async fn verifier(self: &Arc<Self>, policy: KeyPolicy) -> Verifier {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/keys", get(Self::answer))
            .route(
                "/elsewhere",
                get(|State(this): State<Arc<Self>>| async move {
                    json!({ "keys": *this.keys.lock().unwrap() }).to_string()
                }),
            )
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Verifier::with_policy(&config(Some(url), None), policy).unwrap()
    }
}

#[tokio::test]
async fn keys_rotate_without_a_restart() {
    let (old, new) = (Key::p256("old"), Key::p384("new"));
    let endpoint = Endpoint::publishing(&[&old]);
    let verifier = endpoint.verifier(KeyPolicy { retry: Duration::from_millis(100), ..KeyPolicy::default() }).await;
    assert!(verifier.verify(&old.token("ES256")).await.is_ok());
    endpoint.publish(&[&old, &new]);
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(verifier.verify(&new.token("ES384")).await.is_ok());
    assert!(verifier.verify(&old.token("ES256")).await.is_ok());
    assert_eq!(endpoint.asked(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_believed_no_longer_than_keys_are_fresh() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let endpoint = Endpoint::publishing(&[&old]);
    let quick = Duration::from_millis(50);
    let verifier = endpoint.verifier(KeyPolicy { fresh: quick, retry: quick, ..KeyPolicy::default() }).await;
    assert!(verifier.verify(&old.token("ES256")).await.is_ok());
    endpoint.publish(&[&new]);
    tokio::time::sleep(quick * 2).await;
    // Another token: one verified before is remembered for up to a minute.
    assert_eq!(
        verifier.verify(&old.sign(&json!({ "alg": "ES256", "kid": "old" }), &claims())).await,
        Err(TokenError::Key)
    );
}

#[tokio::test]
async fn a_silent_issuer_is_bridged_for_a_while_and_no_longer() {
    let key = Key::p256("a");
    let endpoint = Endpoint::publishing(&[&key]);
    let policy = KeyPolicy {
        fresh: Duration::from_millis(20),
        stale: Duration::from_millis(600),
        retry: Duration::from_millis(20),
        timeout: Duration::from_secs(1),
    };
    let verifier = endpoint.verifier(policy).await;
    let another = |sub: &str| key.sign(&json!({ "alg": "ES256", "kid": "a" }), &with("sub", json!(sub)));
    assert!(verifier.verify(&another("1")).await.is_ok());
    endpoint.down.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(verifier.verify(&another("2")).await.is_ok(), "the last keys serve on");
    assert!(endpoint.asked() >= 2);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(verifier.verify(&another("3")).await, Err(TokenError::KeysUnavailable));
    endpoint.down.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(verifier.verify(&another("4")).await.is_ok(), "and it heals by itself");
}

#[tokio::test]
async fn an_issuer_that_redirects_has_no_keys() {
    let key = Key::p256("a");
    let endpoint = Endpoint::publishing(&[&key]);
    endpoint.redirects.store(true, Ordering::SeqCst);
    let verifier = endpoint.verifier(KeyPolicy::default()).await;
    assert_eq!(verifier.verify(&key.token("ES256")).await, Err(TokenError::KeysUnavailable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_asks_the_issuer_once() {
    let key = Key::p256("a");
    let endpoint = Endpoint::publishing(&[&key]);
    let verifier =
        Arc::new(endpoint.verifier(KeyPolicy { retry: Duration::from_millis(100), ..KeyPolicy::default() }).await);
    verifier.warm_up().await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    endpoint.slow.store(true, Ordering::SeqCst);
    // Within the fetch's 200 ms, and then a while after: its end begins no other within the pause.
    let flood: Vec<_> = (0..500)
        .map(|i| {
            let token = key.sign(&json!({ "alg": "ES256", "kid": format!("unknown-{i}") }), &claims());
            let verifier = verifier.clone();
            tokio::spawn(async move { verifier.verify(&token).await })
        })
        .collect();
    assert!(verifier.verify(&key.token("ES256")).await.is_ok(), "who has a known key is not held up");
    for answer in flood {
        assert_eq!(answer.await.unwrap(), Err(TokenError::Key));
    }
    assert!(endpoint.asked() <= 3, "asked {} times", endpoint.asked());
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_take_the_fetch_along() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let endpoint = Endpoint::publishing(&[&old]);
    let verifier = endpoint.verifier(KeyPolicy { retry: Duration::from_millis(10), ..KeyPolicy::default() }).await;
    verifier.warm_up().await;
    endpoint.publish(&[&new]);
    endpoint.slow.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let token = new.token("ES256");
    assert!(tokio::time::timeout(Duration::from_millis(30), verifier.verify(&token)).await.is_err());
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(endpoint.asked(), 2);
}

/// A token of its own for each caller: one verified before is remembered.
fn token_of(key: &Key, caller: usize) -> String {
    key.sign(&json!({ "alg": "ES256", "kid": key.jwk()["kid"] }), &with("sub", json!(format!("caller {caller}"))))
}

#[tokio::test]
async fn fresh_keys_answer_everybody_without_asking_again() {
    let key = Key::p256("a");
    let endpoint = Endpoint::publishing(&[&key]);
    let verifier = endpoint.verifier(KeyPolicy { retry: Duration::ZERO, ..KeyPolicy::default() }).await;
    for caller in 0..5 {
        assert!(verifier.verify(&token_of(&key, caller)).await.is_ok());
    }
    assert_eq!(verifier.verify(&key.token("ES384")).await, Err(TokenError::Algorithm));
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_asked_by_every_request() {
    let key = Key::p256("a");
    let policy = KeyPolicy { fresh: Duration::ZERO, retry: Duration::from_mins(10), ..KeyPolicy::default() };
    let endpoint = Endpoint::publishing(&[&key]);
    let verifier = endpoint.verifier(policy).await;
    assert!(verifier.verify(&token_of(&key, 0)).await.is_ok());
    endpoint.down.store(true, Ordering::SeqCst);
    for caller in 1..20 {
        assert!(verifier.verify(&token_of(&key, caller)).await.is_ok(), "the last keys serve on");
    }
    assert_eq!(endpoint.asked(), 1, "the pause runs since the keys were read");

    let never = Endpoint::publishing(&[&key]);
    never.down.store(true, Ordering::SeqCst);
    let verifier = never.verifier(policy).await;
    for caller in 0..20 {
        assert_eq!(verifier.verify(&token_of(&key, caller)).await, Err(TokenError::KeysUnavailable));
    }
    assert_eq!(never.asked(), 1, "nor is one that has never answered");
}

#[tokio::test]
async fn while_there_are_no_keys_at_all_the_pause_is_a_tenth() {
    let (key, later) = (Key::p256("a"), Key::p256("b"));
    let endpoint = Endpoint::publishing(&[&key]);
    endpoint.down.store(true, Ordering::SeqCst);
    let verifier = endpoint.verifier(KeyPolicy { retry: Duration::from_secs(10), ..KeyPolicy::default() }).await;
    assert_eq!(verifier.verify(&token_of(&key, 0)).await, Err(TokenError::KeysUnavailable));
    endpoint.down.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(verifier.verify(&token_of(&key, 1)).await.is_ok(), "asked again after a second");
    endpoint.publish(&[&key, &later]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(verifier.verify(&token_of(&later, 2)).await, Err(TokenError::Key));
    assert_eq!(endpoint.asked(), 2, "with keys in hand the whole pause is kept");
}

#[tokio::test]
async fn callers_who_wait_share_one_fetch() {
    let key = Key::p256("a");
    let endpoint = Endpoint::publishing(&[&key]);
    endpoint.slow.store(true, Ordering::SeqCst);
    let verifier = Arc::new(endpoint.verifier(KeyPolicy::default()).await);
    let callers: Vec<_> = (0..20)
        .map(|caller| {
            let (token, verifier) = (token_of(&key, caller), verifier.clone());
            tokio::spawn(async move { verifier.verify(&token).await })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap().is_ok());
    }
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn who_brings_a_known_key_does_not_wait_for_the_one_who_fetches() {
    let key = Key::p256("a");
    let endpoint = Endpoint::publishing(&[&key]);
    let policy = KeyPolicy { fresh: Duration::ZERO, retry: Duration::ZERO, ..KeyPolicy::default() };
    let verifier = Arc::new(endpoint.verifier(policy).await);
    verifier.warm_up().await;
    endpoint.slow.store(true, Ordering::SeqCst);
    let fetches = tokio::spawn({
        let (token, verifier) = (token_of(&key, 1), verifier.clone());
        async move { verifier.verify(&token).await }
    });
    let asked = async {
        while endpoint.asked() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), asked).await.expect("keys that are no longer fresh are fetched");
    assert!(verifier.verify(&token_of(&key, 2)).await.is_ok());
    assert!(!fetches.is_finished(), "answered before the fetch was");
    assert!(fetches.await.unwrap().is_ok());
    assert_eq!(endpoint.asked(), 2);
}

#[tokio::test]
async fn keys_that_are_too_old_serve_nobody_also_not_while_new_ones_are_fetched() {
    let key = Key::p256("a");
    let endpoint = Endpoint::publishing(&[&key]);
    let stale = Duration::from_millis(300);
    let policy = KeyPolicy { fresh: Duration::ZERO, retry: Duration::ZERO, stale, ..KeyPolicy::default() };
    let verifier = endpoint.verifier(policy).await;
    assert!(verifier.verify(&token_of(&key, 0)).await.is_ok());
    tokio::time::sleep(stale).await;
    endpoint.slow.store(true, Ordering::SeqCst);
    endpoint.down.store(true, Ordering::SeqCst);
    let (one, other) = (token_of(&key, 1), token_of(&key, 2));
    let (one, other) = tokio::join!(verifier.verify(&one), verifier.verify(&other));
    assert_eq!((one, other), (Err(TokenError::KeysUnavailable), Err(TokenError::KeysUnavailable)));
}

#[tokio::test]
async fn a_key_that_was_made_anew_under_its_old_name_is_found_when_the_keys_are_no_longer_fresh() {
    let (old, new) = (Key::p256("a"), Key::p384("a"));
    let endpoint = Endpoint::publishing(&[&old]);
    let policy = KeyPolicy { fresh: Duration::ZERO, retry: Duration::ZERO, ..KeyPolicy::default() };
    let verifier = endpoint.verifier(policy).await;
    assert!(verifier.verify(&old.token("ES256")).await.is_ok());
    assert_eq!(verifier.verify(&new.token("ES384")).await, Err(TokenError::Algorithm));
    endpoint.publish(&[&new]);
    assert!(verifier.verify(&new.token("ES384")).await.is_ok());
}

#[tokio::test]
async fn a_key_set_has_at_most_256_kibibytes() {
    let key = Key::p256("a");
    for (bytes, believed) in [(262_144, true), (262_145, false)] {
        let endpoint = Endpoint::publishing(&[&key]);
        endpoint.padded.store(bytes, Ordering::SeqCst);
        let verifier = endpoint.verifier(KeyPolicy::default()).await;
        assert_eq!(verifier.verify(&key.token("ES256")).await.is_ok(), believed, "{bytes}");
    }
}
