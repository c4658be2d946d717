//! Keys and tokens for `--dev`, the demo and tests: a service and a `token` command on one data directory agree.
//!
//! These keys are worth nothing elsewhere: a production configuration never names their issuer.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ClinicId, Role};
use crate::config::{AUDIENCE, ISSUER, jwks_file};

/// How long a development token lasts unless one says otherwise.
pub const LIFETIME: Duration = Duration::from_hours(12);

/// Makes the development keys under a data directory, or finds them there, and answers with the public ones (a
/// JWKS). Whoever comes first wins; everybody else, in this process or another, uses theirs.
pub fn prepare(data_dir: &Path) -> io::Result<Value> {
    Ok(DevelopmentKey::at(data_dir)?.jwks())
}

/// A bearer token of the development issuer.
pub fn mint(data_dir: &Path, clinic: &ClinicId, role: Role, lifetime: Duration) -> io::Result<String> {
    let key = DevelopmentKey::at(data_dir)?;
    let now = get_current_timestamp();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": format!("development-{role}"), "iat": now,
        "exp": now.saturating_add(lifetime.as_secs()), "clinic": clinic, "role": role,
    });
    let header = Header { kid: Some(key.id), ..Header::new(Algorithm::ES256) };
    encode(&header, &claims, &EncodingKey::from_ec_der(&key.pkcs8)).map_err(io::Error::other)
}

struct DevelopmentKey {
    id: String,
    pkcs8: Vec<u8>,
    /// The point's coordinates.
    x: Vec<u8>,
    y: Vec<u8>,
}

impl DevelopmentKey {
    fn at(data_dir: &Path) -> io::Result<Self> {
        let public = jwks_file(data_dir);
        let folder = public.parent().unwrap_or(data_dir);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let private = folder.join("signing-key.der");
        let pkcs8 = match fs::read(&private) {
            Ok(pkcs8) => pkcs8,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rand::SystemRandom::new());
                let made = made.map_err(|_| io::Error::other("no key could be made"))?;
                publish(&private, made.as_ref(), false)?;
                fs::read(&private)?
            }
            Err(e) => return Err(e),
        };
        let key = Self::read(pkcs8).map_err(|why| {
            let what = format!("{} {why}; delete it to have a new one made", private.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        let jwks = serde_json::to_vec_pretty(&key.jwks())?;
        if fs::read(&public).ok().as_ref() != Some(&jwks) {
            publish(&public, &jwks, true)?;
        }
        Ok(key)
    }

    fn read(pkcs8: Vec<u8>) -> Result<Self, &'static str> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).map_err(|_| "is not an ES256 key")?;
        // An uncompressed point: 4, then x and y.
        let (x, y) = match pair.public_key().as_ref() {
            [4, point @ ..] if point.len() == 64 => point.split_at(32),
            _ => return Err("holds no uncompressed point"),
        };
        let id = URL_SAFE_NO_PAD.encode(&Sha256::digest(pair.public_key().as_ref())[..12]);
        Ok(Self { id, x: x.to_vec(), y: y.to_vec(), pkcs8 })
    }

    fn jwks(&self) -> Value {
        let (x, y) = (URL_SAFE_NO_PAD.encode(&self.x), URL_SAFE_NO_PAD.encode(&self.y));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y }] })
    }
}

/// Puts a whole file in place at once, readable by its owner only. A hard link keeps what is already there.
pub(crate) fn publish(path: &Path, content: &[u8], replace: bool) -> io::Result<()> {
    let draft = draft_beside(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| if replace { fs::rename(&draft, path) } else { link(&draft, path) });
    if placed.is_err() || !replace {
        // Only tidying: the file itself is in place, or the error says why not.
        let _ = fs::remove_file(&draft);
    }
    placed
}

fn link(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some mounted file systems know no hard links.
        Err(e) if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            fs::copy(draft, path).map(|_| ())
        }
        other => other,
    }
}

fn draft_beside(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    Ok(path.with_extension(format!("{:016x}.draft", u64::from_ne_bytes(random))))
}
