//! The shape of a token: what is looked at before any key is, and what is read after its signature holds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::errors::{Error, ErrorKind};
use serde_json::{Map, Value};
use thiserror::Error;

use super::Caller;
use super::caller_mapping::CallerMapping;
use crate::problem::{Category, Problem};

/// Longest token looked at, in bytes.
const LONGEST: usize = 8 * 1024;
/// Longest `sub` or `kid`, in bytes.
const LONGEST_NAME: usize = 255;
/// The last second of the year 9999: a later `exp` is a mistake or an attack, not a time.
const LATEST: u64 = 253_402_300_799;
/// Header fields that would let the token choose its own key, or change what its parts mean.
const REFUSED: [&str; 8] = ["crit", "jwk", "x5u", "x5c", "b64", "zip", "enc", "url"];

/// Why a token is not believed. Says which rule failed, never what the token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// No `Authorization: Bearer …`, or several.
    #[error("one `Authorization: Bearer` header is needed")]
    Missing,
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of base64url JSON.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// An algorithm outside the list, or one that does not fit the key.
    #[error("the token's algorithm is not accepted; use RS256, RS384, PS256, ES256 or ES384")]
    Algorithm,
    /// An algorithm that CDS Hooks does not recommend.
    #[error("the token's algorithm is not accepted here; use RS384 or ES384")]
    CdsAlgorithm,
    /// A `jku` that is not the configured address of its issuer's keys.
    #[error("the token names keys that are not configured for its issuer")]
    KeySet,
    /// Its `jti` was seen before.
    #[error("the token was used before")]
    Used,
    /// A header field that may not be there.
    #[error("the token's header must not carry `{0}`")]
    Header(&'static str),
    /// An `iss` nobody configured.
    #[error("the token's issuer is not trusted here")]
    Issuer,
    /// A key the issuer does not publish.
    #[error("the token's key is not known")]
    Key,
    /// The signature does not hold.
    #[error("the token's signature is not valid")]
    Signature,
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    NotYet,
    /// Meant for somebody else.
    #[error("the token is meant for another audience")]
    Audience,
    /// A claim that is absent or of the wrong type.
    #[error("the token's claim `{0}` is missing or not as it must be")]
    Claim(&'static str),
    /// A clinic not served here.
    #[error("the token's clinic is not served here")]
    Clinic,
    #[error("the token's role is not one of care_manager, psychiatric_consultant, primary_care, admin, ehr")]
    Role,
    /// More than one role of ours.
    #[error("the token names several roles of ours; it may name one")]
    SeveralRoles,
    /// Issued to a client that is not among those named for its issuer, or to another one than us.
    #[error("the token was issued to another client")]
    Client,
    #[error("the API key is not known, has expired or was revoked")]
    ApiKey,
    #[error("the certificate is not that of anybody who may call")]
    Certificate,
    /// The issuer's keys cannot be had.
    #[error("the issuer's keys cannot be had at the moment")]
    KeysUnavailable,
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let category = match error {
            TokenError::KeysUnavailable => Category::Unavailable,
            _ => Category::Unauthenticated,
        };
        Problem::new(category, error.to_string())
    }
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat | ErrorKind::UnsupportedAlgorithm => {
                Self::Algorithm
            }
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYet,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => match claim.as_str() {
                "exp" => Self::Claim("exp"),
                "nbf" => Self::Claim("nbf"),
                "iss" => Self::Claim("iss"),
                _ => Self::Claim("aud"),
            },
            _ => Self::Malformed,
        }
    }
}

/// Unverified claims of a token: good only for choosing an issuer and a key to try.
#[derive(Debug)]
pub(super) struct UnverifiedToken {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) issuer: String,
    /// URL of the key set that the token names.
    pub(super) key_set: Option<String>,
    /// The organization that it speaks for (CDS Hooks).
    pub(super) tenant: Option<String>,
}

/// Looks at the shape of a bearer token: one that says where its keys are is none.
pub(super) fn look_at_bearer(token: &str) -> Result<UnverifiedToken, TokenError> {
    let unverified = look(token)?;
    if unverified.key_set.is_some() { Err(TokenError::Header("jku")) } else { Ok(unverified) }
}

/// Looks at a token's shape.
pub(super) fn look(token: &str) -> Result<UnverifiedToken, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::TooLong);
    }
    let parts: Vec<&str> = token.splitn(6, '.').collect();
    let [header, payload, signature] = parts[..] else { return Err(TokenError::Malformed) };
    if signature.is_empty() {
        return Err(TokenError::Signature);
    }
    let header = object(header)?;
    if let Some(field) = REFUSED.iter().find(|field| header.contains_key(**field)) {
        return Err(TokenError::Header(field));
    }
    let algorithm = match header.get("alg").and_then(Value::as_str) {
        Some("RS256") => Algorithm::RS256,
        Some("RS384") => Algorithm::RS384,
        Some("PS256") => Algorithm::PS256,
        Some("ES256") => Algorithm::ES256,
        Some("ES384") => Algorithm::ES384,
        _ => return Err(TokenError::Algorithm),
    };
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= LONGEST_NAME => Some(kid.clone()),
        Some(_) => return Err(TokenError::Header("kid")),
    };
    // Issuers sign other things with the same keys, a logout token for example: those are not for us.
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if ["jwt", "at+jwt", "application/at+jwt"].contains(&&*typ.to_ascii_lowercase()) => {}
        Some(_) => return Err(TokenError::Header("typ")),
    }
    let key_set = match header.get("jku") {
        None => None,
        Some(Value::String(url)) => Some(url.clone()),
        Some(_) => return Err(TokenError::Header("jku")),
    };
    let mut payload = object(payload)?;
    let Some(Value::String(issuer)) = payload.remove("iss") else { return Err(TokenError::Claim("iss")) };
    let tenant = payload.get("tenant").and_then(Value::as_str).map(ToOwned::to_owned);
    Ok(UnverifiedToken { algorithm, key_id, issuer, key_set, tenant })
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

/// The second of a claim.
pub(super) fn second(claims: &Map<String, Value>, name: &'static str) -> Result<u64, TokenError> {
    claims.get(name).and_then(Value::as_u64).filter(|second| *second <= LATEST).ok_or(TokenError::Claim(name))
}

/// A claim that names something.
pub(super) fn name(claims: &Map<String, Value>, name: &'static str) -> Result<String, TokenError> {
    let text = claims.get(name).and_then(Value::as_str).filter(|s| !s.is_empty() && s.len() <= LONGEST_NAME);
    text.map(ToOwned::to_owned).ok_or(TokenError::Claim(name))
}

/// Reads the caller, and the second of expiry, from claims whose signature, issuer and audience hold.
pub(super) fn read(claims: &Map<String, Value>, mapping: &CallerMapping) -> Result<(Caller, u64), TokenError> {
    let expires = second(claims, "exp")?;
    if claims.get("nbf").is_some_and(|nbf| nbf.as_u64().is_none_or(|nbf| nbf > LATEST)) {
        return Err(TokenError::Claim("nbf"));
    }
    let subject = name(claims, "sub")?;
    let (clinic, role, scopes) = (mapping.clinic(claims)?, mapping.role(claims)?, mapping.scopes(claims)?);
    Ok((Caller { clinic, subject, role, scopes }, expires))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuer() -> crate::config::Issuer {
        serde_json::from_value(json!({"issuer": "https://id.example", "audience": "cocm"})).unwrap()
    }

    fn read_with(field: &str, value: Value) -> Result<(Caller, u64), TokenError> {
        let issuer = issuer();
        let mut claims = json!({"sub": "kim", "exp": LATEST});
        claims[&issuer.clinic_claim] = json!("north");
        claims[&issuer.role_claim] = json!("care_manager");
        claims[field] = value;
        read(claims.as_object().unwrap(), &CallerMapping::new(&issuer).unwrap())
    }

    fn token(header: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}.x", part(header), part(&json!({"iss": "https://id.example"})))
    }

    #[test]
    fn times_reach_to_the_end_of_the_year_9999_and_names_have_255_bytes() {
        assert_eq!(read_with("exp", json!(LATEST)).unwrap().1, LATEST);
        assert_eq!(read_with("exp", json!(LATEST + 1)), Err(TokenError::Claim("exp")));
        assert!(read_with("nbf", json!(LATEST)).is_ok());
        assert_eq!(read_with("nbf", json!(LATEST + 1)), Err(TokenError::Claim("nbf")));
        let name = "k".repeat(LONGEST_NAME);
        assert_eq!(read_with("sub", json!(name)).unwrap().0.subject, name);
        assert_eq!(read_with("sub", json!(format!("{name}k"))), Err(TokenError::Claim("sub")));
        let looked = look(&token(&json!({"alg": "ES256", "kid": name}))).unwrap();
        assert_eq!(looked.key_id.as_ref(), Some(&name));
        let longer = look(&token(&json!({"alg": "ES256", "kid": format!("{name}k")})));
        assert_eq!(longer.unwrap_err(), TokenError::Header("kid"));
    }

    #[test]
    fn eight_kibibytes_are_looked_at_and_one_byte_more_is_not() {
        assert_eq!(look(&"x".repeat(8192)).unwrap_err(), TokenError::Malformed);
        assert_eq!(look(&"x".repeat(8193)).unwrap_err(), TokenError::TooLong);
    }

    #[test]
    fn what_the_signature_check_says_is_told_as_which_rule_failed() {
        for (kind, expected) in [
            (ErrorKind::InvalidSignature, TokenError::Signature),
            (ErrorKind::InvalidAlgorithm, TokenError::Algorithm),
            (ErrorKind::InvalidKeyFormat, TokenError::Algorithm),
            (ErrorKind::ExpiredSignature, TokenError::Expired),
            (ErrorKind::ImmatureSignature, TokenError::NotYet),
            (ErrorKind::InvalidIssuer, TokenError::Issuer),
            (ErrorKind::InvalidAudience, TokenError::Audience),
            (ErrorKind::MissingRequiredClaim("exp".into()), TokenError::Claim("exp")),
            (ErrorKind::InvalidClaimFormat("nbf".into()), TokenError::Claim("nbf")),
            (ErrorKind::MissingRequiredClaim("iss".into()), TokenError::Claim("iss")),
            (ErrorKind::MissingRequiredClaim("aud".into()), TokenError::Claim("aud")),
            (ErrorKind::InvalidToken, TokenError::Malformed),
        ] {
            assert_eq!(TokenError::from(Error::from(kind)), expected);
        }
    }

    #[test]
    fn without_the_issuers_keys_the_fault_is_ours_and_else_the_callers() {
        assert_eq!(Problem::from(TokenError::KeysUnavailable).category, Category::Unavailable);
        assert_eq!(Problem::from(TokenError::Role).category, Category::Unauthenticated);
    }
}
