//! One keep-alive connection, blocking, and nothing on it that costs: the client shares two cores with the service.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(2);
const JSON: &str = "application/json";
const FHIR: &str = "application/fhir+json";
const FORM: &str = "application/x-www-form-urlencoded";
/// Paths that a browser asks for. Every other one is of FHIR, here or at a peer, or of the API.
const PAGES: [&str; 3] = ["/caseload", "/sign-in/development", "/metrics"];

/// A connection to the service. It is opened at the first request, and again when the service has closed it.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    outbox: Vec<u8>,
    inbox: Vec<u8>,
    /// The time between the first byte sent and the last one received, over all requests since it was last reset.
    pub spent: Duration,
}

/// What came back.
pub struct Answer<'a> {
    pub status: u16,
    /// `name=value` of the last cookie that was set.
    pub cookie: Option<String>,
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The body of a 2xx; else what was answered.
    pub fn success(&self) -> Result<&'a [u8], String> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        Err(format!("answered {}: {text}", self.status))
    }
}

/// What the head of an answer says about its body.
struct Head {
    status: u16,
    /// Where the body begins.
    begin: usize,
    /// `None` for one that comes in chunks.
    length: Option<usize>,
    close: bool,
    cookie: Option<String>,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, outbox: Vec::new(), inbox: Vec::new(), spent: Duration::ZERO }
    }

    /// Sends a request and waits for the whole answer. Programs show a token; people's browsers show a cookie.
    pub fn send(&mut self, method: &str, path: &str, token: &str, body: &[u8]) -> Result<Answer<'_>, String> {
        let (media, shown) = match path {
            _ if PAGES.contains(&path) => (FORM, "Cookie:"),
            path if path.starts_with("/api/") => (JSON, "Authorization: Bearer"),
            _ => (FHIR, "Authorization: Bearer"),
        };
        self.outbox.clear();
        write!(self.outbox, "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {media}\r\n", self.address)
            // A peer that asks for no token may take an empty one for a wrong one.
            .and_then(|()| if token.is_empty() { Ok(()) } else { write!(self.outbox, "{shown} {token}\r\n") })
            .and_then(|()| match method {
                "GET" => write!(self.outbox, "\r\n"),
                _ => write!(self.outbox, "Content-Type: {media}\r\nContent-Length: {}\r\n\r\n", body.len()),
            })
            .map_err(|e| e.to_string())?;
        self.outbox.extend_from_slice(body);

        let begun = Instant::now();
        // A kept connection may have been closed meanwhile: once more on a new one. What is sent is the same either
        // way, and the service stores the same form once.
        let kept = self.stream.is_some();
        let head = match self.exchange() {
            Err(_) if kept => self.exchange(),
            other => other,
        };
        self.spent += begun.elapsed();
        let head = head.map_err(|e| format!("no answer: {e}"))?;
        if head.close {
            self.stream = None;
        }
        Ok(Answer { status: head.status, cookie: head.cookie, body: &self.inbox[head.begin..] })
    }

    fn exchange(&mut self) -> io::Result<Head> {
        // Kept only after a whole answer: half of one must not be read as the next.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => open(self.address)?,
        };
        stream.write_all(&self.outbox)?;
        self.inbox.clear();
        let head = loop {
            more(&mut stream, &mut self.inbox)?;
            if let Some(head) = read_head(&self.inbox)? {
                break head;
            }
        };
        match head.length {
            Some(length) => {
                while self.inbox.len() < head.begin + length {
                    more(&mut stream, &mut self.inbox)?;
                }
            }
            None => unchunk(&mut stream, &mut self.inbox, head.begin)?,
        }
        self.stream = Some(stream);
        Ok(head)
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn more(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> io::Result<()> {
    let full = inbox.len();
    inbox.resize(full + 16 * 1024, 0);
    let read = stream.read(&mut inbox[full..]);
    inbox.truncate(full + read.as_ref().map_or(0, |n| *n));
    if read? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn read_head(inbox: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = inbox.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let text = std::str::from_utf8(&inbox[..end]).map_err(|_| bad())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
    let mut head = Head { status, begin: end + 4, length: Some(0), close: false, cookie: None };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.parse().map_err(|_| bad())?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.length = None;
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("set-cookie") {
            head.cookie = value.split(';').next().map(str::to_owned);
        }
    }
    Ok(Some(head))
}

/// Reads chunks to the last one; what lies behind `begin` is then the body.
fn unchunk(stream: &mut TcpStream, inbox: &mut Vec<u8>, begin: usize) -> io::Result<()> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let (mut body, mut at) = (Vec::new(), begin);
    loop {
        let line = loop {
            match inbox[at..].windows(2).position(|w| w == b"\r\n") {
                Some(length) => break at + length,
                None => more(stream, inbox)?,
            }
        };
        let size = std::str::from_utf8(&inbox[at..line]).map_err(|_| bad())?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| bad())?;
        at = line + 2;
        while inbox.len() < at + size + 2 {
            more(stream, inbox)?;
        }
        body.extend_from_slice(&inbox[at..at + size]);
        at += size + 2;
        if size == 0 {
            inbox.truncate(begin);
            inbox.extend_from_slice(&body);
            return Ok(());
        }
    }
}
