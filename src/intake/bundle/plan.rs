//! Plans every entry of a Bundle before any is carried out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{EntryAction, EntryOutcome, Permission};
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::bundle::{
    BundleEntry, BundleLinks, BundlePurpose, BundleRequest, RequestTarget, foreign_type, name_of,
};
use crate::fhir::query;
use crate::intake::Intake;
use crate::problem::{Category, Problem};
use crate::record::{Command, Condition, derived_id};
use crate::store::resource;

const NOT_KEPT: &str = "not kept here: only Patient, QuestionnaireResponse and Observation are";

/// A whole Bundle, ready for the hallway.
#[derive(Default)]
pub(super) struct BundlePlan {
    /// Per entry; `None` where a fact answers.
    pub(super) outcomes: Vec<Option<EntryOutcome>>,
    /// The entry that each command belongs to.
    pub(super) places: Vec<(usize, ResourceType)>,
    pub(super) commands: Vec<Command>,
}

/// Plan for one entry.
pub(super) enum EntryPlan<'a> {
    Take(Box<IncomingResource<'a>>),
    Delete { kind: ResourceType, id: String, if_match: Option<i64> },
    Done(EntryOutcome),
}

/// A resource to be taken in.
pub(super) struct IncomingResource<'a> {
    kind: ResourceType,
    raw: Cow<'a, str>,
    full_url: Option<Cow<'a, str>>,
    /// The id that it must have, by the address.
    id: Option<String>,
    /// The id that it has if it does not say another one.
    fallback: Option<String>,
    condition: Condition,
    /// The resource read from `raw`.
    arrival: Option<Arrival>,
}

impl<'a> IncomingResource<'a> {
    fn new(kind: ResourceType, raw: &'a str, full_url: Option<Cow<'a, str>>) -> Self {
        let raw = Cow::Borrowed(raw);
        Self { kind, raw, full_url, id: None, fallback: None, condition: Condition::None, arrival: None }
    }
}

/// Result of a step.
pub(super) enum EntryStep {
    Outcome(EntryOutcome),
    Fact(ResourceType, Box<Command>),
}

fn ignored(why: &'static str) -> EntryPlan<'static> {
    EntryPlan::Done(EntryOutcome::Ignored(why.into()))
}

/// Whether a request is about a type of R4 that is not kept here, and its resource is, too.
fn is_foreign(entry: &BundleEntry<'_>, request: &BundleRequest<'_>) -> bool {
    let Some(named) = foreign_type(&request.url) else { return false };
    let carried = entry.resource.and_then(|resource| name_of(resource.get()));
    carried.is_none_or(|(name, _)| name == named)
}

/// Looks at an entry without reading its resource.
pub(super) fn look<'a>(
    entry: BundleEntry<'a>,
    purpose: BundlePurpose,
    may: Permission<'_>,
) -> Result<EntryPlan<'a>, Problem> {
    match (purpose, entry.request.clone()) {
        (BundlePurpose::Batch | BundlePurpose::Transaction, None) if entry.resource.is_none() => {
            Err(Problem::malformed("an entry of a batch or transaction needs a request or a resource").at("request"))
        }
        // One Encounter among ours does not make the whole transaction fail.
        (BundlePurpose::Transaction, Some(request)) if is_foreign(&entry, &request) => Ok(ignored(NOT_KEPT)),
        (BundlePurpose::Batch | BundlePurpose::Transaction, Some(request)) => by_request(entry, &request, may),
        (BundlePurpose::History, Some(request)) if request.method == "DELETE" => {
            match RequestTarget::read(&request.url) {
                Ok(RequestTarget { kind, id: Some(id), .. }) => {
                    may(kind, EntryAction::Delete)?;
                    Ok(EntryPlan::Delete { kind, id: id.to_owned(), if_match: None })
                }
                _ => Ok(ignored(NOT_KEPT)),
            }
        }
        // Converters leave the request out: then the resource says itself what is to be done.
        _ => by_resource(entry, may),
    }
}

/// An entry that is a request.
fn by_request<'a>(
    entry: BundleEntry<'a>,
    request: &BundleRequest<'_>,
    may: Permission<'_>,
) -> Result<EntryPlan<'a>, Problem> {
    let at_url = |problem: Problem| problem.at("request.url");
    let target = RequestTarget::read(&request.url).map_err(at_url)?;
    let resource = |entry: BundleEntry<'a>| match entry.resource {
        Some(raw) => Ok(IncomingResource::new(target.kind, raw.get(), entry.full_url)),
        None => Err(Problem::malformed("this request needs a resource").at("resource")),
    };
    let if_match = || request.if_match.as_deref().map(query::version).transpose().map_err(|p| p.at("request.ifMatch"));
    match (request.method.as_ref(), target.id) {
        ("POST", None) => {
            may(target.kind, EntryAction::Create)?;
            let mut take = resource(entry)?;
            if name_of(&take.raw).is_some_and(|(_, id)| id.is_some()) {
                // The id is kept, so what is there under it already is replaced.
                may(target.kind, EntryAction::Update)?;
            }
            if let Some(condition) = &request.if_none_exist {
                let token = query::condition_on(target.kind.name(), condition);
                let token = token.map_err(|p| p.at("request.ifNoneExist"))?;
                take.condition = Condition::NoneWith(token);
            }
            Ok(EntryPlan::Take(Box::new(take)))
        }
        ("PUT", id) => {
            may(target.kind, EntryAction::Update)?;
            let mut take = resource(entry)?;
            take.id = id.map(str::to_owned);
            take.condition = match (id, target.query, if_match()?) {
                (Some(_), _, None) => Condition::None,
                (Some(_), _, Some(version)) => Condition::Version(version),
                (None, Some(condition), None) => Condition::TheOneWith(query::condition(condition).map_err(at_url)?),
                _ => {
                    return Err(at_url(Problem::malformed(
                        "PUT needs `Type/id`, or `Type?identifier=` without ifMatch",
                    )));
                }
            };
            Ok(EntryPlan::Take(Box::new(take)))
        }
        ("DELETE", Some(id)) => {
            may(target.kind, EntryAction::Delete)?;
            Ok(EntryPlan::Delete { kind: target.kind, id: id.to_owned(), if_match: if_match()? })
        }
        ("GET", id) => {
            may(target.kind, if id.is_some() { EntryAction::Read } else { EntryAction::Search })?;
            let if_none_match = request.if_none_match.as_deref().map(str::to_owned);
            Ok(EntryPlan::Done(EntryOutcome::Wanted { url: request.url.to_string(), if_none_match }))
        }
        ("POST" | "DELETE", _) => {
            Err(at_url(Problem::malformed("POST needs `Type`, DELETE needs `Type/id`; there is no conditional delete")))
        }
        _ => {
            Err(Problem::new(Category::MethodNotAllowed, "this method is not supported in a Bundle")
                .at("request.method"))
        }
    }
}

/// An entry that is a resource.
fn by_resource<'a>(entry: BundleEntry<'a>, may: Permission<'_>) -> Result<EntryPlan<'a>, Problem> {
    let Some(resource) = entry.resource else { return Ok(ignored("carries no resource")) };
    let Some((name, _)) = name_of(resource.get()) else {
        return Err(Problem::malformed("resourceType is missing or no type name").at("Resource.resourceType"));
    };
    let Some(kind) = ResourceType::of(&name) else { return Ok(ignored(NOT_KEPT)) };
    may(kind, EntryAction::Update)?;
    let mut take = IncomingResource::new(kind, resource.get(), entry.full_url);
    take.fallback = take.full_url.as_deref().and_then(|url| match RequestTarget::read(url) {
        Ok(target) if target.kind == kind => target.id.map(str::to_owned),
        _ => None,
    });
    Ok(EntryPlan::Take(Box::new(take)))
}

/// A transaction may touch a resource once. Where a history tells that one was deleted, only its latest word counts:
/// a history has the newest first.
pub(super) fn one_per_resource(entries: &mut [Result<EntryPlan<'_>, Problem>], purpose: BundlePurpose) {
    let name = |step: &EntryPlan<'_>| match step {
        EntryPlan::Delete { kind, id, .. } => Some((*kind, id.clone())),
        EntryPlan::Take(take) => match (&take.id, purpose) {
            (Some(id), _) => Some((take.kind, id.clone())),
            (None, BundlePurpose::History) => Some((take.kind, name_of(&take.raw)?.1?.into_owned())),
            _ => None,
        },
        EntryPlan::Done(_) => None,
    };
    match purpose {
        BundlePurpose::Batch | BundlePurpose::Collection => {}
        BundlePurpose::Transaction => {
            let mut seen = HashSet::new();
            for entry in entries {
                if let Ok(step) = entry
                    && name(step).is_some_and(|name| !seen.insert(name))
                {
                    let detail = "a transaction may touch a resource only once";
                    *entry = Err(Problem::malformed(detail).at("request.url"));
                }
            }
        }
        BundlePurpose::History => {
            let mut spoken: HashMap<_, bool> = HashMap::new();
            for entry in entries.iter().flatten() {
                if let Some(name) = name(entry) {
                    *spoken.entry(name).or_default() |= matches!(entry, EntryPlan::Delete { .. });
                }
            }
            let mut latest = HashSet::new();
            for entry in entries.iter_mut().flatten() {
                if let Some(name) = name(entry)
                    && spoken.get(&name) == Some(&true)
                    && !latest.insert(name)
                {
                    *entry = ignored("a later version is in the same Bundle");
                }
            }
        }
    }
}

impl Intake {
    /// Finds out what the entries that others may refer to will be stored as: first the Patients, then what may refer
    /// to these and be referred to itself.
    pub(super) async fn foresee(
        &self,
        clinic: &str,
        entries: &mut [Result<EntryPlan<'_>, Problem>],
    ) -> Result<BundleLinks, Problem> {
        let mut links = BundleLinks::default();
        for patients in [true, false] {
            let mut found = Vec::new();
            for entry in entries.iter_mut() {
                let Ok(EntryPlan::Take(take)) = entry else { continue };
                let Some(full_url) =
                    take.full_url.as_deref().filter(|_| (take.kind == ResourceType::Patient) == patients)
                else {
                    continue;
                };
                if let Some(resolved) = links.resolve(&take.raw) {
                    take.raw = resolved.into();
                }
                // Unreadable resources are reported where they are taken in.
                let Ok(arrival) = self.read(clinic, &take.raw) else { continue };
                let given = take.id.clone().or_else(|| arrival.id.clone()).or_else(|| take.fallback.clone());
                let mut id = given.or_else(|| derived_id(clinic, &arrival, Some(full_url))).unwrap_or_default();
                if let Condition::NoneWith(token) | Condition::TheOneWith(token) = &take.condition {
                    let mut tx = self.db.read().await?;
                    let known = resource::by_identifier(&mut tx, clinic, take.kind.name(), token).await?;
                    if let [one] = known.as_slice() {
                        id.clone_from(&one.id);
                    }
                    take.condition = Condition::Under { id: id.clone(), condition: Box::new(take.condition.clone()) };
                }
                found.push((full_url.to_owned(), format!("{}/{id}", take.kind.name())));
                take.fallback = Some(id);
                take.arrival = Some(arrival);
            }
            for (full_url, reference) in found {
                links.add(&full_url, reference);
            }
        }
        Ok(links)
    }

    /// A step as a fact for the hallway.
    pub(super) fn fact(&self, clinic: &str, step: EntryPlan<'_>, links: &BundleLinks) -> Result<EntryStep, Problem> {
        let take = match step {
            EntryPlan::Done(outcome) => return Ok(EntryStep::Outcome(outcome)),
            EntryPlan::Delete { kind, id, if_match } => {
                return Ok(EntryStep::Fact(kind, Box::new(Command::DeleteResource { kind, id, if_match })));
            }
            EntryPlan::Take(take) => *take,
        };
        let resolved = links.resolve(&take.raw);
        let arrival = match (resolved, take.arrival) {
            (None, Some(arrival)) => arrival,
            (resolved, _) => self.read(clinic, resolved.as_deref().unwrap_or(&take.raw))?,
        };
        let arrival = addressed(arrival, take.kind, take.id)?;
        let arrival = match take.fallback {
            Some(id) => arrival.with_id(id),
            None => arrival,
        };
        Ok(EntryStep::Fact(
            take.kind,
            Box::new(Command::StoreResource { arrival: Box::new(arrival), condition: take.condition }),
        ))
    }
}

/// A resource as its address says it is.
///
/// # Errors
/// Where type or id contradict the address.
pub fn addressed(arrival: Arrival, kind: ResourceType, id: Option<String>) -> Result<Arrival, Problem> {
    if arrival.kind != kind {
        return Err(
            Problem::malformed("the type of the resource is not that of the address").at("Resource.resourceType")
        );
    }
    match (id, &arrival.id) {
        (Some(id), Some(own)) if id != *own => {
            Err(Problem::malformed("the id of the resource is not that of the address")
                .at(format!("{}.id", kind.name())))
        }
        (Some(id), _) => Ok(arrival.with_id(id)),
        (None, _) => Ok(arrival),
    }
}
