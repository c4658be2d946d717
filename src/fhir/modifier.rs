//! What turns a resource into something else: a modifier that we do not know, or a focus on somebody else.

use super::content::Doubt;
use super::json::JsonNode;

/// A `modifierExtension` anywhere that we read. FHIR forbids to use what it modifies: it may say "not done".
pub(super) fn unknown(resource: &JsonNode<'_>) -> Option<Doubt> {
    is_modified(resource).then(|| Doubt {
        code: "unknown_modifier",
        detail: "a modifierExtension that is not known here may turn its meaning around".to_owned(),
    })
}

/// The document's own depth limit bounds the recursion.
fn is_modified(node: &JsonNode<'_>) -> bool {
    let parts = ["item", "answer", "component"];
    !node.list("modifierExtension").is_empty() || parts.iter().flat_map(|name| node.list(name)).any(is_modified)
}

/// An Observation whose focus is a person other than its subject: of the child, in the mother's chart.
pub(super) fn somebody_else(resource: &JsonNode<'_>) -> Option<Doubt> {
    let people = ["Patient", "RelatedPerson", "Person", "Practitioner", "PractitionerRole", "Group"];
    let subject = resource.get("subject").and_then(|subject| subject.text("reference"));
    let is_else = |focus: &JsonNode<'_>| {
        let reference = focus.text("reference");
        let in_reference = reference.and_then(|reference| reference.rsplit('/').nth(1));
        let kind = focus.text("type").or(in_reference);
        kind.is_some_and(|kind| people.contains(&kind)) && (reference.is_none() || reference != subject)
    };
    resource.list("focus").iter().any(is_else).then(|| Doubt {
        code: "about_somebody_else",
        detail: "its focus is a person other than its subject; it counts for neither until somebody says whose it is"
            .to_owned(),
    })
}
