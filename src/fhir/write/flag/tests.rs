use super::*;
use crate::domain::chart_plan::WorkItem;
use crate::domain::finding::Rule;
use crate::domain::task::{ChartResource, Owner, Priority};
use crate::fhir::write::parts::ChartState;
use rstest::rstest;
use serde_json::json;

const SYSTEM: &str = "urn:ours";

pub(in crate::fhir) fn intent(code: Code, posture: Posture) -> WriteIntent {
    WriteIntent {
        identifier: "c/p/flag".to_owned(),
        patient: "Patient/1".to_owned(),
        desired: WorkItem {
            key: "flag".to_owned(),
            resource: ChartResource::Flag,
            code,
            posture,
            priority: Priority::Routine,
            owner: Owner::CareManager,
            also_for: Vec::new(),
            rule: Rule::Nonresponse,
            instrument: None,
            episode: None,
            since: "2026-03-02".parse().unwrap(),
            due_on: None,
            reason: "PHQ-9 item 9 was answered with 2.".to_owned(),
            evidence: vec!["QuestionnaireResponse/9".to_owned()],
        },
        owner_display: None,
        also_for_display: Vec::new(),
        authored_on: "2026-03-02T09:00:00Z".parse().unwrap(),
        ended_on: (posture != Posture::Open).then(|| "2026-03-09".parse().unwrap()),
        ended_because: None,
        rule_set: "default/1".to_owned(),
    }
}

fn confirmed(posture: Posture) -> WrittenPostures {
    WrittenPostures(vec![posture])
}

#[test]
fn a_safety_flag_is_restricted_and_says_nothing_of_the_cause() {
    insta::assert_json_snapshot!(flag(&intent(Code::CocmSafety, Posture::Open), SYSTEM), @r#"
    {
      "author": {
        "display": "cocm-registry",
        "type": "Device"
      },
      "category": [
        {
          "coding": [
            {
              "code": "safety",
              "display": "Safety",
              "system": "http://terminology.hl7.org/CodeSystem/flag-category"
            }
          ]
        }
      ],
      "code": {
        "coding": [
          {
            "code": "cocm-safety",
            "system": "https://cocm-registry.dev/fhir/CodeSystem/flag"
          }
        ],
        "text": "CoCM: see care manager"
      },
      "identifier": [
        {
          "system": "urn:ours",
          "value": "c/p/flag"
        }
      ],
      "meta": {
        "security": [
          {
            "code": "R",
            "display": "restricted",
            "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
          }
        ]
      },
      "period": {
        "start": "2026-03-02"
      },
      "resourceType": "Flag",
      "status": "active",
      "subject": {
        "reference": "Patient/1"
      }
    }
    "#);
}

#[rstest]
#[case(Posture::Fulfilled, "inactive")]
#[case(Posture::Withdrawn, "inactive")]
#[case(Posture::EnteredInError, "entered-in-error")]
fn an_ended_flag_has_its_end(#[case] posture: Posture, #[case] status: &str) {
    let flag = flag(&intent(Code::CocmNotAtTarget, posture), SYSTEM);
    assert_eq!(flag["status"], status);
    assert_eq!(flag["period"], json!({"start": "2026-03-02", "end": "2026-03-09"}));
    assert_eq!(flag["category"][0]["coding"][0]["code"], "clinical");
    assert!(flag.get("meta").is_none());
}

#[test]
fn a_flag_that_ends_before_it_began_ends_when_it_began() {
    let mut intent = intent(Code::CocmSafety, Posture::EnteredInError);
    intent.ended_on = Some("2026-02-01".parse().unwrap());
    assert_eq!(flag(&intent, SYSTEM)["period"]["end"], "2026-03-02");
}

#[test]
fn merging_keeps_the_charts_additions_and_our_label() {
    let mut chart = flag(&intent(Code::CocmSafety, Posture::Open), SYSTEM);
    chart["id"] = json!("7");
    chart["meta"] = json!({"versionId": "2", "security": [{"system": "urn:x", "code": "y"}]});
    chart["encounter"] = json!({"reference": "Encounter/1"});
    chart["period"] = json!({"start": "2026-03-02T10:00:00Z"});
    let ended = intent(Code::CocmSafety, Posture::Fulfilled);
    let body = merge(&chart, &ended, SYSTEM, &confirmed(Posture::Open)).body.unwrap();
    assert_eq!(body["status"], "inactive");
    assert_eq!(body["period"], json!({"start": "2026-03-02T10:00:00Z", "end": "2026-03-09"}));
    assert_eq!(body["encounter"], chart["encounter"]);
    assert_eq!(body["meta"]["versionId"], "2");
    assert_eq!(body["meta"]["security"].as_array().unwrap().len(), 2);
    assert_eq!(merge(&body, &ended, SYSTEM, &confirmed(Posture::Fulfilled)).body, None);
    let again = merge(&body, &intent(Code::CocmSafety, Posture::Open), SYSTEM, &confirmed(Posture::Fulfilled));
    let again = again.body.unwrap();
    assert_eq!((&again["status"], again["period"].get("end")), (&json!("active"), None));
}

#[test]
fn a_flag_that_a_person_closed_is_left() {
    let mut chart = flag(&intent(Code::CocmNotAtTarget, Posture::Open), SYSTEM);
    chart["status"] = json!("inactive");
    let merge = merge(&chart, &intent(Code::CocmNotAtTarget, Posture::Open), SYSTEM, &confirmed(Posture::Open));
    assert_eq!((merge.state, merge.body), (ChartState::ClosedThere, None));
}
