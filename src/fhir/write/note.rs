//! Text of messages and notes for charts that accept neither Task nor Flag: for a doctor, short and calm.

use crate::domain::chart_plan::WriteIntent;
use crate::domain::task::{Code, Posture};

use super::parts::{AUTHOR, title};
use super::task::{display, ended_because};

/// Whether it is about safety. Notes are seen by everybody who opens the chart, the patient among them, so that such a
/// one says whom to speak to, and not why.
pub(super) fn is_about_safety(code: Code) -> bool {
    matches!(code, Code::SafetyAssessment | Code::SafetyEscalation | Code::AskItem9 | Code::CocmSafety)
}

/// Subject in one line.
pub(super) fn heading(intent: &WriteIntent) -> String {
    let about = if is_about_safety(intent.desired.code) { "see the care manager" } else { title(intent.desired.code) };
    format!("Collaborative Care: {}", about.trim_start_matches("CoCM: "))
}

/// The paragraphs of a note as it stands: what ended it comes first, where something did.
pub(super) fn paragraphs(intent: &WriteIntent) -> Vec<String> {
    let ending = (intent.desired.posture != Posture::Open).then(|| ending(intent));
    ending.into_iter().chain([opening(intent)]).collect()
}

/// The request: what, why, for whom, until when, and its source.
pub(super) fn opening(intent: &WriteIntent) -> String {
    let plan = &intent.desired;
    let names =
        std::iter::once(&intent.owner_display).chain(intent.also_for_display.iter().chain(std::iter::repeat(&None)));
    let asked = std::iter::once(plan.owner).chain(plan.also_for.iter().copied()).zip(names);
    let asked: Vec<&str> = asked.map(|(owner, name)| display(owner, name.as_deref())).collect();
    let mut lines = vec![format!("{}.", heading(intent))];
    if is_about_safety(plan.code) {
        lines.push("Please speak with the care manager about this patient.".to_owned());
    } else if !plan.reason.trim().is_empty() {
        lines.push(plan.reason.trim().to_owned());
    }
    let by = plan.due_on.map(|on| format!(", by {on}")).unwrap_or_default();
    lines.push(format!("For: {}{by}.", asked.join(", ")));
    lines.push(format!("From the Collaborative Care registry ({AUTHOR}), {}.", intent.authored_on.date_naive()));
    lines.join("\n")
}

/// The closing text: no longer called for, and why.
pub(super) fn ending(intent: &WriteIntent) -> String {
    let (what, since) = (heading(intent), intent.authored_on.date_naive());
    if is_about_safety(intent.desired.code) {
        return format!("Closed: {what} ({since}). Questions go to the care manager.");
    }
    let opening = match intent.desired.posture {
        Posture::Fulfilled => "Done",
        Posture::EnteredInError => "Written in error, its evidence was retracted",
        Posture::Open | Posture::Withdrawn => "No longer called for",
    };
    format!("{opening}: {what} ({since}). {}", ended_because(intent))
}

/// Text of the `number`-th follow-up: odd ones say that it is no longer called for, even ones that it is again.
pub(super) fn follow_up(intent: &WriteIntent, number: u32) -> String {
    if is_ending(number) { ending(intent) } else { format!("Called for again.\n{}", opening(intent)) }
}

/// Whether the `number`-th follow-up is an ending.
pub fn is_ending(number: u32) -> bool {
    number % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::write::flag::tests::intent;

    #[test]
    fn a_note_says_what_why_for_whom_until_when_and_from_whom() {
        let mut intent = intent(Code::PsychiatricCaseReview, Posture::Open);
        intent.desired.due_on = Some("2026-03-09".parse().unwrap());
        intent.desired.reason = "PHQ-9 is 17 after ten weeks.".to_owned();
        intent.owner_display = Some("Dr. Berg".to_owned());
        insta::assert_snapshot!(paragraphs(&intent).join("\n\n"), @r"
        Collaborative Care: Psychiatric case review.
        PHQ-9 is 17 after ten weeks.
        For: Dr. Berg, by 2026-03-09.
        From the Collaborative Care registry (cocm-registry), 2026-03-02.
        ");
        intent.desired.posture = Posture::Fulfilled;
        intent.ended_because = Some("Reviewed on 2026-03-05.".to_owned());
        insta::assert_snapshot!(paragraphs(&intent)[0], @"Done: Collaborative Care: Psychiatric case review (2026-03-02). Reviewed on 2026-03-05.");
    }

    #[test]
    fn what_is_about_safety_says_whom_to_see_and_not_why() {
        for code in [Code::SafetyAssessment, Code::SafetyEscalation, Code::AskItem9, Code::CocmSafety] {
            let mut intent = intent(code, Posture::Open);
            let open = opening(&intent);
            intent.desired.posture = Posture::Withdrawn;
            intent.ended_because = Some("Item 9 was answered with 0.".to_owned());
            let said =
                format!("{open} {} {} {}", ending(&intent), follow_up(&intent, 2), heading(&intent)).to_lowercase();
            for word in ["item 9", "suicid", "phq", "answered", "risk"] {
                assert!(!said.contains(word), "{said}");
            }
            assert!(said.contains("speak with the care manager"), "{said}");
        }
    }
}
