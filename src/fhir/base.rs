//! The base of a server, in one form: the same id on another server is another person.

use std::borrow::Cow;
use std::collections::BTreeSet;

use url::Url;

/// The bases under which a resource is one of ours: the service's own, and those of the clinic's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases(BTreeSet<String>);

impl Bases {
    /// The same bases and one more.
    #[must_use]
    pub fn and(mut self, base: &str) -> Self {
        self.0.insert(normal(base).into_owned());
        self
    }

    /// Whether a base is one of them.
    pub fn include(&self, base: &str) -> bool {
        self.0.contains(normal(base).as_ref())
    }
}

impl<T: AsRef<str>> FromIterator<T> for Bases {
    fn from_iter<I: IntoIterator<Item = T>>(bases: I) -> Self {
        bases.into_iter().fold(Self::default(), |all, base| all.and(base.as_ref()))
    }
}

/// A base without what does not tell servers apart: FHIR counts `http` and `https` as one; a host has no case; the
/// usual port and a slash at the end say nothing. What is no URL stays as it is.
pub(super) fn normal(base: &str) -> Cow<'_, str> {
    let Some(url) = Url::parse(base.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return Cow::Borrowed(base);
    };
    let Some(host) = url.host_str() else { return Cow::Borrowed(base) };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Cow::Owned(format!("https://{host}{port}{}", url.path().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Bases;

    #[rstest]
    #[case("https://ehr.example/r4", true)]
    #[case("https://ehr.example/r4/", true)]
    #[case("http://ehr.example/r4", true)]
    #[case("HTTPS://EHR.Example:443/r4", true)]
    #[case("http://ehr.example:80/r4", true)]
    #[case("https://ehr.example/x/../r4", true)]
    #[case("https://ehr.example/R4", false)]
    #[case("https://ehr.example/r4/tenant", false)]
    #[case("https://ehr.example:8443/r4", false)]
    #[case("https://ehr.example", false)]
    #[case("https://ehr.example.org/r4", false)]
    #[case("https://other.example/r4", false)]
    #[case("ehr.example/r4", false)]
    #[case("", false)]
    fn a_server_is_known_by_its_base_however_it_is_spelled(#[case] base: &str, #[case] is_ours: bool) {
        let ours: Bases = ["https://ehr.example/r4/"].into_iter().collect();
        assert_eq!(ours.include(base), is_ours, "{base}");
    }
}
