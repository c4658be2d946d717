//! What a review recommends: decided, followed to its end, and what came after it.

use cocm_registry::domain::attention::{QueueEntry, QueuePlace};
use cocm_registry::domain::care::{Care, ChangeKind, RecommendationDecision, ReferralProgress};
use cocm_registry::domain::chart_plan::{ChartPlan, plan};
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::history::History;
use cocm_registry::domain::recommendation::{RecommendationDetail, RecommendationState, follow, listed};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::task::Code;
use rstest::rstest;
use uuid::Uuid;

use crate::rules_story::{Tale, date, day_of};

fn on(tale: &Tale, day: i64) -> ChartPlan {
    plan(&tale.story, &RuleSet::default(), date(day))
}

fn tasks(plan: &ChartPlan) -> usize {
    plan.desired.iter().filter(|d| d.code == Code::Recommendation).count()
}

fn goes_on(tale: &mut Tale, day: i64, recommendation: Uuid, progress: ReferralProgress, scheduled_for: Option<i64>) {
    let scheduled_for = scheduled_for.map(date);
    let (by, reason) = (None, (progress == ReferralProgress::Closed).then(|| "moved away".to_owned()));
    tale.entry(day, Care::RecommendationProgress { recommendation, progress, scheduled_for, by, reason });
}

fn one(tale: &Tale, day: i64) -> RecommendationDetail {
    listed(&History::of(&tale.story), &RuleSet::default(), date(day)).pop().unwrap()
}

#[rstest]
#[case::undecided(&[], RecommendationState::Undecided, 1)]
#[case::accepted(&[RecommendationDecision::Accepted], RecommendationState::Open, 1)]
#[case::modified(&[RecommendationDecision::Modified], RecommendationState::Open, 1)]
#[case::declined(&[RecommendationDecision::Declined], RecommendationState::Declined, 0)]
#[case::declined_and_accepted_after_all(&[RecommendationDecision::Declined, RecommendationDecision::Accepted], RecommendationState::Open, 1)]
#[case::done(&[RecommendationDecision::Accepted, RecommendationDecision::Done], RecommendationState::Done, 0)]
#[case::done_at_once(&[RecommendationDecision::Done], RecommendationState::Done, 0)]
fn a_recommendation_is_a_task_until_it_is_decided_against_or_done(
    #[case] decisions: &[RecommendationDecision],
    #[case] state: RecommendationState,
    #[case] open: usize,
) {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(10, ChangeKind::Medication);
    for decision in decisions {
        tale.decision(11, id, *decision);
    }
    assert_eq!((follow(&tale.story, id).unwrap().state, tasks(&on(&tale, 11))), (state, open));
    assert_eq!(tasks(&on(&tale, 9)), 0, "nobody knew of it the day before");
    assert_eq!(tasks(&on(&tale, 10)), 1, "on the day itself nobody had decided");
}

#[test]
fn to_continue_asks_for_nothing_and_can_be_decided() {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(10, ChangeKind::Continue);
    let followed = follow(&tale.story, id).unwrap();
    assert_eq!(
        (followed.state, followed.due_on(&RuleSet::default()), tasks(&on(&tale, 60))),
        (RecommendationState::NothingToDo, None, 0)
    );
    assert_eq!(followed.allowed().len(), 4);
    tale.decision(12, id, RecommendationDecision::Declined);
    assert_eq!(follow(&tale.story, id).unwrap().state, RecommendationState::Declined);
}

#[test]
fn what_is_not_done_in_time_is_a_finding_and_brings_the_patient_back_into_the_queue() {
    let mut tale = Tale::new();
    let first = tale.phq9(0, 18).recommendation(10, ChangeKind::Medication);
    tale.phq9(20, 6);
    let last_day = on(&tale, 24);
    assert!(QueueEntry::of(&last_day.standings[0]).is_none(), "improved, and reviewed lately");
    let late = on(&tale, 25);
    let finding = late.standings[0].findings.iter().find(|f| f.rule == Rule::RecommendationOverdue).unwrap();
    assert_eq!((day_of(finding.since), finding.evidence.len()), (25, 1));
    let waiting = QueueEntry::of(&late.standings[0]).unwrap();
    assert_eq!((waiting.place, waiting.waiting_since), (QueuePlace::ReviewOverdue, date(25)));
    tale.hold(26);
    let held = on(&tale, 26);
    assert!(held.standings[0].findings.iter().all(|f| f.rule != Rule::RecommendationOverdue), "a hold is not pressed");
    assert_eq!(tasks(&held), 1, "and what a person asked for stays");
    tale.decision(27, first, RecommendationDecision::Declined);
    assert_eq!(tasks(&on(&tale, 27)), 0);
}

#[rstest]
#[case::nothing_yet(None, &["ordered", "scheduled", "completed", "declined", "closed"])]
#[case::ordered(Some(ReferralProgress::Ordered), &["scheduled", "completed", "declined", "closed"])]
#[case::scheduled(Some(ReferralProgress::Scheduled), &["ordered", "scheduled", "completed", "declined", "closed"])]
#[case::completed(Some(ReferralProgress::Completed), &[])]
#[case::declined(Some(ReferralProgress::Declined), &[])]
#[case::closed(Some(ReferralProgress::Closed), &[])]
fn a_referral_goes_forward_to_one_end(#[case] now: Option<ReferralProgress>, #[case] allowed: &[&str]) {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(10, ChangeKind::SpecialtyReferral);
    if let Some(progress) = now {
        goes_on(&mut tale, 11, id, progress, None);
    }
    let followed = follow(&tale.story, id).unwrap();
    let names: Vec<&str> = followed.allowed_progress().iter().map(|p| p.as_str()).collect();
    assert_eq!(names, allowed);
    let ended =
        matches!(now, Some(ReferralProgress::Completed | ReferralProgress::Declined | ReferralProgress::Closed));
    assert_eq!((followed.allowed().is_empty(), tasks(&on(&tale, 11)) == 0), (ended, ended));
}

#[rstest]
#[case::specialty(ChangeKind::SpecialtyReferral, Some(30))]
#[case::referral(ChangeKind::Referral, Some(30))]
#[case::seen_by_the_consultant(ChangeKind::DirectEvaluation, Some(0))]
fn a_completed_referral_restarts_the_plan_clock_and_an_evaluation_does_not(
    #[case] kind: ChangeKind,
    #[case] plan_start: Option<i64>,
) {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(10, kind);
    goes_on(&mut tale, 12, id, ReferralProgress::Ordered, None);
    goes_on(&mut tale, 15, id, ReferralProgress::Scheduled, Some(30));
    let followed = follow(&tale.story, id).unwrap();
    assert_eq!(
        (followed.state, followed.decision),
        (RecommendationState::Open, Some(RecommendationDecision::Accepted)),
        "to order is to accept"
    );
    assert_eq!(followed.due_on(&RuleSet::default()).map(day_of), Some(30), "due on the day of the appointment");
    goes_on(&mut tale, 30, id, ReferralProgress::Completed, None);
    assert_eq!(follow(&tale.story, id).unwrap().state, RecommendationState::Done);
    assert_eq!(on(&tale, 31).standings[0].plan_started_on.map(day_of), plan_start);
}

#[test]
fn a_lost_appointment_gives_the_recommendation_its_own_date_back() {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(10, ChangeKind::Referral);
    goes_on(&mut tale, 15, id, ReferralProgress::Scheduled, Some(60));
    goes_on(&mut tale, 20, id, ReferralProgress::Ordered, None);
    assert_eq!(follow(&tale.story, id).unwrap().due_on(&RuleSet::default()).map(day_of), Some(38));
}

#[test]
fn the_end_of_the_episode_closes_what_waited_and_a_late_word_still_counts() {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(10, ChangeKind::Medication);
    tale.discharge(20);
    assert_eq!((follow(&tale.story, id).unwrap().state, tasks(&on(&tale, 20))), (RecommendationState::Closed, 0));
    tale.decision(25, id, RecommendationDecision::Done);
    assert_eq!(follow(&tale.story, id).unwrap().state, RecommendationState::Done);
}

#[test]
fn the_score_before_is_the_one_the_reviewer_saw_and_the_one_after_is_four_weeks_later() {
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(40, 17);
    let id = tale.recommendation(40, ChangeKind::Medication);
    tale.phq9(45, 16).decision(50, id, RecommendationDecision::Done).phq9(77, 12).phq9(78, 9).phq9(90, 7);
    let totals = |listed: &RecommendationDetail| {
        let outcome = &listed.outcomes[0];
        let score = |s: &Option<_>| s.as_ref().map(|s: &cocm_registry::domain::target::ReferenceSummary| s.score);
        (score(&outcome.before), score(&outcome.after), outcome.change, score(&outcome.latest))
    };
    assert_eq!(totals(&one(&tale, 45)), (Some(17), None, None, Some(16)), "not done yet");
    assert_eq!(totals(&one(&tale, 77)), (Some(17), None, None, Some(12)), "27 days after");
    assert_eq!(totals(&one(&tale, 78)), (Some(17), Some(9), Some(-8), Some(9)), "28 days after");
    assert_eq!(totals(&one(&tale, 100)), (Some(17), Some(9), Some(-8), Some(7)));
}

#[test]
fn a_score_of_another_episode_is_neither_before_nor_after() {
    let mut tale = Tale::new();
    let id = tale.phq9(0, 18).recommendation(10, ChangeKind::Medication);
    tale.decision(12, id, RecommendationDecision::Done).discharge(30).phq9(45, 4);
    let outcome = one(&tale, 50).outcomes.remove(0);
    assert_eq!((outcome.after, outcome.latest), (None, None));
    assert_eq!(outcome.before.unwrap().score, 18);
}

#[test]
fn what_is_not_followed_or_was_declined_has_no_way_to_go() {
    let mut tale = Tale::new();
    tale.recommendation(10, ChangeKind::Medication);
    assert!(one(&tale, 11).followed.allowed_progress().is_empty(), "a prescription is done or not");
    let mut tale = Tale::new();
    let referral = tale.recommendation(10, ChangeKind::Referral);
    assert_eq!(one(&tale, 11).followed.allowed_progress().len(), 5);
    tale.decision(12, referral, RecommendationDecision::Declined);
    assert!(one(&tale, 12).followed.allowed_progress().is_empty(), "it has to be accepted first");
    tale.decision(13, referral, RecommendationDecision::Accepted);
    assert_eq!(one(&tale, 13).followed.allowed_progress().len(), 5);
}

#[test]
fn a_task_says_who_recommended_what_and_how_it_was_modified() {
    let mut tale = Tale::new();
    let id = tale.recommendation(10, ChangeKind::Medication);
    let said = |tale: &Tale| one(tale, 20).followed.sentence();
    assert!(said(&tale).starts_with("Dr. Berg, case review of 2026-01-15: As discussed"), "{}", said(&tale));
    tale.decision(12, id, RecommendationDecision::Modified);
    assert!(said(&tale).contains(": As discussed. Modified on 2026-01-17"), "{}", said(&tale));
    let decision = &mut tale.story.entries.last_mut().unwrap().care;
    if let Care::RecommendationDecision { reason, .. } = decision {
        *reason = Some("half the dose.".into());
    }
    assert!(said(&tale).contains(". Modified on 2026-01-17: half the dose"), "{}", said(&tale));
}
