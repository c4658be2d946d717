//! The ledger of the chart, and leases for writing.
//!
//! ```text
//!            planned                    written
//!  (absent) ────────► pending ─────────────────────► settled ──┐ planned otherwise
//!                       ▲  │ refused for good                  │
//!                       │  ├────────────► parked ──── retry ───┤
//!                       │  │ a person closed it                │
//!                       │  └────────────► closed_in_chart      │
//!                       └──────────────────────────────────────┘
//! ```
//!
//! Work is claimed by patient: one lane each, one lease on a lane, so that one write per patient is in flight.

/// The columns of a [`Delivery`].
macro_rules! columns {
    () => {
        "patient_id, key, id, posture, intent, digest, revision, settled_revision, settled_posture, state, attempts,
         outcome_unknown, unanswered, next_attempt_at, chart_id, rung, follow_ups, last_error, chart_status, chart_seen_at,
         chart_version, chart_updated_at, written_version, drift, heals, created_at, updated_at"
    };
}

mod attempt;
mod climb;
mod lane;
mod chart_status;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::{Tx, failed};
use crate::domain::chart_plan::{Rung, Slot, WriteIntent};
use crate::domain::read_back::Drift;
use crate::domain::task::{Code, Posture};
use crate::id::PatientId;
use crate::problem::Problem;

pub use attempt::{DeliveryAttempt, attempted, attempts};
pub use chart_status::{ChartNote, Example, by_chart_id, example, look, record, unseen};
pub use climb::{below, climb, is_anything_below};
pub use lane::{Lane, claim, clinics_due, give_back, held, next_due, prolong, wake};

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Must be written, or written again.
    Pending,
    /// The chart agrees with the plan.
    Settled,
    /// The chart refused it: a person has to look.
    Parked,
    /// A person closed it in the chart: it is theirs.
    ClosedInChart,
}

impl DeliveryState {
    /// Stored and displayed name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Settled => "settled",
            Self::Parked => "parked",
            Self::ClosedInChart => "closed_in_chart",
        }
    }
}

impl TryFrom<String> for DeliveryState {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        match s.as_str() {
            "pending" => Ok(Self::Pending),
            "settled" => Ok(Self::Settled),
            "parked" => Ok(Self::Parked),
            "closed_in_chart" => Ok(Self::ClosedInChart),
            _ => Err("must be one of pending, settled, parked, closed_in_chart".to_owned()),
        }
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Delivery {
    pub patient_id: PatientId,
    pub key: String,
    pub id: Uuid,
    #[sqlx(try_from = "String")]
    pub posture: Posture,
    pub intent: Json<WriteIntent>,
    pub digest: String,
    pub revision: i64,
    pub settled_revision: i64,
    pub settled_posture: Option<String>,
    #[sqlx(try_from = "String")]
    pub state: DeliveryState,
    pub attempts: i32,
    pub outcome_unknown: bool,
    pub unanswered: String,
    pub next_attempt_at: DateTime<Utc>,
    pub chart_id: Option<String>,
    pub rung: Option<String>,
    pub follow_ups: i32,
    pub last_error: Option<String>,
    pub chart_status: Option<String>,
    pub chart_seen_at: Option<DateTime<Utc>>,
    pub chart_version: Option<String>,
    pub chart_updated_at: Option<DateTime<Utc>>,
    pub written_version: Option<String>,
    pub drift: Option<String>,
    pub heals: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Delivery {
    /// The rung that it took, or was tried on last.
    pub fn rung(&self) -> Option<Rung> {
        self.rung.as_deref().and_then(|rung| rung.parse().ok())
    }
}

/// The part of a ledger row that is compared with a new plan.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LedgerEntry {
    pub key: String,
    #[sqlx(try_from = "String")]
    pub code: Code,
    #[sqlx(try_from = "String")]
    pub state: DeliveryState,
    #[sqlx(try_from = "String")]
    pub posture: Posture,
    pub identifier: String,
    pub digest: String,
    pub created_at: DateTime<Utc>,
}

impl LedgerEntry {
    /// What it occupies.
    pub fn slot(&self) -> Slot {
        Slot::of(self.code, &self.key)
    }
}

/// Ledger entries of a patient.
pub async fn entries(tx: &mut Tx, clinic: &str, patient: PatientId) -> Result<Vec<LedgerEntry>, Problem> {
    fetch_all!(
        tx,
        LedgerEntry,
        "SELECT key, code, state, posture, identifier, digest, created_at FROM delivery WHERE clinic_id = $1 AND patient_id = $2 ORDER BY key",
        clinic,
        patient
    )
    .map_err(failed)
}

/// Reads one row by patient and key.
pub async fn find(tx: &mut Tx, clinic: &str, patient: PatientId, key: &str) -> Result<Option<Delivery>, Problem> {
    fetch_optional!(
        tx,
        Delivery,
        concat!("SELECT ", columns!(), " FROM delivery WHERE clinic_id = $1 AND patient_id = $2 AND key = $3"),
        clinic,
        patient,
        key
    )
    .map_err(failed)
}

/// Reads one row by its id.
pub async fn by_id(tx: &mut Tx, clinic: &str, id: Uuid) -> Result<Option<Delivery>, Problem> {
    fetch_optional!(
        tx,
        Delivery,
        concat!("SELECT ", columns!(), " FROM delivery WHERE clinic_id = $1 AND id = $2"),
        clinic,
        id
    )
    .inspect(|row| note(row.as_ref().map(|d| d.patient_id)))
    .map_err(failed)
}

/// Open items of a patient's chart plan with their delivery state, most urgent first, then soonest due.
pub async fn standing(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
) -> Result<Vec<(WriteIntent, DeliveryState)>, Problem> {
    let rows = fetch_all!(
        tx,
        (Json<WriteIntent>, String),
        "SELECT intent, state FROM delivery WHERE clinic_id = $1 AND patient_id = $2 AND posture = 'open' ORDER BY key",
        clinic,
        patient
    )
    .map_err(failed)?;
    note([patient]);
    let mut all: Vec<_> =
        rows.into_iter().filter_map(|(intent, state)| Some((intent.0, DeliveryState::try_from(state).ok()?))).collect();
    all.sort_by_key(|(intent, _)| {
        let desired = &intent.desired;
        (std::cmp::Reverse(desired.priority), desired.due_on.is_none(), desired.due_on)
    });
    Ok(all)
}

/// Filter for the ledger; all given conditions must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryFilter {
    pub state: Option<DeliveryState>,
    /// About this patient.
    pub patient: Option<PatientId>,
    /// Where the chart differs in this way.
    pub drift: Option<Drift>,
}

/// A page of the ledger in order of id. Each text reads the index of the narrowest thing that is asked for.
pub async fn page(
    tx: &mut Tx,
    clinic: &str,
    which: DeliveryFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Delivery>, Problem> {
    let after = after.unwrap_or_default();
    let (state, drift) = (which.state.map(DeliveryState::as_str), which.drift.map(Drift::as_str));
    macro_rules! text {
        ($index:literal, $order:literal) => {
            concat!("SELECT ", columns!(), " FROM delivery WHERE clinic_id = $1 AND id > $2 AND ", $index, $order)
        };
    }
    let rows = if let Some(patient) = which.patient {
        // A patient has few of them: without an order, SQLite does not walk the clinic in the order of ids.
        let text = text!("patient_id = $3 AND ($4 IS NULL OR state = $4) AND ($5 IS NULL OR drift = $5)", "");
        let mut rows = fetch_all!(tx, Delivery, text, clinic, after, patient, state, drift).map_err(failed)?;
        rows.sort_by_key(|row| row.id);
        rows.truncate(usize::try_from(limit).unwrap_or(0));
        rows
    } else if let Some(drift) = drift {
        let text = text!("drift = $3 AND ($4 IS NULL OR state = $4)", " ORDER BY id LIMIT $5");
        fetch_all!(tx, Delivery, text, clinic, after, drift, state, limit).map_err(failed)?
    } else if let Some(state) = state {
        let text = if which.state == Some(DeliveryState::Settled) {
            text!("state = $3", " ORDER BY id LIMIT $4")
        } else {
            text!("state = $3 AND state <> 'settled'", " ORDER BY id LIMIT $4")
        };
        fetch_all!(tx, Delivery, text, clinic, after, state, limit).map_err(failed)?
    } else {
        let text = text!("TRUE", " ORDER BY id LIMIT $3");
        fetch_all!(tx, Delivery, text, clinic, after, limit).map_err(failed)?
    };
    note(rows.iter().map(|d| d.patient_id));
    Ok(rows)
}

/// Writes what should stand in the chart from now on. A row that a person closed in the chart stays closed: what is
/// planned for it is kept for reading and not sent.
pub async fn plan(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    id: Uuid,
    intent: &WriteIntent,
    digest: &str,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO delivery (clinic_id, patient_id, key, id, resource, code, priority, posture, intent, digest, revision,
           settled_revision, state, attempts, outcome_unknown, next_attempt_at, created_at, updated_at, identifier)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, 0, 'pending', 0, FALSE, $11, $11, $11, $12)
         ON CONFLICT (clinic_id, patient_id, key) DO UPDATE SET priority = $7, posture = $8, intent = $9, digest = $10,
           revision = delivery.revision + 1, attempts = 0, heals = 0, next_attempt_at = $11, updated_at = $11,
           state = CASE WHEN delivery.state = 'closed_in_chart' THEN delivery.state ELSE 'pending' END",
        clinic,
        patient,
        &intent.desired.key,
        id,
        intent.desired.resource.as_str(),
        intent.desired.code.as_str(),
        intent.desired.priority.as_str(),
        intent.desired.posture.as_str(),
        Json(intent),
        digest,
        now,
        &intent.identifier
    )
    .map(|_| ())
    .map_err(failed)
}

/// Pending deliveries of a patient: most urgent first, then oldest.
pub async fn pending(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    now: DateTime<Utc>,
) -> Result<Vec<Delivery>, Problem> {
    fetch_all!(
        tx,
        Delivery,
        concat!(
            "SELECT ",
            columns!(),
            " FROM delivery WHERE clinic_id = $1 AND patient_id = $2 AND state = 'pending' AND next_attempt_at <= $3
         ORDER BY CASE priority WHEN 'stat' THEN 0 WHEN 'urgent' THEN 1 ELSE 2 END, created_at, key"
        ),
        clinic,
        patient,
        now
    )
    .map_err(failed)
}

/// Remembers, before a call, that its outcome will be unknown if we stop here, and on which rung to look for it.
pub async fn sending(
    tx: &mut Tx,
    lane: &Lane,
    key: &str,
    rung: Rung,
    unanswered: &[Posture],
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    execute!(
        tx,
        "UPDATE delivery SET outcome_unknown = TRUE, unanswered = $6, rung = $7, updated_at = $5
         WHERE clinic_id = $1 AND patient_id = $2 AND key = $3 AND EXISTS (
           SELECT 1 FROM lane WHERE clinic_id = $1 AND patient_id = $2 AND lease_token = $4)",
        &lane.clinic_id,
        lane.patient_id,
        key,
        lane.lease_token,
        now,
        unanswered.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(","),
        rung.as_str()
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The revision that was tried.
    pub revision: i64,
    /// Whether the chart has it.
    pub written: bool,
    /// State of the delivery now.
    pub state: DeliveryState,
    /// How the chart stands, where we know.
    pub posture: Option<Posture>,
    /// The id in the chart.
    pub chart_id: Option<String>,
    /// Rung of the ladder that was used, if any.
    pub rung: Option<Rung>,
    /// How many follow-ups the chart has.
    pub follow_ups: i32,
    /// Attempts since the intent last changed.
    pub attempts: i32,
    /// Whether the chart may have executed it all the same.
    pub outcome_unknown: bool,
    /// The postures that the chart may have, though no answer said so.
    pub unanswered: Vec<Posture>,
    /// When to try again, for `Pending`.
    pub next_attempt_at: DateTime<Utc>,
    /// Error text, without patient data.
    pub error: Option<String>,
    /// Its status in the chart, where we know.
    pub chart_status: Option<String>,
    /// The version that was written, or found as wanted.
    pub version: Option<String>,
    /// How the chart differs from what was asked for.
    pub drift: Option<Drift>,
}

/// Records the result of an attempt. `false` if the lease was lost meanwhile: then nothing is written. If the plan
/// changed meanwhile, the row stays pending.
pub async fn settle(tx: &mut Tx, lane: &Lane, key: &str, s: &Settlement, now: DateTime<Utc>) -> Result<bool, Problem> {
    execute!(
        tx,
        "UPDATE delivery SET
           settled_revision = CASE WHEN $16 THEN $5 ELSE settled_revision END,
           state = CASE WHEN revision > $5 AND $6 <> 'closed_in_chart' THEN 'pending' ELSE $6 END,
           attempts = CASE WHEN revision > $5 THEN 0 ELSE $7 END,
           next_attempt_at = CASE WHEN revision > $5 THEN $13 ELSE $8 END,
           settled_posture = COALESCE($9, settled_posture), chart_id = COALESCE($10, chart_id), rung = COALESCE($11, rung),
           outcome_unknown = $12, unanswered = $15, last_error = $14, follow_ups = $20, updated_at = $13,
           chart_status = COALESCE($17, chart_status), written_version = COALESCE($18, written_version),
           chart_version = CASE WHEN $18 IS NULL THEN chart_version END, drift = CASE WHEN $16 THEN $19 ELSE drift END
         WHERE clinic_id = $1 AND patient_id = $2 AND key = $3 AND EXISTS (
           SELECT 1 FROM lane WHERE clinic_id = $1 AND patient_id = $2 AND lease_token = $4)",
        &lane.clinic_id,
        lane.patient_id,
        key,
        lane.lease_token,
        s.revision,
        s.state.as_str(),
        s.attempts,
        s.next_attempt_at,
        s.posture.map(Posture::as_str),
        &s.chart_id,
        s.rung.map(Rung::as_str),
        s.outcome_unknown,
        now,
        &s.error,
        s.unanswered.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(","),
        s.written,
        &s.chart_status,
        &s.version,
        s.drift.map(Drift::as_str),
        s.follow_ups
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Sends a parked or waiting delivery again now, and wakes its lane. `false` if there is none of that id that could be
/// sent.
pub async fn retry(tx: &mut Tx, clinic: &str, id: Uuid, now: DateTime<Utc>) -> Result<bool, Problem> {
    let row: Option<(PatientId,)> = fetch_optional!(
        tx,
        (PatientId,),
        "UPDATE delivery SET state = 'pending', attempts = 0, next_attempt_at = $3, updated_at = $3
         WHERE clinic_id = $1 AND id = $2 AND state IN ('pending', 'parked') RETURNING patient_id",
        clinic,
        id,
        now
    )
    .map_err(failed)?;
    let Some((patient,)) = row else { return Ok(false) };
    wake(tx, clinic, patient, now).await?;
    Ok(true)
}

/// How many deliveries are in a state, and since when the one that has been in it longest.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StateCount {
    /// The state, or `below`.
    pub state: String,
    pub count: i64,
    /// When the one that did not change for longest changed last.
    pub oldest: Option<DateTime<Utc>>,
}

/// How many deliveries of a clinic are in which state; what is settled without standing in the chart is `below` it.
pub async fn tally(tx: &mut Tx, clinic: &str) -> Result<Vec<StateCount>, Problem> {
    fetch_all!(
        tx,
        StateCount,
        "SELECT CASE WHEN state = 'settled' AND rung IN ('cds-card', 'worklist') THEN 'below' ELSE state END AS state,
           COUNT(*) AS count, MIN(updated_at) AS oldest
         FROM delivery WHERE clinic_id = $1 GROUP BY 1",
        clinic
    )
    .map_err(failed)
}
