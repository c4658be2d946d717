//! Capabilities of a server, from its CapabilityStatement.

use serde_json::Value;

use super::capability_statement::{has, list, resources};
use super::ladder::Ladder;

const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription";
const TOPIC: &str =
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical";

/// The capabilities that matter to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Supported writes.
    pub ladder: Ladder,
    /// The canonicals of the topics that it names; `None` where it says nothing of topics.
    pub topics: Option<Vec<String>>,
    /// The types whose history it shows as a whole.
    histories: Vec<String>,
}

impl Offers {
    /// Reads a CapabilityStatement.
    pub fn of(statement: &Value) -> Self {
        let with_history = resources(statement).filter(|resource| has(resource, "history-type"));
        Self {
            ladder: Ladder::of(statement),
            topics: topics(statement),
            histories: with_history.filter_map(|resource| Some(resource["type"].as_str()?.to_owned())).collect(),
        }
    }

    /// Fallback when the server has no CapabilityStatement: assume that writes work, and nothing else.
    pub fn without_statement() -> Self {
        Self { ladder: Ladder::without_statement(), topics: None, histories: Vec::new() }
    }

    /// Whether it shows the history of a whole type.
    pub fn has_history(&self, kind: &str) -> bool {
        self.histories.iter().any(|one| one == kind)
    }
}

/// Topics are named on Subscription (Subscriptions R5 Backport 1.1), by some on `SubscriptionTopic`.
fn topics(statement: &Value) -> Option<Vec<String>> {
    let about = resources(statement).filter(|one| one["type"] == "Subscription" || one["type"] == "SubscriptionTopic");
    let mut topics: Option<Vec<String>> = None;
    for resource in about {
        let profiles = list(&resource["supportedProfile"]).chain([&resource["profile"]]).filter_map(Value::as_str);
        if profiles.into_iter().any(|profile| profile.split('|').next() == Some(BACKPORT)) {
            topics.get_or_insert_default();
        }
        for extension in list(&resource["extension"]).filter(|one| one["url"] == TOPIC) {
            let canonical =
                ["valueCanonical", "valueUri", "valueUrl"].iter().find_map(|name| extension[*name].as_str());
            let named = topics.get_or_insert_default();
            if let Some(canonical) = canonical.filter(|canonical| !named.iter().any(|one| one == canonical)) {
                named.push(canonical.to_owned());
            }
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::ehr::capability_statement::statement;

    #[rstest]
    #[case::nothing(json!({"type": "Subscription"}), None)]
    #[case::the_profile(json!({"type": "Subscription", "supportedProfile": [format!("{BACKPORT}|1.1.0")]}), Some(vec![]))]
    #[case::another_profile(json!({"type": "Subscription", "supportedProfile": ["http://x"], "extension": 7}), None)]
    #[case::topics(json!({"type": "Subscription", "extension": [{"url": TOPIC, "valueCanonical": "http://t/a"},
        {"url": "http://x", "valueCanonical": "http://t/x"}, {"url": TOPIC, "valueUri": "http://t/b"},
        {"url": TOPIC, "valueCanonical": "http://t/a"}]}), Some(vec!["http://t/a", "http://t/b"]))]
    #[case::elsewhere(json!({"type": "SubscriptionTopic", "extension": [{"url": TOPIC, "valueCanonical": "http://t/a"}]}),
        Some(vec!["http://t/a"]))]
    fn topics_are_where_the_statement_says_so(#[case] resource: Value, #[case] expected: Option<Vec<&str>>) {
        let topics = Offers::of(&json!({"rest": [{"resource": [{"type": "Patient"}, resource]}]})).topics;
        assert_eq!(topics.as_ref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn the_history_of_a_type_is_not_that_of_an_instance() {
        let offers = Offers::of(&statement(&[("Patient", &["history-type"]), ("Observation", &["history-instance"])]));
        assert_eq!((offers.has_history("Patient"), offers.has_history("Observation")), (true, false));
        assert!(!Offers::without_statement().has_history("Patient"));
    }
}
