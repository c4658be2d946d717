//! The JSON API, called within the process for somebody who is signed in.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, Request};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

use crate::identity::Caller;
use crate::problem::Problem;

/// The API's routes.
#[derive(Clone)]
pub struct ApiClient(Router);

/// An error answer of the API.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ApiRefusal {
    pub status: u16,
    #[serde(default)]
    pub detail: String,
    #[serde(default)]
    pub expression: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    pub method: &'a Method,
    /// The path within `/api/v1/`.
    pub path: &'a str,
    /// Idempotency key.
    pub once: Option<&'a str>,
    /// Only if this is still the version.
    pub if_match: Option<&'a str>,
    pub body: Option<&'a Value>,
}

impl<'a> ApiCall<'a> {
    /// A call without body and conditions.
    pub fn of(method: &'a Method, path: &'a str) -> Self {
        Self { method, path, once: None, if_match: None, body: None }
    }
}

impl From<Problem> for ApiRefusal {
    fn from(problem: Problem) -> Self {
        Self { status: problem.category.status(), detail: problem.detail, expression: problem.expression }
    }
}

impl ApiClient {
    /// Calls these routes.
    pub fn to(api: Router) -> Self {
        Self(api)
    }

    /// Reads something; the path within `/api/v1/`.
    pub async fn get(&self, caller: &Caller, path: &str) -> Result<Value, ApiRefusal> {
        self.call(caller, ApiCall::of(&Method::GET, path)).await
    }

    /// Enters something, once under its key.
    pub async fn post(
        &self,
        caller: &Caller,
        path: &str,
        once: Option<&str>,
        body: &Value,
    ) -> Result<Value, ApiRefusal> {
        self.call(caller, ApiCall { once, body: Some(body), ..ApiCall::of(&Method::POST, path) }).await
    }

    /// Reads something and hands the answer on as it is: a stream, a file.
    pub async fn hand_on(&self, caller: &Caller, path: &str, headers: &[(&str, HeaderValue)]) -> Response {
        let mut request = Request::builder().uri(format!("/api/v1/{path}")).extension(caller.clone());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.body(Body::empty()) {
            Ok(request) => {
                let Ok(response) = self.0.clone().oneshot(request).await;
                response
            }
            Err(_) => Problem::internal("the API could not be asked").into_response(),
        }
    }

    /// Calls one of them.
    pub async fn call(&self, caller: &Caller, call: ApiCall<'_>) -> Result<Value, ApiRefusal> {
        let ApiCall { method, path, once, if_match, body } = call;
        let mut request = Request::builder().method(method).uri(format!("/api/v1/{path}")).extension(caller.clone());
        for (name, value) in [("idempotency-key", once), ("if-match", if_match)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let broken = || ApiRefusal::from(Problem::internal("the API could not be asked"));
        let request = request.body(body).map_err(|_| broken())?;
        let Ok(response) = self.0.clone().oneshot(request).await;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.map_err(|_| broken())?;
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes).map_err(|_| broken());
        }
        let refused: ApiRefusal = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(ApiRefusal { status: status.as_u16(), ..refused })
    }
}
