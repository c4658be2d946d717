//! The accept loop: who may connect, for how long, and how we stop.
//!
//! `axum::serve` has neither a header timeout nor a cap, so this is our own. At capacity, accepting pauses, and the
//! connection that has been idle longest is closed, as are slow uploads; nobody else with a request in flight is. Each
//! address has a limit of its own.
//!
//! Stopping is in steps, so that no request in flight fails: no new connections; every answer says
//! `Connection: close`, so that busy clients go elsewhere; then idle connections are closed; then those whose request has
//! not arrived; then whatever has not finished by the end of [`Limits::drain`] is cut.

mod admission;
mod body;
mod connections;
mod json;
mod protect;
mod stall;
mod upload;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tower::ServiceExt;

use self::connections::{ConnectionSlot, OpenConnections, Permit, TrackedBody};
use self::stall::StallGuard;
use self::upload::Upload;
use crate::config::Limits;
use crate::identity::PeerAddress;

pub use admission::{Admission, AdmittedRequest};
pub use body::{BodyLimit, read_body};
pub use json::{JsonBody, json_within};
pub use protect::{Deadline, protect};

/// Longest request line and headers together, in bytes.
const LONGEST_HEAD: usize = 32 * 1024;
/// Connections the system keeps for us until we accept them; it may keep fewer.
const QUEUE: u32 = 4096;
/// While stopping: how long busy clients are given to hear `Connection: close`.
const CLOSE_NOTICE: Duration = Duration::from_secs(1);
/// While stopping: how long a request may still take to arrive after that.
const REQUEST_GRACE: Duration = Duration::from_secs(2);
/// Delay after an accept error, such as too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The steps of stopping, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ShutdownPhase {
    Serving,
    /// Answers say `Connection: close`.
    Leaving,
    /// Idle connections are closed.
    Closing,
    /// So are those whose request has not arrived.
    Impatient,
    Cut,
}

/// Request extension that announces the shutdown, so that event streams end when it begins.
#[derive(Clone, Debug)]
pub struct ShutdownSignal(watch::Receiver<ShutdownPhase>);

impl ShutdownSignal {
    /// Whether stopping has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() > ShutdownPhase::Serving
    }

    /// Waits until stopping begins.
    pub async fn begun(&mut self) {
        // An error means that the listener is gone, which is as good as stopping.
        let _ = self.0.wait_for(|phase| *phase > ShutdownPhase::Serving).await;
    }
}

/// Ends at SIGTERM or SIGINT.
pub async fn stop_signal() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Opens a listener with a queue long enough for a burst. Port 0 picks a free one: see `local_addr`.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for the last connections of the process before.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(QUEUE)
    };
    open().map_err(|e| io::Error::new(e.kind(), format!("cannot listen at {address}: {e}")))
}

/// Serves until `shutdown` ends, then stops as described above, within [`Limits::drain`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let connections = Arc::new(OpenConnections::new(limits.connections, limits.connections_per_peer));
    let (phase, watched) = watch::channel(ShutdownPhase::Serving);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Runs while a kept-alive connection is idle, too: it is the idle limit as well.
        .header_read_timeout(limits.header_timeout)
        .max_header_size(LONGEST_HEAD)
        .max_buf_size(2 * LONGEST_HEAD);
    let spawn = |stream: TcpStream, peer: PeerAddress, permit: Permit| {
        // Only a delay if it fails.
        let _ = stream.set_nodelay(true);
        let stream = StallGuard::new(stream, limits.request_timeout);
        let (http, router, phase) = (http.clone(), router.clone(), watched.clone());
        let (connections, patience) = (Arc::clone(&connections), limits.header_timeout);
        tokio::spawn(async move {
            if let Some(slot) = connections.seat(permit, peer, patience).await {
                serve_connection(http, stream, router, slot, phase).await;
            }
        });
    };

    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, peer, permit) = next(&listener, &connections) => spawn(stream, peer, permit),
        }
    }
    // Connections that the kernel has already accepted would otherwise be reset.
    for (stream, peer) in drain_accept_queue(listener)? {
        if let Some(permit) = connections.try_admit() {
            spawn(stream, peer, permit);
        }
    }
    stop(&phase, &connections, limits.drain).await;
    Ok(())
}

async fn next(listener: &TcpListener, connections: &OpenConnections) -> (TcpStream, PeerAddress, Permit) {
    let permit = connections.admit().await;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, PeerAddress(address.ip()), permit),
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                connections.make_room();
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Empties the kernel's accept queue, then closes it. The runtime may not have heard of the latest connections yet.
fn drain_accept_queue(listener: TcpListener) -> io::Result<Vec<(TcpStream, PeerAddress)>> {
    let listener = listener.into_std()?;
    let mut streams = Vec::new();
    while let Ok((stream, address)) = listener.accept() {
        stream.set_nonblocking(true)?;
        streams.push((TcpStream::from_std(stream)?, PeerAddress(address.ip())));
    }
    Ok(streams)
}

async fn stop(phase: &watch::Sender<ShutdownPhase>, connections: &OpenConnections, drain: Duration) {
    let (begun, open) = (Instant::now(), connections.open());
    tracing::info!(open, "stopping");
    let end = begun + drain;
    let notice_end = begun + CLOSE_NOTICE.min(drain / 4);
    let steps = [
        (ShutdownPhase::Leaving, notice_end),
        (ShutdownPhase::Closing, end.min(notice_end + REQUEST_GRACE)),
        (ShutdownPhase::Impatient, end),
        (ShutdownPhase::Cut, end + ACCEPT_RETRY),
    ];
    for (step, until) in steps {
        if step == ShutdownPhase::Cut {
            tracing::warn!(open = connections.open(), "cutting what has not finished");
        }
        phase.send_replace(step);
        if timeout_at(until, connections.wait_until_empty()).await.is_ok() {
            break;
        }
    }
}

/// One connection, from its first request to its end.
async fn serve_connection(
    http: http1::Builder,
    stream: StallGuard,
    router: Router,
    place: ConnectionSlot,
    mut phase: watch::Receiver<ShutdownPhase>,
) {
    let (seat, peer, stopping) = (place.seat(), place.peer(), ShutdownSignal(phase.clone()));
    let service = service_fn(|mut request: Request<Incoming>| {
        let (busy, stopping, router) = (seat.begin(), stopping.clone(), router.clone());
        request.extensions_mut().insert(stopping.clone());
        request.extensions_mut().insert(peer);
        let request = request.map(|body| Upload::new(body, Arc::clone(&seat)));
        async move {
            let mut response: Response<Body> = router.oneshot(request).await?;
            if stopping.has_begun() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, busy)))
        }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            // An error is the client's: gone, too slow, or not HTTP. There is no one to report it to.
            _ = connection.as_mut() => break,
            () = seat.eviction() => if seat.is_waiting() || seat.is_starving() { break },
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                match now {
                    ShutdownPhase::Cut => break,
                    ShutdownPhase::Impatient if seat.is_waiting() => break,
                    ShutdownPhase::Closing => connection.as_mut().graceful_shutdown(),
                    _ if changed.is_err() => break,
                    _ => {}
                }
            }
        }
    }
}
