//! How a Task ends in the chart that is not called for any more, and what is said of it there.

use cocm_registry::domain::care::Care;
use cocm_registry::domain::chart_plan::{WorkItem, plan, resolve};
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::EvidenceStatus;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::task::{Code, Posture};

use crate::rules_story::{Tale, date};

/// The Task of a kind that a day calls for.
fn task(tale: &Tale, day: i64, code: Code) -> WorkItem {
    plan(&tale.story, &RuleSet::default(), date(day)).desired.into_iter().find(|d| d.code == code).unwrap()
}

fn ended(tale: &Tale, day: i64, open: &WorkItem) -> (Posture, String) {
    resolve(open, &tale.story, date(day))
}

const CORRECTED: &str = "Source corrected, confirm.";
const NOT_PAST_DUE: &str = "No longer past due: its level was corrected, or the rules changed.";

#[test]
fn an_escalation_whose_answer_still_stands_was_only_no_longer_past_due() {
    let mut tale = Tale::of_a_patient();
    tale.item9(3, 12, 1);
    let step = task(&tale, 5, Code::SafetyEscalation);
    assert_eq!(ended(&tale, 5, &step), (Posture::Withdrawn, NOT_PAST_DUE.to_owned()));
}

#[test]
fn an_escalation_whose_answer_was_corrected_to_zero_has_to_be_confirmed() {
    let mut tale = Tale::of_a_patient();
    tale.item9(3, 12, 1);
    let step = task(&tale, 5, Code::SafetyEscalation);
    tale.last_measurement().item9 = Some(0);
    assert_eq!(ended(&tale, 5, &step), (Posture::Withdrawn, CORRECTED.to_owned()));
    // The answer of another day is a concern of its own and says nothing about this one.
    tale.item9(4, 12, 2);
    assert_eq!(ended(&tale, 5, &step), (Posture::Withdrawn, CORRECTED.to_owned()));
}

#[test]
fn a_retracted_answer_does_not_stand_for_one_that_was_corrected_to_zero() {
    // Two answers of one day: the first is retracted, the second was a 0 after all.
    let mut tale = Tale::of_a_patient();
    tale.minutes(0).item9(3, 12, 2).minutes(60).item9(3, 12, 1);
    let step = task(&tale, 5, Code::SafetyEscalation);
    assert_eq!(step.evidence.len(), 2);
    tale.story.measurements[0].counting = EvidenceStatus::Retracted;
    assert_eq!(ended(&tale, 5, &step).1, NOT_PAST_DUE, "the second answer still stands");
    tale.story.measurements[1].item9 = Some(0);
    assert_eq!(ended(&tale, 5, &step), (Posture::Withdrawn, CORRECTED.to_owned()));
}

#[test]
fn a_new_baseline_answers_the_reassessment_of_its_own_measure_and_of_no_other() {
    let mut tale = Tale::enrolled(&[Instrument::Phq9, Instrument::Gad7]);
    // 8 is not elevated; 13 on day 30 is worse by 5.
    tale.phq9(0, 8).gad7(0, 12).phq9(30, 13);
    let (phq9, gad7) = (tale.story.measurements[2].id, tale.story.measurements[1].id);
    let open = task(&tale, 30, Code::Reassess);
    assert_eq!((open.instrument, open.since), (Some(Instrument::Phq9), date(30)));
    tale.override_baseline(31, gad7);
    assert_ne!(ended(&tale, 31, &open).0, Posture::Fulfilled, "the anxiety was reassessed, not the depression");
    tale.override_baseline(32, phq9);
    let set = (Posture::Fulfilled, "A new baseline was set on 2026-02-06.".to_owned());
    assert_eq!(ended(&tale, 32, &open), set);
}

#[test]
fn a_baseline_of_before_the_reassessment_was_asked_for_does_not_answer_it() {
    let with_override = |day: i64| {
        let mut tale = Tale::new();
        tale.phq9(0, 8).phq9(30, 13);
        let open = task(&tale, 30, Code::Reassess);
        let first = tale.story.measurements[0].id;
        tale.override_baseline(day, first);
        ended(&tale, 31, &open).0 == Posture::Fulfilled
    };
    assert_eq!([with_override(29), with_override(30)], [false, true], "the day it was asked for counts");
}

#[test]
fn a_contact_or_a_review_on_the_day_it_was_asked_for_answers_it_and_an_earlier_one_does_not() {
    for (code, day) in [(Code::Contact, 40), (Code::PsychiatricCaseReview, 42)] {
        let mut tale = Tale::new();
        tale.phq9(0, 18).phq9(40, 18);
        let open = task(&tale, day, code);
        let since = crate::rules_story::day_of(open.since);
        let answered = |on: i64| {
            let mut tale = tale.clone();
            match code {
                Code::Contact => tale.contact(on),
                _ => tale.meeting(on),
            };
            ended(&tale, 45, &open).0 == Posture::Fulfilled
        };
        assert_eq!([answered(since - 1), answered(since)], [false, true], "{code:?}");
    }
}

#[test]
fn a_review_that_recommends_nothing_does_not_answer_the_review_that_is_required() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).review(60).phq9(118, 18).relapse_prevention(119);
    let open = plan(&tale.story, &RuleSet::default(), date(124)).desired;
    let required = open.iter().find(|d| d.rule == Rule::ReviewRequired).unwrap();
    let mut met = tale.clone();
    met.meeting(125);
    assert_ne!(ended(&met, 125, required).0, Posture::Fulfilled);
    tale.review(125);
    assert_eq!(ended(&tale, 125, required), (Posture::Fulfilled, "Reviewed on 2026-05-10.".to_owned()));
}

#[test]
fn a_task_to_measure_is_done_by_a_score_of_its_measure_and_by_no_form_without_one() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(10, 18);
    let open = task(&tale, 45, Code::Measure);
    for (what, told) in [
        ("another scale", (|t| t.gad7(46, 9)) as fn(&mut Tale) -> &mut Tale),
        ("too little was answered", |t| {
            t.measurement(Instrument::Phq9, 46, None);
            t
        }),
        ("the score it rests on", |t| t),
    ] {
        let mut tale = tale.clone();
        told(&mut tale);
        assert_ne!(ended(&tale, 46, &open).0, Posture::Fulfilled, "{what}");
    }
    tale.phq9(46, 18);
    assert_eq!(ended(&tale, 46, &open), (Posture::Fulfilled, "Measured since.".to_owned()));
}

#[test]
fn what_ends_with_its_episode_says_so() {
    let mut tale = Tale::new();
    tale.phq9(0, 18);
    let open = task(&tale, 40, Code::Contact);
    let mut held = tale.clone();
    held.entry(39, Care::Hold { reason: "Away".into() });
    assert_eq!(ended(&held, 40, &open), (Posture::Withdrawn, "The episode is on hold.".to_owned()));
    tale.discharge(40);
    assert_eq!(ended(&tale, 40, &open), (Posture::Withdrawn, "The episode has ended.".to_owned()));
    tale.story.patient.deceased_on = Some(date(40));
    assert_eq!(ended(&tale, 39, &open).1, "No longer called for by the present scores.", "not before the day of death");
    assert_eq!(ended(&tale, 40, &open), (Posture::Withdrawn, "The patient has died.".to_owned()));
}
