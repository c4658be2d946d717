//! What a CapabilityStatement says about what we can do there.

use serde_json::Value;

use super::{Finding, broken, limited, works};

/// Whether it is one, of the right version.
pub(super) fn speaks(statement: &Value, base: &str) -> Vec<Finding> {
    let version = statement["fhirVersion"].as_str().unwrap_or("no version");
    if statement["resourceType"] != "CapabilityStatement" {
        return vec![broken(format!(
            "{base}: what answers GET metadata is no CapabilityStatement, so it is not the FHIR base; correct base_url"
        ))];
    }
    if !version.starts_with("4.0") && !version.starts_with("4.3") {
        return vec![broken(format!(
            "{base}: it speaks FHIR {version}, and R4 (4.0.1) is needed; set base_url to its R4 endpoint"
        ))];
    }
    let software = statement["software"]["name"].as_str().unwrap_or("a server that does not say its name");
    vec![works(format!("{base}: {software} answers, FHIR {version}"))]
}

fn resource<'a>(statement: &'a Value, kind: &str) -> Option<&'a Value> {
    let servers = statement["rest"].as_array()?.iter();
    let mut resources = servers.flat_map(|rest| rest["resource"].as_array().into_iter().flatten());
    resources.find(|resource| resource["type"] == kind)
}

fn can(statement: &Value, kind: &str, interaction: &str) -> bool {
    let listed = resource(statement, kind).and_then(|resource| resource["interaction"].as_array());
    listed.into_iter().flatten().any(|one| one["code"] == interaction)
}

/// The highest rung of the ladder that the server offers: Task and Flag, Communication, `DocumentReference`, nothing.
pub(super) fn rung(statement: &Value) -> Finding {
    let writes = |kind| can(statement, kind, "create");
    let lacking: Vec<&str> = ["Task", "Flag"].into_iter().filter(|kind| !writes(kind)).collect();
    if lacking.is_empty() {
        return works("writing: the server takes Task and Flag");
    }
    let lacking = lacking.join(" nor ");
    let other = ["Communication", "DocumentReference"].into_iter().find(|kind| writes(kind));
    match other {
        Some(kind) => limited(format!(
            "writing: the server does not offer to create {lacking}, but {kind}: what we find reaches the chart as a \
             {kind} at best, and people work from the worklist"
        )),
        None => limited(format!(
            "writing: the server does not offer to create {lacking}, nor Communication, nor DocumentReference: nothing \
             will stand in the chart, and people work from the worklist alone"
        )),
    }
}

/// Whether it can tell us of changes.
pub(super) fn subscriptions(statement: &Value) -> Option<Finding> {
    can(statement, "Subscription", "create")
        .then(|| works("notifications: the server takes Subscriptions (notify.subscribe makes them)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehr::probe::Verdict;
    use serde_json::json;

    fn statement(kinds: &[&str]) -> Value {
        let resources: Vec<Value> =
            kinds.iter().map(|kind| json!({"type": kind, "interaction": [{"code": "create"}]})).collect();
        json!({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"resource": resources}]})
    }

    #[test]
    fn the_rung_is_told() {
        assert_eq!(rung(&statement(&["Task", "Flag"])).verdict, Verdict::Works);
        let oracle = rung(&statement(&["Communication", "DocumentReference"]));
        assert!(oracle.sentence.contains("create Task nor Flag, but Communication"), "{oracle}");
        let nothing = rung(&statement(&["Flag"]));
        assert!(nothing.sentence.contains("create Task, nor Communication"), "{nothing}");
    }

    #[test]
    fn another_version_is_told() {
        let mut other = statement(&[]);
        assert_eq!(speaks(&other, "x")[0].verdict, Verdict::Works);
        other["fhirVersion"] = json!("5.0.0");
        assert!(speaks(&other, "x")[0].sentence.contains("FHIR 5.0.0"));
        assert_eq!(speaks(&json!({}), "x")[0].verdict, Verdict::Broken);
    }
}
