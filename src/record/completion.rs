//! A form without a subject or a date, completed by a person.

use super::identify::locked;
use super::working_set::WorkingSet;
use crate::fhir::content::{DATE_DOUBTS, Doubt, Evidence, EvidenceTime, SUBJECT_DOUBTS};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::completion::Completion;

/// Keeps what a person said about a resource. The patient has to be known here.
pub(super) fn keep(set: &mut WorkingSet, (kind, id): (&str, &str), said: Completion) -> Result<(), Problem> {
    if let Some(patient) = said.patient_id {
        locked(set, patient)?;
    }
    set.complete(kind, id, said)
}

/// The evidence with what a person said about it, and the patient; `None` where nobody had to say anything.
pub(super) fn completed(
    set: &mut WorkingSet,
    (kind, id): (&str, &str),
    evidence: &Evidence,
) -> Result<Option<(Evidence, Option<PatientId>)>, Problem> {
    if !evidence.can_be_completed() {
        return Ok(None);
    }
    let Some(said) = set.completion(kind, id)? else { return Ok(None) };
    Ok(Some((applied(evidence, &said), said.patient_id.filter(|_| evidence.subject.is_none()))))
}

fn applied(evidence: &Evidence, said: &Completion) -> Evidence {
    let mut evidence = evidence.clone();
    let code = evidence.doubt.as_ref().map_or("", |doubt| doubt.code);
    let is_dated = evidence.taken.is_some() && code != "future_authored";
    if let (false, Some(at), Some(on)) = (is_dated, said.taken_at, said.taken_on) {
        evidence.taken = Some(EvidenceTime { at, on });
    }
    let lacks_patient = evidence.subject.is_none() && said.patient_id.is_none();
    let lacks_date = if code == "future_authored" { said.taken_on.is_none() } else { evidence.taken.is_none() };
    evidence.doubt = match (lacks_patient, lacks_date) {
        (false, false) => None,
        (true, false) if DATE_DOUBTS.contains(&code) => {
            Some(Doubt { code: "no_subject", detail: "it is not known whom it is about".to_owned() })
        }
        (false, true) if SUBJECT_DOUBTS.contains(&code) => {
            Some(Doubt { code: "no_authored", detail: "it is unknown when this was taken".to_owned() })
        }
        _ => evidence.doubt,
    };
    evidence
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rstest::rstest;

    use super::*;
    use crate::domain::measurement::EvidenceStatus;
    use crate::fhir::content::Subject;

    #[rstest]
    #[case("no_subject", true, (true, false), None)]
    #[case("no_subject", false, (true, false), Some("no_authored"))]
    #[case("no_subject", false, (true, true), None)]
    #[case("no_subject", false, (false, true), Some("no_subject"))]
    #[case("no_authored", false, (true, true), None)]
    #[case("no_authored", false, (true, false), Some("no_authored"))]
    #[case("future_authored", true, (true, false), Some("future_authored"))]
    #[case("future_authored", true, (true, true), None)]
    fn what_is_still_missing_is_still_asked_for(
        #[case] code: &'static str,
        #[case] is_dated: bool,
        #[case] (patient, date): (bool, bool),
        #[case] left: Option<&str>,
    ) {
        let (at, on) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH.date_naive());
        let evidence = Evidence {
            subject: (code != "no_subject").then(|| Subject::Urn("urn:uuid:1".to_owned())),
            counting: EvidenceStatus::Submitted,
            taken: is_dated.then_some(EvidenceTime { at, on }),
            readings: Vec::new(),
            doubt: Some(Doubt { code, detail: String::new() }),
            language: None,
            members: Vec::new(),
        };
        let said = Completion {
            patient_id: patient.then(|| PatientId(uuid::Uuid::nil())),
            taken_at: date.then_some(at),
            taken_on: date.then_some(on),
            completed_at: at,
            completed_by: "ana".to_owned(),
        };
        assert_eq!(applied(&evidence, &said).doubt.map(|doubt| doubt.code), left);
    }
}
