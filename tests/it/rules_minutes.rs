//! Care-manager minutes, worked by hand. The clinic is in New York: March 2026 is 744 hours but one.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::America::New_York;
use cocm_registry::domain::care::{Care, ContactKind, ContactOutcome, Modality};
use cocm_registry::domain::day::local_midnight;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::metrics::Month;
use cocm_registry::domain::minutes::{self, EpisodeMinutes};

use crate::rules_story::{Tale, day_of};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn tale() -> Tale {
    let mut tale = Tale::of_a_patient();
    tale.enroll(Some(0), &[Instrument::Phq9]);
    tale
}

/// A contact that began at an instant and lasted so many minutes.
fn spent(tale: &mut Tale, from: &str, minutes: u16, outcome: ContactOutcome) {
    let on = at(from).with_timezone(&New_York).date_naive();
    enter(tale, on, Some(at(from)), minutes, outcome);
}

fn enter(tale: &mut Tale, on: NaiveDate, starts_at: Option<DateTime<Utc>>, minutes: u16, outcome: ContactOutcome) {
    let care = Care::Contact {
        purpose: ContactKind::Treatment,
        modality: Some(Modality::Phone),
        scheduled: true,
        outcome,
        starts_at,
        minutes: Some(minutes),
        performer: None,
        interventions: Vec::new(),
        note: None,
        next_contact_on: None,
    };
    tale.entry(day_of(on), care);
}

fn of(tale: &Tale, month: &str, earlier: &[&str]) -> EpisodeMinutes {
    let month: Month = month.parse().unwrap();
    let span = (local_midnight(New_York, month.first), local_midnight(New_York, month.last.succ_opt().unwrap()));
    let earlier: Vec<NaiveDate> = earlier.iter().map(|on| on.parse().unwrap()).collect();
    minutes::of(&tale.story.courses(month.last)[0], month, span, &earlier)
}

fn codes(minutes: &EpisodeMinutes) -> Vec<(&str, i64)> {
    minutes.suggested_codes.iter().map(|s| (s.code.as_str(), s.units)).collect()
}

#[test]
fn what_lasts_over_local_midnight_is_shared_by_two_months() {
    let mut tale = tale();
    // From 23:50 on 31 March to 00:10 on 1 April; in UTC it is April all along.
    spent(&mut tale, "2026-04-01T03:50:00Z", 20, ContactOutcome::Attended);
    // From 23:45 on 28 February (still winter time).
    spent(&mut tale, "2026-03-01T04:45:00Z", 40, ContactOutcome::Attended);
    let (february, march, april) = (of(&tale, "2026-02", &[]), of(&tale, "2026-03", &[]), of(&tale, "2026-04", &[]));
    assert_eq!((february.minutes, march.minutes, april.minutes), (15, 35, 10));
    assert_eq!(march.left_out.iter().map(|l| l.minutes).collect::<Vec<_>>(), [15, 10]);
    assert!(march.left_out.iter().all(|l| l.reason == "in the next month or the one before"));
}

#[test]
fn an_hour_is_an_hour_when_the_clocks_go_forward() {
    let mut tale = tale();
    // 01:30 to 03:30 on the wall, which is one hour; and 03:00 to 03:30, inside of it.
    spent(&mut tale, "2026-03-08T06:30:00Z", 60, ContactOutcome::Attended);
    spent(&mut tale, "2026-03-08T07:00:00Z", 30, ContactOutcome::Attended);
    let march = of(&tale, "2026-03", &[]);
    assert_eq!(march.minutes, 60);
    assert!(march.reasoning.starts_with("Of 90 minutes 30 overlap and count once. 60 minutes in a first month"));
    assert_eq!(codes(&march), [("99492", 1)]);
}

#[test]
fn overlaps_count_once_and_neighbours_count_whole() {
    let mut tale = tale();
    spent(&mut tale, "2026-03-10T15:00:00Z", 30, ContactOutcome::Attended); // 15:00–15:30
    spent(&mut tale, "2026-03-10T15:20:00Z", 20, ContactOutcome::Attended); // to 15:40
    spent(&mut tale, "2026-03-10T15:40:00Z", 10, ContactOutcome::Attended); // to 15:50
    spent(&mut tale, "2026-03-10T15:40:00Z", 10, ContactOutcome::Attended); // the same again
    enter(&mut tale, "2026-03-11".parse().unwrap(), None, 26, ContactOutcome::Attended); // no hour known
    let march = of(&tale, "2026-03", &[]);
    assert_eq!(march.minutes, 30 + 10 + 10 + 26);
    assert_eq!(codes(&march), [("99492", 1)], "76 of 86");
    assert_eq!(codes(&of(&tale, "2026-03", &["2026-02-27"])), [("99493", 1), ("99494", 1)], "76 of 76");
}

#[test]
fn nothing_counts_before_consent_or_after_discharge_or_when_nobody_was_reached() {
    let mut tale = tale();
    tale.story.episodes[0].consent_on = Some("2026-03-10".parse().unwrap());
    // 23:30 on the 9th in New York is the 10th in UTC.
    spent(&mut tale, "2026-03-10T03:30:00Z", 25, ContactOutcome::Attended);
    spent(&mut tale, "2026-03-10T15:00:00Z", 20, ContactOutcome::Attended);
    spent(&mut tale, "2026-03-20T15:00:00Z", 11, ContactOutcome::NotReached);
    tale.discharge(day_of("2026-03-24".parse().unwrap()));
    spent(&mut tale, "2026-03-24T20:00:00Z", 10, ContactOutcome::Attended);
    spent(&mut tale, "2026-03-25T15:00:00Z", 40, ContactOutcome::Attended);
    let march = of(&tale, "2026-03", &[]);
    assert_eq!(march.minutes, 30, "the day of consent and the day of discharge count");
    let left_out: Vec<(i64, &str)> = march.left_out.iter().map(|l| (l.minutes, l.reason.as_str())).collect();
    assert_eq!(left_out, [(25, "before consent"), (11, "nobody was reached"), (40, "after discharge")]);
    assert!(march.reasoning.starts_with("76 minutes do not count: see left_out. 30 minutes in a first month"));
    assert_eq!(codes(&march), [("G2214", 1), ("99484", 1)]);
    assert_eq!(march.suggested_codes[1].instead_of.as_deref(), Some("G2214"));
    tale.story.episodes[0].consent_on = None;
    let march = of(&tale, "2026-03", &[]);
    assert_eq!((march.minutes, march.left_out[0].reason.as_str()), (0, "no consent is documented"));
}

#[test]
fn minutes_of_a_case_review_are_the_consultants_and_do_not_count() {
    let mut tale = tale();
    tale.entry(
        70,
        Care::CaseReview {
            reviewer: "Dr. Berg".into(),
            summary: None,
            minutes: Some(60),
            recommendations: vec![],
            session: None,
        },
    );
    assert_eq!(of(&tale, "2026-03", &[]).minutes, 0);
}

#[test]
fn a_month_is_a_first_one_again_after_six_months_without_care() {
    let mut tale = tale();
    spent(&mut tale, "2026-03-10T15:00:00Z", 36, ContactOutcome::Attended);
    // September to February are six months.
    let after = |last: &str| of(&tale, "2026-03", &[last]);
    assert!(after("2025-08-31").first_month);
    assert!(!after("2025-09-01").first_month);
    assert_eq!(codes(&after("2025-08-31")), [("99492", 1)]);
    assert_eq!(codes(&after("2025-09-01")), [("99493", 1)]);
}

#[test]
fn what_ended_with_the_month_is_no_remark_in_the_next_one() {
    let mut tale = tale();
    spent(&mut tale, "2026-03-01T04:40:00Z", 20, ContactOutcome::Attended); // 23:40–24:00 on 28 February
    spent(&mut tale, "2026-04-01T04:00:00Z", 20, ContactOutcome::Attended); // 00:00 on 1 April
    let (february, march, april) = (of(&tale, "2026-02", &[]), of(&tale, "2026-03", &[]), of(&tale, "2026-04", &[]));
    assert_eq!((february.minutes, march.minutes, april.minutes), (20, 0, 20));
    assert!(march.left_out.is_empty() && february.left_out.is_empty() && april.left_out.is_empty());
    assert_eq!(
        march.reasoning,
        "0 minutes in a first month (no care in the six months before) reach no code: G2214 begins at 16."
    );
}

#[test]
fn a_contact_without_an_hour_counts_in_the_month_of_its_date_and_in_no_other() {
    let mut tale = tale();
    enter(&mut tale, "2026-03-31".parse().unwrap(), None, 20, ContactOutcome::Attended);
    let minutes = ["2026-02", "2026-03", "2026-04"].map(|month| of(&tale, month, &[]).minutes);
    assert_eq!(minutes, [0, 20, 0]);
}

#[test]
fn a_call_of_no_minutes_is_nothing_that_was_left_out() {
    let mut tale = tale();
    spent(&mut tale, "2026-03-10T15:00:00Z", 0, ContactOutcome::NotReached);
    let march = of(&tale, "2026-03", &[]);
    assert_eq!((march.minutes, march.left_out.len()), (0, 0));
}
