//! Wires the rooms together; starts and stops the loops.

pub mod connections;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::api::admit::admit_all;
use crate::api::readiness::Readiness;
use crate::api::{self, App};
use crate::clock::Clock;
use crate::config::{Config, JournalHeads};
use crate::dispatch::{Charts, Dispatcher};
use crate::fhir::base::Bases;
use crate::fhir::mapping::CodeMapping;
use crate::identity::{CdsClients, Verifier};
use crate::intake::connection::{self, Connection, Connections};
use crate::intake::watch::{Watch, WatchVisit};
use crate::intake::{ClinicBases, Intake};
use crate::journal::Journal;
use crate::journal::heads::{HeadSigner, HeadWriter};
use crate::listener::{protect, serve};
use crate::pages;
use crate::problem::Problem;
use crate::record::{Recorder, Zones};
use crate::store::Db;
use crate::store::api_key::StoredApiKeys;
use crate::webhook::Webhooks;

/// How often to check whether a day has passed.
const SWEEP: Duration = Duration::from_mins(1);
/// How often the write-ahead log of `SQLite` is looked at.
const CHECKPOINT: Duration = Duration::from_millis(250);

/// The running service, without its sockets.
pub struct Service {
    /// Shared state of the handlers.
    pub app: App,
    dispatcher: Dispatcher,
    watch: Watch,
    webhooks: Webhooks,
}

/// The running loops: delivery, the daily sweep, the journal, webhooks, and the watch over the EHRs.
pub struct ServiceLoops {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl ServiceLoops {
    /// Stops them; writes in flight are finished.
    pub async fn stop(self) {
        // No receivers left means that the loops have already stopped.
        let _ = self.stop.send(true);
        for running in self.running {
            let _ = tokio::time::timeout(Duration::from_secs(20), running).await;
        }
    }
}

impl Service {
    /// Opens the database, brings its schema up to date, and prepares everything; nothing runs yet but the recorder.
    ///
    /// # Errors
    /// What is wrong with the configuration or the database, for the operator.
    pub async fn prepare(config: Config, clock: Clock, jwks: serde_json::Value) -> Result<Self, Problem> {
        let db = Db::open(config.database_url().as_str()).await?;
        db.migrate().await?;
        let zones = zones(&config);
        let outbox = Arc::new(Notify::new());
        let recorder = Recorder::start(&db, zones.clone(), clock.clone(), outbox.clone());
        let journal = Journal::start(&db, recorder.journaled());
        let zones = Arc::new(zones);
        let (mappings, bases) = (mappings(&config)?, bases(&config));
        let intake = Intake::new(db.clone(), recorder.clone(), clock.clone(), zones.clone(), mappings, bases);
        intake.recall_questionnaires().await?;
        let verifier = Verifier::new(&config).map_err(|e| Problem::internal(e.to_string()))?;
        let keys = StoredApiKeys { db: db.clone(), clock: clock.clone() };
        let verifier = Arc::new(verifier.with_api_keys(Arc::new(keys)));
        let cds_clients = Arc::new(CdsClients::new(&config).map_err(|e| Problem::internal(e.to_string()))?);
        let connections = Connections::new(&config, &clock)?;
        let charts = charts(&config, &connections);
        let dispatcher = Dispatcher::new(db.clone(), clock.clone(), charts, outbox.clone());
        let watch = Watch::new(intake.clone(), connections.clone());
        let webhooks = Webhooks::new(&db, &clock, &config)?;
        let app = App {
            db,
            recorder,
            journal,
            intake,
            clock,
            config: Arc::new(config),
            verifier,
            cds_clients,
            zones,
            outbox,
            connections,
            readiness: Readiness::default(),
            jwks: Arc::new(jwks),
        };
        Ok(Self { app, dispatcher, watch, webhooks })
    }

    /// Starts the loops: delivery, the daily sweep, the journal, webhooks, and the watch over the EHRs.
    pub fn start(&self) -> ServiceLoops {
        let sender = watch::Sender::new(false);
        let stopped = |mut stop: watch::Receiver<bool>| async move {
            // A dropped sender means that the service is gone, too.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let dispatcher = self.dispatcher.clone();
        let stop = stopped(sender.subscribe());
        let delivering = tokio::spawn(dispatcher.run(stop));
        let app = self.app.clone();
        let stop = stopped(sender.subscribe());
        let sweeping = tokio::spawn(async move {
            tokio::pin!(stop);
            loop {
                if let Err(problem) = sweep(&app).await {
                    tracing::warn!(%problem, "the daily sweep could not be finished; it goes on in a minute");
                }
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep(SWEEP) => {}
                }
            }
        });
        let db = self.app.db.clone();
        let stop = stopped(sender.subscribe());
        let checkpointing = tokio::spawn(async move {
            tokio::pin!(stop);
            loop {
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep(CHECKPOINT) => {}
                }
                // What is not copied now is copied later, by the writer at the latest.
                let _ = db.checkpoint().await;
            }
        });
        let watching = tokio::spawn(self.watch.clone().run(sender.subscribe()));
        let sealing = tokio::spawn(self.app.journal.clone().run(stopped(sender.subscribe())));
        let telling = tokio::spawn(self.webhooks.clone().run(self.app.journal.heads(), sender.subscribe()));
        let mut running = vec![delivering, sweeping, telling, sealing, watching, checkpointing];
        match HeadSigner::open(&self.app.config.data_dir) {
            Ok(signer) => {
                let JournalHeads { heads_file, heads_every } = self.app.config.journal.clone();
                let writer = HeadWriter::new(self.app.db.clone(), self.app.clock.clone(), signer, heads_file);
                running.push(tokio::spawn(writer.run(heads_every, stopped(sender.subscribe()))));
            }
            Err(problem) => tracing::error!(%problem, "the heads of the journal are not signed"),
        }
        ServiceLoops { stop: sender, running }
    }

    /// Answers on a socket until told to stop, then finishes what is in flight.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let app = &self.app;
        tokio::join!(app.verifier.warm_up(), app.cds_clients.warm_up());
        let router = protect(router(app), &app.config.limits, &app.clock);
        serve(listener, router, &app.config.limits, stop).await
    }

    /// Closes the database.
    pub async fn close(self) {
        self.app.db.close().await;
    }

    /// Delivers what is due now; for the demo and for tests.
    ///
    /// # Errors
    /// When the outbox cannot be read.
    pub async fn deliver_due(&self) -> Result<(), Problem> {
        while self.dispatcher.round().await? > 0 {}
        Ok(())
    }

    /// Sweeps one EHR now.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done.
    pub async fn fetch(&self, connection: &Connection) -> Result<WatchVisit, Problem> {
        self.watch.visit(connection, true).await
    }

    /// Fetches from every EHR what is due now; with `now`, sweeps whether or not it is due.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done.
    pub async fn fetch_due(&self, now: bool) -> Result<Vec<WatchVisit>, Problem> {
        let mut visits = Vec::new();
        for connection in self.app.connections.iter() {
            visits.push(self.watch.visit(connection, now).await?);
        }
        Ok(visits)
    }

    /// Sends due webhook events now; for tests.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tell_due(&self) -> Result<(), Problem> {
        self.webhooks.send_due().await
    }
}

/// Every route: the API's doors, and the pages.
pub fn router(app: &App) -> axum::Router {
    let api = api::router(app.clone());
    admit_all(api.clone().merge(pages::router(app.clone(), api)), &app.config.limits)
}

fn zones(config: &Config) -> Zones {
    let default = config.clinics.first().map_or(chrono_tz::UTC, |c| c.time_zone);
    let by_clinic = config.clinics.iter().map(|c| (c.id.as_str().to_owned(), c.time_zone)).collect();
    Zones { default, by_clinic }
}

fn mappings(config: &Config) -> Result<HashMap<String, CodeMapping>, Problem> {
    let mut mappings = HashMap::new();
    for clinic in &config.clinics {
        let Some(ehr) = clinic.ehr.as_ref().and_then(|name| config.ehr(name)) else { continue };
        mappings.insert(clinic.id.as_str().to_owned(), connection::mapping(ehr)?);
    }
    Ok(mappings)
}

/// The service's own base, and by clinic those of its connection.
fn bases(config: &Config) -> ClinicBases {
    let own: Bases = config.public_url.iter().map(|url| format!("{}/fhir", url.trim_end_matches('/'))).collect();
    let mut by_clinic = HashMap::new();
    for clinic in &config.clinics {
        let Some(ehr) = clinic.ehr.as_ref().and_then(|name| config.ehr(name)) else { continue };
        let bases = ehr.known_bases.iter().fold(own.clone().and(&ehr.base_url), |all, base| all.and(base));
        by_clinic.insert(clinic.id.as_str().to_owned(), bases);
    }
    // In development any other clinic writes to the first one's chart.
    let first = config.clinics.first().filter(|_| config.any_clinic);
    let own = first.and_then(|clinic| by_clinic.get(clinic.id.as_str()).cloned()).unwrap_or(own);
    ClinicBases { own, by_clinic }
}

fn charts(config: &Config, connections: &Connections) -> Charts {
    let by_clinic: HashMap<_, _> = connections.iter().map(|one| (one.clinic.clone(), one.ehr.clone())).collect();
    let default = config.clinics.iter().find_map(|clinic| by_clinic.get(clinic.id.as_str()).cloned());
    Charts { default: default.filter(|_| config.any_clinic), by_clinic }
}

/// Looks again at the patients whose plan changes by itself today: nobody else is touched.
///
/// # Errors
/// When the database does not answer; what was done is done.
pub async fn sweep(app: &App) -> Result<usize, Problem> {
    app.upkeep().sweep().await
}

/// Plans every patient of a clinic again after a change of the rules.
///
/// # Errors
/// When the database does not answer; what was done is done, and doing it again is harmless.
pub async fn replan(app: &App, clinic: &str) -> Result<usize, Problem> {
    app.upkeep().replan(clinic).await
}
