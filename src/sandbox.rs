//! A small FHIR server in this process that plays the EHR: for the demo, and for tests that need a chart that
//! misbehaves. It keeps everything in memory and checks little; it is not a FHIR server to build upon.

pub mod chart;
mod exchange;
mod interaction;
pub mod events;
pub mod misbehavior;
mod page;
pub mod profile;
pub mod search;
mod server;
mod topics;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use chart::{ResourceVersion, SandboxChart};
use misbehavior::{Dice, Misbehavior};
use profile::Profile;

/// How many calls the log keeps.
const LOG_MAX: usize = 10_000;

/// One call that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCall {
    pub method: String,
    pub path: String,
    /// The status that was sent, or what was done instead: `request dropped`, `response dropped`, `hung`.
    pub outcome: String,
}

/// Everything the server remembers.
struct SandboxState {
    chart: SandboxChart,
    profile: Profile,
    misbehavior: Misbehavior,
    dice: Dice,
    log: VecDeque<LoggedCall>,
    told: Vec<events::EventReceipt>,
    topical: topics::TopicEvents,
}

type SharedState = Arc<Mutex<SandboxState>>;

fn lock(state: &Mutex<SandboxState>) -> MutexGuard<'_, SandboxState> {
    // A panic in one call of a test must not hide what the others did.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running sandbox. Dropping it stops it at once; [`Sandbox::stop`] lets calls in flight end.
pub struct Sandbox {
    url: String,
    state: SharedState,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts to listen; port 0 takes a free one.
    pub async fn start(listen: SocketAddr, clock: Clock) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(SandboxState {
            chart: SandboxChart::new(clock),
            profile: Profile::default(),
            misbehavior: Misbehavior::default(),
            dice: Dice::new(0),
            log: VecDeque::new(),
            told: Vec::new(),
            topical: topics::TopicEvents::new(),
        }));
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(server::serve(listener, state.clone(), url.clone(), stopped));
        Ok(Self { url, state, stop, server: Some(server) })
    }

    /// Its FHIR base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on it plays this EHR.
    pub fn play(&self, profile: Profile) {
        lock(&self.state).profile = profile;
    }

    /// Refuses connections from now on, and breaks those that are open; the chart stays.
    pub async fn go_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Aborted is what it is to be.
            let _ = server.await;
        }
    }

    /// Listens again, at the same address.
    pub async fn come_back(&mut self) -> std::io::Result<()> {
        self.go_down().await;
        let listener = TcpListener::bind(self.url.trim_start_matches("http://")).await?;
        let stopped = self.stop.subscribe();
        self.server = Some(tokio::spawn(server::serve(listener, self.state.clone(), self.url.clone(), stopped)));
        Ok(())
    }

    /// Misbehaves like this from now on; the dice restart from the seed.
    pub fn misbehave(&self, how: Misbehavior) {
        lock(&self.state).set_misbehavior(how);
    }

    /// From now on it behaves.
    pub fn behave(&self) {
        self.misbehave(Misbehavior::default());
    }

    /// Puts a resource into the chart as if a person had done it there, and answers with what is stored. A resource
    /// without an id gets one.
    pub fn put(&self, resource: Value) -> Value {
        lock(&self.state).chart.put(resource)
    }

    /// Like [`Sandbox::put`], with this time of change: several resources may share one.
    pub fn put_at(&self, resource: Value, at: DateTime<Utc>) -> Value {
        lock(&self.state).chart.put_at(resource, at)
    }

    /// Deletes a resource as if a person had done it there.
    pub fn delete(&self, kind: &str, id: &str) {
        lock(&self.state).chart.delete(kind, id);
    }

    /// Puts a resource back to an earlier version, as a restore from a backup does.
    pub fn restore(&self, kind: &str, id: &str, version: u64) {
        lock(&self.state).chart.restore(kind, id, version);
    }

    /// All present resources of a type, in the order of their ids.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        lock(&self.state).chart.all(kind).into_iter().cloned().collect()
    }

    /// One present resource.
    pub fn get(&self, kind: &str, id: &str) -> Option<Value> {
        lock(&self.state).chart.get(kind, id).cloned()
    }

    /// Every version of a resource, oldest first; a deletion has no resource.
    pub fn history(&self, kind: &str, id: &str) -> Vec<ResourceVersion> {
        lock(&self.state).chart.history(kind, id).to_vec()
    }

    /// How many resources of a type were ever created with an identifier's value.
    pub fn creations(&self, kind: &str, identifier: &str) -> usize {
        lock(&self.state).chart.creations(kind, identifier)
    }

    /// The calls that arrived, oldest first.
    pub fn log(&self) -> Vec<LoggedCall> {
        lock(&self.state).log.iter().cloned().collect()
    }

    /// Forgets the calls so far.
    pub fn clear_log(&self) {
        lock(&self.state).log.clear();
    }

    /// Stops listening, lets calls in flight end for up to two seconds, and closes all connections.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(server) = self.server.take() {
            // An abort is what `drop` does, too.
            let _ = server.await;
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

impl SandboxState {
    fn set_misbehavior(&mut self, how: Misbehavior) {
        self.dice = Dice::new(how.seed);
        self.misbehavior = how;
    }

    fn record(&mut self, method: &str, path: &str, outcome: impl Into<String>) {
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(LoggedCall { method: method.to_owned(), path: path.to_owned(), outcome: outcome.into() });
    }
}
