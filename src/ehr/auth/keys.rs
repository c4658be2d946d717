//! Our own signing keys: one file each in a folder that only we can read.
//!
//! A new key is published at once and signs only after a while, because EHRs keep our key set in a cache; the key
//! before it stays published for a week after that.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::KeyAlgorithm;
use crate::identity::development::publish;

/// How long a new key is published before it signs.
pub const ANNOUNCED: TimeDelta = TimeDelta::hours(1);
/// How long a key stays published after another one has begun to sign.
pub const OVERLAP: TimeDelta = TimeDelta::days(7);

/// A folder of signing keys. It is read each time, so that a rotation needs no restart.
#[derive(Clone, Debug)]
pub struct KeyRing(PathBuf);

/// A key as its file holds it.
#[derive(Clone, Deserialize, Serialize)]
struct StoredKey {
    id: String,
    algorithm: String,
    created_at: DateTime<Utc>,
    signs_from: DateTime<Utc>,
    private: String,
}

/// The key to sign with.
pub struct SigningKey {
    /// Its name in our key set.
    pub id: String,
    pub algorithm: Algorithm,
    pub encoding: EncodingKey,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotation {
    /// Its name in our key set.
    pub id: String,
    /// When it begins to sign.
    pub signs_from: DateTime<Utc>,
    /// The keys that are published no more; their files are gone.
    pub removed: Vec<String>,
}

impl KeyRing {
    /// The keys of a folder, which need not be there yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Makes a new key. The first of its algorithm signs at once, every other after [`ANNOUNCED`].
    pub fn rotate(&self, algorithm: KeyAlgorithm, now: DateTime<Utc>) -> io::Result<KeyRotation> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let keys = self.read()?;
        let is_first = !keys.iter().any(|key| key.algorithm == algorithm.as_str());
        let private = make(algorithm)?;
        let jwk = jwk(algorithm, &private)?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(io::Error::other)?;
        let signs_from = if is_first { now } else { now + ANNOUNCED };
        let key = StoredKey { id, algorithm: algorithm.as_str().to_owned(), created_at: now, signs_from, private };
        publish(&self.file(&key.id), &serde_json::to_vec_pretty(&key)?, false)?;
        let mut removed = Vec::new();
        for old in keys.iter().filter(|old| !is_published(old, &keys, now)) {
            fs::remove_file(self.file(&old.id))?;
            removed.push(old.id.clone());
        }
        Ok(KeyRotation { id: key.id, signs_from, removed })
    }

    /// The public halves that are published now.
    pub fn published(&self, now: DateTime<Utc>) -> io::Result<Vec<Value>> {
        let keys = self.read()?;
        let published = keys.iter().filter(|key| is_published(key, &keys, now));
        published
            .map(|key| {
                let mut jwk = jwk(algorithm_of(key)?, &key.private)?;
                jwk.common.key_id = Some(key.id.clone());
                jwk.common.public_key_use = Some(PublicKeyUse::Signature);
                let mut jwk = json!(jwk);
                jwk["key_ops"] = json!(["verify"]);
                Ok(jwk)
            })
            .collect()
    }

    /// The key to sign with now: the newest that signs already.
    pub fn signing(&self, algorithm: KeyAlgorithm, now: DateTime<Utc>) -> io::Result<Option<SigningKey>> {
        let keys = self.read()?;
        let of_kind = keys.iter().filter(|key| key.algorithm == algorithm.as_str());
        // A clock that was set back must not leave us without any.
        let newest = of_kind.clone().filter(|key| key.signs_from <= now).max_by_key(|key| key.signs_from);
        let Some(key) = newest.or_else(|| of_kind.min_by_key(|key| key.signs_from)) else { return Ok(None) };
        let (encoding, algorithm) = encoding(algorithm, &key.private)?;
        Ok(Some(SigningKey { id: key.id.clone(), algorithm, encoding }))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }

    /// Every key, oldest first.
    fn read(&self) -> io::Result<Vec<StoredKey>> {
        let folder = match fs::read_dir(&self.0) {
            Ok(folder) => folder,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut keys = Vec::new();
        for entry in folder {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let key: StoredKey = serde_json::from_slice(&fs::read(&path)?)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is no key", path.display())))?;
            keys.push(key);
        }
        keys.sort_by(|a, b| (a.signs_from, &a.id).cmp(&(b.signs_from, &b.id)));
        Ok(keys)
    }
}

/// Until a week after the next key of its kind has begun to sign.
fn is_published(key: &StoredKey, all: &[StoredKey], now: DateTime<Utc>) -> bool {
    let followers = all.iter().filter(|other| other.algorithm == key.algorithm && other.signs_from > key.signs_from);
    followers.map(|other| other.signs_from).min().is_none_or(|next| now < next + OVERLAP)
}

fn algorithm_of(key: &StoredKey) -> io::Result<KeyAlgorithm> {
    match key.algorithm.as_str() {
        "RS384" => Ok(KeyAlgorithm::Rs384),
        "ES384" => Ok(KeyAlgorithm::Es384),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("key {} is for another algorithm", key.id))),
    }
}

/// A private key as PKCS #8 in PEM.
fn make(algorithm: KeyAlgorithm) -> io::Result<String> {
    let failed = |_| io::Error::other("no key could be made");
    let der = match algorithm {
        KeyAlgorithm::Rs384 => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa3072).map_err(failed)?;
            pair.as_der().map_err(failed)?.as_ref().to_vec()
        }
        KeyAlgorithm::Es384 => {
            let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new());
            pair.map_err(failed)?.as_ref().to_vec()
        }
    };
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

fn encoding(algorithm: KeyAlgorithm, pem: &str) -> io::Result<(EncodingKey, Algorithm)> {
    let read = match algorithm {
        KeyAlgorithm::Rs384 => EncodingKey::from_rsa_pem(pem.as_bytes()).map(|key| (key, Algorithm::RS384)),
        KeyAlgorithm::Es384 => EncodingKey::from_ec_pem(pem.as_bytes()).map(|key| (key, Algorithm::ES384)),
    };
    read.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a private key cannot be read"))
}

fn jwk(algorithm: KeyAlgorithm, pem: &str) -> io::Result<Jwk> {
    let (key, algorithm) = encoding(algorithm, pem)?;
    Jwk::from_encoding_key(&key, algorithm).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ids(ring: &KeyRing, now: DateTime<Utc>) -> Vec<String> {
        ring.published(now).unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_key_is_announced_before_it_signs_and_stays_for_a_week_after() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::at(folder.path().join("keys"));
        let start: DateTime<Utc> = "2026-03-02T09:00:00Z".parse().unwrap();
        assert!(ids(&ring, start).is_empty());
        assert!(ring.signing(KeyAlgorithm::Es384, start).unwrap().is_none());

        let first = ring.rotate(KeyAlgorithm::Es384, start).unwrap();
        let day = start + TimeDelta::days(1);
        let second = ring.rotate(KeyAlgorithm::Es384, day).unwrap();
        let signs = |now| ring.signing(KeyAlgorithm::Es384, now).unwrap().unwrap().id;
        assert_eq!(signs(start), first.id);
        assert_eq!(signs(day), first.id);
        assert_eq!(ids(&ring, day), [first.id.clone(), second.id.clone()]);
        assert_eq!(signs(day + ANNOUNCED), second.id);
        assert_eq!(ids(&ring, day + ANNOUNCED + OVERLAP - TimeDelta::seconds(1)).len(), 2);
        assert_eq!(ids(&ring, day + ANNOUNCED + OVERLAP), std::slice::from_ref(&second.id));

        let third = ring.rotate(KeyAlgorithm::Es384, day + TimeDelta::days(9)).unwrap();
        assert_eq!(third.removed, [first.id]);
        // A clock that was set back leaves us the oldest that is left.
        assert_eq!(signs(start - TimeDelta::days(1)), second.id);
    }

    #[test]
    fn both_algorithms_live_side_by_side_and_nobody_else_reads_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::at(folder.path().join("keys"));
        let now: DateTime<Utc> = "2026-03-02T09:00:00Z".parse().unwrap();
        for algorithm in [KeyAlgorithm::Rs384, KeyAlgorithm::Es384] {
            let made = ring.rotate(algorithm, now).unwrap();
            assert_eq!(made.signs_from, now);
            let permissions = fs::metadata(ring.file(&made.id)).unwrap().permissions().mode();
            assert_eq!(permissions & 0o777, 0o600);
        }
        let published = json!(ring.published(now).unwrap()).to_string();
        for field in ["\"RS384\"", "\"ES384\"", "\"P-384\"", "\"n\"", "\"use\":\"sig\""] {
            assert!(published.contains(field), "{field} in {published}");
        }
        assert!(!published.contains("\"d\"") && !published.contains("PRIVATE"), "{published}");
    }
}
