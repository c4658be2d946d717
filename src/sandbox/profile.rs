//! The EHR that the sandbox imitates: its capabilities and its manner of answering.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::exchange::{SandboxCall, SandboxReply};

/// An EHR's abilities and manners.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one of an EHR's manners")]
pub struct Profile {
    /// Name of the server.
    pub name: &'static str,
    /// The interactions with each type.
    pub offers: BTreeMap<&'static str, &'static [&'static str]>,
    /// Whether a type that is not listed is taken all the same.
    pub takes_anything: bool,
    /// Searches by these parameters are refused.
    pub not_searched_by: Vec<String>,
    /// Bundles that it takes: `batch`, `transaction`.
    pub bundles: &'static [&'static str],
    /// Whether it heeds the condition of a create or an update.
    pub conditions: bool,
    /// Whether it tells versions, and heeds `If-Match`.
    pub versions: bool,
    /// Whether a create is answered with the resource, and with an absolute Location.
    pub tells_whole: bool,
    /// Whether a refusal says why.
    pub explains: bool,
    /// The topics that one may subscribe to, by their canonicals, and the types that each is about.
    pub topics: &'static [(&'static str, &'static [&'static str])],
    /// Whether Subscriptions by R4's criteria are taken.
    pub criteria: bool,
}

const ALL: &[&str] =
    &["read", "vread", "create", "update", "delete", "search-type", "history-instance", "history-type"];
/// Topic of [`Profile::topical`].
pub const TOPIC: &str = "https://cocm-registry.dev/fhir/SubscriptionTopic/sandbox-changes";
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition";
const READ: &[&str] = &["read", "search-type"];
const ONCE: &[&str] = &["read", "search-type", "create"];

impl Default for Profile {
    /// A general FHIR server, as HAPI or Medplum are.
    fn default() -> Self {
        let kinds = [
            "Patient",
            "QuestionnaireResponse",
            "Observation",
            "Task",
            "Flag",
            "Communication",
            "DocumentReference",
            "Provenance",
        ];
        Self {
            name: "general",
            offers: kinds.map(|kind| (kind, ALL)).into(),
            takes_anything: true,
            not_searched_by: Vec::new(),
            bundles: &["batch", "transaction"],
            conditions: true,
            versions: true,
            tells_whole: true,
            explains: true,
            topics: &[],
            criteria: true,
        }
    }
}

impl Profile {
    /// Epic, as documented: Task and Flag are read-only, notes can be created and never changed, no Bundles, no
    /// conditions, no versions, a relative Location and an empty body, refusals without explanation, no deletes.
    pub fn like_epic() -> Self {
        Self {
            name: "Epic-like",
            offers: [
                ("Patient", READ),
                ("Observation", ONCE),
                ("QuestionnaireResponse", READ),
                ("Task", READ),
                ("Flag", READ),
                ("DocumentReference", ONCE),
            ]
            .into(),
            takes_anything: false,
            not_searched_by: vec!["identifier".to_owned()],
            bundles: &[],
            conditions: false,
            versions: false,
            tells_whole: false,
            explains: false,
            ..Self::default()
        }
    }

    /// athenahealth, as documented: neither Task nor Flag nor anything else that we could write.
    pub fn like_athenahealth() -> Self {
        Self {
            name: "athenahealth-like",
            offers: [("Patient", READ), ("Observation", READ), ("QuestionnaireResponse", ONCE)].into(),
            takes_anything: false,
            not_searched_by: Vec::new(),
            bundles: &[],
            conditions: false,
            ..Self::default()
        }
    }

    /// Oracle Health, as documented: neither Task nor Flag; messages and notes can be created and never changed, no
    /// transactions.
    pub fn like_oracle() -> Self {
        Self {
            name: "Oracle-like",
            offers: [
                ("Patient", READ),
                ("Observation", ONCE),
                ("QuestionnaireResponse", READ),
                ("Communication", ONCE),
                ("DocumentReference", ONCE),
            ]
            .into(),
            takes_anything: false,
            bundles: &["batch"],
            conditions: false,
            ..Self::default()
        }
    }

    /// A general server that tells of changes by topic and by nothing else ([`super::Sandbox::tell_subscribers`]).
    pub fn topical() -> Self {
        Self {
            name: "topic-based",
            topics: &[(TOPIC, &["Patient", "QuestionnaireResponse", "Observation"])],
            criteria: false,
            ..Self::default().with("Subscription", ALL)
        }
    }

    /// The one that calls itself so.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::default(), Self::like_epic(), Self::like_oracle(), Self::like_athenahealth(), Self::topical()];
        all.into_iter().find(|profile| profile.name == name)
    }

    /// The same, with other interactions with a type.
    #[must_use]
    pub fn with(mut self, kind: &'static str, interactions: &'static [&'static str]) -> Self {
        self.offers.insert(kind, interactions);
        self
    }

    /// The same, where something of a type can be created and never changed.
    #[must_use]
    pub fn taking_once(self, kind: &'static str) -> Self {
        self.with(kind, ONCE)
    }

    /// The same, where a type is only for reading.
    #[must_use]
    pub fn only_showing(self, kind: &'static str) -> Self {
        self.with(kind, READ)
    }

    /// Whether a call is one of those that are offered.
    pub(super) fn takes(&self, call: &SandboxCall) -> bool {
        let parts: Vec<&str> = call.path.split('/').filter(|part| !part.is_empty()).collect();
        let (kind, interaction) = match (call.method.as_str(), parts.as_slice()) {
            ("POST", []) => {
                let kind = call.body.as_ref().and_then(|body| body["type"].as_str()).unwrap_or_default();
                return self.bundles.contains(&kind) || self.takes_anything;
            }
            ("GET", [kind]) | ("POST", [kind, "_search"]) => (*kind, "search-type"),
            ("POST", [kind]) => (*kind, "create"),
            ("PUT", [kind]) => (*kind, if self.conditions { "update" } else { "conditional-update" }),
            ("GET", [kind, "_history"]) => (*kind, "history-type"),
            ("GET", [kind, _]) => (*kind, "read"),
            ("PUT", [kind, _]) => (*kind, "update"),
            ("DELETE", [kind, _]) => (*kind, "delete"),
            ("GET", [kind, _, "_history"]) => (*kind, "history-instance"),
            ("GET", [kind, _, "_history", _]) => (*kind, "vread"),
            _ => return true,
        };
        match self.offers.get(kind) {
            Some(offered) => offered.contains(&interaction),
            None => self.takes_anything || matches!(kind, "metadata" | "$misbehave" | "$play"),
        }
    }

    /// Reply to a resource that it does not accept.
    pub(super) fn refuses(&self) -> SandboxReply {
        if self.explains {
            SandboxReply::refusal(403, "forbidden", "not offered here")
        } else {
            SandboxReply { status: 403, headers: Vec::new(), body: None }
        }
    }

    /// A reply as this EHR would give it.
    pub(super) fn in_its_manner(&self, mut reply: SandboxReply, base: &str) -> SandboxReply {
        if !self.versions {
            reply.headers.retain(|(name, _)| *name != "etag");
            if let Some(body) = &mut reply.body {
                forget_versions(body);
            }
        }
        if reply.status == 201 && !self.tells_whole {
            reply.body = None;
            for (_, place) in reply.headers.iter_mut().filter(|(name, _)| *name == "location") {
                let path = place.trim_start_matches(base).trim_start_matches('/');
                *place = path.split("/_history").next().unwrap_or_default().to_owned();
            }
        }
        reply
    }

    pub(super) fn statement(&self) -> Value {
        let resources = self.offers.iter().map(|(kind, interactions)| {
            let parameters = ["identifier", "patient", "_lastUpdated"].into_iter();
            let known = parameters.filter(|name| !self.not_searched_by.iter().any(|one| one == name));
            let mut resource = json!({
                "type": kind, "interaction": interactions.iter().map(|code| json!({"code": code})).collect::<Vec<_>>(),
                "versioning": if self.versions { "versioned-update" } else { "no-version" },
                "conditionalCreate": self.conditions, "conditionalUpdate": self.conditions, "updateCreate": self.takes_anything,
                "searchParam": known.map(|name| json!({"name": name, "type": kind_of_parameter(name)})).collect::<Vec<_>>(),
            });
            if *kind == "Subscription" && !self.topics.is_empty() {
                let url = format!("{BACKPORT}/capabilitystatement-subscriptiontopic-canonical");
                let topic = |(canonical, _): &(&str, _)| json!({"url": url, "valueCanonical": canonical});
                resource["extension"] = self.topics.iter().map(topic).collect();
                resource["supportedProfile"] = json!([format!("{BACKPORT}/backport-subscription")]);
            }
            resource
        });
        let bundles: Vec<Value> = self.bundles.iter().map(|code| json!({"code": code})).collect();
        let mut rest = json!({"mode": "server", "resource": resources.collect::<Vec<_>>()});
        if !bundles.is_empty() {
            rest["interaction"] = json!(bundles);
        }
        json!({
            "resourceType": "CapabilityStatement", "status": "active", "date": "2026-01-01", "kind": "instance",
            "fhirVersion": "4.0.1", "format": ["json"],
            "implementation": {"description": format!("cocm-registry sandbox: plays an EHR ({}), holds nothing real", self.name)},
            "rest": [rest],
        })
    }
}

fn kind_of_parameter(name: &str) -> &'static str {
    match name {
        "identifier" => "token",
        "patient" => "reference",
        _ => "date",
    }
}

fn forget_versions(body: &mut Value) {
    if let Some(meta) = body.get_mut("meta").and_then(Value::as_object_mut) {
        meta.remove("versionId");
    }
    for entry in body.get_mut("entry").and_then(Value::as_array_mut).into_iter().flatten() {
        forget_versions(&mut entry["resource"]);
    }
}
