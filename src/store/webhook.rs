//! Positions of the webhooks in the event stream, and every delivery attempt.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// Position of a webhook in the event stream.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct WebhookCursor {
    pub seq: i64,
    pub part: i32,
    pub disabled: Option<String>,
}

/// Reads the position; `None` for a new webhook.
pub async fn cursor(tx: &mut ReadTx, clinic: &str, name: &str) -> Result<Option<WebhookCursor>, Problem> {
    fetch_optional!(
        tx,
        WebhookCursor,
        "SELECT seq, part, disabled FROM webhook WHERE clinic_id = $1 AND name = $2",
        clinic,
        name
    )
    .map_err(failed)
}

/// Begins to tell one from a line on. Nothing if it was begun.
pub async fn begin(tx: &mut WriteTx, clinic: &str, name: &str, seq: i64, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO webhook (clinic_id, name, seq, part, created_at, updated_at) VALUES ($1, $2, $3, 0, $4, $4)
         ON CONFLICT DO NOTHING",
        clinic,
        name,
        seq,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Claims one, or goes on holding it. `None` while another replica does.
pub async fn claim(
    tx: &mut WriteTx,
    clinic: &str,
    name: &str,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<WebhookCursor>, Problem> {
    returning_optional!(
        tx,
        WebhookCursor,
        "UPDATE webhook SET lease_token = $3, lease_until = $5 WHERE clinic_id = $1 AND name = $2
           AND (lease_until IS NULL OR lease_until <= $4 OR lease_token = $3)
         RETURNING seq, part, disabled",
        clinic,
        name,
        token,
        now,
        until
    )
    .map_err(failed)
}

pub async fn give_back(tx: &mut WriteTx, clinic: &str, name: &str, token: Uuid) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE webhook SET lease_token = NULL, lease_until = NULL WHERE clinic_id = $1 AND name = $2 AND lease_token = $3",
        clinic,
        name,
        token
    )
    .map(|_| ())
    .map_err(failed)
}

/// Stores the position of a webhook.
pub async fn advance_cursor(
    tx: &mut WriteTx,
    clinic: &str,
    name: &str,
    (seq, part): (i64, i32),
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE webhook SET seq = $3, part = $4, updated_at = $5 WHERE clinic_id = $1 AND name = $2",
        clinic,
        name,
        seq,
        part,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Stops telling one, for a reason; or goes on.
pub async fn disable(
    tx: &mut WriteTx,
    clinic: &str,
    name: &str,
    why: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE webhook SET disabled = $3, updated_at = $4 WHERE clinic_id = $1 AND name = $2",
        clinic,
        name,
        why,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// One event for one webhook.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct WebhookDelivery {
    pub id: Uuid,
    pub webhook: String,
    pub seq: i64,
    pub part: i32,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub body: String,
    pub state: String,
    pub attempts: i32,
    pub next_attempt_at: DateTime<Utc>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Stores one that is to be sent. Nothing if it is there.
pub async fn add(tx: &mut WriteTx, clinic: &str, d: &WebhookDelivery) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO webhook_delivery (clinic_id, id, webhook, seq, part, type, body, state, attempts, next_attempt_at,
           created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', 0, $8, $8, $8) ON CONFLICT DO NOTHING",
        clinic,
        d.id,
        &d.webhook,
        d.seq,
        d.part,
        &d.kind,
        &d.body,
        d.created_at
    )
    .map(|_| ())
    .map_err(failed)
}

/// The first one of a webhook that is still to be sent.
pub async fn pending(tx: &mut ReadTx, clinic: &str, webhook: &str) -> Result<Option<WebhookDelivery>, Problem> {
    fetch_optional!(
        tx,
        WebhookDelivery,
        "SELECT id, webhook, seq, part, type, body, state, attempts, next_attempt_at, last_error, created_at, updated_at
         FROM webhook_delivery WHERE clinic_id = $1 AND webhook = $2 AND state = 'pending' ORDER BY seq, part LIMIT 1",
        clinic,
        webhook
    )
    .map_err(failed)
}

pub async fn find(tx: &mut ReadTx, clinic: &str, id: Uuid) -> Result<Option<WebhookDelivery>, Problem> {
    fetch_optional!(
        tx,
        WebhookDelivery,
        "SELECT id, webhook, seq, part, type, body, state, attempts, next_attempt_at, last_error, created_at, updated_at
         FROM webhook_delivery WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .map_err(failed)
}

/// A page in order of id, narrowed to a webhook and a state where given.
pub async fn page(
    tx: &mut ReadTx,
    clinic: &str,
    (webhook, state): (Option<&str>, Option<&str>),
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<WebhookDelivery>, Problem> {
    fetch_all!(
        tx,
        WebhookDelivery,
        "SELECT id, webhook, seq, part, type, body, state, attempts, next_attempt_at, last_error, created_at, updated_at
         FROM webhook_delivery WHERE clinic_id = $1 AND ($2 IS NULL OR webhook = $2) AND ($3 IS NULL OR state = $3)
           AND id > $4 ORDER BY id LIMIT $5",
        clinic,
        webhook,
        state,
        after.unwrap_or_default(),
        limit
    )
    .map_err(failed)
}

/// Writes down how one stands after an attempt.
pub async fn settle(tx: &mut WriteTx, clinic: &str, d: &WebhookDelivery, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE webhook_delivery SET state = $3, attempts = $4, next_attempt_at = $5, last_error = $6, updated_at = $7
         WHERE clinic_id = $1 AND id = $2",
        clinic,
        d.id,
        &d.state,
        d.attempts,
        d.next_attempt_at,
        &d.last_error,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Sends one again now, whatever became of it, and lets its webhook go on. `false` if there is none.
pub async fn retry(tx: &mut WriteTx, clinic: &str, id: Uuid, now: DateTime<Utc>) -> Result<bool, Problem> {
    let row: Option<(String,)> = returning_optional!(
        tx,
        (String,),
        "UPDATE webhook_delivery SET state = 'pending', attempts = 0, next_attempt_at = $3, updated_at = $3
         WHERE clinic_id = $1 AND id = $2 RETURNING webhook",
        clinic,
        id,
        now
    )
    .map_err(failed)?;
    let Some((webhook,)) = row else { return Ok(false) };
    disable(tx, clinic, &webhook, None, now).await?;
    Ok(true)
}

/// One attempt to tell a webhook.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct WebhookAttempt {
    pub delivery_id: Uuid,
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub outcome: String,
    pub http_status: Option<i16>,
    pub detail: Option<String>,
    pub milliseconds: i32,
}

pub async fn attempted(tx: &mut WriteTx, clinic: &str, a: &WebhookAttempt) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO webhook_attempt (clinic_id, delivery_id, id, at, outcome, http_status, detail, milliseconds)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        clinic,
        a.delivery_id,
        a.id,
        a.at,
        &a.outcome,
        a.http_status,
        &a.detail,
        a.milliseconds
    )
    .map(|_| ())
    .map_err(failed)
}

/// The attempts of a delivery, in order.
pub async fn attempts(tx: &mut ReadTx, clinic: &str, delivery: Uuid) -> Result<Vec<WebhookAttempt>, Problem> {
    fetch_all!(
        tx,
        WebhookAttempt,
        "SELECT delivery_id, id, at, outcome, http_status, detail, milliseconds FROM webhook_attempt
         WHERE clinic_id = $1 AND delivery_id = $2 ORDER BY at, id",
        clinic,
        delivery
    )
    .map_err(failed)
}

/// Whether anything was delivered before an instant, and is still kept.
pub async fn is_told_before(tx: &mut ReadTx, clinic: &str, before: DateTime<Utc>) -> Result<bool, Problem> {
    let found: Option<(Uuid,)> = fetch_optional!(
        tx,
        (Uuid,),
        "SELECT id FROM webhook_delivery WHERE clinic_id = $1 AND state = 'delivered' AND updated_at < $2 LIMIT 1",
        clinic,
        before
    )
    .map_err(failed)?;
    Ok(found.is_some())
}

/// Forgets what was delivered before an instant, with its attempts: at most `limit`, the oldest first. What is parked or
/// still to be sent stays. Answers how many.
pub async fn forget(tx: &mut WriteTx, clinic: &str, before: DateTime<Utc>, limit: i64) -> Result<u64, Problem> {
    execute!(
        tx,
        "DELETE FROM webhook_attempt WHERE clinic_id = $1 AND delivery_id IN (
           SELECT id FROM webhook_delivery WHERE clinic_id = $1 AND state = 'delivered' AND updated_at < $2
           ORDER BY updated_at, id LIMIT $3)",
        clinic,
        before,
        limit
    )
    .map_err(failed)?;
    execute!(
        tx,
        "DELETE FROM webhook_delivery WHERE clinic_id = $1 AND id IN (
           SELECT id FROM webhook_delivery WHERE clinic_id = $1 AND state = 'delivered' AND updated_at < $2
           ORDER BY updated_at, id LIMIT $3)",
        clinic,
        before,
        limit
    )
    .map_err(failed)
}
