//! `POST /cds-services/{id}/feedback`

use axum::extract::Path;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::SERVICE;
use super::call::HookCall;
use super::card::name_of;
use crate::api::problem::ProblemBody;
use crate::listener::JsonBody;
use crate::problem::Problem;

/// More than any screen shows.
const MOST: usize = 100;

/// Feedback on cards.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Feedback {
    feedback: Vec<CardFeedback>,
}

/// Feedback on one card.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CardFeedback {
    /// The card's `uuid`.
    card: Uuid,
    /// Whether the card was accepted or overridden.
    outcome: FeedbackOutcome,
    /// Why it was put aside. Its words are not kept.
    override_reason: Option<OverrideReason>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum FeedbackOutcome {
    Accepted,
    Overridden,
}

#[derive(Debug, Deserialize, ToSchema)]
struct OverrideReason {
    reason: Option<OverrideCode>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct OverrideCode {
    /// A code of the card's `overrideReasons`, or of the EHR.
    code: Option<String>,
}

/// Takes feedback on cards. Each becomes a journal entry with the card's id, which leads to the entry of the card
/// itself.
#[utoipa::path(post, path = "/cds-services/{id}/feedback", tag = "cds-hooks",
    params(("id" = String, Path, description = "`cocm-standing`")), request_body = Feedback,
    responses((status = 200, description = "Heard"), (status = "4XX", description = "The token is not believed, or the call cannot be read",
        content_type = "application/problem+json", body = ProblemBody)))]
pub async fn hear(call: HookCall, Path(service): Path<String>, body: JsonBody<Feedback>) -> Result<(), Problem> {
    let JsonBody(Feedback { feedback }) = body;
    if service != SERVICE {
        return Err(Problem::not_found("CDS service"));
    }
    if feedback.len() > MOST {
        return Err(Problem::unprocessable(format!("at most {MOST} at once")).at("feedback"));
    }
    call.is_the_first().await?;
    let lines = feedback.iter().map(|one| {
        let mut line = call.line(None, "/cds-services/{id}/feedback", SERVICE);
        line.subject = Some(name_of(one.card));
        let reason = one.override_reason.as_ref().and_then(|why| why.reason.as_ref()?.code.as_deref());
        line.changes = Some(json!({ "outcome": one.outcome, "reason": reason.filter(|code| is_code(code)) }));
        call.app.journal.write(line)
    });
    futures_util::future::join_all(lines).await;
    Ok(())
}

/// A code, and not somebody's words.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
