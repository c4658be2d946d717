//! What an EHR says of itself when something has changed, and what is lost on the way.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use cocm_registry::api;
use cocm_registry::config::{self, ClinicId};
use cocm_registry::identity::{Role, development};
use cocm_registry::sandbox::misbehavior::Dice;
use cocm_registry::store::connection::{hint, subscription};
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::connect_world::{Connected, EHR};
use crate::world::{Engine, monday, patient};

const HERE: &str = "/api/v1/connections/ehr/notifications";

struct World {
    connected: Connected,
    router: Router,
}

impl World {
    async fn on(engine: Engine, change: impl FnOnce(&mut config::EhrConnection)) -> Option<Self> {
        let connected = Connected::on(engine, |ehr| {
            ehr.notify.token = Some("s3cret".into());
            change(ehr);
        })
        .await?;
        Some(Self { router: api::router(connected.app.clone()), connected })
    }

    async fn new() -> Self {
        Self::on(Engine::Sqlite, |_| {}).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/fhir+json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// With the connection's secret.
    async fn tell(&self, method: &str, path: &str, body: impl Into<Body>) -> u16 {
        self.ask(method, path, &[("authorization", "Bearer s3cret")], body).await.0
    }

    fn token(&self, clinic: &str, role: Role) -> String {
        let folder = self.connected.database.folder.path();
        let clinic = ClinicId::new(clinic).unwrap();
        format!("Bearer {}", development::mint(folder, &clinic, role, development::LIFETIME).unwrap())
    }

    /// What waits: how many hints, and whether a sweep is due.
    async fn waiting(&self) -> (i64, bool) {
        let mut tx = self.connected.app.db.read().await.unwrap();
        let (waiting, ..) = hint::waiting(&mut tx, EHR).await.unwrap();
        let due = cocm_registry::store::connection::due(&mut tx, EHR).await.unwrap();
        (waiting, due.is_some_and(|(due, _)| due <= self.connected.clock.now()))
    }
}

#[rstest]
#[tokio::test]
async fn what_a_tenth_of_lost_notifications_said_is_found_by_the_sweep(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine, |ehr| ehr.poll.page_size = 20).await else { return };
    let (connected, mut dice) = (&world.connected, Dice::new(5));
    connected.service.fetch_due(true).await.unwrap();
    let (mut told, mut lost) = (0, 0);
    for n in 0..200 {
        connected.chart.put(connected.form(n));
        if dice.happens(0.1) {
            lost += 1;
        } else {
            told += 1;
            let body = json!({"changed": [format!("QuestionnaireResponse/q{n}")]}).to_string();
            assert_eq!(world.tell("POST", HERE, body).await, 200);
        }
    }
    assert!(lost > 5, "{lost}");
    connected.service.fetch_due(false).await.unwrap();
    assert_eq!(connected.arrived("QuestionnaireResponse").await, told);
    // One period later nothing is missing.
    connected.clock.set(monday() + TimeDelta::minutes(15));
    connected.service.fetch_due(false).await.unwrap();
    assert_eq!(connected.arrived("QuestionnaireResponse").await, told + lost);
}

#[tokio::test]
async fn a_rest_hook_is_heard_in_every_shape() {
    let world = World::new().await;
    let chart = &world.connected.chart;
    for n in 0..5 {
        chart.put(world.connected.form(n));
    }
    chart.put(patient("p9"));
    world.connected.service.fetch_due(true).await.unwrap();
    for n in 0..5 {
        let mut next = world.connected.form(n);
        next["authored"] = json!("2026-03-02");
        chart.put(next);
    }
    let resource = |n: usize| world.connected.form(n).to_string();
    let to = |rest: &str| format!("{HERE}{rest}");
    assert_eq!(world.tell("PUT", &to("/QuestionnaireResponse/q0"), resource(0)).await, 200);
    assert_eq!(world.tell("POST", &to("/QuestionnaireResponse"), resource(1)).await, 200);
    assert_eq!(world.tell("PUT", HERE, resource(2)).await, 200);
    assert_eq!(world.tell("POST", &to("/QuestionnaireResponse/q3"), "").await, 200);
    assert_eq!(world.tell("POST", &to("/Encounter/1"), r#"{"resourceType":"Encounter","id":"1"}"#).await, 200);
    chart.delete("Patient", "p9");
    assert_eq!(world.tell("DELETE", &to("/Patient/p9"), "").await, 200);
    assert_eq!(world.waiting().await, (5, false));
    let visits = world.connected.service.fetch_due(false).await.unwrap();
    assert_eq!((visits[0].fetched, visits[0].swept.len()), (5, 0));
    assert_eq!((world.waiting().await, world.connected.arrived("Patient").await), ((0, false), 0));

    // "Look again."
    assert_eq!(world.tell("POST", HERE, "").await, 200);
    assert_eq!(world.waiting().await, (0, true));
    let visits = world.connected.service.fetch_due(false).await.unwrap();
    assert_eq!(visits[0].swept[1].taken, 1);
}

#[tokio::test]
async fn what_the_notification_carries_is_not_believed() {
    let world = World::new().await;
    world.connected.chart.put(world.connected.form(1));
    let mut forged = world.connected.form(1);
    forged["status"] = json!("entered-in-error");
    assert_eq!(world.tell("POST", HERE, forged.to_string()).await, 200);
    world.connected.service.fetch_due(false).await.unwrap();
    let mut tx = world.connected.app.db.read().await.unwrap();
    let kept = cocm_registry::store::resource::find(&mut tx, "demo", "QuestionnaireResponse", "q1").await.unwrap();
    assert!(kept.unwrap().body.contains("completed"));
}

fn event(number: i64, focus: &str) -> String {
    let status = json!({"resourceType": "SubscriptionStatus", "status": "active", "type": "event-notification",
        "subscription": {"reference": "Subscription/s1"}, "eventsSinceSubscriptionStart": number.to_string(),
        "notificationEvent": [{"eventNumber": number.to_string(), "focus": {"reference": focus}}]});
    json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}).to_string()
}

#[tokio::test]
async fn a_gap_in_the_event_numbers_leads_to_a_sweep() {
    let world = World::new().await;
    world.connected.service.fetch_due(true).await.unwrap();
    let handshake = json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": {
        "resourceType": "Parameters", "parameter": [
            {"name": "subscription", "valueReference": {"reference": "Subscription/s1"}},
            {"name": "type", "valueCode": "handshake"}, {"name": "status", "valueCode": "requested"},
            {"name": "events-since-subscription-start", "valueString": "0"}]}}]});
    assert_eq!(world.tell("POST", HERE, handshake.to_string()).await, 200);
    for n in 0..4 {
        world.connected.chart.put(world.connected.form(n));
    }
    assert_eq!(world.tell("POST", HERE, event(1, "QuestionnaireResponse/q0")).await, 200);
    assert_eq!(world.waiting().await, (1, false));
    // The same again is nothing new.
    assert_eq!(world.tell("POST", HERE, event(1, "QuestionnaireResponse/q0")).await, 200);
    assert_eq!(world.waiting().await, (1, false));
    // 2 and 3 are lost.
    assert_eq!(world.tell("POST", HERE, event(4, "QuestionnaireResponse/q3")).await, 200);
    assert_eq!(world.waiting().await, (2, true));
    world.connected.service.fetch_due(false).await.unwrap();
    assert_eq!(world.connected.arrived("QuestionnaireResponse").await, 4);
    assert!(world.connected.chart.log().iter().any(|call| call.path.contains("/$events?eventsSinceNumber=2")));
    let mut tx = world.connected.app.db.read().await.unwrap();
    let one = subscription::find(&mut tx, EHR, "Subscription/s1").await.unwrap().unwrap();
    assert_eq!((one.last_event, one.missed_from, one.status.as_str()), (Some(4), None, "active"));
}

#[tokio::test]
async fn the_fhir_door_hears_notifications_too() {
    let world = World::new().await;
    world.connected.service.fetch_due(true).await.unwrap();
    world.connected.chart.put(world.connected.form(1));
    let ehr = world.token("demo", Role::Ehr);
    let (status, _) =
        world.ask("POST", "/fhir", &[("authorization", &ehr)], event(1, "QuestionnaireResponse/q1")).await;
    assert_eq!((status, world.waiting().await), (200, (1, false)));
    let (status, _) = world.ask("POST", "/fhir", &[("authorization", &ehr), ("content-length", "0")], "").await;
    assert_eq!((status, world.waiting().await), (200, (1, true)));
}

#[tokio::test]
async fn only_who_may_is_heard() {
    let world = World::on(Engine::Sqlite, |ehr| {
        ehr.notify.hmac_secret = Some("key".into());
        ehr.notify.timestamp_header = Some("X-Timestamp".into());
    })
    .await
    .unwrap();
    let body = r#"{"changed":["Patient/1"]}"#;
    let ask = async |headers: &[(&str, &str)]| world.ask("POST", HERE, headers, body).await.0;
    assert_eq!(ask(&[]).await, 401);
    assert_eq!(ask(&[("authorization", "Bearer s3cre")]).await, 401);
    assert_eq!(ask(&[("authorization", &world.token("demo", Role::CareManager))]).await, 403);
    assert_eq!(ask(&[("authorization", &world.token("elsewhere", Role::Ehr))]).await, 404);
    assert_eq!(ask(&[("x-signature", &"00".repeat(32)), ("x-timestamp", "1772460000")]).await, 401);
    assert_eq!(world.waiting().await.0, 0);
    // printf '1772460000.{"changed":["Patient/1"]}' | openssl dgst -sha256 -hmac key
    let good = hmac("key", "1772460000.", body);
    assert_eq!(ask(&[("x-signature", &good), ("x-timestamp", "1772460000")]).await, 200);
    assert_eq!(ask(&[("authorization", &world.token("demo", Role::Ehr))]).await, 200);
    assert_eq!(world.waiting().await.0, 1);
    let nobody =
        world.ask("POST", "/api/v1/connections/other/notifications", &[("authorization", "Bearer s3cret")], body);
    assert_eq!(nobody.await.0, 401);
}

fn hmac(key: &str, before: &str, body: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, format!("{before}{body}").as_bytes());
    tag.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[tokio::test]
async fn the_state_of_a_connection_can_be_read() {
    let world = World::new().await;
    let mut bad = world.connected.form(1);
    bad["status"] = json!("nonsense");
    world.connected.chart.put(bad);
    world.connected.service.fetch_due(true).await.unwrap();
    world.tell("POST", HERE, r#"{"changed":["Patient/1"]}"#).await;
    world.connected.clock.set(monday() + TimeDelta::minutes(5));
    let reader = world.token("demo", Role::CareManager);
    let (status, body) = world.ask("GET", "/api/v1/connections", &[("authorization", &reader)], "").await;
    assert_eq!(status, 200, "{body}");
    let one = &body["items"][0];
    assert_eq!((&one["name"], &one["token"], &one["busy"]), (&json!("ehr"), &json!("none"), &json!(false)));
    assert_eq!((&one["waiting"], &one["in_vain"]), (&json!(1), &json!(1)));
    assert_eq!(one["unreadable"][0]["resource"], "QuestionnaireResponse/q1");
    let forms = one["types"].as_array().unwrap().iter().find(|t| t["type"] == "QuestionnaireResponse").unwrap();
    assert_eq!((&forms["lag_s"], &forms["seen"], &forms["taken"]), (&json!(300), &json!(1), &json!(0)));
    let elsewhere = world.token("elsewhere", Role::CareManager);
    let (_, body) = world.ask("GET", "/api/v1/connections", &[("authorization", &elsewhere)], "").await;
    assert_eq!(body["items"], json!([]));
    let ask =
        async |token: &str| world.ask("POST", "/api/v1/connections/ehr/sync", &[("authorization", token)], "").await;
    assert_eq!(ask(&elsewhere).await.0, 404);
    assert_eq!(ask(&reader).await.0, 202);
    assert!(world.waiting().await.1);
}

#[tokio::test]
async fn a_sweep_that_could_not_ask_says_so_everywhere() {
    let world = World::new().await;
    world.connected.misbehave(|how| how.wants_parameter = "patient".to_owned());
    world.connected.sweep().await;
    let token = world.token("demo", Role::CareManager);
    let (_, said) = world.ask("GET", "/api/v1/connections", &[("authorization", &token)], "").await;
    let types = said["items"][0]["types"].as_array().unwrap();
    // A history is no search: it is not refused.
    let types: Vec<&Value> = types.iter().filter(|one| !one["type"].as_str().unwrap().ends_with("/_history")).collect();
    assert_eq!(types.len(), 3, "{said}");
    for one in types {
        assert!(one["last_error"].as_str().unwrap().contains("this parameter is not supported"), "{one}");
        assert_eq!((&one["swept_at"], &one["lag_s"]), (&Value::Null, &Value::Null));
    }
    let ready = Request::get("/readyz").body(Body::empty()).unwrap();
    let ready = world.router.clone().oneshot(ready).await.unwrap();
    assert_eq!(ready.status(), 200);
    let bytes = axum::body::to_bytes(ready.into_body(), usize::MAX).await.unwrap();
    let ready = String::from_utf8(bytes.into()).unwrap();
    assert!(ready.starts_with("ready\nehr ehr: the sweep of Observation is refused or fails"), "{ready}");
    assert!(!ready.contains("parameter"), "what the EHR says is not for everybody: {ready}");
}

#[tokio::test]
async fn what_medplum_deleted_is_looked_for() {
    let world = World::new().await;
    let header = [("authorization", "Bearer s3cret"), ("x-medplum-deleted-resource", "QuestionnaireResponse/q1")];
    assert_eq!(world.ask("POST", HERE, &header, "{}").await.0, 200);
    assert_eq!(world.waiting().await, (1, false));
}

#[tokio::test]
async fn our_keys_and_our_scopes_are_published() {
    let world = World::new().await;
    let now = world.connected.clock.now();
    let folder = cocm_registry::config::key_folder(world.connected.database.folder.path());
    let ring = cocm_registry::ehr::auth::KeyRing::at(folder);
    let made = ring.rotate(cocm_registry::config::KeyAlgorithm::Es384, now).unwrap();
    let (status, keys) = world.ask("GET", "/.well-known/jwks.json", &[], "").await;
    let published: Vec<&Value> = keys["keys"].as_array().unwrap().iter().filter(|key| key["alg"] == "ES384").collect();
    assert_eq!((status, published.len()), (200, 1), "{keys}");
    assert_eq!(published[0]["kid"], made.id.as_str());
    assert!(!keys.to_string().contains("PRIVATE"));
    let (status, smart) = world.ask("GET", "/fhir/.well-known/smart-configuration", &[], "").await;
    assert_eq!(status, 200);
    let scopes = smart["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("system/QuestionnaireResponse.cruds")), "{smart}");
}

#[tokio::test]
async fn subscriptions_are_made_once_and_renewed_before_they_end() {
    let world = World::on(Engine::Sqlite, |ehr| {
        ehr.notify.subscribe = Some(config::SubscriptionPayload::RestHook);
        ehr.poll.types = vec!["Patient".into(), "QuestionnaireResponse".into()];
    })
    .await
    .unwrap();
    let service = &world.connected.service;
    for _ in 0..3 {
        service.fetch_due(true).await.unwrap();
    }
    let made = world.connected.chart.all("Subscription");
    assert_eq!(made.len(), 4);
    assert_eq!(made[1]["criteria"], "QuestionnaireResponse?");
    assert_eq!(made[2]["criteria"], "Task?identifier=https://cocm-registry.dev/fhir/identifier/plan|");
    assert_eq!(made[1]["channel"]["header"], json!(["Authorization: Bearer s3cret"]));
    assert!(made[1]["channel"]["endpoint"].as_str().unwrap().ends_with(HERE));
    assert_eq!(made[1]["end"], "2026-04-01T14:00:00Z");
    // A week before the end.
    world.connected.clock.set(monday() + TimeDelta::days(24));
    service.fetch_due(false).await.unwrap();
    let made = world.connected.chart.all("Subscription");
    assert_eq!((made.len(), &made[1]["end"]), (4, &json!("2026-04-25T14:00:00Z")));
    // Somebody deletes one: there is another one when it would have ended.
    world.connected.chart.delete("Subscription", made[0]["id"].as_str().unwrap());
    world.connected.clock.set(monday() + TimeDelta::days(50));
    service.fetch_due(false).await.unwrap();
    assert_eq!(world.connected.chart.all("Subscription").len(), 4);
}
