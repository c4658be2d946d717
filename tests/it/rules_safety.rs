//! R10 in depth.

use cocm_registry::domain::care::Risk;
use cocm_registry::domain::chart_plan::{ChartPlan, WorkItem, plan, resolve};
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::{EvidenceStatus, Quality, Supplement};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::safety::{ConcernState, concerns};
use cocm_registry::domain::task::{Code, Owner, Posture, Priority};
use rstest::rstest;

use crate::rules_story::{Tale, date};

fn on(tale: &Tale, day: i64) -> ChartPlan {
    plan(&tale.story, &RuleSet::default(), date(day))
}

fn tasks(plan: &ChartPlan) -> Vec<&WorkItem> {
    plan.desired.iter().filter(|d| d.code == Code::SafetyAssessment).collect()
}

fn escalations(plan: &ChartPlan) -> Vec<&WorkItem> {
    plan.desired.iter().filter(|d| d.code == Code::SafetyEscalation).collect()
}

fn flagged(plan: &ChartPlan) -> bool {
    plan.desired.iter().any(|d| d.code == Code::CocmSafety)
}

#[rstest]
#[case::nothing(None, 12, 0, None)]
#[case::one(None, 12, 1, Some(Priority::Urgent))]
#[case::one_with_few_symptoms(None, 1, 1, Some(Priority::Urgent))]
#[case::two(None, 12, 2, Some(Priority::Stat))]
#[case::three(None, 12, 3, Some(Priority::Stat))]
#[case::one_at_19(None, 19, 1, Some(Priority::Urgent))]
#[case::one_at_20(None, 20, 1, Some(Priority::Stat))]
#[case::higher_than_before(Some(0), 12, 1, Some(Priority::Stat))]
#[case::the_same_as_before(Some(1), 12, 1, Some(Priority::Urgent))]
#[case::lower_than_before(Some(3), 12, 1, Some(Priority::Urgent))]
fn each_answer_has_its_tier_enrolled_or_not(
    #[case] before: Option<u8>,
    #[case] total: u16,
    #[case] answer: u8,
    #[case] priority: Option<Priority>,
    #[values(true, false)] enrolled: bool,
) {
    let mut tale = if enrolled { Tale::new() } else { Tale::of_a_patient() };
    if let Some(before) = before {
        tale.item9(-30, 10, before);
    }
    tale.item9(10, total, answer);
    let plan = on(&tale, 10);
    let concern = plan.concerns.iter().find(|c| c.answered_on == date(10));
    assert_eq!(concern.map(|c| c.priority), priority);
    assert_eq!(flagged(&plan), priority == Some(Priority::Stat) || before == Some(3));
    if let Some(concern) = concern {
        assert_eq!(concern.due_on, date(10));
        let task = tasks(&plan)[0];
        assert!(task.episode.is_none());
        assert!(task.reason.contains("not a crisis service"));
    }
}

#[rstest]
#[case(EvidenceStatus::Partial)]
#[case(EvidenceStatus::Submitted)]
fn a_form_without_a_total_fires_finished_or_not(#[case] counting: EvidenceStatus) {
    let mut tale = Tale::of_a_patient();
    let m = tale.measurement(Instrument::PHQ9, 3, None);
    (m.item9, m.counting, m.quality) = (Some(2), counting, Quality::Unscorable);
    assert_eq!(tasks(&on(&tale, 3))[0].priority, Priority::Stat);
}

#[test]
fn the_questionnaire_for_teens_asks_the_same() {
    let mut tale = Tale::of_a_patient();
    tale.score(Instrument::PHQ9_MODIFIED, 3, 21).last_measurement().item9 = Some(1);
    let plan = on(&tale, 3);
    assert_eq!(tasks(&plan)[0].priority, Priority::Stat);
    assert_eq!(tasks(&plan)[0].instrument, Some(Instrument::PHQ9_MODIFIED));
}

#[test]
fn the_answers_of_one_day_are_one_concern_and_the_graver_one_speaks() {
    let mut tale = Tale::of_a_patient();
    tale.minutes(0).item9(3, 12, 3).minutes(60).item9(3, 12, 1).minutes(120).item9(3, 12, 0);
    let plan = on(&tale, 3);
    assert_eq!(tasks(&plan).len(), 1);
    assert_eq!(tasks(&plan)[0].priority, Priority::Stat);
    assert_eq!((plan.concerns[0].item9, plan.concerns[0].measurements.len()), (3, 2));
}

#[test]
fn what_is_answered_after_an_assessment_on_the_same_day_is_a_new_concern() {
    let mut tale = Tale::of_a_patient();
    tale.minutes(0).item9(3, 12, 1).minutes(30).assessed(3).minutes(60).item9(3, 12, 2);
    let plan = on(&tale, 3);
    assert_eq!(plan.concerns.len(), 2);
    assert_eq!((plan.concerns[0].state, plan.concerns[1].state), (ConcernState::Assessed, ConcernState::Open));
    assert_eq!(tasks(&plan)[0].priority, Priority::Stat);
}

#[test]
fn an_assessment_before_the_answer_does_not_close_it() {
    let mut tale = Tale::of_a_patient();
    tale.minutes(0).assessed(3).minutes(60).item9(3, 12, 1);
    assert_eq!(tasks(&on(&tale, 3)).len(), 1);
}

#[test]
fn an_answer_corrected_after_an_earlier_assessment_was_not_assessed() {
    let mut tale = Tale::of_a_patient();
    tale.minutes(0).assessed(3).minutes(60).item9(3, 12, 1).corrected(4, Some(0));
    assert_eq!(tasks(&on(&tale, 4)).len(), 1);
}

#[test]
fn a_later_zero_never_closes_and_an_assessment_does() {
    let mut tale = Tale::new();
    tale.item9(3, 12, 1);
    for day in [10, 17, 24] {
        tale.item9(day, 6, 0);
    }
    assert_eq!(tasks(&on(&tale, 200)).len(), 1);
    let open = on(&tale, 24).desired.into_iter().find(|d| d.code == Code::SafetyAssessment).unwrap();
    tale.assessed(25);
    assert_eq!(tasks(&on(&tale, 25)).len(), 0);
    assert_eq!(resolve(&open, &tale.story, date(25)).0, Posture::Fulfilled);
}

#[rstest]
#[case::on_day_14(18, 1, 12, Priority::Routine)]
#[case::on_day_15(19, 1, 12, Priority::Urgent)]
#[case::higher(18, 2, 12, Priority::Stat)]
#[case::newly_severe(18, 1, 22, Priority::Stat)]
fn the_same_level_within_14_days_of_an_assessment_is_routine(
    #[case] day: i64,
    #[case] answer: u8,
    #[case] total: u16,
    #[case] priority: Priority,
) {
    let mut tale = Tale::new();
    tale.item9(3, 12, 1).assessed(4).item9(day, total, answer);
    let plan = on(&tale, day);
    assert_eq!(tasks(&plan)[0].priority, priority, "{}", tasks(&plan)[0].reason);
    let measurements: Vec<_> = plan.concerns[1].measurements.iter().map(|id| id.0).collect();
    assert!(plan.standings[0].findings.iter().any(|f| f.evidence == measurements));
}

#[test]
fn an_assessment_that_looked_at_nothing_makes_nothing_routine() {
    let mut tale = Tale::new();
    tale.assessed(4).item9(6, 12, 1);
    assert_eq!(tasks(&on(&tale, 6))[0].priority, Priority::Urgent);
}

#[rstest]
#[case::the_first_day_past_due(1, &[(Owner::PrimaryCareProvider, Priority::Urgent, 1)], Some(2))]
#[case::the_second(2, &[(Owner::PrimaryCareProvider, Priority::Urgent, 1), (Owner::PsychiatricConsultant, Priority::Stat, 2)], None)]
#[case::weeks_later(30, &[(Owner::PrimaryCareProvider, Priority::Urgent, 1), (Owner::PsychiatricConsultant, Priority::Stat, 2)], None)]
#[case::in_time(0, &[], Some(1))]
fn what_nobody_assesses_is_escalated_step_by_step(
    #[case] day: i64,
    #[case] steps: &[(Owner, Priority, i64)],
    #[case] next: Option<i64>,
) {
    let mut tale = Tale::of_a_patient();
    tale.item9(0, 12, 1);
    let plan = on(&tale, day);
    let told: Vec<_> = escalations(&plan).iter().map(|d| (d.owner, d.priority, d.due_on.unwrap())).collect();
    let expected: Vec<_> = steps.iter().map(|(to, priority, due)| (*to, *priority, date(*due))).collect();
    assert_eq!(told, expected);
    assert_eq!(plan.reevaluate_on, next.map(date), "the sweep comes on the day of the next step");
    assert!(
        escalations(&plan)
            .iter()
            .all(|d| d.reason.contains("due on 2026-01-05") && d.evidence == tasks(&plan)[0].evidence)
    );
    assert_eq!(tasks(&plan).len(), 1, "the first Task stays one");
}

#[test]
fn the_first_task_is_for_the_care_manager_and_the_patients_own_doctor() {
    let mut tale = Tale::of_a_patient();
    tale.item9(0, 12, 1);
    let plan = on(&tale, 0);
    assert_eq!(
        (tasks(&plan)[0].owner, tasks(&plan)[0].also_for.as_slice()),
        (Owner::CareManager, &[Owner::PrimaryCareProvider][..])
    );
}

#[test]
fn a_level_assessed_shortly_before_is_for_the_care_manager_and_never_escalates() {
    let mut tale = Tale::of_a_patient();
    tale.item9(0, 12, 1).assessed(1).item9(5, 12, 1);
    let plan = on(&tale, 60);
    assert!(escalations(&plan).is_empty() && tasks(&plan)[0].also_for.is_empty());
    assert_eq!(tasks(&plan)[0].due_on, Some(date(19)));
}

#[test]
fn an_escalation_is_never_less_urgent_than_the_answer() {
    let mut tale = Tale::of_a_patient();
    tale.item9(0, 12, 3);
    assert!(escalations(&on(&tale, 5)).iter().all(|d| d.priority == Priority::Stat));
}

#[test]
fn an_assessment_ends_every_step_and_a_changed_chain_moves_its_own_tasks() {
    let mut tale = Tale::of_a_patient();
    tale.item9(0, 12, 1);
    let before = on(&tale, 5);
    let mut rules = RuleSet::default();
    rules.safety.escalation.remove(1);
    let shorter = plan(&tale.story, &rules, date(5));
    assert_eq!(escalations(&shorter), escalations(&before)[..1]);
    let (posture, reason) = resolve(escalations(&before)[1], &tale.story, date(5));
    assert_eq!(
        (posture, reason.as_str()),
        (Posture::Withdrawn, "No longer past due: its level was corrected, or the rules changed.")
    );
    tale.assessed(6);
    assert!(on(&tale, 6).desired.is_empty());
    for step in escalations(&before) {
        assert_eq!(resolve(step, &tale.story, date(6)), (Posture::Fulfilled, "Assessed on 2026-01-11.".to_owned()));
    }
}

#[test]
fn a_retracted_answer_asks_for_confirmation_and_one_of_two_keeps_the_task() {
    let mut tale = Tale::of_a_patient();
    tale.minutes(0).item9(3, 12, 1).minutes(60).item9(3, 12, 2);
    let before = on(&tale, 3);
    tale.retracted(3, 1);
    let one_left = on(&tale, 3);
    assert_eq!(tasks(&one_left)[0].key, tasks(&before)[0].key);
    assert_eq!((tasks(&one_left)[0].priority, flagged(&one_left)), (Priority::Urgent, false));
    assert!(tasks(&one_left)[0].reason.contains("item 9 = 1"), "{}", tasks(&one_left)[0].reason);
    tale.retracted(3, 0);
    let none_left = on(&tale, 3);
    assert_eq!(tasks(&none_left)[0].key, tasks(&before)[0].key);
    assert!(tasks(&none_left)[0].reason.contains("confirm with the patient"), "{}", tasks(&none_left)[0].reason);
    let flag = before.desired.iter().find(|d| d.code == Code::CocmSafety).unwrap();
    assert_eq!(resolve(flag, &tale.story, date(3)).0, Posture::Withdrawn, "the answer itself is gone");
    tale.assessed(4);
    assert!(on(&tale, 4).desired.is_empty());
}

#[test]
fn an_answer_corrected_to_zero_asks_for_confirmation_too() {
    let mut tale = Tale::of_a_patient();
    tale.item9(3, 12, 2).corrected(4, Some(0));
    let plan = on(&tale, 30);
    let task = tasks(&plan)[0];
    assert!(task.reason.contains("changed from 2 to 0 (PHQ-9 item 9): confirm with the patient"), "{}", task.reason);
    assert_eq!((task.priority, flagged(&plan), escalations(&plan).len()), (Priority::Urgent, false, 2));
    tale.item9(40, 5, 0);
    assert_eq!(tasks(&on(&tale, 40)).len(), 1, "a later 0 confirms nothing");
    tale.assessed(41);
    assert!(on(&tale, 41).desired.is_empty());
}

#[test]
fn a_correction_upward_or_of_what_was_assessed_asks_for_no_confirmation() {
    let mut tale = Tale::of_a_patient();
    tale.item9(3, 12, 1).assessed(4).corrected(5, Some(0));
    assert!(on(&tale, 5).desired.is_empty(), "somebody has looked at it");
    let mut tale = Tale::of_a_patient();
    tale.item9(3, 12, 2).corrected(4, Some(0)).corrected(5, Some(3));
    let plan = on(&tale, 5);
    assert!(!plan.concerns[0].only_changed && flagged(&plan));
}

#[rstest]
#[case::high(Some(Risk::High), Priority::Stat)]
#[case::moderate(Some(Risk::Moderate), Priority::Stat)]
#[case::not_recorded(None, Priority::Stat)]
#[case::low(Some(Risk::Low), Priority::Routine)]
#[case::none(Some(Risk::None), Priority::Routine)]
fn the_same_level_again_is_routine_only_after_an_assessment_that_found_no_more_than_a_low_risk(
    #[case] risk: Option<Risk>,
    #[case] priority: Priority,
) {
    let mut tale = Tale::of_a_patient();
    tale.item9(0, 18, 3).assessed_as(1, risk).item9(7, 17, 3);
    let plan = on(&tale, 9);
    assert_eq!(tasks(&plan)[0].priority, priority);
    assert_eq!(flagged(&plan), priority == Priority::Stat);
    assert_eq!(escalations(&plan).is_empty(), priority == Priority::Routine);
}

#[rstest]
#[case(24, None)]
#[case(25, Some(1))]
#[case(26, Some(2))]
#[case(27, Some(3))]
fn a_total_without_items_proves_the_answer_that_it_cannot_be_reached_without(
    #[case] total: u16,
    #[case] answer: Option<u8>,
) {
    let mut tale = Tale::of_a_patient();
    tale.phq9(0, total).last_measurement().quality = Quality::TotalOnly;
    let plan = on(&tale, 0);
    assert_eq!(plan.concerns.first().map(|c| (c.item9, c.implied, c.high)), answer.map(|answer| (answer, true, true)));
    let asks = plan.desired.iter().any(|d| d.code == Code::AskItem9);
    assert_eq!(asks, answer.is_none(), "a severe total alone asks, unless it answers");
}

#[rstest]
#[case::severe(20, Some((Priority::Urgent, 0)))]
#[case::not_severe(19, None)]
fn a_severe_total_without_items_asks_on_the_same_day(#[case] total: u16, #[case] asked: Option<(Priority, i64)>) {
    let mut tale = Tale::of_a_patient();
    tale.phq9(0, total).last_measurement().quality = Quality::TotalOnly;
    let task = on(&tale, 0).desired.into_iter().find(|d| d.code == Code::AskItem9);
    assert_eq!(task.map(|t| (t.priority, t.due_on.unwrap())), asked.map(|(p, day)| (p, date(day))));
    tale.item9(1, 12, 0);
    assert!(on(&tale, 1).desired.is_empty(), "a later form answers it");
}

#[test]
fn an_answer_that_cannot_be_read_is_asked_for_on_the_same_day() {
    let mut tale = Tale::of_a_patient();
    let m = tale.phq9(0, 12).last_measurement();
    m.item9_unknown = true;
    m.self_harm.unreadable = true;
    let task = on(&tale, 0).desired.remove(0);
    assert_eq!((task.code, task.priority, task.due_on), (Code::AskItem9, Priority::Urgent, Some(date(0))));
    assert!(task.reason.contains("cannot be read"), "{}", task.reason);
}

#[rstest]
#[case(Supplement::SeriousThoughts, Priority::Stat)]
#[case(Supplement::Attempt, Priority::Urgent)]
fn a_question_beside_the_scored_ones_fires_like_the_item(#[case] yes: Supplement, #[case] priority: Priority) {
    let mut tale = Tale::of_a_patient();
    let m = tale.score(Instrument::PHQ9_MODIFIED, 3, 9).last_measurement();
    m.item9 = Some(0);
    m.self_harm.supplements.push(yes);
    let plan = on(&tale, 3);
    assert_eq!((tasks(&plan)[0].priority, flagged(&plan)), (priority, priority == Priority::Stat));
    // Said again with nothing new after a low risk was assessed: routine.
    tale.assessed(4);
    let m = tale.score(Instrument::PHQ9_MODIFIED, 6, 9).last_measurement();
    m.item9 = Some(0);
    m.self_harm.supplements.push(yes);
    assert_eq!(tasks(&on(&tale, 6))[0].priority, Priority::Routine);
}

#[test]
fn several_unassessed_answers_are_several_reasons_of_one_task() {
    let mut tale = Tale::of_a_patient();
    tale.item9(0, 12, 1).item9(7, 12, 2);
    let plan = on(&tale, 7);
    assert_eq!((plan.concerns.len(), tasks(&plan).len(), escalations(&plan).len()), (2, 1, 2));
    let task = tasks(&plan)[0];
    assert_eq!((task.priority, task.due_on, task.reasons.len()), (Priority::Stat, Some(date(0)), 2));
    assert_eq!(task.reason.matches("not a crisis service").count(), 1, "{}", task.reason);
}

#[test]
fn a_retracted_zero_no_longer_makes_the_next_answer_a_rise() {
    let mut tale = Tale::of_a_patient();
    tale.item9(1, 12, 0).item9(3, 12, 1);
    assert_eq!(tasks(&on(&tale, 3))[0].priority, Priority::Stat);
    tale.story.measurements[0].counting = EvidenceStatus::Retracted;
    assert_eq!(tasks(&on(&tale, 3))[0].priority, Priority::Urgent);
}

#[test]
fn an_open_item_9_is_asked_for_once_and_a_total_without_items_asks_for_nothing() {
    let mut tale = Tale::new();
    tale.phq9(0, 12).last_measurement().quality = Quality::TotalOnly;
    assert!(on(&tale, 0).desired.is_empty());
    tale.phq9(5, 12).last_measurement().item9_unknown = true;
    let first = on(&tale, 5).desired;
    tale.phq9(9, 12).last_measurement().item9_unknown = true;
    let second = on(&tale, 9).desired;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].key, second[0].key);
    assert_eq!(
        (second[0].code, second[0].rule, second[0].priority),
        (Code::AskItem9, Rule::AskItem9, Priority::Routine)
    );
    tale.phq9(12, 12).last_measurement().quality = Quality::TotalOnly;
    assert_eq!(on(&tale, 12).desired.len(), 1, "a total alone answers nothing");
    tale.item9(13, 12, 0);
    assert!(on(&tale, 13).desired.is_empty());
}

#[test]
fn an_unfinished_form_with_item_9_open_asks_for_nothing() {
    let mut tale = Tale::new();
    let m = tale.phq9(0, 12).last_measurement();
    (m.counting, m.item9_unknown) = (EvidenceStatus::Partial, true);
    assert!(on(&tale, 0).desired.is_empty());
}

#[test]
fn safety_outlasts_hold_discharge_and_an_inactive_record() {
    let mut tale = Tale::new();
    tale.item9(0, 18, 2).hold(5);
    assert!(flagged(&on(&tale, 6)));
    tale.discharge(10);
    tale.story.patient.inactive = true;
    assert!(flagged(&on(&tale, 300)));
}

#[test]
fn an_assessment_at_the_instant_of_the_answer_assesses_it() {
    // Both known only as days: both at the same instant.
    let mut tale = Tale::of_a_patient();
    tale.item9(5, 12, 1).assessed(5);
    let all = concerns(&tale.story, &RuleSet::default(), date(5));
    assert_eq!((all.len(), all[0].key.as_str(), all[0].state), (1, "safety/2026-01-10", ConcernState::Assessed));
    let mut again = tale.clone();
    again.minutes(60).item9(5, 12, 1);
    let all = concerns(&again.story, &RuleSet::default(), date(5));
    assert_eq!((all.len(), all[1].key.as_str(), all[1].state), (2, "safety/2026-01-10/1", ConcernState::Open));
}

#[test]
fn the_reason_says_what_made_the_level() {
    let reason = |before: u8, total, answer| {
        let mut tale = Tale::of_a_patient();
        tale.item9(0, 12, before).item9(20, total, answer);
        concerns(&tale.story, &RuleSet::default(), date(20)).pop().unwrap().reason
    };
    let said = "Reported thoughts of death or self-harm";
    let several = format!("{said} on several days (PHQ-9 item 9 = 1) on 2026-01-25");
    let half = format!("{said} on more than half the days (PHQ-9 item 9 = 2) on 2026-01-25");
    let end = "This service is not a crisis service: assess suicide risk.";
    assert_eq!(reason(1, 12, 1), format!("{several}. {end}"));
    assert_eq!(reason(0, 12, 1), format!("{several}; the answer on 2026-01-05 was 0, not at all. {end}"));
    assert_eq!(reason(3, 12, 2), format!("{half}. {end}"));
    assert_eq!(reason(1, 20, 1), format!("{several}; total 20, severe. {end}"));
}

#[test]
fn two_forms_of_one_instant_are_no_rise_from_one_to_the_other() {
    // Entered with their day only.
    let mut tale = Tale::of_a_patient();
    tale.item9(5, 12, 0).item9(5, 12, 1);
    let all = concerns(&tale.story, &RuleSet::default(), date(5));
    assert_eq!((all.len(), all[0].item9, all[0].priority), (1, 1, Priority::Urgent));
}
