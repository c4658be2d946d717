//! Open episodes by the patients' own doctor.

use super::AttentionKey;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::{ReadTx, failed};

/// A doctor, as episodes name them.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct DoctorCount {
    pub name: String,
    /// Open episodes of the doctor's patients.
    pub episodes: i64,
}

/// The doctors of a clinic's open episodes, by name.
pub async fn doctors(tx: &mut ReadTx, clinic: &str) -> Result<Vec<DoctorCount>, Problem> {
    fetch_all!(
        tx,
        DoctorCount,
        "SELECT primary_care_provider AS name, COUNT(*) AS episodes FROM episode
         WHERE clinic_id = $1 AND discharged_on IS NULL AND primary_care_provider IS NOT NULL
         GROUP BY primary_care_provider ORDER BY primary_care_provider",
        clinic
    )
    .map_err(failed)
}

/// The open episodes of a doctor's patients, most pressing first (R15).
pub async fn episodes_of_doctor(tx: &mut ReadTx, clinic: &str, doctor: &str) -> Result<Vec<EpisodeId>, Problem> {
    // Ordered here: by the order of attention, SQLite would walk the whole clinic.
    let mut rows: Vec<AttentionKey> = fetch_all!(
        tx,
        AttentionKey,
        "SELECT s.attention, s.waiting_since, -COALESCE(s.latest_score, -1), s.episode_id
         FROM episode e JOIN standing s ON s.clinic_id = e.clinic_id AND s.episode_id = e.id
         WHERE e.clinic_id = $1 AND e.primary_care_provider = $2 AND e.discharged_on IS NULL
           AND s.status <> 'discharged'",
        clinic,
        doctor
    )
    .map_err(failed)?;
    rows.sort_unstable();
    Ok(rows.into_iter().map(|(.., episode)| episode).collect())
}
