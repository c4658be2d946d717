//! P14 and P15: bounded for any input, and stopping without a failed request.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Extension;
use axum::http::{Request, Response};
use axum::routing::{get, post};
use cocm_registry::clock::Clock;
use cocm_registry::config::Limits;
use cocm_registry::listener::{JsonBody, ShutdownSignal, bind, protect, serve};
use cocm_registry::telemetry::{self, RequestLog};
use flate2::Compression;
use flate2::write::GzEncoder;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

fn limits() -> Limits {
    Limits { drain: Duration::from_secs(5), ..Limits::default() }
}

fn router(limits: &Limits) -> Router {
    let routes = Router::new()
        .route("/patients/{id}", get(|| async { "found" }))
        .route("/json", post(|JsonBody(value): JsonBody<Value>| async move { value.to_string().len().to_string() }))
        .route(
            "/slow",
            get(|| async {
                sleep(Duration::from_millis(700)).await;
                "done"
            }),
        )
        .route(
            "/quick",
            get(|| async {
                sleep(Duration::from_millis(5)).await;
                "done"
            }),
        )
        .route("/forever", get(|| async { sleep(Duration::from_mins(10)).await }))
        .route(
            "/events",
            get(|Extension(mut stopping): Extension<ShutdownSignal>| async move { stopping.begun().await }),
        )
        .route("/large", get(|| async { vec![0; 64 << 20] }))
        .route("/panic", get(broken));
    protect(routes, limits, &Clock::system())
}

async fn broken() {
    let name = "Maria Canary".to_owned();
    panic!("no such patient: {name}");
}

async fn ask(request: Request<Body>) -> (u16, Response<()>, Value) {
    let (parts, body) = router(&limits()).oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 1 << 16).await.unwrap();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (parts.status.as_u16(), Response::from_parts(parts, ()), json)
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

fn run(limits: Limits) -> Running {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel());
    let ended = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or(()) };
        serve(listener, router(&limits), &limits, stopped).await
    });
    Running { address, stop, ended }
}

impl Running {
    async fn stop(self) -> Duration {
        let started = Instant::now();
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
        started.elapsed()
    }
}

/// One request on an open connection; the answer's head and whether the server will close.
async fn converse(stream: &mut TcpStream, path: &str) -> std::io::Result<(String, bool)> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"done") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let text = String::from_utf8(answer).unwrap();
    let close = text.to_ascii_lowercase().contains("connection: close");
    Ok((text, close))
}

#[tokio::test]
async fn wrong_addresses_methods_and_panics_are_problems() {
    let (status, head, body) = ask(Request::get("/nowhere/Canary").body(Body::empty()).unwrap()).await;
    assert_eq!((status, &body["type"]), (404, &json!("https://cocm-registry.dev/problems/not-found")));
    assert_eq!(head.headers()["content-type"], "application/problem+json");
    assert_eq!(head.headers()["cache-control"], "no-store");
    assert!(head.headers().contains_key("x-request-id"));

    let (status, head, body) = ask(Request::delete("/json").body(Body::empty()).unwrap()).await;
    assert_eq!((status, &body["type"]), (405, &json!("https://cocm-registry.dev/problems/method-not-allowed")));
    assert_eq!(head.headers()["allow"], "POST");

    let (status, _, body) = ask(Request::get("/panic").body(Body::empty()).unwrap()).await;
    assert_eq!((status, &body["type"]), (500, &json!("https://cocm-registry.dev/problems/internal")));
    assert!(!body.to_string().contains("Canary"));
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn posted(encoding: Option<&str>, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::post("/json").header("content-type", "application/json");
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    request.body(Body::from(body)).unwrap()
}

#[rstest]
#[case::plain(None, b"{\"a\": 1}".to_vec(), 200)]
#[case::gzip(Some("gzip"), gzip(b"{\"a\": 1}"), 200)]
#[case::identity(Some("identity"), b"{}".to_vec(), 200)]
#[case::brotli(Some("br"), b"{}".to_vec(), 415)]
#[case::twice(Some("gzip, gzip"), gzip(&gzip(b"{}")), 415)]
#[case::not_gzip(Some("gzip"), b"{}".to_vec(), 400)]
#[case::cut(Some("gzip"), gzip(b"{\"a\": 1}")[..12].to_vec(), 400)]
#[case::followed(Some("gzip"), [gzip(b"{}"), b"more".to_vec()].concat(), 400)]
#[case::empty(None, Vec::new(), 400)]
#[case::largest(None, [b"\"".to_vec(), vec![b'a'; (1 << 20) - 2], b"\"".to_vec()].concat(), 200)]
#[case::larger(None, [b"\"".to_vec(), vec![b'a'; (1 << 20) - 1], b"\"".to_vec()].concat(), 413)]
#[case::larger_packed(Some("gzip"), gzip(&[b"\"".to_vec(), vec![b'a'; (1 << 20) - 1], b"\"".to_vec()].concat()), 413)]
#[case::bomb(Some("gzip"), gzip(&vec![b' '; 64 << 20]), 413)]
#[case::string(None, vec![b'"'; 10 << 20], 413)]
#[case::deepest(None, ["[".repeat(64), "]".repeat(64)].concat().into_bytes(), 200)]
#[case::deeper(None, ["[".repeat(65), "]".repeat(65)].concat().into_bytes(), 413)]
#[case::abyss(None, "[".repeat(1 << 20).into_bytes(), 413)]
#[case::abyss_packed(Some("gzip"), gzip("{\"a\":".repeat(200_000).as_bytes()), 413)]
#[tokio::test]
async fn a_body_is_read_within_bounds(#[case] encoding: Option<&str>, #[case] body: Vec<u8>, #[case] expected: u16) {
    let started = Instant::now();
    let (status, _, problem) = ask(posted(encoding, body)).await;
    assert_eq!(status, expected, "{problem}");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[rstest]
#[case("application/json; charset=utf-8", 200)]
#[case("application/merge-patch+json", 200)]
#[case("text/plain", 415)]
#[case("application/jsonx", 415)]
#[case("", 415)]
#[tokio::test]
async fn only_json_is_read_as_json(#[case] content_type: &str, #[case] expected: u16) {
    let request = Request::post("/json").header("content-type", content_type).body(Body::from("{}")).unwrap();
    assert_eq!(ask(request).await.0, expected);
}

#[tokio::test]
async fn a_bomb_sent_over_a_socket_hears_the_answer() {
    let running = run(limits());
    let client = reqwest::Client::builder().build().unwrap();
    for body in [gzip(&vec![b' '; 64 << 20]), vec![b'a'; 6 << 20]] {
        let encoding = if body.starts_with(&[0x1f, 0x8b]) { "gzip" } else { "identity" };
        let request = client.post(format!("http://{}/json", running.address)).body(body);
        let answer =
            request.header("content-type", "application/json").header("content-encoding", encoding).send().await;
        assert_eq!(answer.unwrap().status(), 413);
    }
    running.stop().await;
}

#[tokio::test]
async fn slow_headers_are_cut_and_others_are_not_held_up() {
    let running = run(Limits { header_timeout: Duration::from_millis(300), ..limits() });
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    slow.write_all(b"GET /quick HTTP/1.1\r\nhost: x\r\nx-a: ").await.unwrap();
    let mut other = TcpStream::connect(running.address).await.unwrap();
    assert!(converse(&mut other, "/quick").await.is_ok());
    let started = Instant::now();
    let mut rest = Vec::new();
    // It may end with an answer, an end or a reset; it must end.
    let _ = timeout(Duration::from_secs(3), slow.read_to_end(&mut rest)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
    running.stop().await;
}

#[tokio::test]
async fn who_asks_and_never_reads_is_cut() {
    let running = run(Limits { request_timeout: Duration::from_millis(300), ..limits() });
    let mut deaf = TcpStream::connect(running.address).await.unwrap();
    deaf.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert!(running.stop().await < Duration::from_secs(2));
}

#[tokio::test]
async fn silent_connections_give_up_their_places_and_busy_ones_do_not() {
    let running = run(Limits { connections: 4, ..limits() });
    let busy: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(running.address).await.unwrap();
                converse(&mut stream, "/slow").await
            })
        })
        .collect();
    sleep(Duration::from_millis(50)).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    let mut other = TcpStream::connect(running.address).await.unwrap();
    let answer = timeout(Duration::from_secs(6), converse(&mut other, "/quick")).await.expect("is let in");
    assert!(answer.is_ok());
    for busy in busy {
        assert!(busy.await.unwrap().is_ok());
    }
    running.stop().await;
}

#[tokio::test]
async fn with_all_places_busy_one_waits_ones_turn() {
    let running = run(Limits { connections: 1, ..limits() });
    let first = tokio::spawn(async move {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        converse(&mut stream, "/slow").await
    });
    sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    assert!(converse(&mut second, "/quick").await.is_ok());
    assert!(started.elapsed() > Duration::from_millis(500));
    assert!(first.await.unwrap().is_ok());
    drop(second);
    running.stop().await;
}

#[tokio::test]
async fn a_request_has_a_deadline() {
    let limits = Limits { request_timeout: Duration::from_millis(100), ..limits() };
    let request = Request::get("/forever").body(Body::empty()).unwrap();
    let response = router(&limits).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));

    let never = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/json").header("content-type", "application/json").body(never).unwrap();
    assert_eq!(router(&limits).oneshot(request).await.unwrap().status(), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_under_load_fails_no_request() {
    let running = run(limits());
    let (address, failed, served) = (running.address, Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let stopping = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..24)
        .map(|i| {
            let (failed, served, stopping) = (failed.clone(), served.clone(), stopping.clone());
            tokio::spawn(async move {
                let path = if i % 6 == 0 { "/slow" } else { "/quick" };
                while let Ok(mut stream) = TcpStream::connect(address).await {
                    loop {
                        match converse(&mut stream, path).await {
                            Ok((_, close)) => {
                                served.fetch_add(1, Ordering::SeqCst);
                                assert!(!close || stopping.load(Ordering::SeqCst), "closed while serving");
                                if close {
                                    break;
                                }
                            }
                            Err(e) => {
                                failed.lock().unwrap().push(e.to_string());
                                return;
                            }
                        }
                    }
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(400)).await;
    stopping.store(true, Ordering::SeqCst);
    let took = running.stop().await;
    for client in clients {
        client.await.unwrap();
    }
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(served.load(Ordering::SeqCst) > 100);
    assert_eq!(*failed.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn stopping_ends_streams_and_cuts_what_does_not_end() {
    let running = run(limits());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(running.stop().await < Duration::from_secs(1));

    let running = run(Limits { drain: Duration::from_millis(600), ..limits() });
    let mut stuck = TcpStream::connect(running.address).await.unwrap();
    stuck.write_all(b"GET /forever HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let took = running.stop().await;
    assert!(took >= Duration::from_millis(600) && took < Duration::from_secs(1), "{took:?}");

    let running = run(limits());
    let _idle = TcpStream::connect(running.address).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(running.stop().await < Duration::from_secs(2), "an idle connection does not hold us up");
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_the_route_and_the_clinic_and_nothing_of_the_address() {
    let (written, metrics) = (Written::default(), telemetry::metrics().unwrap());
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    // For the whole process: with a listener on one thread only, others may have settled that nobody listens.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let routes = Router::new()
        .route(
            "/who/{id}",
            get(|Extension(log): Extension<RequestLog>| async move {
                log.clinic("north");
                tracing::info!("within");
            }),
        )
        .route("/panic", get(broken));
    let app = protect(routes, &limits(), &Clock::system());
    for (path, id) in
        [("/who/Canary?name=Canary", "Canary Canary Canary"), ("/Canary", "0123456789abcdef0"), ("/panic", "")]
    {
        let request = Request::get(path).header("x-request-id", id).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap();
    }
    let odd = Request::builder().method("CANARY").uri("/").body(Body::empty()).unwrap();
    app.oneshot(odd).await.unwrap();
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(!text.to_lowercase().contains("canary"), "{text}");
    assert!(text.contains("0123456789abcdef0"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours: Vec<Value> = lines.filter(|line| line["span"]["route"] == "/who/{id}").collect();
    assert_eq!(ours.len(), 2, "one line from within, one when answered: {text}");
    for line in ours {
        assert!(line["span"]["request_id"].is_string(), "{line}");
        assert_eq!(line["span"]["clinic"], "north");
    }
    let rendered = metrics.render();
    assert!(rendered.contains(r#"http_requests_total{method="GET",route="/who/{id}",status="200"}"#), "{rendered}");
    assert!(rendered.contains(r#"method="OTHER",route="unmatched""#));
    assert!(rendered.contains("http_request_duration_seconds_bucket"));
    assert!(!rendered.to_lowercase().contains("canary"));
}
