//! Makes the chart hold one planned Task or Flag, as whatever it takes it, as the plan wants it. Delivering twice is
//! harmless.
//!
//! The guarantee of "once" is our ledger, not the server's conditional create, which is racy on some servers and
//! unknown to others: after an answer that never came we look for the identifier before anything is created again.

mod find;
mod follow_up;
mod make;

use reqwest::StatusCode;
use serde_json::Value;

use super::client::{EhrClient, EhrResponse};
use super::delivery::{DeliveryEffect, DeliveryResult, Ledger, ManualChange};
use super::failure::Failure;
use super::ladder::Route;
use crate::domain::chart_plan::WriteIntent;
use crate::domain::task::Posture;
use crate::fhir::write::Planned;
use crate::fhir::write::parts::{self, ChartState, WrittenPostures};
use make::CreateResult;

/// Makes the chart hold `intent`, once.
///
/// On an error, nothing is known beyond what [`Failure`] says; the caller keeps [`Ledger::after`] and delivers again
/// with that, when `retry::decide` says so.
pub async fn deliver(
    ehr: &EhrClient,
    route: Route,
    intent: &WriteIntent,
    ledger: &Ledger,
) -> Result<DeliveryResult, Failure> {
    let write = ChartWrite::new(ehr, route, intent, ledger);
    if let Some(id) = &ledger.chart_id {
        if !write.changes() {
            return write.follow_up(id, DeliveryEffect::Unchanged, ledger.outcome_unknown).await;
        }
        return match write.read(id).await? {
            CurrentResource::Here(answer) => write.settle(id, answer, DeliveryEffect::Unchanged).await,
            CurrentResource::Gone => Ok(write.deleted(id)),
            CurrentResource::NotFound => match write.search().await?.as_slice() {
                // A lagging replica, or moved by a merge of patients.
                [] => Ok(write.deleted(id)),
                found => write.keep_one(found).await,
            },
        };
    }
    let may_exist = ledger.outcome_unknown || ledger.attempts > 0 || intent.desired.posture != Posture::Open;
    if may_exist && let Some(done) = write.look().await? {
        return Ok(done);
    }
    if ledger.outcome_unknown {
        tokio::time::sleep(ehr.config().search_lag).await;
        if let Some(done) = write.look().await? {
            return Ok(done);
        }
    }
    if intent.desired.posture == Posture::Open { write.create(may_exist).await } else { Ok(write.nothing()) }
}

/// Looks for several resources with the intent's identifier, and keeps one; and for a follow-up that surfaced late.
/// `None` where there is nothing of either.
pub async fn reconcile(
    ehr: &EhrClient,
    route: Route,
    intent: &WriteIntent,
    ledger: &Ledger,
) -> Result<Option<DeliveryResult>, Failure> {
    let write = ChartWrite::new(ehr, route, intent, ledger);
    let found = write.search().await?;
    if found.len() > 1 {
        return write.keep_one(&found).await.map(Some);
    }
    match &ledger.chart_id {
        Some(id) if !write.changes() => write.follow_up_later(id).await,
        _ => Ok(None),
    }
}

struct ChartWrite<'a> {
    ehr: &'a EhrClient,
    route: Route,
    planned: Planned<'a>,
    ledger: &'a Ledger,
}

enum CurrentResource {
    Here(EhrResponse),
    NotFound,
    Gone,
}

impl<'a> ChartWrite<'a> {
    fn new(ehr: &'a EhrClient, route: Route, intent: &'a WriteIntent, ledger: &'a Ledger) -> Self {
        let system = &ehr.config().identifier_system;
        let planned = Planned { intent, form: route.form, system, updates: route.updates };
        Self { ehr, route, planned, ledger }
    }

    fn kind(&self) -> &'static str {
        self.route.form.as_str()
    }

    /// Whether what stands there is changed in place. What has follow-ups goes on having follow-ups.
    fn changes(&self) -> bool {
        self.route.updates && self.ledger.follow_ups == 0
    }

    fn written(&self) -> WrittenPostures {
        WrittenPostures(self.ledger.last_written.into_iter().chain(self.ledger.unanswered.iter().copied()).collect())
    }

    async fn read(&self, id: &str) -> Result<CurrentResource, Failure> {
        match self.ehr.read(self.kind(), id).await {
            Ok(answer) if answer.body.as_ref().is_some_and(|body| body["resourceType"] == self.kind()) => {
                Ok(CurrentResource::Here(answer))
            }
            Ok(answer) => Err(unusable("the answer is not the resource", answer.status)),
            Err(failure) if failure.is_refused_with(&[404]) => Ok(CurrentResource::NotFound),
            Err(failure) if failure.is_refused_with(&[410]) => Ok(CurrentResource::Gone),
            Err(failure) => Err(failure),
        }
    }

    /// All resources in the chart that carry our identifier.
    async fn search(&self) -> Result<Vec<Value>, Failure> {
        self.search_for(&self.planned.intent.identifier).await
    }

    async fn look(&self) -> Result<Option<DeliveryResult>, Failure> {
        let found = self.search().await?;
        if found.is_empty() { Ok(None) } else { self.keep_one(&found).await.map(Some) }
    }

    /// Keeps what a person touched, else the oldest, and marks the untouched others as errors.
    async fn keep_one(&self, found: &[Value]) -> Result<DeliveryResult, Failure> {
        let written = self.written();
        let state = |one: &Value| self.planned.state(one, &written);
        let mut live: Vec<&Value> = found.iter().filter(|one| one["status"] != "entered-in-error").collect();
        if live.is_empty() {
            live = found.iter().collect();
            live.sort_by_key(|one| age(one));
            live.truncate(1);
        }
        live.sort_by_key(|one| (state(one) == ChartState::Ours, age(one)));
        let Some((first, others)) = live.split_first() else { return Ok(self.nothing()) };
        let name = format!("{}/{}", self.kind(), id(first));
        let mut duplicates = Vec::new();
        for other in others {
            // Where nothing can be changed, whoever reads the alert has to.
            if self.route.updates && state(other) == ChartState::Ours {
                let body = parts::as_duplicate(other, &name);
                self.ehr.update(self.kind(), id(other), &body, etag_of(other).as_deref()).await?;
            }
            duplicates.push(id(other).to_owned());
        }
        let mut done = if self.changes() {
            // The search may lag: what is changed is what a read gives.
            let CurrentResource::Here(answer) = self.read(id(first)).await? else { return Ok(self.deleted(id(first))) };
            self.settle(id(first), answer, DeliveryEffect::AlreadyThere).await?
        } else {
            self.follow_up(id(first), DeliveryEffect::AlreadyThere, self.ledger.outcome_unknown).await?
        };
        if !duplicates.is_empty() {
            done.effect = DeliveryEffect::Reconciled { duplicates, closed: self.route.updates };
        }
        Ok(done)
    }

    /// Brings the intent into what the chart holds. `as_wanted` is the effect where nothing has to change.
    async fn settle(
        &self,
        id: &str,
        mut answer: EhrResponse,
        as_wanted: DeliveryEffect,
    ) -> Result<DeliveryResult, Failure> {
        let mut rereads = 0;
        loop {
            let Some(current) = answer.body.take() else {
                return Err(unusable("the answer has no resource", answer.status));
            };
            let version = answer.version().or_else(|| version_of(&current));
            let merge = self.planned.merge(&current, &self.written(), self.ehr.clock().now());
            let done = |version, resource: &Value, effect| DeliveryResult {
                chart_id: Some(id.to_owned()),
                version,
                chart_status: resource["status"].as_str().map(str::to_owned),
                effect,
                recheck: false,
                follow_ups: self.ledger.follow_ups,
            };
            if merge.state == ChartState::ClosedThere {
                return Ok(done(version, &current, DeliveryEffect::LeftAlone(ManualChange::ClosedInChart)));
            }
            let noted = merge.only_noted.then_some(DeliveryEffect::LeftAlone(ManualChange::InProgressNoted));
            let Some(body) = merge.body else {
                return Ok(done(version, &current, noted.unwrap_or(as_wanted)));
            };
            let if_match = answer.etag.clone().or_else(|| etag_of(&current));
            match self.ehr.update(self.kind(), id, &body, if_match.as_deref()).await {
                Ok(updated) => return Ok(done(updated.version(), &body, noted.unwrap_or(DeliveryEffect::Updated))),
                // Another writer was faster: read their change and keep it.
                Err(failure) if failure.is_refused_with(&[409, 412]) && rereads == 0 => rereads += 1,
                Err(failure) if failure.is_refused_with(&[404, 410]) => return Ok(self.deleted(id)),
                Err(failure) => return Err(failure),
            }
            match self.read(id).await? {
                CurrentResource::Here(fresh) => answer = fresh,
                CurrentResource::NotFound | CurrentResource::Gone => return Ok(self.deleted(id)),
            }
        }
    }

    /// Creates it where the chart has none. `searched` tells that a search has just found none.
    async fn create(&self, searched: bool) -> Result<DeliveryResult, Failure> {
        let body = self.planned.resource(self.ehr.clock().now());
        match self.make(&body, &self.planned.intent.identifier, searched).await? {
            CreateResult::New(answer) => self.created(&body, &answer).await,
            CreateResult::There(Some(id)) if self.changes() => match self.read(&id).await? {
                CurrentResource::Here(current) => self.settle(&id, current, DeliveryEffect::AlreadyThere).await,
                CurrentResource::NotFound | CurrentResource::Gone => Ok(self.deleted(&id)),
            },
            CreateResult::There(Some(id)) => self.follow_up(&id, DeliveryEffect::AlreadyThere, false).await,
            // The resource exists, and only a search can find it.
            CreateResult::There(None) => self.look().await?.ok_or_else(|| no_id(StatusCode::OK.as_u16())),
            CreateResult::Found(found) => self.keep_one(&found).await,
        }
    }

    async fn created(&self, body: &Value, answer: &EhrResponse) -> Result<DeliveryResult, Failure> {
        let Some(id) = answer.id() else {
            // The resource exists, whatever the search says.
            return self.look().await.ok().flatten().ok_or_else(|| no_id(answer.status));
        };
        Ok(DeliveryResult {
            chart_id: Some(id),
            version: answer.version(),
            chart_status: body["status"].as_str().map(str::to_owned),
            effect: DeliveryEffect::Created,
            recheck: self.ledger.outcome_unknown,
            follow_ups: 0,
        })
    }

    fn nothing(&self) -> DeliveryResult {
        DeliveryResult {
            chart_id: None,
            version: None,
            chart_status: None,
            effect: DeliveryEffect::Unchanged,
            // The lost create may still surface.
            recheck: self.ledger.outcome_unknown,
            follow_ups: 0,
        }
    }

    fn deleted(&self, id: &str) -> DeliveryResult {
        DeliveryResult {
            chart_id: Some(id.to_owned()),
            version: None,
            chart_status: None,
            effect: DeliveryEffect::LeftAlone(ManualChange::DeletedInChart),
            recheck: false,
            follow_ups: self.ledger.follow_ups,
        }
    }
}

fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap_or_default()
}

/// Oldest first, then by id; ids that are numbers by their value.
fn age(resource: &Value) -> (String, usize, String) {
    let updated = resource["meta"]["lastUpdated"].as_str().unwrap_or_default().to_owned();
    (updated, id(resource).len(), id(resource).to_owned())
}

fn version_of(resource: &Value) -> Option<String> {
    resource["meta"]["versionId"].as_str().map(str::to_owned)
}

fn etag_of(resource: &Value) -> Option<String> {
    version_of(resource).map(|version| format!("W/\"{version}\""))
}

fn unusable(cause: &'static str, status: u16) -> Failure {
    Failure::Unanswered { cause, status: Some(status), retry_after: None }
}

/// The resource was written, but its id is unknown.
fn no_id(status: u16) -> Failure {
    Failure::OutcomeUnknown { cause: "the answer names no id", status: Some(status), retry_after: None }
}
