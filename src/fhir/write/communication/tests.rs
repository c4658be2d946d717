use super::*;
use crate::fhir::write::WriteForm;
use crate::fhir::write::flag::tests::intent;
use rstest::rstest;
use serde_json::json;

const SYSTEM: &str = "urn:ours";

fn planned(intent: &WriteIntent, updates: bool) -> Planned<'_> {
    Planned { intent, form: WriteForm::Communication, system: SYSTEM, updates }
}

fn review(posture: Posture) -> WriteIntent {
    let mut intent = intent(Code::PsychiatricCaseReview, posture);
    intent.desired.resource = ChartResource::Task;
    intent.desired.reason = "PHQ-9 is 17 after ten weeks.".to_owned();
    intent
}

#[test]
fn a_communication_says_who_asks_whom_for_what_and_why() {
    let mut said = communication(planned(&review(Posture::Open), true));
    assert_eq!(said["payload"].as_array().unwrap().len(), 1);
    said["payload"] = json!(null);
    insta::assert_json_snapshot!(said, @r#"
    {
      "about": [
        {
          "reference": "QuestionnaireResponse/9"
        }
      ],
      "category": [
        {
          "coding": [
            {
              "code": "notification",
              "display": "Notification",
              "system": "http://terminology.hl7.org/CodeSystem/communication-category"
            }
          ]
        }
      ],
      "identifier": [
        {
          "system": "urn:ours",
          "value": "c/p/flag"
        }
      ],
      "payload": null,
      "priority": "routine",
      "reasonCode": [
        {
          "text": "nonresponse"
        }
      ],
      "recipient": [
        {
          "display": "Behavioral care manager"
        }
      ],
      "resourceType": "Communication",
      "sender": {
        "display": "cocm-registry",
        "type": "Device"
      },
      "sent": "2026-03-02T09:00:00Z",
      "status": "in-progress",
      "subject": {
        "reference": "Patient/1"
      },
      "topic": {
        "coding": [
          {
            "code": "psychiatric-case-review",
            "system": "https://cocm-registry.dev/fhir/CodeSystem/task"
          }
        ],
        "text": "Collaborative Care: Psychiatric case review"
      }
    }
    "#);
}

#[rstest]
#[case(Posture::Open, true, "in-progress")]
#[case(Posture::Open, false, "completed")]
#[case(Posture::Fulfilled, true, "completed")]
#[case(Posture::Withdrawn, true, "stopped")]
#[case(Posture::EnteredInError, true, "entered-in-error")]
fn the_status_says_what_holds(#[case] posture: Posture, #[case] updates: bool, #[case] status: &str) {
    let said = communication(planned(&review(posture), updates));
    assert_eq!(said["status"], status);
    assert_eq!(said.get("statusReason").is_some(), posture != Posture::Open);
}

#[test]
fn what_is_about_safety_is_restricted_and_names_no_evidence() {
    let said = communication(planned(&intent(Code::SafetyAssessment, Posture::Open), true));
    assert_eq!(said["meta"]["security"][0]["code"], "R");
    assert_eq!(said["topic"]["coding"][0]["code"], "cocm-safety");
    assert_eq!((said.get("about"), said.get("reasonCode")), (None, None));
    assert!(!said.to_string().to_lowercase().contains("item 9"), "{said}");
}

#[test]
fn what_was_written_is_ended_and_opened_again_and_what_a_person_did_stays() {
    let mut chart = communication(planned(&review(Posture::Open), true));
    chart["id"] = json!("7");
    chart["note"] = json!([{"text": "seen"}]);
    chart["status"] = json!("on-hold");
    let open = WrittenPostures(vec![Posture::Open]);
    assert_eq!(merge(&chart, planned(&review(Posture::Open), true), &open).body, None);
    let ended = merge(&chart, planned(&review(Posture::Withdrawn), true), &open).body.unwrap();
    assert_eq!((&ended["status"], &ended["note"]), (&json!("stopped"), &chart["note"]));
    assert_eq!(ended["payload"].as_array().unwrap().len(), 2);
    // Known as ours by what it says of itself.
    let again = merge(&ended, planned(&review(Posture::Open), true), &WrittenPostures::default()).body.unwrap();
    assert_eq!((&again["status"], again.get("statusReason")), (&json!("in-progress"), None));
    chart["status"] = json!("completed");
    let closed = merge(&chart, planned(&review(Posture::Withdrawn), true), &open);
    assert_eq!((closed.state, closed.body), (ChartState::ClosedThere, None));
}

#[test]
fn a_follow_up_names_the_first_and_is_one_that_was_sent() {
    let said = follow_up(planned(&review(Posture::Withdrawn), false), "7", 1, "2026-03-09T09:00:00Z".parse().unwrap());
    assert_eq!(said["inResponseTo"][0]["reference"], "Communication/7");
    assert_eq!((&said["status"], &said["identifier"][0]["value"]), (&json!("completed"), &json!("c/p/flag/1")));
    assert_eq!(
        said["payload"][0]["contentString"],
        "No longer called for: Collaborative Care: Psychiatric case review (2026-03-02). No longer called for."
    );
}
