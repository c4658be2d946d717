//! The whole API in front of a [`World`], on either engine, and a reader of event streams.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::{Request, Response};
use cocm_registry::api;
use cocm_registry::config::ClinicId;
use cocm_registry::identity::{Role, development};
use cocm_registry::listener::protect;
use cocm_registry::store::journal::{JournalEntry, JournalFilter, page};
use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use super::world::World;

pub struct Door {
    pub router: Router,
    folder: std::path::PathBuf,
}

impl Door {
    pub fn of(world: &World) -> Self {
        let folder = world.database.folder.path().to_owned();
        development::prepare(&folder).unwrap();
        let router = protect(api::router(world.app.clone()), &world.app.config.limits, &world.clock);
        Self { router, folder }
    }

    pub fn token(&self, clinic: &str, role: Role) -> String {
        development::mint(&self.folder, &ClinicId::new(clinic).unwrap(), role, development::LIFETIME).unwrap()
    }

    pub async fn send(
        &self,
        (clinic, role): (&str, Role),
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "registry.example")
            .header("authorization", format!("Bearer {}", self.token(clinic, role)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
    }

    /// A GET; the status and the body.
    pub async fn get(&self, who: (&str, Role), path: &str) -> (u16, Value) {
        let response = self.send(who, "GET", path, &[], "").await;
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// Everything that was asked for, oldest first.
pub async fn reads(world: &World, clinic: &str) -> Vec<JournalEntry> {
    world.app.journal.flush().await;
    world.app.journal.seal().await.unwrap();
    let mut tx = world.read().await;
    let lines = page(&mut tx, clinic, &JournalFilter::default(), 10_000).await.unwrap();
    lines.iter().rev().map(|line| JournalEntry::read(&line.entry).unwrap()).filter(|e| e.request.is_some()).collect()
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub event: String,
    pub id: String,
    pub data: String,
}

/// A stream of events, read as it comes.
pub struct Ear {
    body: BodyDataStream,
    text: String,
}

impl Ear {
    pub fn on(response: Response<Body>) -> Self {
        assert_eq!(response.status().as_u16(), 200, "{response:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; `None` at the end, or when nothing comes for a while.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
                };
                let heard = Heard { event: field("event"), id: field("id"), data: field("data") };
                let rest = rest.to_owned();
                self.text = rest;
                // A comment, or how long to wait before coming back.
                if !heard.data.is_empty() {
                    return Some(heard);
                }
            }
            let chunk = tokio::time::timeout(Duration::from_millis(700), self.body.next()).await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}
