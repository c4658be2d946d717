//! The places for connections, and who sits on them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use metrics::gauge;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval, sleep};

use crate::identity::PeerAddress;

/// When all places are taken, one may be given up after sitting this long without asking anything: longer than an
/// honest request takes from the handshake to the end of its headers.
const GRACE: Duration = Duration::from_millis(500);
const RECHECK: Duration = Duration::from_millis(50);
/// When all places are taken, a body that brings fewer bytes a second gives up its own: a phone at the edge of its
/// network sends more.
const HONEST: u128 = 16 << 10;
const OPEN: &str = "http_connections_open";

pub(super) struct OpenConnections {
    total: u32,
    per_peer: usize,
    free: Arc<Semaphore>,
    seats: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    next: AtomicU64,
}

impl OpenConnections {
    pub(super) fn new(total: usize, per_peer: usize) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(1);
        let free = Arc::new(Semaphore::new(total as usize));
        Self { total, per_peer, free, seats: Arc::default(), next: AtomicU64::new(0) }
    }

    /// Leave to let one more in, as soon as there is room.
    pub(super) async fn admit(&self) -> Permit {
        let mut recheck = interval(RECHECK);
        loop {
            if let Some(permit) = self.try_admit() {
                return permit;
            }
            tokio::select! {
                permit = self.free.clone().acquire_owned() => if let Ok(permit) = permit {
                    return Permit(permit);
                },
                _ = recheck.tick() => self.make_room(),
            }
        }
    }

    /// Leave to let one more in, if there is room now.
    pub(super) fn try_admit(&self) -> Option<Permit> {
        self.free.clone().try_acquire_owned().ok().map(Permit)
    }

    /// A place for whoever has come in. Their wait begins now. Where their address has as many as it may, the idle and
    /// the slow among these make room, or nobody does and there is no place.
    pub(super) async fn seat(&self, permit: Permit, peer: PeerAddress, patience: Duration) -> Option<ConnectionSlot> {
        let seat = Arc::new(Seat::new(peer));
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let end = Instant::now() + patience;
        while !self.sit_down(id, &seat) {
            if Instant::now() >= end {
                return None;
            }
            self.make_room_among(|seat| seat.peer == peer);
            sleep(RECHECK).await;
        }
        gauge!(OPEN).increment(1);
        Some(ConnectionSlot { id, seat, seats: Arc::clone(&self.seats), _permit: permit.0 })
    }

    fn sit_down(&self, id: u64, seat: &Arc<Seat>) -> bool {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        // Where there cannot be too many of one address they need not be counted.
        let has_room = seats.len() < self.per_peer
            || seats.values().filter(|other| other.peer == seat.peer).count() < self.per_peer;
        if has_room {
            *seat.waiting_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            seats.insert(id, Arc::clone(seat));
        }
        has_room
    }

    pub(super) fn make_room(&self) {
        self.make_room_among(|_| true);
    }

    /// Asks those who sit idle beyond the grace to leave, and those whose body comes too slowly. All the silent and the
    /// slow at once, as they come in thousands; only if there are none, not even new ones, the one who has been idle
    /// longest among those who have asked something.
    fn make_room_among(&self, concerns: impl Fn(&Seat) -> bool) {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let concerned = seats.values().filter(|seat| concerns(seat));
        concerned.clone().filter(|seat| seat.is_starving()).for_each(|seat| seat.leave.notify_one());
        let idle = concerned.filter(|seat| seat.is_waiting());
        let mut silent = idle.clone().filter(|seat| !seat.served.load(Ordering::Relaxed)).peekable();
        if silent.peek().is_some() {
            silent.filter(|seat| seat.waited() >= GRACE).for_each(|seat| seat.leave.notify_one());
        } else if let Some(seat) = idle.filter(|seat| seat.waited() >= GRACE).max_by_key(|seat| seat.waited()) {
            seat.leave.notify_one();
        }
    }

    pub(super) fn open(&self) -> usize {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until no connection is left.
    pub(super) async fn wait_until_empty(&self) {
        // Fails only if the semaphore is closed, which never happens.
        let _ = self.free.acquire_many(self.total).await;
    }
}

/// Leave to let one connection in.
pub(super) struct Permit(OwnedSemaphorePermit);

/// A connection's place; given back when dropped.
pub(super) struct ConnectionSlot {
    id: u64,
    seat: Arc<Seat>,
    seats: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    pub(super) fn peer(&self) -> PeerAddress {
        self.seat.peer
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        gauge!(OPEN).decrement(1);
    }
}

/// State of a connection.
pub(super) struct Seat {
    peer: PeerAddress,
    /// Of a body that is coming.
    upload: Mutex<Option<UploadProgress>>,
    in_flight: AtomicUsize,
    served: AtomicBool,
    waiting_since: Mutex<Instant>,
    leave: Notify,
}

/// How much of a body has come, since when.
struct UploadProgress {
    begun: Instant,
    bytes: u64,
}

impl Seat {
    fn new(peer: PeerAddress) -> Self {
        Self {
            peer,
            upload: Mutex::new(None),
            in_flight: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            waiting_since: Mutex::new(Instant::now()),
            leave: Notify::new(),
        }
    }

    /// A request's headers have arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.served.store(true, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// No request is in flight.
    pub(super) fn is_waiting(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) == 0
    }

    /// So many more bytes of a body have come.
    pub(super) fn receives(&self, bytes: u64) {
        let mut upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
        upload.get_or_insert_with(|| UploadProgress { begun: Instant::now(), bytes: 0 }).bytes += bytes;
    }

    /// The body is complete, or nobody waits for it.
    pub(super) fn has_received(&self) {
        *self.upload.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A body comes more slowly than an honest client would send it.
    pub(super) fn is_starving(&self) -> bool {
        let upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
        upload.as_ref().is_some_and(|upload| {
            let waited = upload.begun.elapsed();
            waited >= GRACE && u128::from(upload.bytes) < waited.as_millis() * HONEST / 1000
        })
    }

    pub(super) async fn eviction(&self) {
        self.leave.notified().await;
    }

    fn waited(&self) -> Duration {
        self.waiting_since.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// A request in flight, until its answer's last byte is handed over.
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.waiting_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An answer's body, which keeps its connection busy until it ends.
pub(super) struct TrackedBody {
    body: Body,
    _busy: Busy,
}

impl TrackedBody {
    pub(super) fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
