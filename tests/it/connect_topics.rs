//! Subscriptions to topics (Subscriptions R5 Backport), with a server that tells over sockets: made once, renewed, made
//! anew; what is lost on the way; and what is done where they are refused.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use cocm_registry::api;
use cocm_registry::clock::Clock;
use cocm_registry::config::{self, ClinicId, SubscriptionPayload};
use cocm_registry::identity::{Role, development};
use cocm_registry::record::{Command, PatientKey};
use cocm_registry::sandbox::Sandbox;
use cocm_registry::sandbox::events::EventStream;
use cocm_registry::sandbox::profile::{Profile, TOPIC};
use cocm_registry::service::Service;
use cocm_registry::store::connection::subscription::{self, SubscriptionRecord};
use cocm_registry::store::{patient, standing};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::connect_world::{Connected, EHR, config};
use crate::world::{CLINIC, Database, Engine, episode, monday};

struct World {
    connected: Connected,
    address: SocketAddr,
    server: JoinHandle<()>,
    telling: Option<EventStream>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn service(database: &Database, clock: &Clock, chart: &Sandbox, at: SocketAddr, topics: &[&str]) -> Service {
    let mut config = config(database, chart.url(), |ehr: &mut config::EhrConnection| {
        ehr.notify.token = Some("s3cret".into());
        ehr.notify.subscribe = Some(SubscriptionPayload::Topics);
        ehr.notify.topics = topics.iter().map(|topic| ((*topic).to_owned(), Vec::new())).collect();
    });
    config.public_url = Some(format!("http://{at}"));
    let jwks = development::prepare(database.folder.path()).unwrap();
    Service::prepare(config, clock.clone(), jwks).await.unwrap()
}

impl World {
    async fn on(engine: Engine, profile: Profile, topics: &[&str]) -> Option<Self> {
        let database = Database::on(engine).await?;
        let clock = Clock::standing_at(monday());
        let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), clock.clone()).await.unwrap();
        chart.play(profile);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = service(&database, &clock, &chart, address, topics).await;
        let router = api::router(service.app.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let connected = Connected { app: service.app.clone(), service, clock, chart, database };
        let telling = Some(connected.chart.tell_subscribers(0.0).unwrap());
        Some(Self { connected, address, server, telling })
    }

    fn later(&self, time: TimeDelta) {
        self.connected.clock.set(self.connected.clock.now() + time);
    }

    async fn sweep(&self) {
        self.connected.service.fetch_due(true).await.unwrap();
    }

    /// The one Subscription in the chart, once it is in a state.
    async fn one(&self, status: &str) -> Value {
        for _ in 0..200 {
            let all = self.connected.chart.all("Subscription");
            assert!(all.len() < 2, "{all:?}");
            if let [one] = all.as_slice()
                && one["status"] == status
            {
                return one.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", self.connected.chart.all("Subscription"));
    }

    /// Follows hints, and nothing else, until so many forms have arrived.
    async fn arrive(&self, forms: i64) {
        for _ in 0..200 {
            self.connected.service.fetch_due(false).await.unwrap();
            if self.connected.arrived("QuestionnaireResponse").await == forms {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} of {forms}", self.connected.arrived("QuestionnaireResponse").await);
    }

    async fn rows(&self) -> Vec<SubscriptionRecord> {
        let mut tx = self.connected.app.db.read().await.unwrap();
        subscription::all(&mut tx, EHR).await.unwrap()
    }

    fn asked(&self, method: &str, part: &str) -> usize {
        let log = self.connected.chart.log();
        log.iter().filter(|call| call.method == method && call.path.contains(part)).count()
    }

    /// What the API says of the Subscriptions.
    async fn told(&self) -> Vec<Value> {
        let clinic = ClinicId::new(CLINIC).unwrap();
        let folder = self.connected.database.folder.path();
        let token = development::mint(folder, &clinic, Role::CareManager, development::LIFETIME).unwrap();
        let request = Request::get("/api/v1/connections").header("authorization", format!("Bearer {token}"));
        let answer = api::router(self.connected.app.clone()).oneshot(request.body(Body::empty()).unwrap()).await;
        let bytes = axum::body::to_bytes(answer.unwrap().into_body(), usize::MAX).await.unwrap();
        let mut body: Value = serde_json::from_slice(&bytes).unwrap();
        serde_json::from_value(body["items"][0]["subscriptions"].take()).unwrap()
    }
}

#[rstest]
#[tokio::test]
async fn a_topic_is_subscribed_to_and_what_it_tells_stands(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine, Profile::topical(), &[]).await else { return };
    let connected = &world.connected;
    connected.fill(1);
    world.sweep().await;
    let made = world.one("active").await;
    let backport =
        |name: &str| format!("http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-{name}");
    assert_eq!((&made["criteria"], &made["end"]), (&json!(TOPIC), &json!("2026-04-01T14:00:00Z")));
    assert_eq!(made["meta"]["profile"], json!([backport("subscription")]));
    assert!(made.get("_criteria").is_none());
    let channel = &made["channel"];
    assert_eq!(channel["type"], "rest-hook");
    assert_eq!(channel["endpoint"], format!("http://{}/api/v1/connections/ehr/notifications", world.address));
    assert_eq!(channel["header"], json!(["Authorization: Bearer s3cret"]));
    assert_eq!(channel["payload"], "application/fhir+json");
    let content = json!({"url": backport("payload-content"), "valueCode": "id-only"});
    assert_eq!(channel["_payload"], json!({ "extension": [content] }));
    let heartbeat = json!({"url": backport("heartbeat-period"), "valueUnsignedInt": 900});
    assert_eq!(channel["extension"], json!([heartbeat]));

    // A form is put into the chart: it is here without a sweep, and it counts.
    let whom = PatientKey::Key("Patient/p0".to_owned());
    let enrolled = Command::Enroll { whom, episode: Box::new(episode("2026-02-16")), fit: None };
    connected.app.recorder.one(CLINIC, "test", enrolled).await.unwrap();
    connected.chart.clear_log();
    let mut next = connected.form(1);
    next["subject"] = json!({"reference": "Patient/p0"});
    next["authored"] = json!("2026-03-02");
    connected.chart.put(next);
    world.arrive(2).await;
    assert_eq!(world.asked("GET", "_lastUpdated"), 0, "nobody swept");
    let mut tx = connected.app.db.read().await.unwrap();
    let person = patient::by_key(&mut tx, CLINIC, "Patient/p0").await.unwrap().remove(0);
    let standings = standing::of_patient(&mut tx, CLINIC, person.id).await.unwrap();
    let latest = standings[0].measures[0].latest.as_ref().unwrap();
    assert_eq!((latest.taken_on.to_string().as_str(), latest.score), ("2026-03-02", 9));
    drop(tx);
    let told = world.told().await;
    assert_eq!((told.len(), &told[0]["purpose"], &told[0]["ours"]), (1, &json!(TOPIC), &json!(true)));
    assert_eq!((&told[0]["status"], &told[0]["last_event"]), (&json!("active"), &json!(1)));
    assert_eq!((&told[0]["last_error"], &told[0]["expires_at"]), (&Value::Null, &json!("2026-04-01T14:00:00Z")));

    // A restart, and a second replica, make no second one; nor does who has forgotten that it was made.
    for _ in 0..2 {
        let other = service(&connected.database, &connected.clock, &connected.chart, world.address, &[]).await;
        other.fetch_due(true).await.unwrap();
    }
    let mut tx = connected.app.db.begin("test").await.unwrap();
    let name = world.rows().await.remove(0).subscription;
    subscription::forget(&mut tx, EHR, &name).await.unwrap();
    tx.commit().await.unwrap();
    world.sweep().await;
    let again = world.one("active").await;
    assert_eq!((&again["id"], world.rows().await.len()), (&made["id"], 1));
}

#[rstest]
#[tokio::test]
async fn what_was_lost_is_had_by_its_number(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(mut world) = World::on(engine, Profile::topical(), &[]).await else { return };
    world.connected.fill(1);
    world.sweep().await;
    let id = world.one("active").await["id"].as_str().unwrap().to_owned();
    let put = |n: usize| {
        let mut form = world.connected.form(n);
        form["subject"] = json!({"reference": "Patient/p0"});
        world.connected.chart.put(form)
    };
    put(1);
    world.arrive(2).await;
    // Two are lost on the way, and nobody notices until the next comes.
    drop(world.telling.take());
    world.telling = Some(world.connected.chart.tell_subscribers(1.0).unwrap());
    let put = |n: usize| {
        let mut form = world.connected.form(n);
        form["subject"] = json!({"reference": "Patient/p0"});
        world.connected.chart.put(form)
    };
    put(2);
    put(3);
    let status = format!("{}/Subscription/{id}/$status", world.connected.chart.url());
    for _ in 0..200 {
        let said = reqwest::get(&status).await.unwrap().text().await.unwrap();
        if said.contains(r#""valueString":"3""#) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.connected.service.fetch_due(false).await.unwrap();
    assert_eq!(world.connected.arrived("QuestionnaireResponse").await, 2);
    drop(world.telling.take());
    world.telling = Some(world.connected.chart.tell_subscribers(0.0).unwrap());
    world.connected.chart.clear_log();
    let mut form = world.connected.form(4);
    form["subject"] = json!({"reference": "Patient/p0"});
    world.connected.chart.put(form);
    world.arrive(5).await;
    assert_eq!(world.asked("GET", "$events?eventsSinceNumber=2"), 1);
    for lost in ["q2", "q3"] {
        assert!(world.asked("GET", &format!("/QuestionnaireResponse/{lost}")) > 0, "by its id");
    }
    let row = world.rows().await.remove(0);
    assert_eq!((row.last_event, row.missed_from), (Some(4), None));
}

#[rstest]
#[tokio::test]
async fn it_is_renewed_before_its_end_and_made_anew_where_it_is_gone_or_off(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine, Profile::topical(), &[]).await else { return };
    world.sweep().await;
    let first = world.one("active").await;
    // Not before its time; who was heard lately is not even looked at.
    world.connected.chart.clear_log();
    world.later(TimeDelta::minutes(30));
    world.sweep().await;
    assert_eq!(world.asked("GET", "/Subscription") + world.asked("PUT", "/Subscription"), 0);
    world.later(TimeDelta::days(22));
    world.sweep().await;
    assert_eq!((world.asked("GET", "/Subscription/"), world.asked("PUT", "/Subscription/")), (1, 0));
    world.later(TimeDelta::days(2));
    world.sweep().await;
    assert_eq!(world.asked("PUT", "/Subscription/"), 1);
    let renewed = world.one("active").await;
    assert_eq!((&renewed["id"], &renewed["end"]), (&first["id"], &json!("2026-04-25T14:30:00Z")));
    // The server, or somebody there, has ended it.
    for status in ["error", "off"] {
        let mut ill = world.one("active").await;
        ill["status"] = json!(status);
        world.connected.chart.put(ill);
        world.later(TimeDelta::hours(2));
        world.sweep().await;
        world.one("active").await;
    }
    world.connected.chart.delete("Subscription", first["id"].as_str().unwrap());
    world.later(TimeDelta::hours(2));
    world.sweep().await;
    let another = world.one("active").await;
    assert_ne!(another["id"], first["id"]);
    let rows = world.rows().await;
    assert_eq!(
        (rows.len(), rows[0].subscription.as_str()),
        (1, format!("Subscription/{}", another["id"].as_str().unwrap()).as_str())
    );
    assert_eq!(rows[0].status, "requested", "as the handshake said");
    world.later(TimeDelta::hours(2));
    world.sweep().await;
    assert_eq!(world.rows().await[0].status, "active", "as a look shows");
    // An answer that was lost makes no second one.
    world.connected.chart.delete("Subscription", another["id"].as_str().unwrap());
    world.later(TimeDelta::hours(2));
    world.connected.misbehave(|how| how.drop_response = 1.0);
    world.sweep().await;
    world.connected.chart.behave();
    assert!(world.rows().await.iter().all(|row| row.status != "refused"), "nobody refused");
    for _ in 0..2 {
        world.later(TimeDelta::minutes(15));
        world.sweep().await;
    }
    world.one("active").await;
    assert_eq!(world.rows().await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn where_a_topic_is_refused_there_are_criteria_and_the_reason_is_told(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] named: bool,
) {
    let topics: &[&str] = if named { &["https://ehr.example/topics/none"] } else { &[] };
    let Some(world) = World::on(engine, Profile::default(), topics).await else { return };
    world.connected.fill(1);
    world.sweep().await;
    let made = world.connected.chart.all("Subscription");
    let criteria: Vec<&str> = made.iter().map(|one| one["criteria"].as_str().unwrap()).collect();
    assert_eq!((criteria.len(), criteria[0], criteria[1]), (5, "Patient?", "QuestionnaireResponse?"));
    let told = world.told().await;
    let refused: Vec<&Value> = told.iter().filter(|one| one["status"] == "refused").collect();
    assert_eq!((told.len(), refused.len()), (6, 1), "{told:?}");
    let why = if named { "422" } else { "the CapabilityStatement says nothing of topics" };
    assert!(refused[0]["last_error"].as_str().unwrap().contains(why), "{refused:?}");
    // Whoever refuses is not asked again today.
    world.connected.chart.clear_log();
    world.later(TimeDelta::minutes(15));
    world.sweep().await;
    assert_eq!(world.asked("POST", "/Subscription"), 0);
    // The server learns it: from the next day on it tells by topic, and what is not renewed is forgotten when it has ended.
    world.connected.chart.play(Profile { topics: Profile::topical().topics, ..Profile::topical() });
    if !named {
        world.later(TimeDelta::days(1));
        world.sweep().await;
        assert_eq!(world.connected.chart.all("Subscription").last().unwrap()["criteria"], TOPIC);
        world.later(TimeDelta::days(31));
        world.sweep().await;
        let purposes: Vec<_> = world.rows().await.into_iter().filter_map(|row| row.purpose).collect();
        assert_eq!(purposes, [TOPIC]);
    }
}

#[rstest]
#[tokio::test]
async fn where_everything_is_refused_the_sweep_goes_on(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine, Profile::topical(), &["https://ehr.example/topics/none"]).await else { return };
    world.connected.fill(2);
    world.sweep().await;
    assert_eq!(world.connected.arrived("QuestionnaireResponse").await, 2);
    let told = world.told().await;
    assert_eq!(told.len(), 6);
    for one in &told {
        assert_eq!(one["status"], "refused");
        assert!(one["last_error"].as_str().unwrap().contains("422"), "{one}");
    }
    assert!(world.connected.chart.all("Subscription").is_empty());
}

#[tokio::test]
async fn a_filter_goes_along_and_narrows_what_is_told() {
    let world = World::on(Engine::Sqlite, Profile::topical(), &[]).await.unwrap();
    let connected = &world.connected;
    let filter = "QuestionnaireResponse?status=completed";
    let mut config = config(&connected.database, connected.chart.url(), |ehr| {
        ehr.notify.token = Some("s3cret".into());
        ehr.notify.subscribe = Some(SubscriptionPayload::Topics);
        ehr.notify.topics = [(TOPIC.to_owned(), vec![filter.to_owned()])].into();
    });
    config.public_url = Some(format!("http://{}", world.address));
    let jwks = development::prepare(connected.database.folder.path()).unwrap();
    let service = Service::prepare(config, connected.clock.clone(), jwks).await.unwrap();
    service.fetch_due(true).await.unwrap();
    let made = world.one("active").await;
    let url = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria";
    assert_eq!(made["_criteria"], json!({"extension": [{"url": url, "valueString": filter}]}));
    let mut form = connected.form(1);
    form["status"] = json!("in-progress");
    connected.chart.put(form);
    connected.chart.put(connected.form(2));
    world.arrive(1).await;
    assert_eq!(world.rows().await[0].last_event, Some(1));
}
