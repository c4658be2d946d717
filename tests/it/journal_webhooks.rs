//! Webhooks: signed, in order, at least once; what is not taken is seen and can be sent again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, body::Bytes};
use chrono::TimeDelta;
use cocm_registry::config::{ClinicId, Config, Development, Webhook};
use cocm_registry::identity::Role;
use cocm_registry::service::Service;
use cocm_registry::webhook::sign::{SigningSecret, signature};
use rstest::rstest;
use secrecy::SecretString;
use serde_json::Value;

use super::journal_world::Door;
use super::world::{CLINIC, Engine, OTHER, World, patient, phq9};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const ADMIN: (&str, Role) = (CLINIC, Role::Admin);

/// Somebody who is told.
#[derive(Clone, Default)]
struct Receiver {
    heard: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    /// What to answer, one after the other; then 204.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", socket.local_addr().unwrap());
        let router = Router::new().route("/hook", post(hear)).route("/elsewhere", post(hear)).with_state(self.clone());
        tokio::spawn(async move { axum_serve(socket, router).await });
        url
    }

    fn types(&self) -> Vec<String> {
        let all = self.heard.lock().unwrap();
        all.iter()
            .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["type"].as_str().unwrap().to_owned())
            .collect()
    }

    fn ids(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(h, _)| h["webhook-id"].to_str().unwrap().to_owned()).collect()
    }
}

async fn axum_serve(socket: tokio::net::TcpListener, router: Router) {
    let limits = cocm_registry::config::Limits::default();
    cocm_registry::listener::serve(socket, router, &limits, std::future::pending()).await.unwrap();
}

async fn hear(State(me): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    me.heard.lock().unwrap().push((headers, String::from_utf8(body.to_vec()).unwrap()));
    let mut answers = me.answers.lock().unwrap();
    let status = if answers.is_empty() { 204 } else { answers.remove(0) };
    (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")]).into_response()
}

/// The service with one webhook, beside the world's own on the same database.
async fn telling(world: &World, url: &str, types: &[&str]) -> Service {
    let mut config = Config::development(Development {
        data_dir: Some(world.database.folder.path().to_owned()),
        database_url: Some(world.database.url.clone()),
        ..Development::default()
    })
    .unwrap();
    config.webhooks.push(Webhook {
        name: "team-chat".into(),
        clinic: ClinicId::new(CLINIC).unwrap(),
        url: url.into(),
        secrets: vec![SecretString::from(SECRET), SecretString::from(OLD_SECRET)],
        types: types.iter().map(|t| (*t).to_owned()).collect(),
        timeout: Duration::from_secs(2),
    });
    config.check().unwrap();
    let service = Service::prepare(config, world.clock.clone(), Value::Null).await.unwrap();
    // It is told what happens from its first look on.
    service.tell_due().await.unwrap();
    service
}

async fn tell(world: &World, service: &Service) {
    world.app.journal.seal().await.unwrap();
    service.tell_due().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn events_are_told_in_order_signed_and_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    world.send(&patient("0")).await.unwrap();
    world.app.journal.seal().await.unwrap();
    let receiver = Receiver::default();
    let service = telling(&world, &receiver.start().await, &[]).await;
    world.send(&patient("1")).await.unwrap();
    world.send_to(OTHER, &patient("1")).await.unwrap();
    world.enroll("1", "2026-02-23").await;
    world.send(&phq9("f", "1", "2026-03-01T10:00:00Z", [2, 2, 2, 2, 2, 2, 2, 2, 3])).await.unwrap();
    tell(&world, &service).await;
    tell(&world, &service).await;
    let types = receiver.types();
    assert_eq!(types[..2], ["patient.recorded", "episode.enrolled"]);
    assert!(types.contains(&"safety.opened".to_owned()) && types.contains(&"measurement.recorded".to_owned()));
    assert_eq!(types.iter().filter(|t| *t == "patient.recorded").count(), 1, "only what came after it was set up");
    let ids = receiver.ids();
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());

    let keys = [
        SigningSecret::read(&SecretString::from(SECRET)).unwrap(),
        SigningSecret::read(&SecretString::from(OLD_SECRET)).unwrap(),
    ];
    for (headers, body) in receiver.heard.lock().unwrap().iter() {
        let header = |name: &str| headers[name].to_str().unwrap();
        let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
        assert_eq!(timestamp, world.clock.now().timestamp());
        assert_eq!(header("webhook-signature"), signature(&keys, header("webhook-id"), timestamp, body));
        let told: Value = serde_json::from_str(body).unwrap();
        assert!(told["data"]["patient"].is_string() && told["timestamp"].is_string());
        assert!(!body.contains("Family") && !body.contains("Given") && !body.contains("mrn-"), "{body}");
    }
    let door = Door::of(&world);
    let (status, all) = door.get(ADMIN, "/api/v1/webhook-deliveries?state=delivered").await;
    assert_eq!((status, all["items"].as_array().unwrap().len()), (200, types.len()));
    assert_eq!(
        door.get((OTHER, Role::Admin), "/api/v1/webhook-deliveries").await.1["items"].as_array().unwrap().len(),
        0
    );
    let id = all["items"][0]["id"].as_str().unwrap();
    assert_eq!(door.get((OTHER, Role::Admin), &format!("/api/v1/webhook-deliveries/{id}")).await.0, 404);
    assert_eq!(door.get((CLINIC, Role::CareManager), "/api/v1/webhook-deliveries").await.0, 403);
}

#[rstest]
#[tokio::test]
async fn a_failure_holds_back_what_follows_and_is_tried_on_schedule(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let receiver = Receiver::default();
    let service = telling(&world, &receiver.start().await, &["patient.recorded"]).await;
    receiver.answers.lock().unwrap().extend([503, 500]);
    for id in ["1", "2"] {
        world.send(&patient(id)).await.unwrap();
    }
    tell(&world, &service).await;
    assert_eq!(receiver.ids().len(), 1);
    world.clock.set(world.clock.now() + TimeDelta::seconds(3));
    tell(&world, &service).await;
    assert_eq!(receiver.ids().len(), 1, "5 seconds, give or take a tenth");
    world.clock.set(world.clock.now() + TimeDelta::seconds(3));
    tell(&world, &service).await;
    assert_eq!(receiver.ids().len(), 2);
    world.clock.set(world.clock.now() + TimeDelta::seconds(34));
    tell(&world, &service).await;
    let ids = receiver.ids();
    assert_eq!((ids.len(), &ids[0], &ids[1]), (4, &ids[1], &ids[2]), "the same id at every attempt, then the next one");
    assert_ne!(ids[2], ids[3]);
    let door = Door::of(&world);
    let (_, whole) = door.get(ADMIN, &format!("/api/v1/webhook-deliveries/{}", ids[0])).await;
    let outcomes: Vec<(&str, i64)> = whole["attempts_made"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["outcome"].as_str().unwrap(), a["http_status"].as_i64().unwrap()))
        .collect();
    assert_eq!(outcomes, [("outcome_unknown", 503), ("outcome_unknown", 500), ("delivered", 204)]);
    assert_eq!(whole["body"]["type"], "patient.recorded");
}

#[rstest]
#[tokio::test]
async fn what_is_refused_is_parked_redirects_are_not_followed_and_gone_is_gone(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let receiver = Receiver::default();
    let service = telling(&world, &receiver.start().await, &["patient.recorded"]).await;
    receiver.answers.lock().unwrap().extend([400, 307, 204, 410]);
    for id in ["1", "2", "3", "4", "5"] {
        world.send(&patient(id)).await.unwrap();
    }
    tell(&world, &service).await;
    assert_eq!(receiver.ids().len(), 4, "400, 307 (not followed), 204, 410; then nothing more");
    let door = Door::of(&world);
    let (_, parked) = door.get(ADMIN, "/api/v1/webhook-deliveries?state=parked").await;
    assert_eq!(parked["items"].as_array().unwrap().len(), 3);
    world.clock.set(world.clock.now() + TimeDelta::days(2));
    tell(&world, &service).await;
    assert_eq!(receiver.ids().len(), 4);

    // A person sends the refused one again; everything goes on.
    let first = receiver.ids()[0].clone();
    let (_, whole) = door.get(ADMIN, &format!("/api/v1/webhook-deliveries/{first}")).await;
    assert!(whole["webhook_disabled"].as_str().unwrap().contains("410"));
    let path = format!("/api/v1/webhook-deliveries/{first}/retry");
    assert_eq!(door.send((OTHER, Role::Admin), "POST", &path, &[], "").await.status().as_u16(), 404);
    assert_eq!(door.send((CLINIC, Role::CareManager), "POST", &path, &[], "").await.status().as_u16(), 403);
    assert_eq!(door.send(ADMIN, "POST", &path, &[], "").await.status().as_u16(), 200);
    tell(&world, &service).await;
    let ids = receiver.ids();
    assert_eq!((ids.len(), &ids[4]), (6, &ids[0]));
    assert!(!ids[..5].contains(&ids[5]));
}

#[rstest]
#[tokio::test]
async fn two_replicas_take_turns(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let receiver = Receiver::default();
    let url = receiver.start().await;
    let services = [telling(&world, &url, &["patient.*"]).await, telling(&world, &url, &["patient.*"]).await];
    for n in 0..20 {
        world.send(&patient(&format!("{n}"))).await.unwrap();
    }
    world.app.journal.seal().await.unwrap();
    let (a, b) = tokio::join!(services[0].tell_due(), services[1].tell_due());
    a.unwrap();
    b.unwrap();
    // Whoever did not hold it may have left: the lease of the other one is still running.
    services[0].tell_due().await.unwrap();
    services[1].tell_due().await.unwrap();
    let ids = receiver.ids();
    assert_eq!(ids.len(), 20);
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 20);
}

#[test]
fn a_webhook_that_cannot_be_used_is_reported_without_its_secret() {
    use cocm_registry::config::Flags;
    let text = r#"
        [[auth.issuers]]
        issuer = "i"
        audience = "a"
        jwks_file = "f"
        [[clinic]]
        id = "demo"
        time_zone = "UTC"
        [[webhook]]
        name = "a b"
        clinic = "nowhere"
        url = "http://far.example.org/hook"
        secrets = []
        timeout_s = 0
    "#;
    let faults = Config::parse(text, [], &Flags::default()).unwrap().check().unwrap_err().to_string();
    for key in ["name", "clinic", "url", "secrets", "timeout_s"] {
        assert!(faults.contains(&format!("webhook[0].{key}:")), "{key}: {faults}");
    }
    let wrong = text.replace("secrets = []", "secrets = \"whsec_canary\"");
    assert!(!Config::parse(&wrong, [], &Flags::default()).unwrap_err().to_string().contains("canary"));
    let variables = [("COCM_WEBHOOK_A_B_SECRETS".to_owned(), format!("{SECRET} {OLD_SECRET}"))];
    let config = Config::parse(text, variables, &Flags::default()).unwrap();
    assert_eq!((config.webhooks[0].secrets.len(), config.ignored_variables.len()), (2, 0));
    assert!(!format!("{config:?}").contains("MfKQ"));
}

#[rstest]
#[tokio::test]
async fn what_was_told_is_forgotten_after_a_month_and_what_was_not_is_kept(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    world.send(&patient("0")).await.unwrap();
    world.app.journal.seal().await.unwrap();
    let receiver = Receiver::default();
    let service = telling(&world, &receiver.start().await, &["patient.recorded"]).await;
    world.send(&patient("1")).await.unwrap();
    // Refused for good.
    receiver.answers.lock().unwrap().extend([204, 410]);
    tell(&world, &service).await;
    world.send(&patient("2")).await.unwrap();
    tell(&world, &service).await;
    let kept = async || {
        let mut tx = world.read().await;
        let all = cocm_registry::store::webhook::page(&mut tx, CLINIC, (None, None), None, 100).await.unwrap();
        let mut states: Vec<String> = all.into_iter().map(|delivery| delivery.state).collect();
        states.sort();
        states
    };
    assert_eq!(kept().await, ["delivered", "parked"]);
    for (days, states) in [(29, vec!["delivered", "parked"]), (2, vec!["parked"]), (300, vec!["parked"])] {
        world.clock.set(world.clock.now() + TimeDelta::days(days));
        world.app.upkeep().sweep().await.unwrap();
        assert_eq!(kept().await, states, "{days} days later");
    }
    let mut tx = world.read().await;
    let all = cocm_registry::store::webhook::page(&mut tx, CLINIC, (None, None), None, 100).await.unwrap();
    let attempts = cocm_registry::store::webhook::attempts(&mut tx, CLINIC, all[0].id).await.unwrap();
    assert_eq!(attempts.len(), 1, "of what is kept");
    drop(tx);
    // Nothing is told again.
    tell(&world, &service).await;
    assert_eq!(receiver.types().len(), 2);
}
