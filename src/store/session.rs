//! Sign-in sessions of the pages.

use chrono::{DateTime, Utc};

use super::{ReadTx, WriteTx, failed};
use crate::identity::Role;
use crate::problem::Problem;

/// A person's sign-in session.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SignInSession {
    /// A hash of what the browser's cookie holds.
    pub id: String,
    /// Subject, for the audit log.
    pub subject: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
    pub name: String,
    /// Token that forms send back (CSRF).
    pub csrf: String,
    pub created_at: DateTime<Utc>,
    /// When something was last asked for.
    pub seen_at: DateTime<Utc>,
}

/// By whose word somebody is signed in: what the provider wants to see when they sign out.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct IdToken {
    pub issuer: String,
    pub id_token: String,
}

/// Keeps by whose word somebody is signed in.
pub async fn keep_id_token(tx: &mut WriteTx, clinic: &str, id: &str, id_token: &IdToken) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE session SET issuer = $3, id_token = $4 WHERE clinic_id = $1 AND id = $2",
        clinic,
        id,
        &id_token.issuer,
        &id_token.id_token
    )
    .map(|_| ())
    .map_err(failed)
}

/// By whose word somebody is signed in.
pub async fn id_token(tx: &mut ReadTx, clinic: &str, id: &str) -> Result<Option<IdToken>, Problem> {
    fetch_optional!(
        tx,
        IdToken,
        "SELECT issuer, id_token FROM session
         WHERE clinic_id = $1 AND id = $2 AND issuer IS NOT NULL AND id_token IS NOT NULL",
        clinic,
        id
    )
    .map_err(failed)
}

/// The session of a cookie.
pub async fn find(tx: &mut ReadTx, clinic: &str, id: &str) -> Result<Option<SignInSession>, Problem> {
    fetch_optional!(
        tx,
        SignInSession,
        "SELECT id, subject, role, name, csrf, created_at, seen_at FROM session WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .map_err(failed)
}

/// Signs somebody in.
pub async fn insert(tx: &mut WriteTx, clinic: &str, s: &SignInSession) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO session (clinic_id, id, subject, role, name, csrf, created_at, seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        clinic,
        &s.id,
        &s.subject,
        s.role.as_str(),
        &s.name,
        &s.csrf,
        s.created_at,
        s.seen_at
    )
    .map(|_| ())
    .map_err(failed)
}

/// Notes that somebody is still there.
pub async fn touch(tx: &mut WriteTx, clinic: &str, id: &str, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(tx, "UPDATE session SET seen_at = $3 WHERE clinic_id = $1 AND id = $2", clinic, id, now)
        .map(|_| ())
        .map_err(failed)
}

/// Signs somebody out.
pub async fn delete(tx: &mut WriteTx, clinic: &str, id: &str) -> Result<(), Problem> {
    execute!(tx, "DELETE FROM session WHERE clinic_id = $1 AND id = $2", clinic, id).map(|_| ()).map_err(failed)
}

/// Forgets who has been away since before a moment.
pub async fn forget(tx: &mut WriteTx, clinic: &str, before: DateTime<Utc>) -> Result<u64, Problem> {
    execute!(tx, "DELETE FROM session WHERE clinic_id = $1 AND seen_at < $2", clinic, before).map_err(failed)
}
