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
use tokio::time::{Instant, interval};

/// When all places are taken, one may be given up after sitting this long without asking anything: longer than an
/// honest request takes from the handshake to the end of its headers.
const GRACE: Duration = Duration::from_millis(500);
const RECHECK: Duration = Duration::from_millis(50);
const OPEN: &str = "http_connections_open";

pub(super) struct OpenConnections {
    total: u32,
    free: Arc<Semaphore>,
    seats: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    next: AtomicU64,
}

impl OpenConnections {
    pub(super) fn new(total: usize) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX).max(1);
        let free = Arc::new(Semaphore::new(total as usize));
        Self { total, free, seats: Arc::default(), next: AtomicU64::new(0) }
    }

    /// Leave to let one more in, as soon as there is room.
    pub(super) async fn leave_to_enter(&self) -> Permit {
        let mut recheck = interval(RECHECK);
        loop {
            if let Some(permit) = self.leave_now() {
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
    pub(super) fn leave_now(&self) -> Option<Permit> {
        self.free.clone().try_acquire_owned().ok().map(Permit)
    }

    /// A slot for an accepted connection. Its idle time begins now.
    pub(super) fn seat(&self, permit: Permit) -> ConnectionSlot {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat::new());
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&seat));
        gauge!(OPEN).increment(1);
        ConnectionSlot { id, seat, seats: Arc::clone(&self.seats), _permit: permit.0 }
    }

    /// Asks those who sit idle beyond the grace to leave. All the silent at once, as they come in thousands; only if
    /// there are none, not even new ones, the one who has been idle longest among those who have asked something.
    pub(super) fn make_room(&self) {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = seats.values().filter(|seat| seat.is_waiting());
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
    pub(super) async fn all_gone(&self) {
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
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        gauge!(OPEN).decrement(1);
    }
}

/// State of a connection.
pub(super) struct Seat {
    in_flight: AtomicUsize,
    served: AtomicBool,
    waiting_since: Mutex<Instant>,
    leave: Notify,
}

impl Seat {
    fn new() -> Self {
        Self {
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

    pub(super) async fn asked_to_leave(&self) {
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
