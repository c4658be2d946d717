//! CapabilityStatement of the FHIR API.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::arrival::ResourceType;

/// How ids are given: for the people who read the CapabilityStatement.
const IDS: &str = "This is an integration door. The id that the sender puts into a resource is kept, also by POST, so \
    that references such as `Patient/123` mean here what they mean in the chart; a POST under an id that is known \
    updates it (200). A POST without an id gets one that follows from the content, so that sending the same twice \
    stores it once; only a Patient without any identifier gets a new id each time. A resource that is older than what \
    is known, by `meta.versionId` or else `meta.lastUpdated`, or the same again, changes nothing and is answered with \
    200. What is read back is the resource as it came, with its id: `meta` is the sender's; our own version is the \
    ETag, and our own moment of change is Last-Modified and what `_lastUpdated` searches. Only the current version is \
    kept.";

const SECURITY: &str = "`Authorization: Bearer` with a JWT of a configured issuer, for one clinic and one role. The \
    roles ehr and admin may write; every role may read. A token whose `scope` carries SMART scopes (v1 or v2) may \
    only do what these allow, as well; scopes with a query and those of any other \
    context than `system/` and `user/` allow nothing here. A POST whose body has an id needs \
    the right to update as well, since the id is kept; an answer carries a resource only for who may read.";

/// The CapabilityStatement of the door at `base`.
pub fn statement(base: &str, now: DateTime<Utc>) -> Value {
    let resources = ResourceType::ALL.map(resource);
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": now.to_rfc3339_opts(SecondsFormat::Secs, true),
        "publisher": "cocm-registry",
        "kind": "instance",
        "software": { "name": "cocm-registry", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Collaborative Care registry: FHIR door", "url": base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "documentation": IDS,
            "security": {
                "cors": false,
                "service": [{ "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "OAuth", "display": "OAuth",
                }], "text": "Bearer tokens" }],
                "description": SECURITY,
            },
            "resource": resources,
            "interaction": [
                { "code": "transaction", "documentation": "All or nothing. GET entries are read after the commit." },
                { "code": "batch", "documentation": "Entry by entry. Also taken in at the base: Bundles of type \
                    collection, searchset and history (each resource as if it were PUT; what is of other types is \
                    left aside), notifications of the Subscriptions Backport IG, and a single resource. At most 1000 \
                    entries." },
            ],
        }],
    })
}

fn resource(kind: ResourceType) -> Value {
    let plain = ["read", "create", "update", "delete", "search-type"].map(|code| json!({ "code": code }));
    let vread = json!({ "code": "vread", "documentation": "The current version only." });
    let interactions: Vec<Value> = plain.into_iter().chain([vread]).collect();
    json!({
        "type": kind.name(),
        "interaction": interactions,
        "versioning": "versioned",
        "readHistory": false,
        "updateCreate": true,
        "conditionalCreate": true,
        "conditionalRead": "not-match",
        "conditionalUpdate": true,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical"],
        "searchParam": parameters(kind),
    })
}

fn parameters(kind: ResourceType) -> Vec<Value> {
    let parameter = |name: &str, kind: &str, note: &str| json!({ "name": name, "type": kind, "documentation": note });
    let mut parameters = vec![
        parameter("_id", "token", "One or several, with commas."),
        parameter("_lastUpdated", "date", "Our own moment of change; eq, ge, gt, le, lt; may repeat."),
        parameter(
            "identifier",
            "token",
            "`system|value`, `|value` for one without system, `value` for one of any system. Conditional requests need \
                a system or the bar.",
        ),
    ];
    if kind == ResourceType::Patient {
        return parameters;
    }
    let whom = "`Patient/1` or `1`, several with commas. Finds what is about the person, under whichever of their \
        references it came. `patient.identifier` and `patient:identifier` take `system|value`.";
    parameters.push(parameter("patient", "reference", whom));
    parameters.push(parameter("subject", "reference", whom));
    if kind == ResourceType::QuestionnaireResponse {
        parameters.push(parameter("questionnaire", "reference", "The canonical, with or without its version."));
        parameters.push(parameter("authored", "date", "eq, ge, gt, le, lt; may repeat."));
        parameters.push(parameter("status", "token", "One or several, with commas."));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::statement;

    #[test]
    fn the_statement_says_what_is_required() {
        let said = statement("https://registry.example/fhir", DateTime::default());
        assert_eq!(said["fhirVersion"], "4.0.1");
        assert_eq!(said["date"], "1970-01-01T00:00:00Z");
        let types: Vec<_> = said["rest"][0]["resource"].as_array().unwrap().iter().map(|r| &r["type"]).collect();
        assert_eq!(types, ["Patient", "QuestionnaireResponse", "Observation"]);
    }
}
