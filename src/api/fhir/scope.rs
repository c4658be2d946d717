//! SMART scopes, where a token carries any: `system/Observation.read`, `user/*.cruds`.

use crate::fhir::arrival::ResourceType;
use crate::intake::bundle::EntryAction;

/// Whether a token's `scope` allows this. One without any FHIR scope says nothing about it: then the role decides.
///
/// `patient/` scopes are for one patient, and ones with a query for some resources; neither can be kept to here, so
/// they allow nothing. Nor does one whose context nobody knows: somebody meant to limit the token, and mistyped.
pub fn allows(scopes: &str, kind: ResourceType, action: EntryAction) -> bool {
    let mut says_nothing = true;
    for scope in scopes.split_ascii_whitespace() {
        let Some((context, rest)) = scope.split_once('/') else { continue };
        let is_known = matches!(context, "system" | "user" | "patient");
        let parts = rest.rsplit_once('.');
        if !is_known && !parts.is_some_and(|(name, _)| is_meant_for_fhir(context, name)) {
            continue;
        }
        says_nothing = false;
        let Some((name, rights)) = parts else { continue };
        if matches!(context, "system" | "user") && (name == "*" || name == kind.name()) && grants(rights, action) {
            return true;
        }
    }
    says_nothing
}

/// `systems/Patient.rs` is; `launch/patient`, `https://example.org/User.Read` and `registry/caseload.read` are not.
fn is_meant_for_fhir(context: &str, name: &str) -> bool {
    let is_type = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '*')
        || ResourceType::ALL.iter().any(|kind| kind.name().eq_ignore_ascii_case(name));
    is_type && context.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn grants(rights: &str, action: EntryAction) -> bool {
    let reads = matches!(action, EntryAction::Read | EntryAction::Search);
    match rights {
        "*" => true,
        "read" => reads,
        "write" => !reads,
        letters => {
            let letter = match action {
                EntryAction::Create => 'c',
                EntryAction::Read => 'r',
                EntryAction::Update => 'u',
                EntryAction::Delete => 'd',
                EntryAction::Search => 's',
            };
            is_in_order(letters) && letters.contains(letter)
        }
    }
}

/// Version 2: a part of `cruds`, each once and in this order.
fn is_in_order(letters: &str) -> bool {
    let mut rest = "cruds".chars();
    !letters.is_empty() && letters.chars().all(|letter| rest.any(|c| c == letter))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::allows;
    use crate::fhir::arrival::ResourceType::{Observation, Patient};
    use crate::intake::bundle::EntryAction::{Create, Delete, Read, Search, Update};

    #[rstest]
    #[case("openid profile registry", true, true)]
    #[case("", true, true)]
    #[case("system/*.*", true, true)]
    #[case("system/Patient.read", true, false)]
    #[case("system/Patient.write", false, true)]
    #[case("openid user/Patient.cruds", true, true)]
    #[case("user/*.rs", true, false)]
    #[case("user/*.cu", false, true)]
    #[case("system/Observation.cruds", false, false)]
    #[case("patient/Patient.cruds", false, false)]
    #[case("system/Patient.sr", false, false)]
    #[case("system/Patient.", false, false)]
    #[case("system/Patient", false, false)]
    #[case("system/Patient.rs?_id=1", false, false)]
    #[case("patient/*.* system/Patient.rs", true, false)]
    #[case("systems/Patient.cruds", false, false)]
    #[case("System/Patient.cruds", false, false)]
    #[case("openid sytem/*.read", false, false)]
    #[case("sytem/patient.read", false, false)]
    #[case("/Patient.read", false, false)]
    #[case("systems/Patient.cruds system/Patient.rs", true, false)]
    #[case("launch/patient https://example.org/User.Read registry/caseload.read", true, true)]
    fn a_scope_allows_what_it_says(#[case] scopes: &str, #[case] read: bool, #[case] write: bool) {
        assert_eq!((allows(scopes, Patient, Read), allows(scopes, Patient, Create)), (read, write), "{scopes}");
        assert_eq!(allows(scopes, Patient, Search), read, "{scopes}");
        assert_eq!(allows(scopes, Patient, Update), write, "{scopes}");
    }

    #[test]
    fn version_two_tells_the_writes_apart() {
        assert!(allows("system/Observation.cr", Observation, Create));
        assert!(!allows("system/Observation.cr", Observation, Delete));
        assert!(!allows("system/Observation.cr", Observation, Update));
    }
}
