//! A service that is connected to a sandbox, as an operator would configure it.

use chrono::{DateTime, Utc};
use cocm_registry::api::App;
use cocm_registry::clock::Clock;
use cocm_registry::config::{self, Config, Development};
use cocm_registry::identity::development;
use cocm_registry::intake::watch::WatchVisit;
use cocm_registry::sandbox::Sandbox;
use cocm_registry::sandbox::misbehavior::Misbehavior;
use cocm_registry::service::Service;
use cocm_registry::store::connection::{self, ConnectionKey, Watermark, hint};
use cocm_registry::store::resource;
use serde_json::Value;

use crate::world::{CLINIC, Database, Engine, monday, patient, phq9};

/// The connection of the development configuration.
pub const EHR: ConnectionKey<'_> = ConnectionKey { clinic: CLINIC, connection: "ehr" };

pub struct Connected {
    pub service: Service,
    pub app: App,
    pub clock: Clock,
    pub chart: Sandbox,
    pub database: Database,
}

impl Connected {
    pub async fn on(engine: Engine, change: impl FnOnce(&mut config::EhrConnection)) -> Option<Self> {
        let database = Database::on(engine).await?;
        let clock = Clock::standing_at(monday());
        let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), clock.clone()).await.unwrap();
        let service = replica(&database, &clock, chart.url(), change).await;
        Some(Self { app: service.app.clone(), service, clock, chart, database })
    }

    /// On SQLite.
    pub async fn new(change: impl FnOnce(&mut config::EhrConnection)) -> Self {
        Self::on(Engine::Sqlite, change).await.unwrap()
    }

    /// So many patients with a form each, in the chart.
    pub fn fill(&self, count: usize) {
        for n in 0..count {
            self.chart.put(patient(&format!("p{n}")));
            self.chart.put(self.form(n));
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: a form of this world")]
    pub fn form(&self, n: usize) -> Value {
        let mut form = phq9(&format!("q{n}"), &format!("p{n}"), "2026-03-01", [1; 9]);
        // The chart gives the version.
        form.as_object_mut().unwrap().remove("meta");
        form
    }

    /// A sweep, due or not.
    pub async fn sweep(&self) -> WatchVisit {
        self.service.fetch_due(true).await.unwrap().remove(0)
    }

    /// How many resources of a type have arrived.
    pub async fn arrived(&self, kind: &str) -> i64 {
        let mut tx = self.app.db.read().await.unwrap();
        resource::count(&mut tx, CLINIC, kind, resource::ChangeWindow::always()).await.unwrap()
    }

    pub async fn watermark(&self, kind: &str) -> Watermark {
        let mut tx = self.app.db.read().await.unwrap();
        let all = connection::watermarks(&mut tx, EHR).await.unwrap();
        all.into_iter().find(|mark| mark.kind == kind).unwrap()
    }

    pub async fn in_vain(&self) -> Vec<hint::FetchHint> {
        let mut tx = self.app.db.read().await.unwrap();
        hint::failures(&mut tx, EHR, 100).await.unwrap()
    }

    pub fn misbehave(&self, change: impl FnOnce(&mut Misbehavior)) {
        let mut how = Misbehavior::default();
        change(&mut how);
        self.chart.misbehave(how);
    }
}

/// The configuration of a service that is connected to one EHR.
pub fn config(database: &Database, url: &str, change: impl FnOnce(&mut config::EhrConnection)) -> Config {
    let mut config = Config::development(Development {
        time_zone: Some(chrono_tz::America::New_York),
        data_dir: Some(database.folder.path().to_owned()),
        database_url: Some(database.url.clone()),
        ehr: Some(url.to_owned()),
        ..Development::default()
    })
    .unwrap();
    config.ehrs[0].timeout = std::time::Duration::from_secs(5);
    change(&mut config.ehrs[0]);
    config
}

/// A service on a database that others may share.
pub async fn replica(
    database: &Database,
    clock: &Clock,
    url: &str,
    change: impl FnOnce(&mut config::EhrConnection),
) -> Service {
    let jwks = development::prepare(database.folder.path()).unwrap();
    Service::prepare(config(database, url, change), clock.clone(), jwks).await.unwrap()
}

pub fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
