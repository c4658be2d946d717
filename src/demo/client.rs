//! The demo's way in: the same HTTP doors that everybody uses.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::config::ClinicId;
use crate::ehr::http;
use crate::identity::{Role, development};
use crate::problem::{Category, Problem};

/// A client of the running service.
pub struct DemoClient {
    client: reqwest::Client,
    /// The service's base URL.
    pub base: String,
    ehr: String,
    care_manager: String,
    consultant: String,
    primary_care: String,
}

impl DemoClient {
    /// A client with a token for each role.
    pub fn open(base: &str, keys: &Path) -> Result<Self, Problem> {
        let clinic = ClinicId::new("demo").map_err(Problem::internal)?;
        let token = |role| {
            development::mint(keys, &clinic, role, development::LIFETIME)
                .map_err(|e| Problem::internal(format!("a token: {e}")))
        };
        Ok(Self {
            client: http::client(Duration::from_mins(1), false)?,
            base: base.to_owned(),
            ehr: token(Role::Ehr)?,
            care_manager: token(Role::CareManager)?,
            consultant: token(Role::PsychiatricConsultant)?,
            primary_care: token(Role::PrimaryCare)?,
        })
    }

    /// Sends a resource as the EHR does.
    pub async fn put(&self, resource: &Value) -> Result<(), Problem> {
        let kind = resource["resourceType"].as_str().unwrap_or_default();
        let id = resource["id"].as_str().unwrap_or_default();
        let path = format!("/fhir/{kind}/{id}");
        self.call(Method::PUT, &path, &self.ehr, Some((resource, "application/fhir+json"))).await.map(|_| ())
    }

    /// Enters something as the care manager.
    pub async fn enter(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.call(Method::POST, &format!("/api/v1/{path}"), &self.care_manager, Some((body, "application/json"))).await
    }

    /// Enters something as the psychiatric consultant.
    pub async fn consult(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.call(Method::POST, &format!("/api/v1/{path}"), &self.consultant, Some((body, "application/json"))).await
    }

    /// Enters something as the patient's own doctor.
    pub async fn decide(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.call(Method::POST, &format!("/api/v1/{path}"), &self.primary_care, Some((body, "application/json"))).await
    }

    /// Reads as the care manager.
    pub async fn get(&self, path: &str) -> Result<Value, Problem> {
        self.call(Method::GET, &format!("/api/v1/{path}"), &self.care_manager, None).await
    }

    /// Every item of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, Problem> {
        let mut items = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut next = format!("{path}{joint}limit=200");
        loop {
            let page = self.get(&next).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(cursor) => next = format!("{path}{joint}limit=200&cursor={cursor}"),
                None => return Ok(items),
            }
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<(&Value, &str)>,
    ) -> Result<Value, Problem> {
        let unreachable =
            |e: reqwest::Error| Problem::new(Category::Unavailable, format!("{path}: {}", e.without_url()));
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(token);
        if let Some((body, content_type)) = body {
            request = request.header("content-type", content_type).body(body.to_string());
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(Problem::internal(format!("{method} {path}: {status} {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
