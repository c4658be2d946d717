//! A request's body, decompressed and bounded.

use std::io::{self, Write};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use flate2::write::GzDecoder;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::problem::{Category, Problem};

/// The largest bodies read here, after decompression, in bytes: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// Limit for an ordinary request.
    pub body: usize,
    /// Limit for a FHIR Bundle.
    pub bundle: usize,
}

impl Default for BodyLimit {
    fn default() -> Self {
        Self { body: 1 << 20, bundle: 8 << 20 }
    }
}

/// Reads a body of at most `limit` bytes, plain or `gzip`. The limit holds for what comes out of the decompression,
/// and is noticed as soon as it is passed: 413.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut reading = if is_gzip(headers)? {
        BodyReader::Gzip { decoder: Box::new(GzDecoder::new(Bounded { bytes: Vec::new(), limit })), arrived: 0 }
    } else {
        BodyReader::Plain(Bounded { bytes: Vec::with_capacity(announced(headers).min(limit)), limit })
    };
    let mut stream = body.into_data_stream();
    let too_large = announced(headers) > most_arriving(limit);
    let outcome = if too_large { Err(too_large_for(limit)) } else { reading.all(&mut stream, limit).await };
    match outcome {
        Ok(()) => reading.finish(),
        Err(problem) => {
            // With unread bytes behind us, the answer would drown in a connection reset. A client that waits for
            // `100 Continue` has sent none.
            if !headers.contains_key(EXPECT) {
                discard(stream).await;
            }
            Err(problem)
        }
    }
}

enum BodyReader {
    Plain(Bounded),
    Gzip { decoder: Box<GzDecoder<Bounded>>, arrived: usize },
}

impl BodyReader {
    async fn all(&mut self, stream: &mut BodyDataStream, limit: usize) -> Result<(), Problem> {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Problem::malformed("the body ended before it was complete"))?;
            let written = match self {
                Self::Plain(bytes) => bytes.write_all(&chunk),
                Self::Gzip { decoder, arrived } => {
                    *arrived += chunk.len();
                    // Empty blocks decompress to nothing, without end.
                    if *arrived > most_arriving(limit) {
                        return Err(too_large_for(limit));
                    }
                    decoder.write_all(&chunk)
                }
            };
            written.map_err(|e| if is_over(&e) { too_large_for(limit) } else { not_gzip() })?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Bytes, Problem> {
        match self {
            Self::Plain(bounded) => Ok(bounded.bytes.into()),
            Self::Gzip { decoder, .. } => {
                let limit = decoder.get_ref().limit;
                let done = decoder.finish().map_err(|e| if is_over(&e) { too_large_for(limit) } else { not_gzip() })?;
                Ok(done.bytes.into())
            }
        }
    }
}

/// Takes no more than its limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + data.len() > self.limit {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_over(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::QuotaExceeded
}

/// Most bytes that can arrive for a body of `limit` bytes: compression may add a few.
fn most_arriving(limit: usize) -> usize {
    limit + limit / 64 + 1024
}

fn too_large_for(limit: usize) -> Problem {
    Problem::new(Category::TooLarge, format!("the body must not be larger than {limit} bytes"))
}

fn not_gzip() -> Problem {
    Problem::malformed("the body is not the gzip its Content-Encoding says")
}

fn announced(headers: &HeaderMap) -> usize {
    headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"gzip") => Ok(true),
        _ => Err(Problem::new(Category::UnsupportedMediaType, "Content-Encoding must be gzip or identity")),
    }
}

async fn discard(mut stream: BodyDataStream) {
    const MOST: usize = 16 << 20;
    const LONGEST: Duration = Duration::from_millis(250);
    let mut left = MOST;
    let reading = async {
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // Clients that send more, or more slowly, may miss the answer.
    let _ = timeout(LONGEST, reading).await;
}
