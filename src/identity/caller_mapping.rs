//! What an issuer's claims say of a caller: clinic, role and scopes, each fixed by the configuration or read from a claim.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{ClinicId, Role, TokenError};
use crate::config::{ConfigError, Issuer};

type Claims = Map<String, Value>;

/// How one issuer's claims are read.
#[derive(Clone, Debug)]
pub(super) struct CallerMapping {
    fixed: FixedCaller,
    clinic_claim: String,
    role_claim: String,
    clinic_map: BTreeMap<String, ClinicId>,
    role_map: BTreeMap<String, Role>,
    /// By client id. Where any is named, no other client's tokens are taken.
    clients: BTreeMap<String, FixedCaller>,
}

/// What the configuration says, whatever the claims do.
#[derive(Clone, Debug, Default)]
struct FixedCaller {
    clinic: Option<ClinicId>,
    role: Option<Role>,
    scopes: Option<String>,
}

impl CallerMapping {
    /// As configured.
    ///
    /// # Errors
    /// Names of roles that are none.
    pub(super) fn new(issuer: &Issuer) -> Result<Self, ConfigError> {
        let parse = |key: &str, name: &str| {
            let fault = |why| ConfigError { faults: vec![format!("issuer {}: {key}: {name:?} {why}", issuer.issuer)] };
            name.parse::<Role>().map_err(fault)
        };
        let role = |key: &str, name: &Option<String>| name.as_deref().map(|name| parse(key, name)).transpose();
        let mut role_map = BTreeMap::new();
        for (theirs, ours) in &issuer.role_map {
            role_map.insert(theirs.clone(), parse("role_map", ours)?);
        }
        let mut clients = BTreeMap::new();
        for client in &issuer.clients {
            let role = role("clients.role", &client.role)?;
            let fixed = FixedCaller { clinic: client.clinic.clone(), role, scopes: client.scopes.clone() };
            clients.insert(client.client_id.clone(), fixed);
        }
        let role = role("role", &issuer.role)?;
        Ok(Self {
            fixed: FixedCaller { clinic: issuer.clinic.clone(), role, scopes: issuer.scopes.clone() },
            clinic_claim: issuer.clinic_claim.clone(),
            role_claim: issuer.role_claim.clone(),
            clinic_map: issuer.clinic_map.clone(),
            role_map,
            clients,
        })
    }

    /// The clinic that a token is about.
    pub(super) fn clinic(&self, claims: &Claims) -> Result<ClinicId, TokenError> {
        if let Some(clinic) =
            self.client(claims)?.and_then(|client| client.clinic.as_ref()).or(self.fixed.clinic.as_ref())
        {
            return Ok(clinic.clone());
        }
        let named = names(find(claims, &self.clinic_claim));
        let clinics: BTreeSet<ClinicId> = if self.clinic_map.is_empty() {
            named.iter().filter_map(|name| ClinicId::new(*name).ok()).collect()
        } else {
            named.iter().filter_map(|name| self.clinic_map.get(*name)).cloned().collect()
        };
        the_only(clinics).map_err(|_| TokenError::Clinic)
    }

    /// The role of its bearer. Two would leave it to us which one counts.
    pub(super) fn role(&self, claims: &Claims) -> Result<Role, TokenError> {
        if let Some(role) = self.client(claims)?.and_then(|client| client.role).or(self.fixed.role) {
            return Ok(role);
        }
        let named = names(find(claims, &self.role_claim));
        let ours = |name: &&str| self.role_map.get(*name).copied().or_else(|| name.parse().ok());
        let roles: BTreeSet<Role> = named.iter().filter_map(ours).collect();
        the_only(roles).map_err(|count| if count == 0 { TokenError::Role } else { TokenError::SeveralRoles })
    }

    /// What it is limited to, of `scope` and `scp`; `None` where nothing says so. Scopes that cannot be read would
    /// otherwise limit nothing.
    pub(super) fn scopes(&self, claims: &Claims) -> Result<Option<String>, TokenError> {
        let fixed = self.client(claims)?.and_then(|client| client.scopes.as_ref()).or(self.fixed.scopes.as_ref());
        if let Some(scopes) = fixed {
            return Ok(Some(scopes.clone()));
        }
        let mut scopes = Vec::new();
        for name in ["scope", "scp"] {
            match claims.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => scopes.push(text.as_str()),
                Some(Value::Array(all)) if all.iter().all(Value::is_string) => {
                    scopes.extend(all.iter().filter_map(Value::as_str));
                }
                Some(_) => return Err(TokenError::Claim(name)),
            }
        }
        Ok((!scopes.is_empty()).then(|| scopes.join(" ")))
    }

    fn client(&self, claims: &Claims) -> Result<Option<&FixedCaller>, TokenError> {
        if self.clients.is_empty() {
            return Ok(None);
        }
        let named = ["azp", "client_id", "appid", "cid", "sub"].iter().find_map(|name| claims.get(*name)?.as_str());
        named.and_then(|client| self.clients.get(client)).map(Some).ok_or(TokenError::Client)
    }
}

/// Holds if a token was issued to this client: where `azp` says to whom, and where it is for others as well.
pub(super) fn is_issued_to(claims: &Claims, client: &str) -> bool {
    match claims.get("azp") {
        Some(Value::String(party)) => party == client,
        Some(_) => false,
        None => claims.get("aud").and_then(Value::as_array).is_none_or(|all| all.len() <= 1),
    }
}

/// A claim by its path: `role`, `realm_access.roles`, `resource_access.cocm-registry.roles`. Names may have dots of their
/// own, so every way to read the path is tried, the shortest name last.
fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    path.match_indices('.').rev().find_map(|(dot, _)| find(claims.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
}

fn names(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn the_only<T>(all: BTreeSet<T>) -> Result<T, usize> {
    let count = all.len();
    let mut all = all.into_iter();
    all.next().filter(|_| count == 1).ok_or(count)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn mapping(more: &Value) -> CallerMapping {
        let mut issuer = json!({"issuer": "https://id.example", "audience": "cocm"});
        issuer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        CallerMapping::new(&serde_json::from_value(issuer).unwrap()).unwrap()
    }

    fn claims(value: &Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    #[rstest]
    #[case::a_string(json!({}), json!({"role": "admin"}))]
    #[case::a_list(json!({}), json!({"role": ["offline_access", "admin"]}))]
    #[case::realm(json!({"role_claim": "realm_access.roles"}), json!({"realm_access": {"roles": ["x", "admin"]}}))]
    #[case::client(json!({"role_claim": "resource_access.cocm.registry.roles"}),
        json!({"resource_access": {"cocm.registry": {"roles": ["admin"]}}, "resource_access.cocm": {}}))]
    #[case::a_namespace(json!({"role_claim": "https://clinic.example/roles"}), json!({"https://clinic.example/roles": ["admin"]}))]
    #[case::mapped(json!({"role_claim": "groups", "role_map": {"CN=Registry,OU=IT": "admin"}}),
        json!({"groups": ["CN=Registry,OU=IT", "Everybody"]}))]
    #[case::fixed(json!({"role": "admin"}), json!({"role": "ehr"}))]
    #[case::twice_the_same(json!({"role_map": {"boss": "admin"}}), json!({"role": ["boss", "admin"]}))]
    fn a_role_is_found_wherever_the_configuration_says(#[case] issuer: Value, #[case] payload: Value) {
        assert_eq!(mapping(&issuer).role(&claims(&payload)), Ok(Role::Admin));
    }

    #[rstest]
    #[case(json!({}), TokenError::Role)]
    #[case(json!({"role": "Admin"}), TokenError::Role)]
    #[case(json!({"role": {"admin": true}}), TokenError::Role)]
    #[case(json!({"role": ["admin", "ehr"]}), TokenError::SeveralRoles)]
    fn no_role_and_several_are_told_apart(#[case] payload: Value, #[case] expected: TokenError) {
        assert_eq!(mapping(&json!({})).role(&claims(&payload)), Err(expected));
    }

    #[test]
    fn a_clinic_is_fixed_mapped_or_named() {
        let of =
            |issuer: Value, payload: Value| mapping(&issuer).clinic(&claims(&payload)).map(|clinic| clinic.to_string());
        assert_eq!(of(json!({}), json!({"clinic": "north"})), Ok("north".to_owned()));
        assert_eq!(of(json!({"clinic": "south"}), json!({"clinic": "north"})), Ok("south".to_owned()));
        let map = json!({"clinic_claim": "org.id", "clinic_map": {"Dept 7": "north"}});
        assert_eq!(of(map.clone(), json!({"org": {"id": ["Dept 7", "x"]}})), Ok("north".to_owned()));
        // Where names are mapped, the others mean nothing.
        assert_eq!(of(map, json!({"org": {"id": "south"}})), Err(TokenError::Clinic));
        assert_eq!(of(json!({}), json!({"clinic": ["north", "south"]})), Err(TokenError::Clinic));
    }

    #[rstest]
    #[case(json!({}), Ok(None))]
    #[case(json!({"scope": "a b"}), Ok(Some("a b")))]
    #[case(json!({"scope": ["a", "b"]}), Ok(Some("a b")))]
    #[case(json!({"scp": ["a"], "scope": "b"}), Ok(Some("b a")))]
    #[case(json!({"scp": "a b"}), Ok(Some("a b")))]
    #[case(json!({"scope": [7]}), Err(TokenError::Claim("scope")))]
    #[case(json!({"scp": {"a": 1}}), Err(TokenError::Claim("scp")))]
    fn scopes_are_read_in_every_usual_form(#[case] payload: Value, #[case] expected: Result<Option<&str>, TokenError>) {
        let expected = expected.map(|scopes| scopes.map(str::to_owned));
        assert_eq!(mapping(&json!({})).scopes(&claims(&payload)), expected);
    }

    #[test]
    fn a_client_is_what_the_configuration_says_and_no_other_is_taken() {
        let clients = json!([{"client_id": "engine", "clinic": "north", "role": "ehr", "scopes": "system/*.rs"}]);
        let mapping = mapping(&json!({"clients": clients}));
        let engine = claims(&json!({"azp": "engine", "clinic": "south", "role": "admin", "scope": "system/*.*"}));
        assert_eq!(mapping.clinic(&engine).unwrap().as_str(), "north");
        assert_eq!(mapping.role(&engine), Ok(Role::Ehr));
        assert_eq!(mapping.scopes(&engine), Ok(Some("system/*.rs".to_owned())));
        for other in [json!({"azp": "other", "client_id": "engine", "clinic": "north"}), json!({"clinic": "north"})] {
            assert_eq!(mapping.clinic(&claims(&other)), Err(TokenError::Client));
        }
    }

    #[test]
    fn a_role_that_is_none_is_a_fault_of_the_configuration() {
        let issuer = json!({"issuer": "i", "audience": "a", "role_map": {"x": "boss"}});
        let fault = CallerMapping::new(&serde_json::from_value(issuer).unwrap()).unwrap_err();
        assert!(fault.to_string().contains("role_map: \"boss\" must be one of care_manager"), "{fault}");
    }

    #[rstest]
    #[case(json!({"aud": "us"}), true)]
    #[case(json!({"aud": ["us"]}), true)]
    #[case(json!({"aud": "us", "azp": "us"}), true)]
    #[case(json!({"aud": ["us", "them"], "azp": "us"}), true)]
    #[case(json!({"aud": ["us", "them"]}), false)]
    #[case(json!({"aud": "us", "azp": "them"}), false)]
    #[case(json!({"aud": "us", "azp": 7}), false)]
    fn a_word_given_to_another_client_is_not_for_us(#[case] payload: Value, #[case] holds: bool) {
        assert_eq!(is_issued_to(&claims(&payload), "us"), holds);
    }
}
