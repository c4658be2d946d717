//! Target of a request URL.

use crate::fhir::arrival::ResourceType;
use crate::fhir::logical_id::is_logical_id;
use crate::problem::{Category, Problem};

/// Target of a request URL inside a Bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    pub kind: ResourceType,
    pub id: Option<&'a str>,
    /// Query after the `?`, unchanged.
    pub query: Option<&'a str>,
}

impl<'a> RequestTarget<'a> {
    /// Reads `Type`, `Type/id`, `Type?query`, the same with a leading slash, or with our base in front.
    ///
    /// # Errors
    /// A type that is not taken in here: 404; anything else: 400.
    pub fn read(url: &'a str) -> Result<Self, Problem> {
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (url, None),
        };
        let (kind, id) = type_and_id(path, |name| ResourceType::of(name).is_some());
        let known = ResourceType::of(kind).ok_or_else(|| {
            Problem::new(Category::Unsupported, "only Patient, QuestionnaireResponse and Observation are kept here")
        })?;
        if id.is_some_and(|id| !is_logical_id(id)) {
            return Err(Problem::malformed("not a logical id"));
        }
        Ok(Self { kind: known, id, query })
    }
}

/// Whether R4 has a resource type of this name, kept here or not.
fn is_resource_type(name: &str) -> bool {
    name.parse::<fhir_sdk::r4b::resources::ResourceType>().is_ok()
}

/// The type of R4 that an address names and that is not kept here.
pub fn foreign_type(url: &str) -> Option<&str> {
    let path = url.split('?').next().unwrap_or_default();
    let path = path.split_once("/_history").map_or(path, |(path, _)| path).trim_matches('/');
    let mut segments = path.rsplit('/');
    let last = segments.next().unwrap_or_default();
    // `Patient/Encounter` is a Patient of that name.
    let kind = segments.next().filter(|kind| is_resource_type(kind)).unwrap_or(last);
    Some(kind).filter(|kind| is_resource_type(kind) && ResourceType::of(kind).is_none())
}

/// Of absolute URLs, whatever the base is, the type and the id come last.
fn type_and_id(path: &str, is_type: impl Fn(&str) -> bool) -> (&str, Option<&str>) {
    let path = path.split_once("/_history").map_or(path, |(path, _)| path).trim_matches('/');
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let kind = before.rsplit('/').next().unwrap_or_default();
    match (is_type(last), is_type(kind)) {
        (true, _) => (last, None),
        (false, true) => (kind, Some(last)),
        (false, false) => (path.split('/').next().unwrap_or_default(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_r4_is_told_from_a_mistyped_one() {
        assert!(is_resource_type("Encounter") && is_resource_type("MessageHeader") && is_resource_type("Patient"));
        assert!(!is_resource_type("Encountr") && !is_resource_type("encounter") && !is_resource_type(""));
    }

    #[test]
    fn every_usual_address_is_understood() {
        let target = |id, query| RequestTarget { kind: ResourceType::Patient, id, query };
        for (url, expected) in [
            ("Patient", target(None, None)),
            ("/Patient/", target(None, None)),
            ("Patient/1", target(Some("1"), None)),
            ("/Patient/1", target(Some("1"), None)),
            ("https://registry.example/fhir/Patient/1", target(Some("1"), None)),
            ("Patient/1/_history/2", target(Some("1"), None)),
            ("Patient?identifier=s|1", target(None, Some("identifier=s|1"))),
            ("http://h/fhir/Patient?identifier=http://s|1", target(None, Some("identifier=http://s|1"))),
            ("Patient/Patient", target(None, None)),
        ] {
            assert_eq!(RequestTarget::read(url).unwrap(), expected, "{url}");
        }
        for (url, foreign) in [
            ("Encounter", Some("Encounter")),
            ("/Encounter/1?x=Patient/1", Some("Encounter")),
            ("https://h/fhir/Encounter/1", Some("Encounter")),
            ("Patient/Encounter", None),
            ("Patient", None),
            ("Encountr", None),
            ("", None),
        ] {
            assert_eq!(foreign_type(url), foreign, "{url}");
        }
        assert_eq!(RequestTarget::read("Task/1").unwrap_err().category.status(), 404);
        assert_eq!(RequestTarget::read("").unwrap_err().category.status(), 404);
        assert_eq!(RequestTarget::read("Patient/a b").unwrap_err().category.status(), 400);
    }
}
