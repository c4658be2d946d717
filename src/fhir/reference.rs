//! Subjects of resources: references in every form that FHIR allows, and in some that it does not.

use super::content::{Doubt, Identifier, Subject};
use super::json::JsonNode;
use super::query::pairs;
use crate::problem::Problem;

/// A subject, or why there is none that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubjectReference {
    pub(super) subject: Option<Subject>,
    pub(super) doubt: Option<Doubt>,
}

impl SubjectReference {
    fn to(subject: Subject) -> Self {
        Self { subject: Some(subject), doubt: None }
    }

    fn doubtful(code: &'static str, detail: &str) -> Self {
        Self { subject: None, doubt: Some(Doubt { code, detail: detail.to_owned() }) }
    }

    fn unusable() -> Self {
        Self::doubtful("unusable_subject", "the subject's reference cannot be resolved to a Patient")
    }

    fn not_a_patient() -> Self {
        Self::doubtful("subject_not_a_patient", "the subject is not a Patient")
    }
}

/// Reads the Patient that the Reference `element` of `root` points to.
///
/// Only what cannot be a reference at all is refused. Rubbish that a template left behind is a doubt: the answers may
/// still be of someone who needs help.
pub(super) fn patient(
    root: &JsonNode<'_>,
    element: Option<&JsonNode<'_>>,
    expression: &str,
) -> Result<SubjectReference, Problem> {
    let none = || SubjectReference::doubtful("no_subject", "the resource does not say whom it is about");
    let element = match element {
        None => return Ok(none()),
        Some(element @ JsonNode::Object(_)) => element,
        Some(_) => return Err(Problem::malformed("a Reference must be an object").at(expression)),
    };
    let is_other_type = element.text("type").is_some_and(|t| t.rsplit('/').next() != Some("Patient"));
    let by_identifier = element.get("identifier").and_then(identifier).map(Subject::Identifier);
    let pointed = match element.get("reference") {
        Some(JsonNode::Text(reference)) if !reference.trim().is_empty() => {
            let malformed = || {
                let place = format!("{expression}.reference");
                Problem::malformed("not a reference: `Type/id`, a URL, a URN or `#id` is needed").at(place)
            };
            follow(root, reference.trim()).ok_or_else(malformed)?
        }
        Some(JsonNode::Text(_)) | None if by_identifier.is_some() && is_other_type => SubjectReference::not_a_patient(),
        Some(JsonNode::Text(_)) => SubjectReference::unusable(),
        None => none(),
        Some(_) => {
            return Err(Problem::malformed("a reference must be a string").at(format!("{expression}.reference")));
        }
    };
    Ok(match (pointed, by_identifier) {
        (SubjectReference { subject: Some(Subject::Urn(_)), .. }, _) if is_other_type => {
            SubjectReference::not_a_patient()
        }
        (SubjectReference { subject: None, doubt: Some(doubt) }, Some(subject))
            if doubt.code != "subject_not_a_patient" =>
        {
            SubjectReference::to(subject)
        }
        (pointed, _) => pointed,
    })
}

/// Follows the text of a reference. `None` where it cannot be one.
fn follow(root: &JsonNode<'_>, reference: &str) -> Option<SubjectReference> {
    if let Some(id) = reference.strip_prefix('#') {
        return Some(contained(root, id));
    }
    if let Some((_, query)) = reference.split_once("Patient?") {
        return Some(conditional(query));
    }
    if is_rubbish(reference) {
        return Some(SubjectReference::unusable());
    }
    if reference.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    if let Some(rest) = reference.strip_prefix("urn:uuid:").or_else(|| reference.strip_prefix("urn:oid:")) {
        let is_known = !rest.is_empty() && !is_placeholder(rest);
        return Some(if is_known {
            SubjectReference::to(Subject::Urn(reference.to_owned()))
        } else {
            SubjectReference::unusable()
        });
    }
    let path = reference.split_once("/_history").map_or(reference, |(path, _)| path).trim_end_matches('/');
    let is_absolute = path.contains("://");
    let mut segments = path.rsplitn(3, '/');
    let (id, kind, base) = (segments.next().unwrap_or_default(), segments.next(), segments.next());
    let Some(kind) = kind else { return Some(SubjectReference::unusable()) };
    if base.is_some_and(|base| !is_absolute && !base.is_empty()) {
        return None;
    }
    if !is_type_name(kind) || is_placeholder(id) || !is_id(id) {
        return Some(SubjectReference::unusable());
    }
    if kind != "Patient" {
        return Some(SubjectReference::not_a_patient());
    }
    let base = base.filter(|base| is_absolute && !base.is_empty()).map(str::to_owned);
    Some(SubjectReference::to(Subject::Reference { id: id.to_owned(), base }))
}

/// `Patient?identifier=system|value`, as in a transaction.
fn conditional(query: &str) -> SubjectReference {
    let token = pairs(query).into_iter().find(|(name, _)| name == "identifier").map(|(_, token)| token);
    match token.as_deref().map(|token| token.rsplit_once('|').unwrap_or(("", token))) {
        Some((system, value)) if !value.is_empty() && !is_rubbish(value) => {
            let system = Some(system).filter(|s| !s.is_empty()).map(str::to_owned);
            SubjectReference::to(Subject::Identifier(Identifier { system, value: value.to_owned() }))
        }
        _ => SubjectReference::unusable(),
    }
}

/// A Patient inside the resource has no identity outside it, unless it carries an identifier.
fn contained(root: &JsonNode<'_>, id: &str) -> SubjectReference {
    let doubt =
        || SubjectReference::doubtful("contained_subject", "the subject is a contained Patient without an identifier");
    match root.list("contained").iter().find(|resource| !id.is_empty() && resource.text("id") == Some(id)) {
        None => doubt(),
        Some(resource) if resource.text("resourceType") != Some("Patient") => SubjectReference::not_a_patient(),
        Some(resource) => identifiers(resource)
            .into_iter()
            .next()
            .map_or_else(doubt, |identifier| SubjectReference::to(Subject::Identifier(identifier))),
    }
}

/// Placeholders of a template that nobody filled in.
fn is_rubbish(reference: &str) -> bool {
    reference.contains(['{', '}', '$', '<', '>', '[', ']', '%'])
        || reference.contains("/:")
        || is_placeholder(reference)
}

fn is_placeholder(id: &str) -> bool {
    ["undefined", "null", "none", "nan", "nil", "false", "true"].iter().any(|word| id.eq_ignore_ascii_case(word))
}

fn is_type_name(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|b| b.is_ascii_alphabetic())
}

/// FHIR's id; real servers also use `_` and more than 64 characters.
fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// One Identifier that has a value and is in use.
pub(super) fn identifier(node: &JsonNode<'_>) -> Option<Identifier> {
    if node.text("use") == Some("old") {
        return None;
    }
    let value = node.text("value")?.to_owned();
    Some(Identifier { system: node.text("system").map(str::to_owned), value })
}

/// The identifiers of a resource, without old ones and repetitions.
pub(super) fn identifiers(resource: &JsonNode<'_>) -> Vec<Identifier> {
    let mut identifiers = Vec::new();
    for identifier in resource.list("identifier").iter().filter_map(identifier) {
        if !identifiers.contains(&identifier) {
            identifiers.push(identifier);
        }
    }
    identifiers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(subject: &str) -> Result<SubjectReference, Problem> {
        let raw = format!(
            r#"{{"contained":[{{"resourceType":"Patient","id":"p","identifier":[{{"use":"old","value":"0"}},{{"system":"s","value":"7"}}]}},
                {{"resourceType":"Patient","id":"bare"}},{{"resourceType":"Group","id":"g"}}],"subject":{subject}}}"#
        );
        let root = JsonNode::read(&raw).unwrap();
        patient(&root, root.get("subject"), "QuestionnaireResponse.subject")
    }

    fn reference(text: &str) -> Result<SubjectReference, Problem> {
        read(&format!(r#"{{"reference":"{text}"}}"#))
    }

    fn doubt(pointed: SubjectReference) -> &'static str {
        assert_eq!(pointed.subject, None);
        pointed.doubt.unwrap().code
    }

    #[test]
    fn every_usable_form_leads_to_the_patient() {
        let local = |id: &str| Subject::Reference { id: id.to_owned(), base: None };
        let remote = Subject::Reference { id: "1".to_owned(), base: Some("https://ehr.example/r4".to_owned()) };
        let number = |system: &str| Identifier { system: Some(system.to_owned()), value: "7".to_owned() };
        for (text, subject) in [
            ("Patient/123", local("123")),
            ("/Patient/123", local("123")),
            ("Patient/123/_history/2", local("123")),
            ("Patient/a_b", local("a_b")),
            ("https://ehr.example/r4/Patient/1", remote.clone()),
            ("https://ehr.example/r4/Patient/1/_history/9", remote),
            (
                "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
                Subject::Urn("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0".into()),
            ),
            ("urn:oid:1.2.3", Subject::Urn("urn:oid:1.2.3".into())),
            ("Patient?identifier=http://mrn|7", Subject::Identifier(number("http://mrn"))),
            ("Patient?identifier=http%3A%2F%2Fmrn%7C7", Subject::Identifier(number("http://mrn"))),
            ("#p", Subject::Identifier(number("s"))),
        ] {
            assert_eq!(reference(text).unwrap(), SubjectReference::to(subject), "{text}");
        }
        let logical = read(r#"{"type":"Patient","identifier":{"system":"s","value":"7"}}"#).unwrap();
        assert_eq!(logical, SubjectReference::to(Subject::Identifier(number("s"))));
        let rescued = read(r#"{"reference":"{{patient}}","identifier":{"system":"s","value":"7"}}"#).unwrap();
        assert_eq!(rescued, SubjectReference::to(Subject::Identifier(number("s"))));
    }

    #[test]
    fn what_a_template_left_behind_is_a_doubt() {
        for text in [
            "{{patient}}",
            "{{ patient }}",
            "Patient/{{id}}",
            "Patient/",
            "Patient/undefined",
            "Patient/null",
            "null",
            "Patient/$id",
            "Patient/:id",
            "Patient/[object Object]",
            "123",
            "patient/123",
            "urn:uuid:",
            "urn:uuid:undefined",
            "Patient?identifier=",
            "Patient?identifier=mrn|{{id}}",
            "https://ehr.example/patients/1",
            " ",
        ] {
            assert_eq!(doubt(reference(text).unwrap()), "unusable_subject", "{text}");
        }
    }

    #[test]
    fn a_subject_that_is_nobody_is_a_doubt_of_its_own() {
        assert_eq!(doubt(patient(&JsonNode::Null, None, "x").unwrap()), "no_subject");
        assert_eq!(doubt(read(r#"{"display":"Jane"}"#).unwrap()), "no_subject");
        assert_eq!(doubt(reference("#bare").unwrap()), "contained_subject");
        assert_eq!(doubt(reference("#absent").unwrap()), "contained_subject");
        for text in ["Group/1", "https://ehr.example/r4/Device/1", "#g"] {
            assert_eq!(doubt(reference(text).unwrap()), "subject_not_a_patient", "{text}");
        }
        assert_eq!(doubt(read(r#"{"type":"Group","identifier":{"value":"7"}}"#).unwrap()), "subject_not_a_patient");
    }

    #[test]
    fn what_cannot_be_a_reference_is_refused_without_repeating_it() {
        for subject in
            [r#"{"reference":"Jane Doe"}"#, r#"{"reference":5}"#, r#""Patient/1""#, r#"{"reference":"Patient/1/2/3"}"#]
        {
            let problem = read(subject).unwrap_err();
            assert_eq!(problem.category.status(), 400, "{subject}");
            assert!(problem.expression.unwrap().starts_with("QuestionnaireResponse.subject"), "{subject}");
            assert!(!problem.detail.contains("Jane"));
        }
    }
}
