//! A JWKS as we use it: each key with its name and the algorithms it may verify.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// More keys than any issuer publishes.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

pub(super) enum Found {
    Key(DecodingKey),
    /// The key is there, for other algorithms: asking the issuer again would not help.
    OtherAlgorithm,
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
        Ok(Self(set.keys.into_iter().filter_map(usable).take(MOST).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key of that id. A token without an id fits only if there is no choice.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found {
        let mut named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return Found::Nothing;
        }
        let mut fitting = named.filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Found::Key(key.decoding.clone()),
            (Some(_), Some(_)) => Found::Nothing,
            (None, _) => Found::OtherAlgorithm,
        }
    }
}

fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|ops| ops.contains(&KeyOperations::Verify));
    // The key's type decides, not the token's word: an RSA key never serves as an HMAC secret.
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::RS384],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        _ => return None,
    };
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    (signs && !algorithms.is_empty()).then(|| Key { id: jwk.common.key_id, algorithms, decoding })
}
