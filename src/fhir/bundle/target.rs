//! Target of a request URL.

use crate::fhir::arrival::ResourceType;
use crate::fhir::arrival::is_logical_id;
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
        let path = path.split_once("/_history").map_or(path, |(path, _)| path);
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        // Absolute URLs: whatever the base is, the type and the id come last.
        let (kind, id) = match segments.as_slice() {
            [.., last] if ResourceType::of(last).is_some() => (*last, None),
            [.., kind, id] if ResourceType::of(kind).is_some() => (*kind, Some(*id)),
            [kind, ..] => (*kind, None),
            [] => ("", None),
        };
        let known = ResourceType::of(kind).ok_or_else(|| {
            Problem::new(Category::Unsupported, "only Patient, QuestionnaireResponse and Observation are kept here")
        })?;
        if id.is_some_and(|id| !is_logical_id(id)) {
            return Err(Problem::malformed("not a logical id"));
        }
        Ok(Self { kind: known, id, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(RequestTarget::read("Task/1").unwrap_err().category.status(), 404);
        assert_eq!(RequestTarget::read("").unwrap_err().category.status(), 404);
        assert_eq!(RequestTarget::read("Patient/a b").unwrap_err().category.status(), 400);
    }
}
