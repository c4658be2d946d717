//! Logs and metrics for operators. They never mention a patient.
//!
//! A request is identified by its route (`/api/v1/patients/{id}`), never by its path or query, which may identify a
//! patient.

mod requests;

use std::any::Any;
use std::sync::OnceLock;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

pub use requests::{RequestLog, log_requests};

/// Starts logging to standard error, and makes panics log lines too. Once per process.
pub fn init(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|e| format!("log.filter: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => builder.try_init(),
    }
    .map_err(|e| format!("logging is already set up: {e}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, message = panic_text(panic.payload()), "a panic");
    }));
    Ok(())
}

/// A panic's message if it is a literal. A formatted one may carry a patient's data, so it is withheld.
pub fn panic_text(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(withheld: it was composed from values)")
}

/// The process's metrics, started at the first call.
pub fn metrics() -> Result<&'static PrometheusHandle, String> {
    /// Seconds. Acknowledgements are promised in 500 ms, so the steps are finest below it.
    const BUCKETS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    let start = || {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)
            .map_err(|e| e.to_string())?;
        let handle = builder.install_recorder().map_err(|e| e.to_string())?;
        requests::describe();
        Ok(handle)
    };
    HANDLE.get_or_init(start).as_ref().map_err(Clone::clone)
}

/// Router of the admin listener: `GET /metrics` in Prometheus text format.
pub fn admin_router(handle: &'static PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(render)).with_state(handle)
}

async fn render(State(handle): State<&'static PrometheusHandle>) -> Response {
    handle.run_upkeep();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response()
}
