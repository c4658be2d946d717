//! Documents to print or to hand over, as the API writes them.

use axum::extract::{Path, Query};
use axum::http::HeaderValue;
use axum::response::Response;
use serde::Deserialize;

use super::PatientFile;
use crate::id::{EpisodeId, PatientId};
use crate::pages::response::ProblemPage;
use crate::pages::session::Visitor;
use crate::problem::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DocumentQuery {
    episode: Option<EpisodeId>,
    version: Option<i64>,
}

/// A version of the care plan.
pub async fn care_plan(
    visitor: Visitor,
    path: Path<String>,
    Query(asked): Query<DocumentQuery>,
) -> Result<Response, ProblemPage> {
    let version = asked.version.map(|version| format!("?version={version}")).unwrap_or_default();
    document(&visitor, path, asked.episode, &format!("care-plan{version}")).await
}

/// The care plan and what happened.
pub async fn handover(
    visitor: Visitor,
    path: Path<String>,
    Query(asked): Query<DocumentQuery>,
) -> Result<Response, ProblemPage> {
    document(&visitor, path, asked.episode, "handover").await
}

async fn document(
    visitor: &Visitor,
    Path(id): Path<String>,
    episode: Option<EpisodeId>,
    which: &str,
) -> Result<Response, ProblemPage> {
    let id: PatientId = id.parse().map_err(|_| Problem::not_found("patient"))?;
    let whole = PatientFile::read(visitor, id).await?;
    let stored = whole.episode(episode).ok_or_else(|| Problem::not_found("episode"))?;
    let path = format!("episodes/{}/{which}", stored.episode.id);
    let accept = [("accept", HeaderValue::from_static("text/html"))];
    Ok(visitor.pages.door.hand_on(&visitor.caller, &path, &accept).await)
}
