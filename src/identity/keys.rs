//! An issuer's public keys: fetched, kept, and fetched again when they change.
//!
//! However many requests ask, and whatever key ids they name, one fetch is in flight and at most one is begun per
//! [`KeyPolicy::retry`]. While the issuer is down the last keys serve on, for a bounded time.

mod set;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::io::AsyncReadExt;

use self::set::{KeyLookup, KeySet};
use super::TokenError;
use crate::config::{ConfigError, Issuer};
use crate::http_client::client;

/// Largest key set read, in bytes.
const LARGEST: usize = 256 * 1024;

/// How long keys serve, and how often they are fetched.
#[derive(Clone, Copy, Debug)]
pub struct KeyPolicy {
    /// Keys this young are used without asking again.
    pub fresh: Duration,
    /// Keys this old are used no more, whether or not the issuer answers.
    pub stale: Duration,
    /// The least time between two fetches, and a tenth of it while there are no keys at all.
    pub retry: Duration,
    /// Deadline of a fetch.
    pub timeout: Duration,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            fresh: Duration::from_mins(10),
            stale: Duration::from_hours(24),
            retry: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
        }
    }
}

/// One issuer's keys and where they come from.
pub(super) struct KeySource {
    issuer: String,
    place: KeyLocation,
    policy: KeyPolicy,
    state: Mutex<KeyState>,
    fetching: Arc<tokio::sync::Mutex<()>>,
}

enum KeyLocation {
    File(PathBuf),
    Url(reqwest::Client, String),
}

#[derive(Default)]
struct KeyState {
    keys: KeySet,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
}

impl KeySource {
    pub(super) fn new(issuer: &Issuer, policy: KeyPolicy) -> Result<Self, ConfigError> {
        let fault = |why: &str| ConfigError { faults: vec![format!("auth.issuers {}: {why}", issuer.issuer)] };
        let place = match (&issuer.jwks_url, &issuer.jwks_file) {
            (Some(url), None) => {
                let client = client(policy.timeout, true).map_err(|e| fault(&e.to_string()))?;
                KeyLocation::Url(client, url.clone())
            }
            (None, Some(file)) => KeyLocation::File(file.clone()),
            _ => return Err(fault("needs either jwks_url or jwks_file")),
        };
        let (state, fetching) = (Mutex::default(), Arc::default());
        Ok(Self { issuer: issuer.issuer.clone(), place, policy, state, fetching })
    }

    /// Fetches the keys now, for whoever wants to know whether that works.
    async fn count(&self) -> Result<usize, String> {
        let fetched = match &self.place {
            KeyLocation::File(path) => from_file(path).await.map_err(|why| format!("{}: {why}", path.display())),
            KeyLocation::Url(client, url) => from_url(client, url).await.map_err(|why| format!("{url}: {why}")),
        };
        fetched.and_then(|json| KeySet::read(&json)).map(|keys| keys.len())
    }

    /// The key a token names, if the issuer publishes it for this algorithm.
    pub(super) async fn find(self: &Arc<Self>, kid: Option<&str>, alg: Algorithm) -> Result<DecodingKey, TokenError> {
        let (found, age) = self.look(kid, alg);
        match (found, age) {
            (KeyLookup::Key(key), Some(age)) if age < self.policy.fresh => return Ok(key),
            (KeyLookup::OtherAlgorithm, Some(age)) if age < self.policy.fresh => return Err(TokenError::Algorithm),
            // Keys that serve are good enough for everybody but the one who fetches new ones.
            (KeyLookup::Key(key), Some(age)) if age < self.policy.stale => {
                let Ok(turn) = self.fetching.clone().try_lock_owned() else { return Ok(key) };
                self.fetch_in(turn).await;
            }
            _ => self.refresh().await,
        }
        let (found, age) = self.look(kid, alg);
        if age.is_none_or(|age| age >= self.policy.stale) {
            return Err(TokenError::KeysUnavailable);
        }
        match found {
            KeyLookup::Key(key) => Ok(key),
            KeyLookup::OtherAlgorithm => Err(TokenError::Algorithm),
            KeyLookup::Nothing => Err(TokenError::Key),
        }
    }

    /// Fetches, or waits for whoever is fetching; does nothing if a fetch was begun a moment ago.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let turn = self.fetching.clone().lock_owned().await;
        self.fetch_in(turn).await;
    }

    async fn fetch_in(self: &Arc<Self>, turn: tokio::sync::OwnedMutexGuard<()>) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = if state.fetched.is_some() { self.policy.retry } else { self.policy.retry / 10 };
            if state.attempted.is_some_and(|attempted| attempted.elapsed() < pause) {
                return;
            }
            state.attempted = Some(Instant::now());
        }
        // A task of its own: a caller who goes away must not take everybody's next keys along.
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            this.fetch().await;
            drop(turn);
        });
        if task.await.is_err() {
            tracing::error!(issuer = self.issuer, "the fetch of keys did not finish");
        }
    }

    async fn fetch(&self) {
        let fetched = match &self.place {
            KeyLocation::File(path) => from_file(path).await,
            KeyLocation::Url(client, url) => from_url(client, url).await,
        };
        let read = fetched.and_then(|json| KeySet::read(&json));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The pause counts from the end, too, or each of those who waited for a slow answer would ask again.
        state.attempted = Some(Instant::now());
        match read {
            Ok(keys) => {
                tracing::info!(issuer = self.issuer, keys = keys.len(), "keys read");
                state.keys = keys;
                state.fetched = state.attempted;
            }
            Err(why) => tracing::warn!(issuer = self.issuer, why, "keys could not be read; the last ones serve on"),
        }
    }

    fn look(&self, kid: Option<&str>, alg: Algorithm) -> (KeyLookup, Option<Duration>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.keys.find(kid, alg), state.fetched.map(|fetched| fetched.elapsed()))
    }
}

/// How many keys an issuer publishes, or why they cannot be read.
pub async fn count_keys(issuer: &Issuer) -> Result<usize, String> {
    KeySource::new(issuer, KeyPolicy::default()).map_err(|e| e.to_string())?.count().await
}

async fn from_file(path: &PathBuf) -> Result<Vec<u8>, String> {
    let file = tokio::fs::File::open(path).await.map_err(|e| e.to_string())?;
    let mut json = Vec::new();
    file.take(LARGEST as u64 + 1).read_to_end(&mut json).await.map_err(|e| e.to_string())?;
    if json.len() > LARGEST { Err("the file is too large".into()) } else { Ok(json) }
}

async fn from_url(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, String> {
    let describe = |e: reqwest::Error| e.without_url().to_string();
    let mut response = client.get(url).send().await.map_err(describe)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("answered with status {}", response.status().as_u16()));
    }
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        if json.len() + chunk.len() > LARGEST {
            return Err("the answer is too large".into());
        }
        json.extend_from_slice(&chunk);
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_keys_has_at_most_256_kibibytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        std::fs::write(&path, vec![b' '; 262_144]).unwrap();
        assert_eq!(from_file(&path).await.map(|json| json.len()), Ok(262_144));
        std::fs::write(&path, vec![b' '; 262_145]).unwrap();
        assert!(from_file(&path).await.is_err());
    }
}
