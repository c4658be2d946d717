//! Who might be offered care: whose latest scale is elevated, and nobody dismissed it.

use cocm_registry::domain::candidate::{Candidate, candidate};
use cocm_registry::domain::care::{Care, DismissedScore};
use cocm_registry::domain::chart_plan::plan;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::id::MeasurementId;
use uuid::Uuid;

use crate::rules_story::{Tale, date, day_of};

fn on(tale: &Tale, day: i64) -> Option<Candidate> {
    let rules = RuleSet::default();
    candidate(&tale.story, &plan(&tale.story, &rules, date(day)).standings, &rules, date(day))
}

fn scores(candidate: &Candidate) -> Vec<(Instrument, u16)> {
    candidate.scores.iter().map(|s| (s.instrument, s.score)).collect()
}

fn dismiss(tale: &mut Tale, day: i64, candidate: &Candidate) -> Uuid {
    tale.entry(
        day,
        Care::CandidateDismissal { reason: "In therapy elsewhere".into(), scores: candidate.scores_dismissed() },
    );
    let entry = tale.story.entries.last_mut().unwrap();
    entry.episode = None;
    entry.id
}

#[test]
fn ten_points_make_a_candidate_until_the_score_is_old_and_nine_make_none() {
    let mut tale = Tale::of_a_patient();
    assert_eq!(on(&tale, 0), None, "nothing is known");
    tale.phq9(0, 9).gad7(0, 9);
    assert_eq!(on(&tale, 0), None);
    tale.phq9(3, 10);
    let days = i64::from(RuleSet::default().candidates.look_back_days);
    let found = on(&tale, 3).unwrap();
    assert_eq!((scores(&found), day_of(found.since)), (vec![(Instrument::Phq9, 10)], 3));
    assert_eq!((day_of(found.until), found.dismissed.is_none()), (3 + days, true));
    assert_eq!(found.reason, "PHQ-9 10 on 2026-01-08 (10 or more is positive); not enrolled.");
    assert_eq!(on(&tale, 2), None, "the day before");
    assert!(on(&tale, 3 + days).is_some());
    assert_eq!(on(&tale, 4 + days), None, "a day too old");
    tale.gad7(5, 12);
    let both = on(&tale, 5).unwrap();
    assert_eq!((scores(&both).len(), day_of(both.since)), (2, 3), "the first of them to grow old says until when");
    tale.phq9(6, 4).gad7(6, 4);
    assert_eq!(on(&tale, 6), None, "the latest of each speaks");
}

#[test]
fn a_screener_speaks_until_the_whole_scale_was_taken_on_its_day_or_since() {
    let mut tale = Tale::of_a_patient();
    tale.phq9(0, 4).score(Instrument::Phq2, 1, 3);
    assert_eq!(scores(&on(&tale, 1).unwrap()), [(Instrument::Phq2, 3)], "taken after the whole scale");
    let mut same_day = tale.clone();
    same_day.phq9(1, 6);
    assert_eq!(on(&same_day, 1), None, "the whole scale of that day says more");
    tale.score(Instrument::Phq9Modified, 2, 6);
    assert_eq!(on(&tale, 2), None, "and so does one that came later, be it the one for teens");
    let mut below = Tale::of_a_patient();
    below.score(Instrument::Phq2, 1, 2);
    assert_eq!(on(&below, 1), None);
}

#[test]
fn a_dismissal_puts_these_scores_aside_from_its_day_on_and_the_next_one_speaks_again() {
    let mut tale = Tale::of_a_patient();
    tale.phq9(0, 14).gad7(0, 11);
    let offered = on(&tale, 0).unwrap();
    let entry = dismiss(&mut tale, 4, &offered);
    assert!(on(&tale, 3).unwrap().dismissed.is_none(), "not yet");
    let aside = on(&tale, 4).unwrap();
    let dismissal = aside.dismissed.as_ref().unwrap();
    assert_eq!((dismissal.entry, day_of(dismissal.on), dismissal.reason.as_str()), (entry, 4, "In therapy elsewhere"));
    assert_eq!(aside.scores.len(), 2);
    // The PHQ-9 is corrected to another total: only that score was not looked at.
    let mut corrected = tale.clone();
    corrected.story.measurements[0].total = Some(15);
    let again = on(&corrected, 5).unwrap();
    assert_eq!((scores(&again), again.dismissed), (vec![(Instrument::Phq9, 15)], None));
    let mut newer = tale.clone();
    newer.phq9(9, 14);
    let again = on(&newer, 9).unwrap();
    assert_eq!((scores(&again), again.dismissed), (vec![(Instrument::Phq9, 14)], None), "the same points, taken anew");
    let other = DismissedScore { measurement: MeasurementId(Uuid::from_u128(999)), score: 14 };
    tale.story.entries.clear();
    tale.entry(4, Care::CandidateDismissal { reason: "Another form".into(), scores: vec![other] });
    assert_eq!(on(&tale, 5).unwrap().dismissed, None);
}

#[test]
fn who_is_in_care_or_dead_or_inactive_is_none_and_who_left_care_is_one_again() {
    let mut tale = Tale::of_a_patient();
    tale.phq9(-3, 18);
    assert!(on(&tale, -1).is_some());
    let mut referred = tale.clone();
    referred.enroll(None, &[Instrument::Phq9]);
    assert_eq!(on(&referred, 0), None);
    let mut discharged = tale.clone();
    discharged.enroll(Some(0), &[Instrument::Phq9]).discharge(10);
    assert_eq!(on(&discharged, 9), None);
    let earlier = on(&discharged, 10).unwrap().earlier.unwrap();
    assert_eq!((earlier.episode, day_of(earlier.ended_on), earlier.was_enrolled), (discharged.episode, 10, true));
    discharged.enroll(None, &[Instrument::Phq9]).discharge(12);
    let last = on(&discharged, 12).unwrap().earlier.unwrap();
    assert_eq!(
        (day_of(last.ended_on), last.was_enrolled),
        (12, false),
        "the last one, a referral that came to nothing"
    );
    let mut died = tale.clone();
    died.story.patient.deceased_on = Some(date(2));
    assert!(on(&died, 1).is_some());
    assert_eq!(on(&died, 2), None);
    tale.story.patient.inactive = true;
    assert_eq!(on(&tale, 1), None);
}
