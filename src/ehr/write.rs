//! Makes the chart hold one planned Task or Flag as the plan wants it. Delivering twice is harmless.
//!
//! The guarantee of "once" is our ledger, not the server's conditional create, which is racy on some servers and
//! unknown to others: after an answer that never came we look for the identifier before anything is created again.

use reqwest::StatusCode;
use serde_json::Value;

use super::client::{Answer, Ehr};
use super::delivery::{Delivered, Effect, Ledger, LeftAlone};
use super::failure::Failure;
use crate::domain::plan::{Intent, Posture, Resource};
use crate::fhir::planned::{self, ChartState, Written};

/// Makes the chart hold `intent`, once.
///
/// On an error, nothing is known beyond what [`Failure`] says; the caller keeps [`Ledger::after`] and delivers again
/// with that, when `retry::decide` says so.
pub async fn deliver(ehr: &Ehr, intent: &Intent, ledger: &Ledger) -> Result<Delivered, Failure> {
    let write = Write { ehr, intent, ledger };
    if let Some(id) = &ledger.chart_id {
        return match write.read(id).await? {
            Present::Here(answer) => write.settle(id, answer, Effect::Unchanged).await,
            Present::Gone => Ok(deleted(id)),
            Present::NotFound => match write.search().await?.as_slice() {
                // A lagging replica, or moved by a merge of patients.
                [] => Ok(deleted(id)),
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

/// Looks for several resources with the intent's identifier, and keeps one. `None` where there is none or one.
pub async fn reconcile(ehr: &Ehr, intent: &Intent, ledger: &Ledger) -> Result<Option<Delivered>, Failure> {
    let write = Write { ehr, intent, ledger };
    let found = write.search().await?;
    if found.len() < 2 { Ok(None) } else { write.keep_one(&found).await.map(Some) }
}

struct Write<'a> {
    ehr: &'a Ehr,
    intent: &'a Intent,
    ledger: &'a Ledger,
}

enum Present {
    Here(Answer),
    NotFound,
    Gone,
}

impl Write<'_> {
    fn kind(&self) -> Resource {
        self.intent.desired.resource
    }

    fn system(&self) -> &str {
        &self.ehr.config().identifier_system
    }

    fn written(&self) -> Written {
        Written(self.ledger.last_written.into_iter().chain(self.ledger.unanswered.iter().copied()).collect())
    }

    fn token(&self) -> String {
        format!("{}|{}", self.system(), self.intent.identifier)
    }

    async fn read(&self, id: &str) -> Result<Present, Failure> {
        match self.ehr.read(self.kind().as_str(), id).await {
            Ok(answer) if answer.body.as_ref().is_some_and(|body| body["resourceType"] == self.kind().as_str()) => {
                Ok(Present::Here(answer))
            }
            Ok(answer) => Err(unusable("the answer is not the resource", answer.status)),
            Err(failure) if failure.is_refused_with(&[404]) => Ok(Present::NotFound),
            Err(failure) if failure.is_refused_with(&[410]) => Ok(Present::Gone),
            Err(failure) => Err(failure),
        }
    }

    /// All resources in the chart that carry our identifier.
    async fn search(&self) -> Result<Vec<Value>, Failure> {
        let token = self.token();
        let answer = self.ehr.search(self.kind().as_str(), &[("identifier", &token)]).await?;
        // An answer that is no Bundle must not read as "nothing there".
        let bundle = answer.body.filter(|body| body["resourceType"] == "Bundle");
        let bundle = bundle.ok_or_else(|| unusable("the answer is not a Bundle", answer.status))?;
        let resources = bundle["entry"].as_array().into_iter().flatten().map(|entry| &entry["resource"]);
        let ours = resources.filter(|resource| {
            resource["resourceType"] == self.kind().as_str()
                && resource["id"].is_string()
                && planned::carries(resource, self.system(), &self.intent.identifier)
        });
        Ok(ours.cloned().collect())
    }

    async fn look(&self) -> Result<Option<Delivered>, Failure> {
        let found = self.search().await?;
        if found.is_empty() { Ok(None) } else { self.keep_one(&found).await.map(Some) }
    }

    /// Keeps what a person touched, else the oldest, and marks the untouched others as errors.
    async fn keep_one(&self, found: &[Value]) -> Result<Delivered, Failure> {
        let written = self.written();
        let state = |one: &Value| planned::state(one, self.kind(), &written);
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
            if state(other) == ChartState::Ours {
                let body = planned::as_duplicate(other, &name);
                self.ehr.update(self.kind().as_str(), id(other), &body, etag_of(other).as_deref()).await?;
            }
            duplicates.push(id(other).to_owned());
        }
        // The search may lag: what is changed is what a read gives.
        let Present::Here(answer) = self.read(id(first)).await? else { return Ok(deleted(id(first))) };
        let mut done = self.settle(id(first), answer, Effect::AlreadyThere).await?;
        if !duplicates.is_empty() {
            done.effect = Effect::Reconciled { duplicates };
        }
        Ok(done)
    }

    /// Brings the intent into what the chart holds. `as_wanted` is the effect where nothing has to change.
    async fn settle(&self, id: &str, mut answer: Answer, as_wanted: Effect) -> Result<Delivered, Failure> {
        let mut rereads = 0;
        loop {
            let Some(current) = answer.body.take() else {
                return Err(unusable("the answer has no resource", answer.status));
            };
            let version = answer.version().or_else(|| version_of(&current));
            let merge = planned::merge(&current, self.intent, self.system(), &self.written(), self.ehr.clock().now());
            let done = |version, resource: &Value, effect| Delivered {
                chart_id: Some(id.to_owned()),
                version,
                chart_status: resource["status"].as_str().map(str::to_owned),
                effect,
                recheck: false,
            };
            if merge.state == ChartState::ClosedThere {
                return Ok(done(version, &current, Effect::LeftAlone(LeftAlone::ClosedInChart)));
            }
            let noted = merge.only_noted.then_some(Effect::LeftAlone(LeftAlone::InProgressNoted));
            let Some(body) = merge.body else {
                return Ok(done(version, &current, noted.unwrap_or(as_wanted)));
            };
            let if_match = answer.etag.clone().or_else(|| etag_of(&current));
            match self.ehr.update(self.kind().as_str(), id, &body, if_match.as_deref()).await {
                Ok(updated) => return Ok(done(updated.version(), &body, noted.unwrap_or(Effect::Updated))),
                // Somebody was faster: their change is read and kept.
                Err(failure) if failure.is_refused_with(&[409, 412]) && rereads == 0 => rereads += 1,
                Err(failure) if failure.is_refused_with(&[404, 410]) => return Ok(deleted(id)),
                Err(failure) => return Err(failure),
            }
            match self.read(id).await? {
                Present::Here(fresh) => answer = fresh,
                Present::NotFound | Present::Gone => return Ok(deleted(id)),
            }
        }
    }

    /// Creates it where the chart has none. `searched` tells that a search has just found none.
    async fn create(&self, searched: bool) -> Result<Delivered, Failure> {
        let body = planned::resource(self.intent, self.system(), self.ehr.clock().now());
        let mut refused = false;
        if self.ehr.creates_conditionally() {
            let condition = self.ehr.query(&[("identifier", &self.token())]);
            match self.ehr.create(&body, Some(&condition)).await {
                Ok(answer) if answer.status == StatusCode::CREATED.as_u16() => {
                    return self.created(&body, &answer).await;
                }
                // It was there: 200 with the resource, or only with its place.
                Ok(answer) => {
                    return match answer.id() {
                        Some(id) => match self.read(&id).await? {
                            Present::Here(current) => self.settle(&id, current, Effect::AlreadyThere).await,
                            Present::NotFound | Present::Gone => Ok(deleted(&id)),
                        },
                        None => self.look().await?.ok_or_else(|| no_id(answer.status)),
                    };
                }
                // Several match, or the server does not take conditions: a search tells which.
                Err(failure) if failure.is_refused_with(&[400, 405, 412, 501]) => refused = true,
                Err(failure) => return Err(failure),
            }
        }
        if (refused || !searched)
            && let Some(done) = self.look().await?
        {
            return Ok(done);
        }
        let answer = self.ehr.create(&body, None).await?;
        if refused {
            self.ehr.remember_refused_condition();
        }
        self.created(&body, &answer).await
    }

    async fn created(&self, body: &Value, answer: &Answer) -> Result<Delivered, Failure> {
        let Some(id) = answer.id() else {
            // It is there, whatever the search says.
            return self.look().await.ok().flatten().ok_or_else(|| no_id(answer.status));
        };
        Ok(Delivered {
            chart_id: Some(id),
            version: answer.version(),
            chart_status: body["status"].as_str().map(str::to_owned),
            effect: Effect::Created,
            recheck: self.ledger.outcome_unknown,
        })
    }

    fn nothing(&self) -> Delivered {
        Delivered {
            chart_id: None,
            version: None,
            chart_status: None,
            effect: Effect::Unchanged,
            // The lost create may still surface.
            recheck: self.ledger.outcome_unknown,
        }
    }
}

fn deleted(id: &str) -> Delivered {
    Delivered {
        chart_id: Some(id.to_owned()),
        version: None,
        chart_status: None,
        effect: Effect::LeftAlone(LeftAlone::DeletedInChart),
        recheck: false,
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

/// It was written, and we do not know where.
fn no_id(status: u16) -> Failure {
    Failure::OutcomeUnknown { cause: "the answer names no id", status: Some(status), retry_after: None }
}
