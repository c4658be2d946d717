use super::*;
use crate::domain::chart_plan::WorkItem;
use crate::domain::finding::Rule;
use crate::domain::instrument::Instrument;
use crate::domain::task::{ChartResource, Code, Priority};
use rstest::rstest;

const SYSTEM: &str = "urn:ours";

fn now() -> DateTime<Utc> {
    "2026-03-09T08:30:00Z".parse().unwrap()
}

fn intent(posture: Posture) -> WriteIntent {
    WriteIntent {
        identifier: "c/p/review".to_owned(),
        patient: "Patient/1".to_owned(),
        desired: WorkItem {
            key: "review".to_owned(),
            resource: ChartResource::Task,
            code: Code::PsychiatricCaseReview,
            posture,
            priority: Priority::Urgent,
            owner: Owner::PsychiatricConsultant,
            also_for: Vec::new(),
            rule: Rule::Nonresponse,
            instrument: Some(Instrument::Phq9),
            episode: None,
            since: "2026-03-02".parse().unwrap(),
            due_on: Some("2026-03-16".parse().unwrap()),
            reason: "PHQ-9 is 17 after 8 weeks; target is below 10.".to_owned(),
            evidence: vec!["QuestionnaireResponse/9".to_owned(), "manual entry".to_owned(), "Observation/7".to_owned()],
        },
        owner_display: None,
        also_for_display: Vec::new(),
        authored_on: "2026-03-02T09:00:00Z".parse().unwrap(),
        ended_on: (posture != Posture::Open).then(|| "2026-03-09".parse().unwrap()),
        ended_because: (posture != Posture::Open).then(|| "PHQ-9 is 8: at target.".to_owned()),
        rule_set: "default/1".to_owned(),
    }
}

fn with(changes: &Value) -> Value {
    let mut chart = task(&intent(Posture::Open), SYSTEM, now());
    chart["id"] = json!("55");
    chart["meta"] = json!({"versionId": "3"});
    for (field, value) in changes.as_object().unwrap() {
        chart[field] = value.clone();
    }
    chart
}

fn merged(chart: &Value, posture: Posture, confirmed: Option<Posture>) -> Merge {
    merge(chart, &intent(posture), SYSTEM, &WrittenPostures(confirmed.into_iter().collect()), now())
}

#[test]
fn instants_of_a_task_can_be_compared_as_text() {
    // inv-1, as Medplum checks it: `.2Z` would come after `.271Z`.
    let mut intent = intent(Posture::Open);
    intent.authored_on = "2026-03-09T08:30:00.200Z".parse().unwrap();
    let task = task(&intent, SYSTEM, "2026-03-09T08:30:00.271Z".parse().unwrap());
    let text = |field: &str| task[field].as_str().unwrap().to_owned();
    assert!(text("authoredOn") <= text("lastModified"), "{task}");
}

#[test]
fn an_open_task_is_written_whole() {
    insta::assert_json_snapshot!(task(&intent(Posture::Open), SYSTEM, now()), @r#"
    {
      "authoredOn": "2026-03-02T09:00:00.000Z",
      "code": {
        "coding": [
          {
            "code": "psychiatric-case-review",
            "display": "Psychiatric case review",
            "system": "https://cocm-registry.dev/fhir/CodeSystem/task"
          }
        ],
        "text": "Psychiatric case review"
      },
      "description": "PHQ-9 is 17 after 8 weeks; target is below 10.",
      "focus": {
        "reference": "QuestionnaireResponse/9"
      },
      "for": {
        "reference": "Patient/1"
      },
      "identifier": [
        {
          "system": "urn:ours",
          "value": "c/p/review"
        }
      ],
      "input": [
        {
          "type": {
            "text": "evidence"
          },
          "valueReference": {
            "reference": "Observation/7"
          }
        }
      ],
      "intent": "order",
      "lastModified": "2026-03-09T08:30:00.000Z",
      "owner": {
        "display": "Psychiatric consultant"
      },
      "priority": "urgent",
      "reasonCode": {
        "text": "nonresponse"
      },
      "reasonReference": {
        "reference": "QuestionnaireResponse/9"
      },
      "requester": {
        "display": "cocm-registry",
        "type": "Device"
      },
      "resourceType": "Task",
      "restriction": {
        "period": {
          "end": "2026-03-16"
        }
      },
      "status": "requested"
    }
    "#);
}

#[test]
fn a_task_for_two_names_both_as_recipients_and_keeps_one_owner() {
    let mut both = intent(Posture::Open);
    both.desired.owner = Owner::CareManager;
    both.desired.also_for = vec![Owner::PrimaryCareProvider];
    both.owner_display = Some("Casey Manager".to_owned());
    both.also_for_display = vec![None];
    let written = task(&both, SYSTEM, now());
    assert_eq!(written["owner"], json!({"display": "Casey Manager"}));
    assert_eq!(
        written["restriction"],
        json!({"period": {"end": "2026-03-16"},
            "recipient": [{"display": "Casey Manager"}, {"display": "Primary care provider"}]})
    );
    both.also_for_display = vec![Some("Dr. A. Brandt".to_owned())];
    let mut chart = written.clone();
    chart["id"] = json!("55");
    let merged = merge(&chart, &both, SYSTEM, &WrittenPostures::default(), now()).body.unwrap();
    assert_eq!(merged["restriction"]["recipient"][1], json!({"display": "Dr. A. Brandt"}));
    chart["owner"] = json!({"reference": "Practitioner/7"});
    let taken = merge(&chart, &both, SYSTEM, &WrittenPostures::default(), now()).body;
    assert!(taken.is_none(), "whoever took it is left alone: {taken:?}");
}

#[test]
fn a_withdrawn_task_says_why_and_when() {
    let task = task(&intent(Posture::Withdrawn), SYSTEM, now());
    assert_eq!(task["status"], "cancelled");
    assert_eq!(task["statusReason"]["text"], "PHQ-9 is 8: at target.");
    assert_eq!(task["statusReason"]["coding"][0]["code"], "withdrawn");
    assert_eq!(task["executionPeriod"], json!({"end": "2026-03-09"}));
    assert_eq!(task["description"], "PHQ-9 is 17 after 8 weeks; target is below 10.", "what it was for stays readable");
}

#[test]
fn last_modified_is_never_before_authored_on() {
    let early = "2026-03-01T00:00:00Z".parse().unwrap();
    let task = task(&intent(Posture::Open), SYSTEM, early);
    assert_eq!(task["lastModified"], task["authoredOn"]);
}

#[test]
fn a_task_without_evidence_and_due_date_has_no_empty_elements() {
    let mut intent = intent(Posture::Open);
    intent.desired.evidence.clear();
    intent.desired.due_on = None;
    intent.desired.reason = " ".to_owned();
    intent.owner_display = Some(String::new());
    let task = task(&intent, SYSTEM, now());
    for field in ["focus", "reasonReference", "input", "restriction", "description"] {
        assert!(task.get(field).is_none(), "{field}");
    }
    assert_eq!(task["owner"]["display"], "Psychiatric consultant");
}

#[test]
fn delivering_again_changes_nothing() {
    assert_eq!(merged(&with(&json!({})), Posture::Open, Some(Posture::Open)).body, None);
    let closed = merged(&with(&json!({})), Posture::Withdrawn, Some(Posture::Open)).body.unwrap();
    assert_eq!(merged(&closed, Posture::Withdrawn, Some(Posture::Withdrawn)).body, None);
}

#[test]
fn what_the_chart_added_stays() {
    let chart = with(&json!({
        "identifier": [{"system": "urn:chart", "value": "T-1"}],
        "owner": {"reference": "Practitioner/4", "display": "Dr. Who"},
        "note": [{"text": "called, no answer"}],
        "extension": [{"url": "urn:chart:colour", "valueString": "red"}],
        "input": [{"type": {"text": "form"}, "valueString": "x"}],
        "restriction": {"repetitions": 1},
        "for": {"reference": "Patient/1-merged"},
        "description": "old",
        "text": {"status": "generated", "div": "<div>old</div>"},
        "status": "received",
    }));
    let body = merged(&chart, Posture::Open, Some(Posture::Open)).body.unwrap();
    for field in ["id", "meta", "owner", "note", "extension", "for", "status"] {
        assert_eq!(body[field], chart[field], "{field}");
    }
    assert_eq!(body["identifier"].as_array().unwrap().len(), 2);
    assert_eq!(body["restriction"], json!({"repetitions": 1, "period": {"end": "2026-03-16"}}));
    assert_eq!(body["input"].as_array().unwrap().len(), 2);
    assert_eq!(body["description"], "PHQ-9 is 17 after 8 weeks; target is below 10.");
    assert!(body.get("text").is_none(), "a generated narrative would tell the old story");
}

#[rstest]
fn what_a_person_closed_is_left(
    #[values("completed", "cancelled", "rejected", "failed", "entered-in-error")] status: &str,
    #[values(Posture::Open, Posture::Fulfilled, Posture::Withdrawn, Posture::EnteredInError)] posture: Posture,
) {
    let merge = merged(&with(&json!({"status": status})), posture, Some(Posture::Open));
    assert_eq!(merge, Merge { state: ChartState::ClosedThere, body: None, only_noted: false });
}

#[rstest]
fn what_we_closed_ourselves_is_opened_again(
    #[values(vec![Posture::Withdrawn], vec![Posture::Open, Posture::Withdrawn])] ours: Vec<Posture>,
) {
    let chart =
        with(&json!({"status": "cancelled", "statusReason": {"text": "x"}, "executionPeriod": {"end": "2026-03-09"}}));
    let merge = merge(&chart, &intent(Posture::Open), SYSTEM, &WrittenPostures(ours), now());
    let body = merge.body.unwrap();
    assert_eq!(body["status"], "requested");
    assert!(body.get("statusReason").is_none() && body.get("executionPeriod").is_none());
}

#[test]
fn our_own_closing_is_known_by_its_mark_also_without_a_ledger() {
    let closed = merged(&with(&json!({})), Posture::Withdrawn, None).body.unwrap();
    assert_eq!(state(&closed, &WrittenPostures::default()), ChartState::Ours);
    let completed_by_a_person = {
        let mut task = closed;
        task["status"] = json!("completed");
        task
    };
    assert_eq!(state(&completed_by_a_person, &WrittenPostures::default()), ChartState::ClosedThere);
}

#[rstest]
fn a_task_in_somebodys_hands_gets_one_note_and_is_not_cancelled(
    #[values("accepted", "in-progress", "on-hold", "ready")] status: &str,
    #[values(Posture::Withdrawn, Posture::EnteredInError)] posture: Posture,
) {
    let first = merged(&with(&json!({"status": status})), posture, Some(Posture::Open));
    assert!(first.only_noted && first.state == ChartState::InProgress);
    let body = first.body.unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["note"].as_array().unwrap().len(), 1);
    assert!(body["note"][0]["text"].as_str().unwrap().ends_with("PHQ-9 is 8: at target."));
    assert_eq!(merged(&body, posture, Some(Posture::Open)).body, None);
}

#[test]
fn a_task_in_somebodys_hands_keeps_status_owner_and_priority_and_can_be_completed() {
    let chart =
        with(&json!({"status": "in-progress", "owner": {"display": "me"}, "priority": "asap", "description": "old"}));
    let body = merged(&chart, Posture::Open, None).body.unwrap();
    assert_eq!([&body["status"], &body["priority"], &body["owner"]["display"]], ["in-progress", "asap", "me"]);
    assert_eq!(merged(&chart, Posture::Fulfilled, None).body.unwrap()["status"], "completed");
}

#[test]
fn a_period_never_ends_before_it_starts() {
    let chart = with(&json!({"executionPeriod": {"start": "2026-03-10T08:00:00Z"}}));
    let body = merged(&chart, Posture::Withdrawn, None).body.unwrap();
    assert_eq!(body["executionPeriod"], chart["executionPeriod"]);
}
