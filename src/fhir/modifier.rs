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
    let subject = resource.get("subject").and_then(|subject| subject.text("reference"));
    let is_else = |focus: &JsonNode<'_>| {
        let reference = focus.text("reference");
        let is_subject = reference.is_some() && (reference == subject || is_same_person(reference, subject));
        may_be_a_person(focus, resource) && !is_subject
    };
    resource.list("focus").iter().any(is_else).then(|| Doubt {
        code: "about_somebody_else",
        detail: "its focus is a person other than its subject; it counts for neither until somebody says whose it is"
            .to_owned(),
    })
}

/// `https://ehr.example/fhir/Patient/1` and `Patient/1`: the type and the id agree, and one of them names no server.
fn is_same_person(focus: Option<&str>, subject: Option<&str>) -> bool {
    let (Some(focus), Some(subject)) = (focus, subject) else { return false };
    let is_within = |whole: &str, part: &str| {
        !part.contains("://") && whole.strip_suffix(part).is_some_and(|base| base.ends_with('/'))
    };
    is_within(focus, subject) || is_within(subject, focus)
}

/// Whether a focus is a person, or nobody says what it is.
fn may_be_a_person(focus: &JsonNode<'_>, resource: &JsonNode<'_>) -> bool {
    let people = ["Patient", "RelatedPerson", "Person", "Practitioner", "PractitionerRole", "Group"];
    let reference = focus.text("reference");
    let inside = reference.and_then(|reference| reference.strip_prefix('#'));
    let contained = inside.and_then(|id| resource.list("contained").iter().find(|inner| inner.text("id") == Some(id)));
    let in_reference = reference.and_then(|reference| reference.rsplit('/').nth(1));
    let kind = focus.text("type").or_else(|| contained?.text("resourceType")).or(in_reference);
    kind.is_none_or(|kind| people.contains(&kind))
}
