//! A request's body on its way in, which must keep coming.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::connections::Seat;
use crate::limits::{BODY_BYTES_PER_SECOND, BODY_PATIENCE};

/// A body came more slowly than [`BODY_BYTES_PER_SECOND`].
#[derive(Debug)]
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body came too slowly")
    }
}

impl std::error::Error for TooSlow {}

/// Fails where the bytes so far took longer than they may. While it comes, its connection says so.
pub(super) struct Upload {
    body: Incoming,
    seat: Arc<Seat>,
    patience: Pin<Box<Sleep>>,
}

impl Upload {
    pub(super) fn new(body: Incoming, seat: Arc<Seat>) -> Self {
        if !body.is_end_stream() {
            seat.receives(0);
        }
        Self { body, seat, patience: Box::pin(sleep(BODY_PATIENCE)) }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let arrived = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.seat.receives(arrived);
                let earned = Duration::from_micros(arrived * 1_000_000 / BODY_BYTES_PER_SECOND);
                let until = self.patience.deadline() + earned;
                self.patience.as_mut().reset(until);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(last) => {
                self.seat.has_received();
                Poll::Ready(last.map(|result| result.map_err(Into::into)))
            }
            Poll::Pending => self.patience.as_mut().poll(cx).map(|()| Some(Err(TooSlow.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.seat.has_received();
    }
}
