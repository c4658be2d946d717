//! The EHRs that we fetch from: how far each type has come, what waits, what is wrong.

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::pages::date_texts::{elapsed, instant};
use crate::pages::response::ProblemPage;
use crate::pages::session::{FormPost, Visitor};
use crate::pages::words::{self, Tone};
use crate::problem::Problem;

/// A sweep may be so many times its period late before somebody should look.
const LATE: i64 = 3;

/// A connection, as the API tells it.
#[derive(Deserialize)]
struct ConnectionReply {
    name: String,
    origin: String,
    period_s: i64,
    due_at: Option<DateTime<Utc>>,
    busy: bool,
    token: String,
    types: Vec<TypeReply>,
    waiting: i64,
    waiting_since: Option<DateTime<Utc>>,
    in_vain: i64,
    unreadable: Vec<UnreadableReply>,
    subscriptions: Vec<SubscriptionReply>,
}

#[derive(Deserialize)]
struct TypeReply {
    r#type: String,
    swept_at: Option<DateTime<Utc>>,
    lag_s: Option<i64>,
    way: String,
    seen: i64,
    taken: i64,
    failed_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

#[derive(Deserialize)]
struct UnreadableReply {
    resource: String,
    reason: String,
    since: DateTime<Utc>,
}

#[derive(Deserialize)]
struct SubscriptionReply {
    #[serde(rename = "subscription")]
    name: String,
    ours: bool,
    status: String,
    heard_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

/// A connection, in words.
pub struct ConnectionStatus {
    pub name: String,
    pub origin: String,
    /// Facts about the connection.
    pub facts: Vec<(&'static str, String)>,
    pub state: (&'static str, Tone),
    pub kinds: Vec<SweepRow>,
    /// (resource, since, why)
    pub unreadable: Vec<(String, String, String)>,
    /// (whose, its state, its error)
    pub subscriptions: Vec<(String, String, Option<String>)>,
}

/// Progress of one resource type.
pub struct SweepRow {
    pub kind: String,
    pub swept: String,
    pub lag: String,
    pub way: String,
    pub last: String,
    pub error: Option<String>,
}

/// Every connection of the clinic.
pub async fn read(visitor: &Visitor) -> Result<Vec<ConnectionStatus>, ProblemPage> {
    let mut said = visitor.pages.door.get(&visitor.caller, "connections").await?;
    let told: Vec<ConnectionReply> = serde_json::from_value(said["items"].take())
        .map_err(|_| Problem::internal("the connections could not be read"))?;
    Ok(told.into_iter().map(|told| fetched(told, visitor)).collect())
}

fn fetched(told: ConnectionReply, visitor: &Visitor) -> ConnectionStatus {
    let (zone, today) = (visitor.zone(), visitor.today());
    let at = |at: DateTime<Utc>| instant(at, zone, today);
    let state = state(&told);
    let mut facts = vec![
        (
            "Swept every",
            match told.period_s {
                0 => "never".to_owned(),
                seconds => format!("{} min", (seconds / 60).max(1)),
            },
        ),
        (
            "Next sweep",
            match (told.busy, told.due_at) {
                (true, _) => "at it now".to_owned(),
                (_, Some(due)) => at(due),
                (_, None) => "–".to_owned(),
            },
        ),
        ("Token", words::spaced(&told.token)),
        (
            "Told of, not fetched yet",
            match told.waiting_since {
                Some(since) if told.waiting > 0 => format!("{}, since {}", told.waiting, at(since)),
                _ => told.waiting.to_string(),
            },
        ),
    ];
    if told.in_vain > 0 {
        facts.push(("Cannot be had or read", told.in_vain.to_string()));
    }
    let row = |kind: TypeReply| SweepRow {
        swept: kind.swept_at.map_or_else(|| "never".to_owned(), at),
        lag: kind.lag_s.map_or_else(|| "–".to_owned(), |seconds| elapsed(TimeDelta::seconds(seconds))),
        way: words::spaced(&kind.way),
        last: format!("{} came, {} changed something", kind.seen, kind.taken),
        error: kind.last_error.map(|why| match kind.failed_at {
            Some(failed) => format!("{}: {why}", at(failed)),
            None => why,
        }),
        kind: kind.r#type,
    };
    let subscription = |one: SubscriptionReply| {
        let heard = one.heard_at.map(|heard| format!(", heard {}", at(heard))).unwrap_or_default();
        let whose = if one.ours { "made by us" } else { "made in the EHR" };
        (one.name, format!("{whose}, {}{heard}", words::spaced(&one.status)), one.last_error)
    };
    ConnectionStatus {
        state,
        facts,
        kinds: told.types.into_iter().map(row).collect(),
        unreadable: told.unreadable.into_iter().map(|one| (one.resource, at(one.since), one.reason)).collect(),
        subscriptions: told.subscriptions.into_iter().map(subscription).collect(),
        name: told.name,
        origin: told.origin,
    }
}

/// Overall state: the worst of its types.
fn state(told: &ConnectionReply) -> (&'static str, Tone) {
    let late = |kind: &TypeReply| told.period_s > 0 && kind.lag_s.is_none_or(|lag| lag > LATE * told.period_s);
    if told.types.iter().any(|kind| kind.last_error.is_some()) {
        ("the last sweep failed", Tone::Bad)
    } else if told.period_s > 0 && (told.types.is_empty() || told.types.iter().any(late)) {
        ("not swept lately", Tone::Watch)
    } else if told.in_vain > 0 {
        ("something cannot be read", Tone::Watch)
    } else {
        ("as it should be", Tone::Good)
    }
}

/// Sweeps one as soon as possible.
pub async fn sync(Path(name): Path<String>, submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let known = visitor.pages.app.connections.iter().any(|one| one.clinic == visitor.clinic() && one.name() == name);
    if !known {
        return Err(Problem::not_found("connection").into());
    }
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let path = format!("connections/{}/sync", name.replace('+', "%20"));
    visitor.pages.door.post(&visitor.caller, &path, None, &json!({})).await?;
    Ok(Redirect::to("/operations?done=sync").into_response())
}
