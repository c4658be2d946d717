//! A browser without a screen: keeps a cookie, follows nothing, reads what it is sent.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use cocm_registry::api::App;
use cocm_registry::service;
use tower::ServiceExt;

/// Every page that needs nothing but a session.
pub const PAGES: [&str; 12] = [
    "/caseload",
    "/candidates",
    "/candidates?dismissed=true",
    "/safety",
    "/review",
    "/programme",
    "/month",
    "/my-patients",
    "/same-persons",
    "/operations",
    "/operations/rules",
    "/caseload?finding=not_improving&sort=name&q=a",
];

pub struct Browser {
    pub router: Router,
    pub cookie: Option<String>,
}

/// The stored answer to a request.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}", self.header("location"), self.text);
        self
    }

    /// The value of a hidden field of the first form that has it.
    pub fn hidden(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let at = self.text.find(&mark).unwrap_or_else(|| panic!("no {name} in {}", self.text)) + mark.len();
        self.text[at..].split('"').next().unwrap().to_owned()
    }
}

pub fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl Browser {
    pub fn of(app: &App) -> Self {
        Self { router: service::router(app), cookie: None }
    }

    /// Signed in as a role.
    pub async fn as_role(app: &App, role: &str) -> Self {
        let mut browser = Self::of(app);
        browser.sign_in(role).await.expect(303);
        browser
    }

    pub async fn sign_in(&mut self, role: &str) -> Seen {
        let seen = self
            .send("POST", "/sign-in/development", Some(&encoded(&[("role", role), ("to", "/caseload")])), &[])
            .await;
        if let Some(set) = seen.headers.get("set-cookie") {
            self.cookie = Some(set.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        seen
    }

    pub async fn get(&self, path: &str) -> Seen {
        self.send("GET", path, None, &[]).await
    }

    /// Sends a form as one of our pages would.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let csrf = self.csrf().await;
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        self.send("POST", path, Some(&encoded(&all)), &[("sec-fetch-site", "same-origin")]).await
    }

    /// Begins a review session of a consultant; answers with its address.
    pub async fn review_of(&self, consultant: &str) -> String {
        let once = self.get("/review").await.expect(200).hidden("once");
        let begun = self.post("/review", &[("once", once.as_str()), ("consultant", consultant)]).await.expect(303);
        begun.header("location").to_owned()
    }

    pub async fn csrf(&self) -> String {
        self.get("/safety").await.expect(200).hidden("csrf")
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<&str>, headers: &[(&str, &str)]) -> Seen {
        let form = [headers, &[("content-type", "application/x-www-form-urlencoded")]].concat();
        let headers = if body.is_some() { form.as_slice() } else { headers };
        self.send_bytes(method, path, body.unwrap_or_default().as_bytes().to_vec(), headers).await
    }

    pub async fn send_bytes(&self, method: &str, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Seen {
        let mut request = Request::builder().method(method).uri(path).header("host", "registry.test");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Seen { status: parts.status.as_u16(), headers: parts.headers, text }
    }
}
