//! Sessions of the pages: an opaque cookie, a database row, and CSRF protection of forms.

use std::time::Duration;

use aws_lc_rs::rand;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Request};
use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::Pages;
use super::pending_sign_in::{FramingProvider, way_of};
use super::response::ProblemPage;
use crate::identity::{Caller, ClinicId, Role};
use crate::listener::{BodyLimit, read_body};
use crate::problem::{Category, Problem};
pub use crate::store::session::IdToken;
use crate::store::session::{self, SignInSession};
use crate::telemetry::RequestLog;

/// A session ends after this long without activity.
pub const IDLE: TimeDelta = TimeDelta::minutes(30);
/// A session ends after a working day, however active.
const LONGEST: TimeDelta = TimeDelta::hours(12);
/// Activity is recorded at most this often, so that a read rarely costs a write.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// How long a request waits for that.
const NOTING: Duration = Duration::from_millis(500);

/// A person who is signed in.
#[derive(Clone)]
pub struct Visitor {
    pub pages: Pages,
    /// The caller, as in the API.
    pub caller: Caller,
    pub session: SignInSession,
    /// Within whose pages, where it began in a frame.
    pub frame: FramingProvider,
}

impl Visitor {
    pub fn clinic(&self) -> &str {
        self.caller.clinic.as_str()
    }

    /// The clinic's name in print.
    pub fn clinic_name(&self) -> String {
        let clinic = self.pages.app.config.clinic(&self.caller.clinic);
        clinic.and_then(|clinic| clinic.name).unwrap_or_else(|| self.clinic().to_owned())
    }

    pub fn zone(&self) -> Tz {
        self.pages.app.zones.of(self.clinic())
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.pages.app.clock.now()
    }

    pub fn today(&self) -> NaiveDate {
        self.pages.app.clock.today(self.zone())
    }

    /// The same in every session of this person, and nobody else's.
    pub fn owner_of_drafts(&self) -> String {
        digest(&format!("drafts {} {} {}", self.clinic(), self.caller.subject, self.caller.role.as_str()))
    }

    pub fn is(&self, roles: &[Role]) -> bool {
        roles.contains(&self.caller.role)
    }
}

/// A random word of 256 bits.
pub fn random_word() -> Result<String, Problem> {
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(|_| Problem::internal("no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

fn digest(word: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(word))
}

impl Pages {
    /// Browsers accept `__Host-` cookies over https only; plain http is for development on one's own machine.
    pub fn is_secure(&self) -> bool {
        !self.app.config.any_clinic || self.app.config.public_url.as_deref().is_some_and(|u| u.starts_with("https:"))
    }

    /// The name of a cookie.
    fn cookie_name(&self, name: &str, framed: bool) -> String {
        let prefix = if self.is_secure() { "__Host-" } else { "" };
        format!("{prefix}{name}{}", if framed { "-framed" } else { "" })
    }

    /// A `Set-Cookie` that nothing but this host can set or read.
    pub fn set_cookie(&self, name: &str, value: &str, seconds: i64, frame: FramingProvider) -> String {
        let name = self.cookie_name(name, frame.is_some());
        let (same_site, kept) = match frame {
            Some(_) => ("None", "; Partitioned; Secure"),
            None if self.is_secure() => ("Lax", "; Secure"),
            None => ("Lax", ""),
        };
        format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={seconds}{kept}")
    }

    /// Origins that may frame the answer to this request: those of the provider whose frame the session began in. Only
    /// we set these cookies; an ended session may still name its provider.
    pub fn frame_ancestors(&self, headers: &HeaderMap) -> Option<String> {
        let session = self.cookie(headers, "cocm", true).and_then(|cookie| frame_of(cookie.split_once('.')?.1));
        let way = session.or_else(|| way_of(&self.cookie(headers, "cocm-leaving", true)?))?;
        let origins = &self.app.config.sign_ins.get(way)?.frame_origins;
        (!origins.is_empty()).then(|| origins.join(" "))
    }

    /// The value of a cookie. Two of one name are none: one of them is not ours.
    pub fn cookie(&self, headers: &HeaderMap, name: &str, framed: bool) -> Option<String> {
        let name = self.cookie_name(name, framed);
        let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut found = all.flat_map(|line| line.split(';')).filter_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then(|| value.to_owned())
        });
        match (found.next(), found.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }

    /// Signs somebody in; answers with the cookie. Always a new word: what a browser held before is worth nothing.
    pub async fn begin_session(
        &self,
        caller: &Caller,
        name: &str,
        id_token: Option<IdToken>,
        frame: FramingProvider,
    ) -> Result<String, Problem> {
        let (mut word, now) = (random_word()?, self.app.clock.now());
        if let Some(way) = frame {
            // Part of the word: who changes it has another word.
            word = format!("{way}~{word}");
        }
        let clinic = caller.clinic.as_str();
        let session = SignInSession {
            id: digest(&word),
            subject: caller.subject.clone(),
            role: caller.role,
            name: name.to_owned(),
            csrf: random_word()?,
            created_at: now,
            seen_at: now,
        };
        let mut tx = self.app.db.begin("session_begin").await?;
        session::forget(&mut tx, clinic, now - LONGEST).await?;
        session::insert(&mut tx, clinic, &session).await?;
        if let Some(id_token) = &id_token {
            session::keep_id_token(&mut tx, clinic, &session.id, id_token).await?;
        }
        tx.commit().await?;
        Ok(self.set_cookie("cocm", &format!("{clinic}.{word}"), LONGEST.num_seconds(), frame))
    }

    /// By whose word somebody is signed in; `None` in development.
    pub async fn id_token(&self, visitor: &Visitor) -> Result<Option<IdToken>, Problem> {
        let mut tx = self.app.db.read().await?;
        session::id_token(&mut tx, visitor.clinic(), &visitor.session.id).await
    }

    /// Signs out whoever holds this cookie. In a frame, what stays of it says whose frame it is, and nothing else: the page to
    /// sign in has to be shown there.
    pub async fn end_session(&self, visitor: &Visitor) -> Result<String, Problem> {
        let mut tx = self.app.db.begin("session_end").await?;
        session::delete(&mut tx, visitor.clinic(), &visitor.session.id).await?;
        tx.commit().await?;
        let (left, seconds) = match visitor.frame {
            Some(way) => (format!("{}.{way}~", visitor.clinic()), LONGEST.num_seconds()),
            None => (String::new(), 0),
        };
        Ok(self.set_cookie("cocm", &left, seconds, visitor.frame))
    }

    async fn note_activity(&self, clinic: &str, session: &str, now: DateTime<Utc>) -> Result<(), Problem> {
        let mut tx = self.app.db.begin("session_touch").await?;
        session::touch(&mut tx, clinic, session, now).await?;
        tx.commit().await
    }

    /// Whose cookie this is. `notes` says that somebody did something: only that keeps a session from ending.
    pub async fn visitor(&self, headers: &HeaderMap, notes: bool) -> Result<Option<Visitor>, Problem> {
        let cookie = self.cookie(headers, "cocm", true).or_else(|| self.cookie(headers, "cocm", false));
        let Some(cookie) = cookie else { return Ok(None) };
        let Some((clinic, word)) = cookie.split_once('.') else { return Ok(None) };
        let Ok(clinic) = ClinicId::new(clinic) else { return Ok(None) };
        if self.app.config.clinic(&clinic).is_none() {
            return Ok(None);
        }
        let mut tx = self.app.db.read().await?;
        let found = session::find(&mut tx, clinic.as_str(), &digest(word)).await?;
        drop(tx);
        let now = self.app.clock.now();
        let Some(session) = found.filter(|s| now - s.seen_at <= IDLE && now - s.created_at <= LONGEST) else {
            return Ok(None);
        };
        if notes && now - session.seen_at >= NOTED_EVERY {
            let noting = self.note_activity(clinic.as_str(), &session.id, now);
            // Who cannot be noted may read all the same: the safety list is needed most when nothing can be written.
            match timeout(NOTING, noting).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => tracing::warn!(%problem, "a session's last use cannot be noted now"),
                Err(_) => tracing::warn!("a session's last use could not be noted in time"),
            }
        }
        let caller = Caller { clinic, subject: session.subject.clone(), role: session.role, scopes: None };
        Ok(Some(Visitor { pages: self.clone(), caller, session, frame: frame_of(word) }))
    }
}

/// `GET /session`: somebody is still at work on a page. Reading the visitor is what notes it.
pub async fn keep(_: Visitor) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// In which frame the session of a word began.
fn frame_of(word: &str) -> FramingProvider {
    word.split_once('~').and_then(|(way, _)| way.parse().ok())
}

/// The page's script sends this request by itself, so it is no sign of a user.
fn is_by_itself(headers: &HeaderMap) -> bool {
    headers.contains_key("x-live")
}

impl OptionalFromRequestParts<Pages> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Option<Self>, Response> {
        let visitor = pages
            .visitor(&parts.headers, !is_by_itself(&parts.headers))
            .await
            .map_err(|p| ProblemPage(p).into_response())?;
        if let (Some(visitor), Some(log)) = (&visitor, parts.extensions.get::<RequestLog>()) {
            log.clinic(visitor.clinic());
        }
        Ok(visitor)
    }
}

impl FromRequestParts<Pages> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let visitor = <Self as OptionalFromRequestParts<Pages>>::from_request_parts(parts, pages).await?;
        let Some(visitor) = visitor else {
            // Back to where one was; a form is not sent twice.
            let to = match parts.method {
                Method::GET => parts.uri.path_and_query().map_or("/", |path| path.as_str()),
                _ => "/",
            };
            let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
            return Err(Redirect::to(&format!("/sign-in?to={to}")).into_response());
        };
        if visitor.caller.role == Role::Ehr {
            let problem = Problem::new(Category::Forbidden, "these pages are for people");
            return Err(ProblemPage(problem).into_response());
        }
        Ok(visitor)
    }
}

/// The fields of a form, in order, from a page of ours: the only way a handler gets at what was sent.
pub struct FormPost {
    pub visitor: Visitor,
    pub fields: Vec<(String, String)>,
}

impl FormPost {
    /// Fields that a page of ours sent in this visitor's session.
    pub fn checked(visitor: Visitor, headers: &HeaderMap, fields: Vec<(String, String)>) -> Result<Self, Problem> {
        same_origin(headers)?;
        let submitted = Self { visitor, fields };
        let carried = submitted.get("csrf").unwrap_or_default();
        if !equal(carried.as_bytes(), submitted.visitor.session.csrf.as_bytes()) {
            let why = "this form is from another session; go back, reload the page and send it again";
            return Err(Problem::new(Category::Forbidden, why));
        }
        Ok(submitted)
    }

    /// The one value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl FromRequest<Pages> for FormPost {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Response> {
        let (visitor, headers, bytes) = visitor_with_body(request, pages, |limit| limit.body).await?;
        let fields: Vec<(String, String)> = form_urlencoded::parse(&bytes).into_owned().collect();
        Self::checked(visitor, &headers, fields).map_err(|problem| ProblemPage(problem).into_response())
    }
}

/// Who sends a page's form, and what: its body is read only after its sender is known.
pub(super) async fn visitor_with_body(
    request: Request,
    pages: &Pages,
    most: impl FnOnce(BodyLimit) -> usize,
) -> Result<(Visitor, HeaderMap, Bytes), Response> {
    let (mut parts, body) = request.into_parts();
    let visitor = <Visitor as FromRequestParts<Pages>>::from_request_parts(&mut parts, pages).await?;
    let limit = parts.extensions.get::<BodyLimit>().copied().unwrap_or_default();
    let bytes = read_body(&parts.headers, body, most(limit)).await;
    let bytes = bytes.map_err(|problem| ProblemPage(problem).into_response())?;
    Ok((visitor, parts.headers, bytes))
}

/// A form that another site sends is not what the visitor meant.
pub fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = || Problem::new(Category::Forbidden, "this form was sent from another site");
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(foreign());
    }
    let host = text(HOST.as_str()).unwrap_or_default();
    match text(ORIGIN.as_str()) {
        Some(origin) if origin.split_once("://").is_none_or(|(_, of)| !of.eq_ignore_ascii_case(host)) => Err(foreign()),
        _ => Ok(()),
    }
}

/// Equal in a time that tells nothing.
fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
