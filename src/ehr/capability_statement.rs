//! Reading a CapabilityStatement.

use serde_json::Value;

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn resources(statement: &Value) -> impl Iterator<Item = &Value> {
    list(&statement["rest"]).flat_map(|rest| list(&rest["resource"]))
}

/// Entry of a CapabilityStatement for a resource type.
pub(super) fn resource<'a>(statement: &'a Value, kind: &str) -> Option<&'a Value> {
    resources(statement).find(|resource| resource["type"] == kind)
}

/// Whether an interaction is among those of a type.
pub(super) fn has(resource: &Value, interaction: &str) -> bool {
    list(&resource["interaction"]).any(|one| one["code"] == interaction)
}

/// Whether a CapabilityStatement offers an interaction with a type.
pub(super) fn can(statement: &Value, kind: &str, interaction: &str) -> bool {
    resource(statement, kind).is_some_and(|resource| has(resource, interaction))
}

/// A CapabilityStatement with these interactions of these types.
#[cfg(test)]
pub(super) fn statement(kinds: &[(&str, &[&str])]) -> Value {
    let interactions = |codes: &[&str]| codes.iter().map(|code| serde_json::json!({"code": code})).collect::<Value>();
    let resources =
        kinds.iter().map(|(kind, codes)| serde_json::json!({"type": kind, "interaction": interactions(codes)}));
    let rest = serde_json::json!([{"resource": resources.collect::<Value>()}]);
    serde_json::json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest})
}
