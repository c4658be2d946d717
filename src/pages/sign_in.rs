//! Signing in and out.

pub mod oidc;
pub mod provider;

use askama::Template;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::response::{ProblemPage, html};
use super::session::{FormPost, Visitor, same_origin};
use super::{Pages, assets, words};
use crate::identity::{Caller, ClinicId, Role};
use crate::listener::read_body;
use crate::problem::{Category, Problem};

/// Where to go afterwards, and why one is here.
#[derive(Debug, Default, Deserialize)]
pub struct SignInQuery {
    #[serde(default)]
    to: String,
    #[serde(default)]
    idle: bool,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    style: String,
    icon: String,
    to: String,
    idle: bool,
    /// Configured ways: (number, name).
    ways: Vec<(usize, String)>,
    /// `to`, for an address.
    then: String,
    /// In development: one click for each role.
    people: Vec<(&'static str, &'static str, &'static str)>,
}

/// Only a path of our own: never a way out to another site.
fn own_path(to: &str) -> &str {
    let is_own = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\') && !to.contains(char::is_control);
    if is_own { to } else { "/" }
}

pub async fn choose(State(pages): State<Pages>, visitor: Option<Visitor>, Query(way): Query<SignInQuery>) -> Response {
    let to = own_path(&way.to);
    if visitor.is_some() && !way.idle {
        return Redirect::to(to).into_response();
    }
    let people = if pages.app.config.any_clinic {
        vec![
            ("care_manager", "Care manager", "keeps the caseload: contacts, scores, safety, follow-up"),
            ("psychiatric_consultant", "Psychiatric consultant", "reviews who is not improving, and recommends"),
            ("primary_care", "Primary care provider", "treats, and decides on recommendations"),
            ("admin", "Administrator", "runs the program: rules, connections, deliveries"),
        ]
    } else {
        Vec::new()
    };
    html(&SignInPage {
        style: assets::style(),
        icon: assets::icon(),
        to: to.to_owned(),
        then: form_urlencoded::byte_serialize(to.as_bytes()).collect(),
        idle: way.idle,
        ways: pages.ways.iter().enumerate().map(|(n, way)| (n, way.name().to_owned())).collect(),
        people,
    })
}

/// One click, in development only.
pub async fn in_development(
    State(pages): State<Pages>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ProblemPage> {
    if !pages.app.config.any_clinic {
        return Err(Problem::not_found("address").into());
    }
    same_origin(&headers)?;
    let bytes = read_body(&headers, body, 4096).await?;
    let fields: Vec<(String, String)> = form_urlencoded::parse(&bytes).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let role: Role = field("role").parse().map_err(|_| Problem::unprocessable("no such role"))?;
    let clinic = ClinicId::new("demo").map_err(Problem::internal)?;
    if role == Role::Ehr {
        return Err(Problem::new(Category::Forbidden, "these pages are for people").into());
    }
    let caller = Caller { clinic, subject: format!("development-{role}"), role, scopes: None };
    let cookie = pages.begin_session(&caller, words::role(role), None, None).await?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to(own_path(field("to")))).into_response())
}

/// Ends the session here, and at the provider where it has a way to: else one click would sign the same person in again.
pub async fn out(submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let pages = &visitor.pages;
    let id_token = pages.id_token(visitor).await?;
    let cookie = pages.end_session(visitor).await?;
    let mut to = "/sign-in".to_owned();
    let provider = id_token.as_ref().and_then(|id_token| pages.ways.iter().find(|way| way.is(&id_token.issuer)));
    if let (Some(provider), Some(id_token), None) = (provider, &id_token, visitor.frame) {
        let base = pages.app.config.public_url.as_deref().map(|base| base.trim_end_matches('/'));
        let back = base.map(|base| format!("{base}/sign-in"));
        if let Some(url) = provider.end_session(&id_token.id_token, back.as_deref()).await {
            to = url.into();
        }
    }
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&to)).into_response())
}
