use super::*;
use crate::domain::chart_plan::WriteIntent;
use crate::domain::task::Code;
use crate::fhir::write::WriteForm;
use crate::fhir::write::flag::tests::intent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::json;

fn planned(intent: &WriteIntent) -> Planned<'_> {
    Planned { intent, form: WriteForm::DocumentReference, system: "urn:ours", updates: true }
}

fn text(note: &Value) -> String {
    let data = note["content"][0]["attachment"]["data"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
}

#[test]
fn a_note_can_be_read_by_a_doctor() {
    let mut note = document_reference(planned(&intent(Code::CocmNotAtTarget, Posture::Open)));
    assert!(text(&note).starts_with("Collaborative Care: not at target.\n"), "{}", text(&note));
    note["content"][0]["attachment"]["data"] = json!("…");
    insta::assert_json_snapshot!(note, @r#"
    {
      "author": [
        {
          "display": "cocm-registry",
          "type": "Device"
        }
      ],
      "category": [
        {
          "coding": [
            {
              "code": "clinical-note",
              "display": "Clinical Note",
              "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
            }
          ]
        }
      ],
      "content": [
        {
          "attachment": {
            "contentType": "text/plain",
            "creation": "2026-03-02T09:00:00Z",
            "data": "…",
            "title": "Collaborative Care: not at target"
          }
        }
      ],
      "date": "2026-03-02T09:00:00Z",
      "description": "Collaborative Care: not at target",
      "docStatus": "final",
      "identifier": [
        {
          "system": "urn:ours",
          "value": "c/p/flag"
        }
      ],
      "resourceType": "DocumentReference",
      "status": "current",
      "subject": {
        "reference": "Patient/1"
      },
      "type": {
        "coding": [
          {
            "code": "34109-9",
            "display": "Note",
            "system": "http://loinc.org"
          }
        ]
      }
    }
    "#);
}

#[rstest]
#[case(Posture::Fulfilled, "superseded", "Done: ")]
#[case(Posture::Withdrawn, "superseded", "No longer called for: ")]
#[case(Posture::EnteredInError, "entered-in-error", "Written in error, its evidence was retracted: ")]
fn an_ended_note_says_so_first(#[case] posture: Posture, #[case] status: &str, #[case] begins: &str) {
    let mut chart = document_reference(planned(&intent(Code::CocmNotAtTarget, Posture::Open)));
    chart["id"] = json!("7");
    let ended = merge(&chart, planned(&intent(Code::CocmNotAtTarget, posture)), &WrittenPostures(vec![Posture::Open]));
    let ended = ended.body.unwrap();
    assert_eq!(ended["status"], status);
    assert!(text(&ended).starts_with(begins), "{}", text(&ended));
    let again = merge(&ended, planned(&intent(Code::CocmNotAtTarget, Posture::Open)), &WrittenPostures(vec![posture]));
    assert_eq!(again.body.unwrap()["status"], "current");
}

#[test]
fn what_a_person_took_out_of_use_stays_so() {
    let mut chart = document_reference(planned(&intent(Code::CocmNotAtTarget, Posture::Open)));
    chart["status"] = json!("superseded");
    let open = intent(Code::CocmNotAtTarget, Posture::Open);
    assert_eq!(merge(&chart, planned(&open), &WrittenPostures(vec![Posture::Open])).body, None);
}

#[test]
fn a_server_that_keeps_the_text_elsewhere_is_not_written_to_again() {
    let open = intent(Code::CocmNotAtTarget, Posture::Open);
    let mut chart = document_reference(planned(&open));
    chart["content"] = json!([{"attachment": {"contentType": "text/plain", "url": "Binary/1"}}]);
    assert_eq!(merge(&chart, planned(&open), &WrittenPostures(vec![Posture::Open])).body, None);
}

#[test]
fn a_follow_up_belongs_to_the_first() {
    let ended = intent(Code::CocmSafety, Posture::Fulfilled);
    let note = follow_up(planned(&ended), "7", 1, "2026-03-09T09:00:00Z".parse().unwrap());
    let relation = json!([{"code": "appends", "target": {"reference": "DocumentReference/7"}}]);
    assert_eq!((&note["relatesTo"], &note["status"]), (&relation, &json!("current")));
    assert_eq!(
        text(&note),
        "Closed: Collaborative Care: see the care manager (2026-03-02). Questions go to the care manager."
    );
    assert_eq!(note["meta"]["security"][0]["code"], "R");
}
