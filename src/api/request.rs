//! Request parts that the registry's handlers share: caller, ids, texts and instants.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use crate::fhir::query::tagged;
use crate::identity::{Caller, Role};
use crate::problem::Problem;
use crate::record::{Command, IdempotencyKey, Recorded, Submission, local_midnight};

/// Roles that may read clinical data: everyone in the care team, but not the EHR's client.
pub const READERS: &[Role] = &[Role::CareManager, Role::PsychiatricConsultant, Role::PrimaryCare, Role::Admin];
/// The clinicians of the team.
pub const CLINICIANS: &[Role] = &[Role::CareManager, Role::PsychiatricConsultant, Role::PrimaryCare];

/// One request: who asks, and what it was sent with.
pub struct RequestContext {
    /// Shared state of the handlers.
    pub app: App,
    pub caller: Caller,
    /// `Idempotency-Key`.
    once: Option<IdempotencyKey>,
    pub if_match: Option<i64>,
}

impl FromRequestParts<App> for RequestContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let once = parts.extensions.get::<IdempotencyKey>().cloned();
        Ok(Self { app: app.clone(), caller, once, if_match: if_match(&parts.headers)? })
    }
}

impl RequestContext {
    /// The clinic that everything is within.
    pub fn clinic(&self) -> &str {
        self.caller.clinic.as_str()
    }

    /// The clinic's time zone.
    pub fn zone(&self) -> Tz {
        self.app.zones.of(self.clinic())
    }

    /// The clinic's today.
    pub fn today(&self) -> NaiveDate {
        self.app.clock.today(self.zone())
    }

    /// A new id: the same one if this request was sent before under the same key.
    pub fn id(&self, n: usize) -> Uuid {
        match &self.once {
            Some(once) => Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}/{}/{n}", self.clinic(), once.key).as_bytes()),
            None => self.app.clock.id(),
        }
    }

    /// Records facts, all or nothing, and only once under the request's key.
    pub async fn record(&self, commands: Vec<Command>) -> Result<Vec<Recorded>, Problem> {
        let submission =
            Submission { clinic: self.clinic().to_owned(), by: self.caller.subject.clone(), commands, atomic: true };
        self.app.recorder.record_once(submission, self.once.clone()).await?.into_iter().collect()
    }

    /// Records one fact.
    pub async fn record_one(&self, fact: Command) -> Result<Recorded, Problem> {
        self.record(vec![fact]).await?.pop().ok_or_else(|| Problem::internal("a fact was not answered"))
    }
}

/// `If-Match: W/"3"`, `"3"` or `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = tagged(text).parse().map(Some);
    revision.map_err(|_| Problem::malformed("must be an ETag of ours, like W/\"3\"").at("If-Match"))
}

async fn named(parts: &mut Parts, app: &App, name: &str) -> Result<String, Problem> {
    let path = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
    path.ok().and_then(|Path(mut all)| all.remove(name)).ok_or_else(|| Problem::not_found("address"))
}

/// The `{id}` of the path. What is no id of ours names nothing: 404.
pub struct IdInPath<T>(pub T);

impl<T: FromStr> FromRequestParts<App> for IdInPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        parse_id(&named(parts, app, "id").await?).map(Self)
    }
}

/// The `{entry}` of the path.
pub struct EntryInPath(pub Uuid);

impl FromRequestParts<App> for EntryInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        parse_id(&named(parts, app, "entry").await?).map(Self)
    }
}

/// The `{version}` of the path.
pub struct VersionInPath(pub i32);

impl FromRequestParts<App> for VersionInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let text = named(parts, app, "version").await?;
        text.parse().map(Self).map_err(|_| Problem::not_found("rule set"))
    }
}

/// Reads an id that a client names; what is none of ours is absent.
pub fn parse_id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found("id"))
}

/// The query, read strictly: a misspelt filter must not show everything. 400 with the name of the parameter.
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, app).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| {
            // The message quotes values, which may be a patient's; only what we call things is repeated.
            let message = rejection.body_text();
            let message = message.strip_prefix("Failed to deserialize query string: ").unwrap_or(&message);
            let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && name.len() <= 40;
            let name = message.split(": ").next().filter(is_name);
            let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
            let detail = match (expected, message.contains("unknown field")) {
                (Some(expected), true) => format!("no such parameter; expected {expected}"),
                (Some(expected), false) => format!("not acceptable; expected {expected}"),
                (None, _) => "not acceptable".to_owned(),
            };
            let problem = Problem::malformed(detail);
            match name {
                Some(name) => problem.at(name),
                None => problem,
            }
        })
    }
}

/// Words that have to say something: trimmed, not empty, at most 20,000 characters.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 20_000)]
pub struct RequiredText(pub String);

impl<'de> Deserialize<'de> for RequiredText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let trimmed = text.trim();
        // PostgreSQL cannot keep a NUL.
        let sayable = !trimmed.is_empty() && !trimmed.contains('\0') && trimmed.chars().count() <= 20_000;
        if sayable { Ok(Self(trimmed.to_owned())) } else { Err(serde::de::Error::custom("not usable as text")) }
    }
}

impl fmt::Display for RequiredText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The words of a field that may be left out.
pub fn words(text: Option<RequiredText>) -> Option<String> {
    text.map(|text| text.0)
}

/// An instant (RFC 3339), or a date in the clinic's time zone where the hour is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, example = "2026-02-16T09:30:00Z")]
pub struct Moment(KnownAt);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownAt {
    At(DateTime<Utc>),
    On(NaiveDate),
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = DateTime::parse_from_rfc3339(&text).map(|at| KnownAt::At(at.with_timezone(&Utc)));
        // Years of more than four digits are not accepted.
        let on = || text.parse().map(KnownAt::On).ok().filter(|_| text.len() == 10);
        let known = at.ok().or_else(on).ok_or_else(|| serde::de::Error::custom("neither an instant nor a date"));
        known.map(Self)
    }
}

impl Moment {
    /// The date in a time zone, and the instant where it is known.
    pub fn in_zone(self, zone: Tz) -> (NaiveDate, Option<DateTime<Utc>>) {
        match self.0 {
            KnownAt::At(at) => (at.with_timezone(&zone).date_naive(), Some(at)),
            KnownAt::On(on) => (on, None),
        }
    }

    /// The same, with local midnight where only the date is known.
    pub fn instant(self, zone: Tz) -> (NaiveDate, DateTime<Utc>) {
        let (on, at) = self.in_zone(zone);
        (on, at.unwrap_or_else(|| local_midnight(zone, on)))
    }
}

impl Moment {
    /// The same, with the end of the local day (or `now`, whichever is earlier) where only the date is known: what was
    /// done on a day was done after what was answered on it.
    pub fn by_the_end_of_the_day(self, zone: Tz, now: DateTime<Utc>) -> (NaiveDate, DateTime<Utc>) {
        let (on, at) = self.in_zone(zone);
        let end = || (local_midnight(zone, on + chrono::Days::new(1)) - chrono::TimeDelta::microseconds(1)).min(now);
        (on, at.unwrap_or_else(|| end().max(local_midnight(zone, on))))
    }
}

/// A date within a lifetime; where a plan may lie in the future.
pub fn plausible(on: NaiveDate) -> bool {
    (1900..=2200).contains(&on.year())
}

/// A date of the query.
pub fn query_date(on: Option<NaiveDate>, name: &str) -> Result<Option<NaiveDate>, Problem> {
    match on {
        Some(on) if !plausible(on) => Err(Problem::malformed("a date between 1900 and 2200").at(name)),
        on => Ok(on),
    }
}
