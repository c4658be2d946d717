//! Keys for programs that know nothing else: `cocm.<clinic>.<id>.<secret>`. The clinic is in the key, so that it is looked
//! for there and nowhere else; the secret has 256 bits, so that a plain digest of it can be kept.

use std::future::Future;
use std::pin::Pin;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Caller, ClinicId};
use crate::hex;
use crate::problem::Problem;

const PREFIX: &str = "cocm.";

/// A key as a caller presents it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub clinic: ClinicId,
    pub id: Uuid,
    secret: String,
}

impl ApiKey {
    /// A new key of a clinic.
    ///
    /// # Errors
    /// Without randomness.
    pub fn new(clinic: ClinicId, id: Uuid) -> Result<Self, Problem> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_| Problem::internal("no randomness"))?;
        Ok(Self { clinic, id, secret: URL_SAFE_NO_PAD.encode(random) })
    }

    /// Whether a text is meant to be a key, and not a token.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads a key.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.splitn(3, '.');
        let (clinic, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let (clinic, id) = (ClinicId::new(clinic).ok()?, Uuid::try_parse(id).ok()?);
        (secret.len() == 43).then(|| Self { clinic, id, secret: secret.to_owned() })
    }

    /// The key as it is handed out, once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}.{}.{}", self.clinic, self.id.simple(), self.secret)
    }

    /// What is kept of it.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(&self.secret))
    }

    /// Whether it is the one of which this digest was kept.
    pub fn is_of(&self, digest: &str) -> bool {
        verify_slices_are_equal(self.digest().as_bytes(), digest.as_bytes()).is_ok()
    }
}

/// Who a key's bearer is; `None` for a key that is not known, has expired or was revoked.
pub type KeyHolder<'a> = Pin<Box<dyn Future<Output = Result<Option<Caller>, Problem>> + Send + 'a>>;

/// Where keys are kept.
pub trait ApiKeys: Send + Sync {
    /// Who presents this key.
    fn holder<'a>(&'a self, key: &'a ApiKey) -> KeyHolder<'a>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_it_was_handed_out_and_is_no_other() {
        let clinic = ClinicId::new("north-1").unwrap();
        let key = ApiKey::new(clinic.clone(), Uuid::from_u128(7)).unwrap();
        let read = ApiKey::parse(&key.reveal()).unwrap();
        assert!(read == key && read.is_of(&key.digest()));
        let other = ApiKey::new(clinic, Uuid::from_u128(7)).unwrap();
        assert!(!other.is_of(&key.digest()) && other.reveal() != key.reveal());
        assert!(!key.digest().contains(&key.secret));
        for rubbish in
            ["", "cocm.", "cocm.a.b.c", "cocm.north-1.7.x", "a.b.c", &key.reveal()[1..], &format!("{}x", key.reveal())]
        {
            assert!(ApiKey::parse(rubbish).is_none(), "{rubbish}");
        }
    }
}
