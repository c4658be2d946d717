//! Who may have how much of the service at once.
//!
//! - A *client* is whoever a request's token or cookie stands for, and without either the address it comes from. It may have
//!   so many requests in work, and begin so many in a second; beyond that it is told to come back (429).
//! - All clients together may have so many requests in work. A tenth of the places is kept for what must answer when
//!   nothing else does: whether the service lives, signing in, and the list of unassessed safety answers.
//!
//! A place is held until the answer begins, not while it is sent: an event stream does not hold one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, COOKIE};
use tokio::time::Instant;

use crate::config::Limits;
use crate::identity::PeerAddress;
use crate::problem::{Category, Problem};

/// Beginnings of addresses that have places of their own.
const RESERVED: [&str; 7] =
    ["/livez", "/readyz", "/sign-in", "/safety", "/api/v1/safety-concerns", "/api/v1/safety-metrics", "/assets/"];

/// The places, and who has them. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Places>);

struct Places {
    /// For everybody, the reserve included.
    all: usize,
    reserve: usize,
    per_client: usize,
    per_second: f64,
    hasher: RandomState,
    state: Mutex<Occupancy>,
}

#[derive(Default)]
struct Occupancy {
    in_work: usize,
    clients: HashMap<u64, ClientLoad>,
}

/// What one client has, as a token bucket beside a count.
struct ClientLoad {
    in_work: usize,
    tokens: f64,
    filled: Instant,
}

/// A place, given back when dropped.
pub struct AdmittedRequest {
    places: Arc<Places>,
    client: u64,
}

impl Admission {
    /// Places within these limits.
    pub fn new(limits: &Limits) -> Self {
        Self(Arc::new(Places {
            all: limits.requests,
            reserve: (limits.requests / 10).max(1),
            per_client: limits.requests_per_client,
            per_second: f64::from(limits.requests_per_second),
            hasher: RandomState::new(),
            state: Mutex::default(),
        }))
    }

    /// A place for a request.
    ///
    /// # Errors
    /// [`Category::RateLimited`] where its client has too much, [`Category::Unavailable`] where everybody together has.
    pub fn admit(&self, request: &Request) -> Result<AdmittedRequest, Problem> {
        let is_reserved = RESERVED.iter().any(|begin| request.uri().path().starts_with(begin));
        self.admit_client(self.client(request), is_reserved, Instant::now())
    }

    /// A credential is only told from another; nobody could read it back.
    fn client(&self, request: &Request) -> u64 {
        let headers = request.headers();
        match headers.get(AUTHORIZATION).or_else(|| headers.get("x-api-key")).or_else(|| headers.get(COOKIE)) {
            Some(credential) => self.0.hasher.hash_one(credential.as_bytes()),
            None => self.0.hasher.hash_one(request.extensions().get::<PeerAddress>()),
        }
    }

    fn admit_client(&self, client: u64, is_reserved: bool, now: Instant) -> Result<AdmittedRequest, Problem> {
        let places = &self.0;
        let mut state = places.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Occupancy { in_work, clients } = &mut *state;
        let known = clients.entry(client).or_insert(ClientLoad { in_work: 0, tokens: places.per_second, filled: now });
        known.fill(places.per_second, now);
        let most = if is_reserved { 2 * places.per_client } else { places.per_client };
        let refused = if known.in_work >= most {
            let detail =
                format!("this client has {} requests in work already; send them one after another", known.in_work);
            Some(Problem::new(Category::RateLimited, detail))
        } else if is_reserved {
            None
        } else if known.tokens < 1.0 {
            let detail = format!("this client may send {} requests a second", places.per_second);
            Some(Problem::new(Category::RateLimited, detail))
        } else if *in_work + places.reserve >= places.all {
            Some(Problem::new(Category::Unavailable, "too many requests are in work; try again"))
        } else {
            None
        };
        let full = || Problem::new(Category::Unavailable, "too many requests are in work; try again");
        if let Some(problem) = refused.or_else(|| (*in_work >= places.all).then(full)) {
            metrics::counter!("cocm_requests_refused", "why" => problem.category.slug()).increment(1);
            return Err(problem);
        }
        *in_work += 1;
        known.in_work += 1;
        if !is_reserved {
            known.tokens -= 1.0;
        }
        Ok(AdmittedRequest { places: Arc::clone(places), client })
    }
}

impl ClientLoad {
    fn fill(&mut self, per_second: f64, now: Instant) {
        let now = now.max(self.filled);
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * per_second;
        (self.tokens, self.filled) = ((self.tokens + gained).min(per_second), now);
    }
}

impl Drop for AdmittedRequest {
    fn drop(&mut self) {
        let mut state = self.places.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Occupancy { in_work, clients } = &mut *state;
        *in_work = in_work.saturating_sub(1);
        let Some(client) = clients.get_mut(&self.client) else { return };
        client.in_work = client.in_work.saturating_sub(1);
        client.fill(self.places.per_second, Instant::now());
        // Whoever has nothing and may begin as much as anybody is as good as unknown.
        if client.in_work == 0 && client.tokens >= self.places.per_second {
            clients.remove(&self.client);
        } else if clients.len() > FORGET_FROM {
            clients.retain(|_, client| client.in_work > 0);
        }
    }
}

/// With more clients than this, those that have nothing in work are forgotten.
const FORGET_FROM: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn admission(requests: usize, requests_per_client: usize, requests_per_second: u32) -> Admission {
        Admission::new(&Limits { requests, requests_per_client, requests_per_second, ..Limits::default() })
    }

    fn category(outcome: Result<AdmittedRequest, Problem>) -> Option<Category> {
        outcome.err().map(|problem| problem.category)
    }

    #[test]
    fn one_client_cannot_have_everything() {
        let (admission, now) = (admission(100, 3, 1000), Instant::now());
        let mut held: Vec<_> = (0..3).map(|_| admission.admit_client(1, false, now).ok().unwrap()).collect();
        assert_eq!(category(admission.admit_client(1, false, now)), Some(Category::RateLimited));
        assert_eq!(category(admission.admit_client(1, true, now)), None, "the safety list is not refused for that");
        assert_eq!(category(admission.admit_client(2, false, now)), None);
        held.pop();
        assert_eq!(category(admission.admit_client(1, false, now)), None);
    }

    #[test]
    fn a_client_begins_so_many_in_a_second_and_no_more() {
        let (admission, begin) = (admission(100, 50, 10), Instant::now());
        let admitted = |at| (0..100).filter(|_| admission.admit_client(1, false, at).is_ok()).count();
        assert_eq!(admitted(begin), 10);
        assert_eq!(category(admission.admit_client(1, false, begin)), Some(Category::RateLimited));
        assert!(admitted(begin + Duration::from_millis(500)) <= 5);
        assert_eq!(category(admission.admit_client(2, false, begin)), None);
    }

    #[test]
    fn when_everything_is_taken_the_reserve_is_not() {
        let (admission, now) = (admission(20, 20, 1000), Instant::now());
        let held: Vec<_> = (0..30).filter_map(|n| admission.admit_client(n, false, now).ok()).collect();
        assert_eq!(held.len(), 18);
        assert_eq!(category(admission.admit_client(99, false, now)), Some(Category::Unavailable));
        let reserve: Vec<_> = (0..30).filter_map(|n| admission.admit_client(n, true, now).ok()).collect();
        assert_eq!(reserve.len(), 2);
    }

    #[test]
    fn clients_that_are_done_are_forgotten() {
        let admission = admission(100, 3, 1000);
        let now = Instant::now();
        for client in 0..50_000 {
            drop(admission.admit_client(client, false, now));
        }
        assert!(admission.0.state.lock().unwrap().clients.len() <= FORGET_FROM + 1);
        assert_eq!(admission.0.state.lock().unwrap().in_work, 0);
    }
}
