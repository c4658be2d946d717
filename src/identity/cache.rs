//! Tokens verified a moment ago: an ES256 verification costs about as much as the rest of a read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::Caller;

/// A verified token is believed this long without looking again (seconds), so that a withdrawn key takes effect.
const BELIEVED: u64 = 60;

/// A token's SHA-256: the cache holds no tokens.
pub(super) type Fingerprint = [u8; 32];

pub(super) fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token.as_bytes()).into()
}

/// At most `capacity` tokens, the oldest forgotten first.
pub(super) struct Cache {
    capacity: usize,
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    callers: HashMap<Fingerprint, (Caller, u64)>,
    oldest_first: VecDeque<Fingerprint>,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    /// The caller of a token verified before, if it may still be believed at `now` (Unix seconds).
    pub(super) fn get(&self, token: &Fingerprint, now: u64) -> Option<Caller> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.callers.get(token).filter(|(_, until)| now < *until).map(|(caller, _)| caller.clone())
    }

    /// Remembers a verified token until `expires` or for a minute.
    pub(super) fn put(&self, token: Fingerprint, caller: &Caller, expires: u64, now: u64) {
        let until = expires.min(now + BELIEVED);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.callers.insert(token, (caller.clone(), until)).is_none() {
            state.oldest_first.push_back(token);
        }
        while state.oldest_first.len() > self.capacity {
            if let Some(oldest) = state.oldest_first.pop_front() {
                state.callers.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, fingerprint};
    use crate::identity::{Caller, ClinicId, Role};

    fn caller() -> Caller {
        Caller { clinic: ClinicId::new("demo").unwrap(), subject: "s".into(), role: Role::Admin, scopes: None }
    }

    #[test]
    fn a_token_is_believed_for_a_minute_and_never_past_its_expiry() {
        let cache = Cache::new(8);
        cache.put(fingerprint("long"), &caller(), 10_000, 100);
        cache.put(fingerprint("short"), &caller(), 110, 100);
        assert!(cache.get(&fingerprint("long"), 159).is_some());
        assert!(cache.get(&fingerprint("long"), 160).is_none());
        assert!(cache.get(&fingerprint("short"), 109).is_some());
        assert!(cache.get(&fingerprint("short"), 110).is_none());
        assert!(cache.get(&fingerprint("other"), 100).is_none());
    }

    #[test]
    fn the_cache_stays_small() {
        let cache = Cache::new(4);
        for i in 0..100 {
            cache.put(fingerprint(&i.to_string()), &caller(), 10_000, 100);
        }
        let state = cache.state.lock().unwrap();
        assert_eq!((state.callers.len(), state.oldest_first.len()), (4, 4));
        assert!(state.callers.contains_key(&fingerprint("99")));
    }
}
