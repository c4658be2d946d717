//! Contents of the sandbox: every version of every resource.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::search::{self, SandboxQuery};
use crate::clock::Clock;

/// One version of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceVersion {
    pub number: u64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// `create`, `update` or `delete`.
    pub change: &'static str,
    /// The resource; `None` for a deletion.
    pub resource: Option<Value>,
}

#[derive(Clone, Debug)]
struct StoredResource {
    versions: Vec<ResourceVersion>,
    /// By the machine's clock, for the lag of the index: the chart's clock may stand still.
    since: Instant,
}

impl StoredResource {
    fn present(&self) -> Option<&Value> {
        self.versions.last().and_then(|version| version.resource.as_ref())
    }
}

/// All resources. A clone is a snapshot, for a transaction that may fail.
#[derive(Clone, Debug)]
pub struct SandboxChart {
    clock: Clock,
    last: DateTime<Utc>,
    next_id: u64,
    /// By type and id; ids that are numbers in their order.
    resources: BTreeMap<(String, usize, String), StoredResource>,
    /// How long a new resource is not found by a search.
    pub(super) search_lag: Duration,
    /// Changed resources in order, recorded only when subscribers are notified.
    pub(super) changed: Option<Vec<String>>,
}

impl SandboxChart {
    pub(super) fn new(clock: Clock) -> Self {
        let last = DateTime::UNIX_EPOCH;
        Self { clock, last, next_id: 1, resources: BTreeMap::new(), search_lag: Duration::ZERO, changed: None }
    }

    /// Never twice the same, also when the clock stands still: a sweep by `_lastUpdated` must be able to tell.
    fn moment(&mut self) -> DateTime<Utc> {
        self.last = self.clock.now().max(self.last + TimeDelta::milliseconds(1));
        self.last
    }

    pub(super) fn new_id(&mut self, kind: &str) -> String {
        loop {
            let id = self.next_id.to_string();
            self.next_id += 1;
            if !self.resources.contains_key(&key(kind, &id)) {
                return id;
            }
        }
    }

    /// Stores a new version; a resource without an id gets one.
    pub(super) fn put(&mut self, resource: Value) -> Value {
        let at = self.moment();
        self.put_at(resource, at)
    }

    pub(super) fn put_at(&mut self, mut resource: Value, at: DateTime<Utc>) -> Value {
        let kind = resource["resourceType"].as_str().unwrap_or("Basic").to_owned();
        let id = resource["id"].as_str().map_or_else(|| self.new_id(&kind), str::to_owned);
        let stored = self
            .resources
            .entry(key(&kind, &id))
            .or_insert_with(|| StoredResource { versions: Vec::new(), since: Instant::now() });
        let number = stored.versions.len() as u64 + 1;
        if let Some(changed) = &mut self.changed {
            changed.push(format!("{kind}/{id}"));
        }
        resource["id"] = json!(id);
        resource["meta"]["versionId"] = json!(number.to_string());
        resource["meta"]["lastUpdated"] = json!(at.to_rfc3339_opts(SecondsFormat::Millis, true));
        let change = if stored.present().is_some() { "update" } else { "create" };
        stored.versions.push(ResourceVersion { number, at, change, resource: Some(resource.clone()) });
        resource
    }

    pub(super) fn delete(&mut self, kind: &str, id: &str) {
        let at = self.moment();
        if let Some(stored) = self.resources.get_mut(&key(kind, id))
            && stored.present().is_some()
        {
            let number = stored.versions.len() as u64 + 1;
            stored.versions.push(ResourceVersion { number, at, change: "delete", resource: None });
        }
    }

    /// Restores a version and forgets the later ones.
    pub(super) fn restore(&mut self, kind: &str, id: &str, number: u64) {
        if let Some(stored) = self.resources.get_mut(&key(kind, id)) {
            stored.versions.retain(|version| version.number <= number);
        }
    }

    pub(super) fn get(&self, kind: &str, id: &str) -> Option<&Value> {
        self.resources.get(&key(kind, id))?.present()
    }

    pub(super) fn history(&self, kind: &str, id: &str) -> &[ResourceVersion] {
        self.resources.get(&key(kind, id)).map_or(&[], |stored| &stored.versions)
    }

    /// Every version of everything of a type, with its id.
    pub(super) fn versions(&self, kind: &str) -> Vec<(&str, &ResourceVersion)> {
        let of_kind = self.resources.iter().filter(|((one, ..), _)| one == kind);
        of_kind.flat_map(|((.., id), stored)| stored.versions.iter().map(|one| (id.as_str(), one))).collect()
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &StoredResource> {
        let from = (kind.to_owned(), 0, String::new());
        let kind = kind.to_owned();
        self.resources.range(from..).take_while(move |((one, ..), _)| *one == kind).map(|(_, stored)| stored)
    }

    pub(super) fn all(&self, kind: &str) -> Vec<&Value> {
        self.of_kind(kind).filter_map(StoredResource::present).collect()
    }

    /// The types of which there is something, with how many.
    pub(super) fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for ((kind, ..), stored) in &self.resources {
            *kinds.entry(kind.as_str()).or_default() += usize::from(stored.present().is_some());
        }
        kinds
    }

    pub(super) fn creations(&self, kind: &str, identifier: &str) -> usize {
        let created = self.of_kind(kind).flat_map(|stored| &stored.versions).filter(|one| one.change == "create");
        let resources = created.filter_map(|version| version.resource.as_ref());
        resources.filter(|one| search::identifiers(one).any(|(_, value)| value == identifier)).count()
    }

    /// Runs a search; resources that the index has not caught up with are missing.
    pub(super) fn search(&self, kind: &str, query: &SandboxQuery) -> Vec<&Value> {
        let indexed = self.of_kind(kind).filter(|stored| stored.since.elapsed() >= self.search_lag);
        let mut found: Vec<&Value> =
            indexed.filter_map(StoredResource::present).filter(|one| query.matches(one)).collect();
        query.sort(&mut found);
        found
    }
}

fn key(kind: &str, id: &str) -> (String, usize, String) {
    (kind.to_owned(), id.len(), id.to_owned())
}
