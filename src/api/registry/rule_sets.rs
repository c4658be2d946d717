//! `GET rule-sets`, `POST rule-sets`, `POST rule-sets/{version}/activate`

use axum::Json;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{ReadErrors, WriteErrors, created};
use crate::api::App;
use crate::api::page::Page;
use crate::api::request::{READERS, RequestContext, VersionInPath};
use crate::domain::rules::RuleSet;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::{activate, propose};
use crate::store::rule_set::{self, RuleSetActivation, RuleSetRecord};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_rule_sets, add_rule_set)).routes(routes!(activate_rule_set))
}

/// A version of the thresholds.
#[derive(Debug, Serialize, ToSchema)]
struct RuleSetBody {
    /// Name of the series.
    id: String,
    /// Version, for `If-Match`.
    version: u32,
    /// In force.
    active: bool,
    /// When it was put in force last.
    activated_at: Option<DateTime<Utc>>,
    /// When it was entered; `null` for the built-in one.
    created_at: Option<DateTime<Utc>>,
    /// Author.
    created_by: Option<String>,
    /// When it was in force, oldest first: which version said what on which day.
    in_force: Vec<PeriodInForce>,
    /// The thresholds: days and points.
    rules: RuleSet,
}

/// A time in which a version was in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PeriodInForce {
    /// Since when; `null` from the beginning.
    from: Option<DateTime<Utc>>,
    /// Until when; `null` while it is.
    until: Option<DateTime<Utc>>,
    /// Person who activated it.
    by: Option<String>,
}

/// When each version was in force.
struct ActivationHistory(Vec<(i32, PeriodInForce)>);

impl ActivationHistory {
    fn of(activations: Vec<RuleSetActivation>) -> Self {
        let first = PeriodInForce { from: None, until: None, by: None };
        let mut spans = vec![(1, first)];
        for activation in activations {
            if let Some((_, last)) = spans.last_mut() {
                last.until = Some(activation.activated_at);
            }
            let span = PeriodInForce { from: Some(activation.activated_at), until: None, by: activation.activated_by };
            spans.push((activation.version, span));
        }
        Self(spans)
    }

    fn version(&self, version: u32) -> Vec<PeriodInForce> {
        self.0.iter().filter(|(v, _)| u32::try_from(*v) == Ok(version)).map(|(_, span)| span.clone()).collect()
    }
}

impl RuleSetBody {
    fn stored(stored: RuleSetRecord, active: &RuleSet, history: &ActivationHistory) -> Self {
        let rules = stored.body.0;
        Self {
            id: rules.id.clone(),
            version: rules.version,
            active: rules == *active,
            activated_at: stored.activated_at,
            created_at: Some(stored.created_at),
            created_by: Some(stored.created_by),
            in_force: history.version(rules.version),
            rules,
        }
    }

    fn built_in(active: &RuleSet, history: &ActivationHistory) -> Self {
        let rules = RuleSet::default();
        let active = rules == *active;
        let (id, version) = (rules.id.clone(), rules.version);
        let in_force = history.version(version);
        Self { id, version, active, activated_at: None, created_at: None, created_by: None, in_force, rules }
    }
}

/// New thresholds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRuleSet {
    /// The thresholds; what is left out stays as it is in the rule set in force, `version` becomes the next one.
    #[schema(value_type = Object)]
    rules: Value,
}

/// Every version, newest first; the built-in one last.
#[utoipa::path(get, path = "/rule-sets", tag = "rules",
    responses((status = 200, description = "All on one page", body = Page<RuleSetBody>), ReadErrors))]
async fn list_rule_sets(call: RequestContext) -> Result<Json<Page<RuleSetBody>>, Problem> {
    call.caller.require(READERS)?;
    let mut tx = call.app.db.read().await?;
    let active = rule_set::active(&mut tx, call.clinic()).await?;
    let all = rule_set::all(&mut tx, call.clinic()).await?;
    let history = ActivationHistory::of(rule_set::activations(&mut tx, call.clinic()).await?);
    let has_first = all.iter().any(|stored| stored.version == 1);
    let mut items: Vec<RuleSetBody> =
        all.into_iter().map(|stored| RuleSetBody::stored(stored, &active, &history)).collect();
    if !has_first {
        items.push(RuleSetBody::built_in(&active, &history));
    }
    Ok(Json(Page { items, next: None }))
}

/// Completes partial thresholds with the current ones, and reports every fault.
pub async fn complete(call: &RequestContext, given: Value) -> Result<RuleSet, Problem> {
    let mut tx = call.app.db.read().await?;
    let active = rule_set::active(&mut tx, call.clinic()).await?;
    let newest = rule_set::all(&mut tx, call.clinic()).await?.first().map_or(1, |stored| stored.version);
    drop(tx);
    let next = u32::try_from(newest).unwrap_or(1).max(1) + 1;
    if !given.is_object() {
        return Err(Problem::unprocessable("must be an object").at("rules"));
    }
    let stays = serde_json::to_value(&active).map_err(|_| Problem::internal("rules cannot be written"))?;
    let mut whole = stays;
    whole["version"] = next.into();
    merge(&mut whole, given);
    let rules: RuleSet = serde_path_to_error::deserialize(whole).map_err(|error| {
        // Thresholds are no secret, but the body may hold anything, so nothing of it is repeated.
        let problem = Problem::unprocessable("not a threshold that can be read here");
        let path = error.path().to_string();
        let is_plain = path.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b));
        problem.at(if is_plain && path != "." { format!("rules.{path}") } else { "rules".to_owned() })
    })?;
    let faults = rules.faults();
    if faults.is_empty() { Ok(rules) } else { Err(Problem::unprocessable(faults.join("; ")).at("rules")) }
}

/// RFC 7396, without deletions: a threshold cannot be absent.
fn merge(into: &mut Value, given: Value) {
    match (into, given) {
        (Value::Object(into), Value::Object(given)) => {
            for (name, value) in given {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, given) => *into = given,
    }
}

/// Stores a version of the thresholds; it is not in force yet.
#[utoipa::path(post, path = "/rule-sets", tag = "rules", request_body = NewRuleSet,
    responses((status = 201, description = "Stored", body = RuleSetBody), WriteErrors))]
async fn add_rule_set(call: RequestContext, JsonBody(new): JsonBody<NewRuleSet>) -> Result<Response, Problem> {
    call.caller.require(&[Role::Admin])?;
    let rules = complete(&call, new.rules).await?;
    let taken = || Problem::conflict(format!("version {} exists; leave it out to get the next one", rules.version));
    if rules.version < 2 || i32::try_from(rules.version).is_err() {
        return Err(taken().at("rules.version"));
    }
    let now = call.app.clock.now();
    if !propose(&call.app.db, call.clinic(), &call.caller.subject, &rules, now).await? {
        return Err(taken().at("rules.version"));
    }
    let body = RuleSetBody {
        id: rules.id.clone(),
        version: rules.version,
        active: false,
        activated_at: None,
        created_at: Some(now),
        created_by: Some(call.caller.subject.clone()),
        in_force: Vec::new(),
        rules,
    };
    Ok(created(None, None, body))
}

/// Result of an activation.
#[derive(Debug, Serialize, ToSchema)]
struct ActivationResult {
    /// The version in force.
    version: u32,
    /// Time of activation.
    activated_at: DateTime<Utc>,
    /// Number of patients planned again; `null` while this still runs.
    replanned: Option<usize>,
}

/// How long an activation waits until the clinic is planned again; planning continues after the answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Activates a version, and plans all patients of the clinic again.
///
/// Version 1 is the built-in one. The activating transaction marks every patient as due, so that nobody stays under the
/// old version, whatever happens.
#[utoipa::path(post, path = "/rule-sets/{version}/activate", tag = "rules",
    params(("version" = u32, Path, description = "The version")),
    responses((status = 200, description = "In force", body = ActivationResult), WriteErrors))]
async fn activate_rule_set(
    call: RequestContext,
    VersionInPath(version): VersionInPath,
) -> Result<Json<ActivationResult>, Problem> {
    call.caller.require(&[Role::Admin])?;
    let (now, today) = (call.app.clock.now(), call.today());
    let (db, clinic) = (&call.app.db, call.clinic().to_owned());
    if version == 1 {
        // The built-in one gets a row when it is chosen.
        propose(db, &clinic, "cocm-registry", &RuleSet::default(), now).await?;
    }
    let activated_at = activate(db, &clinic, &call.caller.subject, version, now, today)
        .await?
        .ok_or_else(|| Problem::not_found("rule set"))?;
    let upkeep = call.app.upkeep();
    // Outside of the request: changes that follow from the rules have this program as author, without a role, and show
    // the caller no patient. The activation has its own journal entry.
    let running = tokio::spawn(async move { upkeep.catch_up(&clinic).await });
    let replanned = match tokio::time::timeout(PATIENCE, running).await {
        Ok(Ok(Ok(replanned))) => Some(replanned),
        // The sweep goes on with those who are still marked.
        _ => None,
    };
    Ok(Json(ActivationResult { version: u32::try_from(version).unwrap_or(0), activated_at, replanned }))
}
