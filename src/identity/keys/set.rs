//! A JWKS as we use it: each key with its name and the algorithms it may verify.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// More keys than any issuer publishes.
const MAX_KEYS: usize = 64;

#[derive(Default)]
pub(super) struct KeySet(Vec<IssuerKey>);

struct IssuerKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

pub(super) enum KeyLookup {
    Key(DecodingKey),
    /// The key is there, for other algorithms: asking the issuer again would not help.
    OtherAlgorithm,
    /// No key of that id, or several that fit.
    Nothing,
}

impl KeySet {
    /// Reads a JWKS. Keys we have no use for (symmetric ones, encryption, other curves) are left out.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| "not a JSON Web Key Set".to_owned())?;
        Ok(Self(set.keys.into_iter().filter_map(read_key).take(MAX_KEYS).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key of that id. A token without an id fits only if there is no choice.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> KeyLookup {
        let mut named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return KeyLookup::Nothing;
        }
        let mut fitting = named.filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => KeyLookup::Key(key.decoding.clone()),
            (Some(_), Some(_)) => KeyLookup::Nothing,
            (None, _) => KeyLookup::OtherAlgorithm,
        }
    }
}

fn read_key(value: Value) -> Option<IssuerKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let may_verify = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|ops| ops.contains(&KeyOperations::Verify));
    // The key's type decides, not the token's word: an RSA key never serves as an HMAC secret.
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::RS384, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        _ => return None,
    };
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    (may_verify && !algorithms.is_empty()).then(|| IssuerKey { id: jwk.common.key_id, algorithms, decoding })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The P-256 key of RFC 7517, appendix A.1, with these members beside it.
    fn key(beside: Value) -> Value {
        let mut key = json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        });
        if let (Some(key), Value::Object(beside)) = (key.as_object_mut(), beside) {
            key.extend(beside);
        }
        key
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::read(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn only_keys_that_may_verify_what_we_accept_are_kept() {
        let kept = [
            key(json!({})),
            key(json!({"use": "sig"})),
            key(json!({"key_ops": ["verify"]})),
            key(json!({"alg": "ES256"})),
        ];
        let left_out = [
            key(json!({"use": "enc"})),
            key(json!({"key_ops": ["sign"]})),
            key(json!({"use": "enc", "key_ops": ["verify"]})),
            key(json!({"use": "sig", "key_ops": ["sign"]})),
            key(json!({"alg": "ES384"})),
            key(json!({"crv": "P-521"})),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC"}),
            json!("no key"),
        ];
        for one in &kept {
            assert_eq!(set(std::slice::from_ref(one)).len(), 1, "{one}");
        }
        for one in &left_out {
            assert_eq!(set(std::slice::from_ref(one)).len(), 0, "{one}");
        }
        assert_eq!(set(&[&kept[..], &left_out[..]].concat()).len(), 4);
        assert!(KeySet::read(b"[]").is_err());
    }

    #[test]
    fn at_most_64_keys_are_kept() {
        let keys: Vec<Value> = (0..70).map(|n| key(json!({"kid": n.to_string()}))).collect();
        assert_eq!(set(&keys).len(), 64);
        assert_eq!(set(&keys[..64]).len(), 64);
        assert!(matches!(set(&keys).find(Some("63"), Algorithm::ES256), KeyLookup::Key(_)));
        assert!(matches!(set(&keys).find(Some("64"), Algorithm::ES256), KeyLookup::Nothing));
    }

    #[test]
    fn a_token_that_names_no_key_fits_only_where_there_is_no_choice() {
        let (a, b) = (key(json!({"kid": "a"})), key(json!({"kid": "b"})));
        let one = set(std::slice::from_ref(&a));
        assert!(matches!(one.find(None, Algorithm::ES256), KeyLookup::Key(_)));
        assert!(matches!(one.find(Some("a"), Algorithm::ES256), KeyLookup::Key(_)));
        assert!(matches!(one.find(Some("b"), Algorithm::ES256), KeyLookup::Nothing));
        assert!(matches!(one.find(Some("a"), Algorithm::ES384), KeyLookup::OtherAlgorithm));
        let two = set(&[a, b]);
        assert!(matches!(two.find(None, Algorithm::ES256), KeyLookup::Nothing));
        assert!(matches!(two.find(Some("b"), Algorithm::ES256), KeyLookup::Key(_)));
        assert!(matches!(set(&[]).find(None, Algorithm::ES256), KeyLookup::Nothing));
    }
}
