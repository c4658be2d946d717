//! One create: with a condition where the server takes one, together with its Provenance where it takes both.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::ChartWrite;
use crate::ehr::client::EhrResponse;
use crate::ehr::failure::Failure;
use crate::ehr::ladder::Provenance;
use crate::fhir::provenance::provenance;

/// Result of a create.
pub(super) enum CreateResult {
    New(EhrResponse),
    /// The server says that it was there, and mostly where.
    There(Option<String>),
    /// A search says so.
    Found(Vec<Value>),
}

impl ChartWrite<'_> {
    /// Creates a resource that carries the identifier, unless there is one. `searched` tells that a search has just
    /// found none.
    pub(super) async fn make(&self, body: &Value, identifier: &str, searched: bool) -> Result<CreateResult, Failure> {
        let mut refused = false;
        if self.ehr.creates_conditionally() && self.route.conditional && self.route.by_identifier {
            let token = format!("{}|{identifier}", self.planned.system);
            let condition = self.ehr.query(&[("identifier", &token)]);
            match self.send(body, Some(&condition)).await {
                Ok(answer) if answer.status == StatusCode::CREATED.as_u16() => return Ok(CreateResult::New(answer)),
                // It existed: 200 with the resource, or only its location.
                Ok(answer) => return Ok(CreateResult::There(answer.id())),
                // Several match, or the server does not take conditions: a search tells which.
                Err(failure) if failure.is_refused_with(&[400, 405, 412, 501]) => refused = true,
                Err(failure) => return Err(failure),
            }
        }
        if refused || !searched {
            let found = self.search_for(identifier).await?;
            if !found.is_empty() {
                return Ok(CreateResult::Found(found));
            }
        }
        let answer = self.send(body, None).await?;
        if refused {
            self.ehr.remember_refused_condition();
        }
        Ok(CreateResult::New(answer))
    }

    async fn send(&self, body: &Value, condition: Option<&str>) -> Result<EhrResponse, Failure> {
        let mut refused = false;
        // A server that fails at both together twice is tried with the first alone: the Task comes before its papers.
        if self.route.provenance == Provenance::Together && self.ehr.takes_provenance() && self.ledger.attempts < 2 {
            match self.send_together(body, condition).await {
                Err(failure) if failure.is_refused_for_good() => refused = true,
                other => return other,
            }
        }
        let answer = self.ehr.create(body, condition).await?;
        if refused {
            self.ehr.remember_refused_provenance();
        }
        if self.route.provenance == Provenance::Apart && answer.status == StatusCode::CREATED.as_u16() {
            self.send_afterwards(&answer).await;
        }
        Ok(answer)
    }

    /// In one transaction, so that there is never one without the other.
    async fn send_together(&self, body: &Value, condition: Option<&str>) -> Result<EhrResponse, Failure> {
        let clock = self.ehr.clock();
        let (name, kind) = (format!("urn:uuid:{}", clock.id()), body["resourceType"].clone());
        let Some(provenance) = provenance(self.planned.intent, &name, clock.now()) else {
            return self.ehr.create(body, condition).await;
        };
        let mut entry = json!({"fullUrl": name, "resource": body, "request": {"method": "POST", "url": kind}});
        if let Some(condition) = condition {
            entry["request"]["ifNoneExist"] = json!(condition);
        }
        let papers = json!({"fullUrl": format!("urn:uuid:{}", clock.id()), "resource": provenance,
            "request": {"method": "POST", "url": "Provenance"}});
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry, papers]});
        let answer = self.ehr.transaction(&bundle).await?;
        first_of(&answer).ok_or(Failure::OutcomeUnknown {
            cause: "the answer is not that to a transaction",
            status: Some(answer.status),
            retry_after: None,
        })
    }

    /// Once, and whatever comes of it: what matters stands already.
    async fn send_afterwards(&self, created: &EhrResponse) {
        let Some(id) = created.id() else { return };
        let target = format!("{}/{id}", self.kind());
        let Some(papers) = provenance(self.planned.intent, &target, self.ehr.clock().now()) else { return };
        if let Err(failure) = self.ehr.create(&papers, None).await {
            tracing::debug!(%failure, "a Provenance was not written");
        }
    }
}

/// Result of a transaction's first entry, as if it had been sent alone.
fn first_of(answer: &EhrResponse) -> Option<EhrResponse> {
    let bundle = answer.body.as_ref().filter(|body| body["resourceType"] == "Bundle")?;
    let entry = &bundle["entry"][0];
    let response = &entry["response"];
    let text = |field: &str| response[field].as_str().map(str::to_owned);
    // `201`, or `201 Created`.
    let status = response["status"].as_str()?.split(' ').next()?.parse().ok()?;
    Some(EhrResponse {
        status,
        body: entry.get("resource").cloned(),
        etag: text("etag"),
        location: text("location"),
        last_modified: text("lastModified"),
    })
}
