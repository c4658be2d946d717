//! Single rules of the planner that a table would hide.

use cocm_registry::domain::care::{Care, ChangeKind, ContactKind, ContactOutcome, RecommendationDecision};
use cocm_registry::domain::chart_plan::{ChartPlan, WorkItem, plan, resolve};
use cocm_registry::domain::episode::Phase;
use cocm_registry::domain::finding::{Finding, Rule};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::{EvidenceStatus, Quality};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::standing::Standing;
use cocm_registry::domain::task::{Code, Posture};
use rstest::rstest;

use crate::rules_story::{Tale, date, day_of};

fn on(tale: &Tale, day: i64) -> ChartPlan {
    plan(&tale.story, &RuleSet::default(), date(day))
}

fn standing(tale: &Tale, day: i64) -> Standing {
    on(tale, day).standings.into_iter().find(|s| s.episode == tale.episode).unwrap()
}

fn finding(tale: &Tale, day: i64, rule: Rule) -> Option<Finding> {
    standing(tale, day).findings.into_iter().find(|f| f.rule == rule)
}

fn task(tale: &Tale, day: i64, code: Code) -> Option<WorkItem> {
    on(tale, day).desired.into_iter().find(|d| d.code == code)
}

#[test]
fn the_latest_of_a_day_counts_and_a_tie_goes_to_the_higher() {
    let mut tale = Tale::new();
    tale.minutes(0).phq9(0, 20).minutes(60).phq9(0, 15).phq9(0, 14);
    tale.minutes(120).phq9(0, 9).last_measurement().counting = EvidenceStatus::Partial;
    assert_eq!(standing(&tale, 0).measures[0].baseline.as_ref().unwrap().score, 15);
}

#[test]
fn an_unscorable_form_does_not_replace_the_last_score() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(20, 8).measurement(Instrument::Phq9, 27, None);
    assert_eq!(standing(&tale, 27).measures[0].latest.as_ref().unwrap().score, 8);
    tale.phq9(28, 9).last_measurement().quality = Quality::Prorated;
    assert_eq!(standing(&tale, 28).measures[0].latest.as_ref().unwrap().quality, Quality::Prorated);
}

#[test]
fn a_clinician_may_choose_a_score_that_is_not_its_days_effective_one() {
    let mut tale = Tale::new();
    tale.minutes(0).phq9(0, 21).minutes(60).phq9(0, 15);
    let first = tale.story.measurements[0].id;
    tale.override_baseline(3, first);
    let baseline = |day| standing(&tale, day).measures[0].baseline.clone().unwrap();
    assert_eq!((baseline(2).score, baseline(2).basis.as_str()), (15, "window"));
    assert_eq!((baseline(3).score, baseline(3).basis.as_str()), (21, "override"));
}

#[test]
fn an_override_of_a_retracted_score_gives_way_to_the_rule() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(10, 12);
    let chosen = tale.story.measurements[1].id;
    tale.override_baseline(11, chosen).last_measurement().counting = EvidenceStatus::Retracted;
    assert_eq!(standing(&tale, 11).measures[0].baseline.as_ref().unwrap().score, 18);
}

#[test]
fn a_referral_that_was_closed_without_enrolment_ends_no_episode() {
    let mut tale = Tale::of_a_patient();
    tale.enroll(None, &[Instrument::Phq9]).discharge(-2);
    tale.enroll(Some(0), &[Instrument::Phq9]).phq9(-5, 16);
    assert_eq!(standing(&tale, 0).measures[0].baseline.as_ref().unwrap().basis.as_str(), "provisional");
}

#[test]
fn nobody_is_in_treatment_before_enrolment() {
    let mut tale = Tale::of_a_patient();
    tale.enroll(None, &[Instrument::Phq9]).resume(3);
    assert_eq!(standing(&tale, 4).status, Phase::Referred);
    tale.enroll(Some(20), &[Instrument::Phq9]).hold(10);
    assert_eq!(standing(&tale, 15).status, Phase::Referred);
    assert_eq!(standing(&tale, 20).status, Phase::Active);
}

#[rstest]
#[case::done(ChangeKind::Medication, RecommendationDecision::Done, Some(50))]
#[case::only_accepted(ChangeKind::Medication, RecommendationDecision::Accepted, Some(0))]
#[case::declined(ChangeKind::Medication, RecommendationDecision::Declined, Some(0))]
#[case::to_continue(ChangeKind::Continue, RecommendationDecision::Done, Some(0))]
fn a_recommendation_that_was_done_is_a_treatment_change(
    #[case] kind: ChangeKind,
    #[case] decision: RecommendationDecision,
    #[case] began: Option<i64>,
) {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(44, kind);
    tale.decision(50, id, decision);
    assert_eq!(standing(&tale, 60).plan_started_on.map(day_of), began);
}

#[test]
fn a_change_entered_for_a_recommendation_counts_instead_of_its_being_done() {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(44, ChangeKind::Medication);
    let (changes, summary) = (vec![ChangeKind::Medication], "Dose".to_owned());
    tale.entry(47, Care::TreatmentChange { changes, summary, recommendation: Some(id), medication: Vec::new() });
    tale.decision(50, id, RecommendationDecision::Done);
    assert_eq!(standing(&tale, 60).plan_started_on, Some(date(47)));
}

#[test]
fn week_8_is_dated_by_the_score_that_could_be_judged() {
    // Reviewed on day 58 for want of a score; the score that shows nonresponse comes on day 60 and asks for a review.
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(20, 17).review(58).phq9(60, 17);
    assert_eq!(finding(&tale, 59, Rule::Nonresponse), None);
    assert_eq!(finding(&tale, 60, Rule::Nonresponse).unwrap().since, date(60));
    assert!(task(&tale, 60, Code::PsychiatricCaseReview).is_some());
}

#[test]
fn a_plateau_is_flat_by_less_than_the_important_difference() {
    let mut tale = Tale::new();
    tale.phq9(0, 26).phq9(28, 20).phq9(42, 18).phq9(56, 16);
    assert_eq!(finding(&tale, 56, Rule::Plateau).unwrap().since, date(56));
    tale.phq9(57, 15);
    assert_eq!(finding(&tale, 57, Rule::Plateau), None, "the last three now span 15 days");
    let mut tale = Tale::new();
    tale.phq9(0, 26).phq9(28, 20).phq9(42, 18).phq9(56, 15);
    assert_eq!(finding(&tale, 56, Rule::Plateau), None);
}

#[test]
fn two_failed_plans_prompt_for_specialty_care_without_waiting_for_the_third() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(40, 17).change(45).phq9(90, 16).change(95);
    assert_eq!(finding(&tale, 94, Rule::ConsiderSpecialtyReferral), None);
    assert_eq!(finding(&tale, 96, Rule::ConsiderSpecialtyReferral).unwrap().since, date(95));
    tale.phq9(110, 7);
    assert_eq!(finding(&tale, 110, Rule::ConsiderSpecialtyReferral), None);
}

#[test]
fn a_required_review_keeps_its_key_when_another_measure_is_named_first() {
    let mut tale = Tale::enrolled(&[Instrument::Phq9, Instrument::Gad7]);
    tale.phq9(0, 12).gad7(0, 14).review(60).phq9(118, 12).gad7(118, 14);
    let key = |tale: &Tale| {
        on(tale, 124).desired.into_iter().find(|d| d.rule == Rule::ReviewRequired).map(|d| (d.key, d.instrument))
    };
    tale.relapse_prevention(119);
    let before = key(&tale).unwrap();
    tale.phq9(123, 8);
    let after = key(&tale).unwrap();
    assert_eq!(before.0, after.0);
    assert_eq!((before.1, after.1), (Some(Instrument::Phq9), Some(Instrument::Gad7)));
}

#[test]
fn somebody_who_fell_ill_again_late_has_not_been_overdue_since_day_70() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(60, 9).phq9(100, 12);
    assert_eq!(finding(&tale, 100, Rule::ReviewRequired).unwrap().since, date(100));
}

#[test]
fn at_target_is_never_flagged_as_not_at_target() {
    // Best 3, now 13: a relapse, and still half of 26.
    let mut tale = Tale::new();
    tale.phq9(0, 26).phq9(40, 3).phq9(70, 13);
    let standing = standing(&tale, 70);
    assert!(standing.at_target && standing.findings.iter().any(|f| f.rule == Rule::Relapse));
    assert!(task(&tale, 70, Code::PsychiatricCaseReview).is_some());
    assert!(task(&tale, 70, Code::CocmNotAtTarget).is_none());
}

#[test]
fn the_measure_task_survives_nothing_but_a_score_and_a_new_plan_asks_anew() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(20, 17);
    let first = task(&tale, 51, Code::Measure).unwrap();
    assert_eq!(task(&tale, 75, Code::Measure).unwrap().key, first.key);
    tale.change(80);
    assert_eq!(task(&tale, 80, Code::Measure), None);
    assert_eq!(
        resolve(&first, &tale.story, date(80)),
        (Posture::Withdrawn, "Treatment was changed on 2026-03-26.".into())
    );
    assert_ne!(task(&tale, 108, Code::Measure).unwrap().key, first.key);
}

#[test]
fn a_contact_entered_late_is_not_called_a_matter_of_scores() {
    let mut tale = Tale::new();
    let open = task(&tale, 40, Code::Contact).unwrap();
    tale.contact(20);
    assert_eq!(task(&tale, 40, Code::Contact), None);
    let (posture, reason) = resolve(&open, &tale.story, date(40));
    assert_eq!(posture, Posture::Withdrawn);
    assert_eq!(reason, "The record of contacts was completed: the last was on 2026-01-25.");
}

#[test]
fn only_treatment_contacts_that_took_place_count() {
    let mut tale = Tale::new();
    tale.no_show(30)
        .contact_with(31, ContactKind::Outreach, ContactOutcome::Attended)
        .contact_with(32, ContactKind::Treatment, ContactOutcome::NotReached)
        .contact_with(33, ContactKind::Message, ContactOutcome::Attended);
    assert_eq!(finding(&tale, 34, Rule::ContactOverdue).unwrap().since, date(31));
    assert_eq!(finding(&tale, 89, Rule::InactivityDischargeProposed), None);
    assert_eq!(finding(&tale, 90, Rule::InactivityDischargeProposed).unwrap().since, date(90));
}

#[rstest]
#[case::four_of_five(4, 1, false)]
#[case::three_of_five(3, 2, true)]
#[case::none_of_four(0, 4, false)]
#[case::fifteen_of_nineteen(15, 4, true)]
fn engagement_is_low_below_80_per_cent_of_five_or_more(#[case] came: i64, #[case] missed: i64, #[case] low: bool) {
    let mut tale = Tale::new();
    for day in 0..came {
        tale.contact(day);
    }
    for day in came..came + missed {
        tale.no_show(day);
    }
    assert_eq!(finding(&tale, 30, Rule::LowEngagement).is_some(), low);
}

#[test]
fn a_key_stays_while_its_cause_stays() {
    let mut tale = Tale::new();
    tale.phq9(0, 18);
    let mut keys = Vec::new();
    for day in (7..110).step_by(7) {
        tale.phq9(day, 17);
        keys.extend(on(&tale, day).desired.into_iter().filter(|d| d.rule == Rule::Nonresponse).map(|d| d.key));
    }
    keys.dedup();
    let keys: std::collections::BTreeSet<String> = keys.into_iter().collect();
    assert_eq!(keys.len(), 2, "one Task and one Flag: {keys:?}");
}

#[test]
fn every_sentence_names_its_evidence_and_its_thresholds() {
    let mut tale = Tale::enrolled(&[Instrument::Phq9, Instrument::Gad7]);
    tale.phq9(0, 18).gad7(0, 14).phq9(30, 24).gad7(30, 5).phq9(55, 24).gad7(55, 12);
    for day in 0..150 {
        for f in standing(&tale, day).findings {
            assert!(f.reason.ends_with('.') && f.reason.len() > 20, "{}", f.reason);
            assert!(!f.thresholds.is_empty(), "{}", f.rule);
            assert!(f.instrument.is_none() || !f.evidence.is_empty(), "{}", f.rule);
        }
    }
}

#[test]
fn a_relapse_answered_on_its_own_day_leaves_the_new_plan_to_be_judged_like_any_other() {
    let mut tale = Tale::new();
    tale.phq9(0, 20).phq9(30, 8).phq9(60, 16);
    let relapsed = finding(&tale, 60, Rule::Relapse).unwrap();
    assert_eq!(day_of(relapsed.since), 60);
    let mut unanswered = tale.clone();
    unanswered.phq9(100, 16);
    assert_eq!(finding(&unanswered, 116, Rule::Nonresponse), None, "the relapse speaks instead");
    tale.change(60).phq9(100, 16);
    assert_eq!(finding(&tale, 115, Rule::Nonresponse), None);
    assert!(finding(&tale, 116, Rule::Nonresponse).is_some(), "56 days after the change");
}

#[test]
fn a_plan_that_was_never_measured_has_not_failed() {
    let mut tale = Tale::new();
    // The score of day 28 speaks for the plan that ended with it, not for the one that began.
    tale.phq9(0, 20).phq9(28, 20).change(28).change(60).phq9(90, 20);
    assert_eq!(finding(&tale, 100, Rule::ConsiderSpecialtyReferral), None, "one failed plan");
    tale.phq9(29, 20);
    assert!(finding(&tale, 100, Rule::ConsiderSpecialtyReferral).is_some(), "two");
    let mut early = Tale::new();
    early.phq9(0, 20).phq9(27, 20).change(27).phq9(50, 20).change(60).phq9(90, 20);
    assert_eq!(finding(&early, 100, Rule::ConsiderSpecialtyReferral), None, "27 days were too few for the first");
}

#[test]
fn a_contact_is_amber_after_30_days_and_red_after_60() {
    let mut tale = Tale::new();
    tale.contact(10);
    let grade = |day| finding(&tale, day, Rule::ContactOverdue).map(|f| f.reason.contains("(red)"));
    assert_eq!([grade(40), grade(41), grade(70), grade(71)], [None, Some(false), Some(false), Some(true)]);
    let proposed = |day| finding(&tale, day, Rule::InactivityDischargeProposed).is_some();
    assert_eq!((proposed(99), proposed(100)), (false, true), "90 days after the last contact");
}

#[test]
fn a_pcl5_improves_by_twelve_points_and_below_33_alone_is_remission() {
    let judged = |latest: u16| {
        let mut tale = Tale::enrolled(&[Instrument::Pcl5]);
        tale.score(Instrument::Pcl5, 0, 40).score(Instrument::Pcl5, 28, latest);
        let measure = standing(&tale, 28).measures.remove(0);
        (measure.clinically_significant_improvement, measure.remission, measure.at_target)
    };
    assert_eq!(judged(33), (false, false, false));
    assert_eq!(judged(32), (false, true, true), "8 points are no improvement");
    assert_eq!(judged(29), (false, true, true), "11 points");
    assert_eq!(judged(28), (true, true, true), "12 points");
}

#[test]
fn the_plan_clock_says_what_it_counts_from() {
    let mut tale = Tale::new();
    let said = |tale: &Tale| {
        let clock = standing(tale, 70).plan_clock.unwrap();
        (clock.basis.as_str(), day_of(clock.started_on), clock.entry.is_some(), clock.reason)
    };
    let (basis, day, entry, reason) = said(&tale);
    assert_eq!((basis, day, entry), ("enrolment", 0, false));
    assert!(reason.contains("no treatment change"), "{reason}");
    tale.change(20);
    let (basis, day, entry, reason) = said(&tale);
    assert_eq!((basis, day, entry), ("treatment_change", 20, true));
    assert_eq!(reason, "Counts from the treatment change of 2026-01-25 (medication): Dose.");
    tale.review(30);
    let id = tale.recommendation(40, ChangeKind::Medication);
    if let Care::CaseReview { recommendations, .. } = &mut tale.story.entries.last_mut().unwrap().care {
        recommendations[0].text = "Raise the dose".into();
    }
    tale.decision(44, id, RecommendationDecision::Done);
    let (basis, day, entry, reason) = said(&tale);
    assert_eq!((basis, day, entry), ("recommendation", 44, true));
    assert_eq!(reason, "Counts from 2026-02-18, when a recommendation was done: Raise the dose");
    let referred = Tale::of_a_patient().enroll(None, &[Instrument::Phq9]).clone();
    assert_eq!(standing(&referred, 5).plan_clock, None);
}
