//! Identity of people in a list: what tells two of one name apart.

use std::collections::HashMap;

use crate::fhir::contact_details::ContactDetails;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::{ReadTx, patient, resource};

/// Birth date and record number, as far as the chart sends them.
#[derive(Clone, Debug, Default)]
pub struct PersonIdentity {
    pub birth_date: Option<String>,
    /// The record number; where none is known, the chart's own id.
    pub number: Option<String>,
}

/// The identity of each of these patients.
pub async fn read(
    tx: &mut ReadTx,
    clinic: &str,
    ids: impl IntoIterator<Item = PatientId>,
) -> Result<HashMap<PatientId, PersonIdentity>, Problem> {
    let mut ids: Vec<PatientId> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let patients = patient::find_each(tx, clinic, &ids).await?;
    let chart_id = |reference: &str| reference.strip_prefix("Patient/").map(str::to_owned);
    let chart_ids: Vec<String> = patients.iter().filter_map(|patient| chart_id(&patient.reference)).collect();
    let sent = resource::find_each(tx, clinic, "Patient", &chart_ids).await?;
    let mut numbers: HashMap<String, String> =
        sent.into_iter().filter_map(|sent| Some((sent.id, ContactDetails::of(&sent.body).record_number?))).collect();
    let identity = |patient: patient::Patient| {
        let own = chart_id(&patient.reference);
        let number = own.as_ref().and_then(|id| numbers.remove(id)).or(own);
        (patient.id, PersonIdentity { birth_date: patient.birth_date, number })
    };
    Ok(patients.into_iter().map(identity).collect())
}
