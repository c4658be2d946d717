//! What an episode's entries add up to: its phase, flags, appointments, brief treatments and care plans.

use chrono::NaiveDate;
use cocm_registry::domain::care::{Care, ContactKind, ContactOutcome, DischargeReason, Intervention, SharedCarePlan};
use cocm_registry::domain::contacts::{CourseStatus, TreatmentCourse, brief_treatments, next_contact};
use cocm_registry::domain::episode::{Course, Phase};
use cocm_registry::domain::rules::BriefTreatment;
use cocm_registry::domain::story::Handover;
use rstest::rstest;
use uuid::Uuid;

use crate::rules_story::{Tale, date, day_of};

fn course(tale: &Tale, day: i64) -> Course<'_> {
    tale.story.courses(date(day)).into_iter().next().unwrap()
}

fn flag(tale: &mut Tale, day: i64, raised: bool) {
    tale.entry(day, Care::DiscussionFlag { raised, note: None });
}

#[test]
fn a_discussion_flag_stands_from_the_first_raising_until_it_is_lowered_or_a_review_came() {
    let since = |tale: &Tale, day| course(tale, day).discussion_flag().map(day_of);
    let mut tale = Tale::new();
    flag(&mut tale, 10, true);
    flag(&mut tale, 14, true);
    assert_eq!((since(&tale, 9), since(&tale, 20)), (None, Some(10)));
    tale.meeting(21);
    assert_eq!(since(&tale, 21), None, "a review takes it down");
    flag(&mut tale, 21, true);
    assert_eq!(since(&tale, 22), None, "what was raised on the day of the review was for the review");
    flag(&mut tale, 22, true);
    assert_eq!(since(&tale, 30), Some(22));
    flag(&mut tale, 31, false);
    assert_eq!(since(&tale, 31), None, "by hand");
}

#[test]
fn a_pause_ends_where_treatment_was_and_a_second_hold_changes_nothing() {
    let phase = |tale: &Tale, day| course(tale, day).phase;
    let mut tale = Tale::new();
    tale.hold(-1).relapse_prevention(20).hold(30).hold(35).resume(40).resume(50);
    for (day, expected) in [
        (-1, Phase::Referred),
        (0, Phase::Active),
        (19, Phase::Active),
        (20, Phase::RelapsePrevention),
        (30, Phase::OnHold),
        (39, Phase::OnHold),
        (40, Phase::RelapsePrevention),
        (50, Phase::Active),
    ] {
        assert_eq!(phase(&tale, day), expected, "day {day}");
    }
    tale.hold(0);
    assert_eq!(phase(&tale, 0), Phase::OnHold, "on the first day of treatment");
}

#[rstest]
#[case::before_the_discharge(59, 59, DischargeReason::Died)]
#[case::on_its_day(60, 60, DischargeReason::Graduated)]
#[case::after_it(61, 60, DischargeReason::Graduated)]
fn an_episode_ends_once_at_discharge_or_at_an_earlier_death(
    #[case] died: i64,
    #[case] ended: i64,
    #[case] reason: DischargeReason,
) {
    let mut tale = Tale::new();
    tale.discharge(60);
    tale.story.patient.deceased_on = Some(date(died));
    let end = course(&tale, 90).end.unwrap();
    assert_eq!((day_of(end.on), end.reason), (ended, reason));
    let mut nobody_discharged = Tale::new();
    nobody_discharged.story.patient.deceased_on = Some(date(died));
    assert_eq!(course(&nobody_discharged, died - 1).phase, Phase::Active);
    assert_eq!(course(&nobody_discharged, died).phase, Phase::Discharged);
}

#[test]
fn each_phase_allows_what_makes_sense_in_it_and_taking_back_always() {
    for phase in Phase::ALL {
        let may = |kind| phase.allowed().contains(&kind);
        assert!(may("taken_back"), "{phase}");
        assert_eq!(may("contact"), *phase != Phase::Discharged, "{phase}");
        assert_eq!(may("discharge"), *phase != Phase::Discharged, "{phase}");
        assert_eq!(may("hold"), matches!(phase, Phase::Active | Phase::RelapsePrevention), "{phase}");
        assert_eq!(may("resume"), matches!(phase, Phase::OnHold | Phase::RelapsePrevention), "{phase}");
        assert_eq!(may("relapse_prevention"), *phase == Phase::Active, "{phase}");
        assert_eq!(may("case_review"), !matches!(phase, Phase::Referred | Phase::Discharged), "{phase}");
        assert_eq!(may("recommendation_decision"), *phase != Phase::Referred, "{phase}");
        assert_eq!(course_in(*phase).in_treatment(), may("hold"), "the clocks run exactly where they can be held");
    }
}

fn course_in(phase: Phase) -> Course<'static> {
    let mut tale = Tale::of_a_patient();
    tale.enroll((phase != Phase::Referred).then_some(0), &[cocm_registry::domain::instrument::Instrument::Phq9]);
    match phase {
        Phase::Referred | Phase::Active => &mut tale,
        Phase::OnHold => tale.hold(5),
        Phase::RelapsePrevention => tale.relapse_prevention(5),
        Phase::Discharged => tale.discharge(5),
    };
    let tale: &'static Tale = Box::leak(Box::new(tale));
    let course = course(tale, 10);
    assert_eq!(course.phase, phase);
    course
}

#[test]
fn an_appointment_stands_until_something_is_documented_on_its_day_and_is_missed_after_it() {
    let next = |tale: &Tale, day| next_contact(&course(tale, day)).map(|next| (day_of(next.on), next.missed));
    let mut tale = Tale::new();
    tale.appointment(10, 24);
    assert_eq!((next(&tale, 9), next(&tale, 10)), (None, Some((24, false))));
    assert_eq!((next(&tale, 24), next(&tale, 25)), (Some((24, false)), Some((24, true))));
    tale.contact(23);
    assert_eq!(next(&tale, 25), Some((24, true)), "a contact before it accounts for nothing");
    unscheduled(&mut tale, 24, ContactKind::Outreach);
    assert_eq!(next(&tale, 25), Some((24, true)), "nor does a message in between");
    let mut came = tale.clone();
    unscheduled(&mut came, 24, ContactKind::Treatment);
    assert_eq!(next(&came, 25), None, "treatment was given");
    tale.contact_with(30, ContactKind::Outreach, ContactOutcome::NoShow);
    assert_eq!((next(&tale, 29), next(&tale, 30)), (Some((24, true)), None), "it was on the schedule");
    tale.appointment(31, 45).discharge(40);
    assert_eq!((next(&tale, 39), next(&tale, 40)), (Some((45, false)), None));
}

fn unscheduled(tale: &mut Tale, day: i64, purpose: ContactKind) {
    tale.contact_with(day, purpose, ContactOutcome::Attended);
    if let Care::Contact { scheduled, .. } = &mut tale.story.entries.last_mut().unwrap().care {
        *scheduled = false;
    }
}

fn session(tale: &mut Tale, day: i64, outcome: ContactOutcome, words: &[&str]) {
    tale.contact_with(day, ContactKind::Treatment, outcome);
    if let Care::Contact { interventions, .. } = &mut tale.story.entries.last_mut().unwrap().care {
        *interventions = words.iter().map(|word| (*word).to_owned()).collect();
    }
}

/// (first day, sessions, day of completion, how it stands)
fn told(courses: &[TreatmentCourse]) -> Vec<(i64, u16, Option<i64>, CourseStatus)> {
    courses.iter().map(|c| (day_of(c.started_on), c.sessions, c.completed_on.map(day_of), c.status)).collect()
}

#[test]
fn a_brief_treatment_is_so_many_days_with_sessions_in_so_many_days() {
    let rules = BriefTreatment { sessions: 3, within_days: 28 };
    let mut tale = Tale::new();
    session(&mut tale, 10, ContactOutcome::Attended, &["pst", "sleep_hygiene"]);
    session(&mut tale, 10, ContactOutcome::Attended, &["pst"]);
    session(&mut tale, 17, ContactOutcome::NoShow, &["pst"]);
    session(&mut tale, 20, ContactOutcome::Attended, &["ba", "went for a walk"]);
    session(&mut tale, 24, ContactOutcome::Attended, &["pst"]);
    let seen = |tale: &Tale, day| told(&brief_treatments(&course(tale, day), &rules));
    let activation = (20, 1, None, CourseStatus::InProgress);
    assert_eq!(seen(&tale, 38), [(10, 2, None, CourseStatus::InProgress), activation], "until day 38");
    assert_eq!(seen(&tale, 39)[0], (10, 2, None, CourseStatus::NotCompleted));
    let mut late = tale.clone();
    session(&mut late, 39, ContactOutcome::Attended, &["pst"]);
    assert_eq!(seen(&late, 39)[2], (39, 1, None, CourseStatus::InProgress), "another course begins");
    session(&mut tale, 38, ContactOutcome::Attended, &["pst"]);
    session(&mut tale, 38, ContactOutcome::Attended, &["pst"]);
    assert_eq!(seen(&tale, 60)[0], (10, 3, Some(38), CourseStatus::Completed));
    assert_eq!(brief_treatments(&course(&tale, 60), &rules)[1].intervention, Intervention::BehavioralActivation);
    tale.discharge(40);
    assert_eq!(seen(&tale, 40)[1].3, CourseStatus::NotCompleted, "there is no time left");
    session(&mut tale, 41, ContactOutcome::Attended, &["cbt"]);
    session(&mut tale, 40, ContactOutcome::Attended, &["ipt"]);
    let after = seen(&tale, 60);
    assert_eq!(after.last().unwrap(), &(40, 1, None, CourseStatus::NotCompleted));
    assert_eq!(after.len(), 3, "the day of discharge counts, the day after it does not");
    let one = BriefTreatment { sessions: 1, within_days: 28 };
    assert_eq!(told(&brief_treatments(&course(&tale, 30), &one))[0].2, Some(10), "one may be enough");
}

fn planned(tale: &mut Tale, day: i64, note: &str) -> Uuid {
    tale.entry(day, Care::CarePlan(SharedCarePlan { note: Some(note.into()), ..SharedCarePlan::default() }));
    tale.story.entries.last().unwrap().id
}

#[test]
fn the_last_care_plan_that_was_not_taken_back_holds_and_what_was_keeps_its_number() {
    let mut tale = Tale::new();
    let first = tale.episode;
    let one = planned(&mut tale, 3, "one");
    let two = planned(&mut tale, 1, "two, entered later for an earlier day");
    tale.enroll(Some(200), &[cocm_registry::domain::instrument::Instrument::Phq9]);
    let other = planned(&mut tale, 200, "of the next episode");
    let numbers = |tale: &Tale| -> Vec<(i64, Uuid, bool)> {
        tale.story.care_plans(first).iter().map(|v| (v.number, v.entry.id, v.taken_back)).collect()
    };
    assert_eq!(numbers(&tale), [(1, one, false), (2, two, false)]);
    assert_eq!(tale.story.care_plan(first).map(|v| v.entry.id), Some(two));
    tale.taken_back(4, two);
    assert_eq!(numbers(&tale), [(1, one, false), (2, two, true)]);
    assert_eq!(tale.story.care_plan(first).map(|v| (v.number, v.entry.id)), Some((1, one)));
    assert_eq!(tale.story.care_plan(tale.episode).map(|v| v.entry.id), Some(other));
}

#[test]
fn an_episode_was_with_whoever_handed_it_over_next() {
    let mut tale = Tale::new();
    let first = tale.episode;
    tale.enroll(Some(200), &[cocm_registry::domain::instrument::Instrument::Phq9]);
    for episode in &mut tale.story.episodes {
        episode.care_manager = Some("Ray".into());
    }
    let handed = |episode, day, from: Option<&str>| Handover { episode, on: date(day), from: from.map(str::to_owned) };
    tale.story.handovers =
        vec![handed(tale.episode, 5, Some("X")), handed(first, 10, None), handed(first, 20, Some("Kim"))];
    let with = |on: NaiveDate| tale.story.care_manager(&tale.story.episodes[0], on);
    let days: Vec<Option<&str>> = [9, 10, 19, 20, 300].map(|day| with(date(day))).to_vec();
    assert_eq!(days, [None, Some("Kim"), Some("Kim"), Some("Ray"), Some("Ray")]);
}

#[test]
fn contacts_and_reviews_state_their_minutes_and_nothing_else_does() {
    let mut tale = Tale::new();
    tale.contact(3).meeting(4).hold(5);
    let stated: Vec<Option<u16>> = tale.story.entries.iter().map(|e| e.care.minutes()).collect();
    assert_eq!(stated, [Some(20), None, None]);
    let review = Care::CaseReview {
        reviewer: "Dr. Berg".into(),
        summary: None,
        minutes: Some(15),
        recommendations: Vec::new(),
        session: None,
    };
    assert_eq!(review.minutes(), Some(15));
}

#[test]
fn an_entry_is_called_the_same_in_the_log_and_in_itself() {
    let mut tale = Tale::new();
    let score = tale.phq9(0, 18).last_measurement().id;
    let id = tale.recommendation(1, cocm_registry::domain::care::ChangeKind::Medication);
    tale.decision(2, id, cocm_registry::domain::care::RecommendationDecision::Accepted);
    tale.contact(3).change(4).hold(5).resume(6).relapse_prevention(7).override_baseline(8, score).assessed(9);
    flag(&mut tale, 10, true);
    let plan = planned(&mut tale, 11, "walk");
    tale.discharge(12).taken_back(13, plan);
    for entry in &tale.story.entries {
        assert_eq!(serde_json::to_value(&entry.care).unwrap()["kind"], entry.care.kind());
    }
    assert_eq!(tale.story.entries.len(), 13);
}
