//! Subscriptions that send to us, ours and others', and how far their events have come.

use chrono::{DateTime, Utc};

use super::ConnectionKey;
use crate::problem::Problem;
use crate::store::{ReadTx, WriteTx, failed};

/// One Subscription.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SubscriptionRecord {
    pub subscription: String,
    pub purpose: Option<String>,
    pub status: String,
    pub last_event: Option<i64>,
    pub missed_from: Option<i64>,
    pub heard_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

impl SubscriptionRecord {
    /// A Subscription of which only the name is known.
    pub fn new(subscription: String) -> Self {
        let status = String::new();
        let (purpose, last_event, missed_from, heard_at, expires_at, last_error) = Default::default();
        Self { subscription, purpose, status, last_event, missed_from, heard_at, expires_at, last_error }
    }
}

/// Every Subscription of a connection.
pub async fn all(tx: &mut ReadTx, of: ConnectionKey<'_>) -> Result<Vec<SubscriptionRecord>, Problem> {
    fetch_all!(
        tx,
        SubscriptionRecord,
        "SELECT subscription, purpose, status, last_event, missed_from, heard_at, expires_at, last_error
         FROM connection_subscription WHERE clinic_id = $1 AND connection = $2 ORDER BY subscription",
        of.clinic,
        of.connection
    )
    .map_err(failed)
}

/// One, by the server's name for it.
pub async fn find(
    tx: &mut ReadTx,
    of: ConnectionKey<'_>,
    subscription: &str,
) -> Result<Option<SubscriptionRecord>, Problem> {
    fetch_optional!(
        tx,
        SubscriptionRecord,
        "SELECT subscription, purpose, status, last_event, missed_from, heard_at, expires_at, last_error
         FROM connection_subscription WHERE clinic_id = $1 AND connection = $2 AND subscription = $3",
        of.clinic,
        of.connection,
        subscription
    )
    .map_err(failed)
}

/// Writes one down. What it is for, and when it ends, is not forgotten by who only heard it.
pub async fn put(tx: &mut WriteTx, of: ConnectionKey<'_>, one: &SubscriptionRecord) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO connection_subscription
           (clinic_id, connection, subscription, purpose, status, last_event, missed_from, heard_at, expires_at, last_error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (clinic_id, connection, subscription) DO UPDATE SET
           purpose = COALESCE($4, connection_subscription.purpose), status = $5, last_event = $6, missed_from = $7,
           heard_at = $8, expires_at = COALESCE($9, connection_subscription.expires_at), last_error = $10",
        of.clinic,
        of.connection,
        &one.subscription,
        &one.purpose,
        &one.status,
        one.last_event,
        one.missed_from,
        one.heard_at,
        one.expires_at,
        &one.last_error
    )
    .map(|_| ())
    .map_err(failed)
}

/// Forgets one: the server does not know it any more.
pub async fn forget(tx: &mut WriteTx, of: ConnectionKey<'_>, subscription: &str) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM connection_subscription WHERE clinic_id = $1 AND connection = $2 AND subscription = $3",
        of.clinic,
        of.connection,
        subscription
    )
    .map(|_| ())
    .map_err(failed)
}

/// Clears the missed events after recovery, unless more were missed meanwhile.
pub async fn recovered(tx: &mut WriteTx, of: ConnectionKey<'_>, subscription: &str, from: i64) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE connection_subscription SET missed_from = NULL
         WHERE clinic_id = $1 AND connection = $2 AND subscription = $3 AND missed_from = $4",
        of.clinic,
        of.connection,
        subscription,
        from
    )
    .map(|_| ())
    .map_err(failed)
}
