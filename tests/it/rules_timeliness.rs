//! How long patients waited for the assessment, worked by hand for March 2026: days 55 to 85.

use chrono::{DateTime, Utc};
use cocm_registry::domain::metrics::Month;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::safety::concerns;
use cocm_registry::domain::timeliness::{Timeliness, WaitingTime, of_month, to_assessment};

use crate::rules_story::{Tale, at, date};

fn march() -> Month {
    "2026-03".parse().unwrap()
}

/// Answers to item 9 at noon, each on a day of its own, with how many minutes later it was assessed.
fn answered(told: &[(i64, u8, Option<i64>)]) -> Tale {
    let mut tale = Tale::of_a_patient();
    for (day, answer, waited) in told {
        tale.minutes(0).item9(*day, 12, *answer);
        if let Some(waited) = waited {
            tale.minutes(*waited).assessed(*day);
            let entry = tale.story.entries.last_mut().unwrap();
            entry.on = entry.at.date_naive();
        }
    }
    tale
}

fn measured(tale: &Tale, as_of: i64, only_a_day: impl Fn(DateTime<Utc>) -> bool) -> Timeliness {
    let all = concerns(&tale.story, &RuleSet::default(), date(as_of));
    of_month(all.iter(), march(), date(as_of), &only_a_day)
}

const DAY: i64 = 24 * 60;

#[test]
fn a_month_counts_what_was_answered_in_it_whenever_it_was_assessed() {
    let tale = answered(&[
        (54, 1, Some(10)),       // 28 February
        (55, 2, Some(45)),       // 1 March: 2, assessed 45 minutes later
        (60, 1, Some(2 * DAY)),  // no higher than what was assessed five days before: routine, and never escalated
        (63, 1, Some(30)),       // again
        (85, 1, Some(DAY + 60)), // 31 March: urgent; assessed on 1 April, when the doctor had been told
        (86, 3, Some(120)),      // 1 April
    ]);
    let march = measured(&tale, 100, |_| false);
    assert_eq!((march.concerns, march.high, march.repeated), (4, 1, 2));
    assert_eq!((march.assessed, march.assessed_same_day, march.open, march.overdue), (4, 2, 0, 0));
    assert_eq!(march.timed, 4);
    assert_eq!(
        march.median_minutes,
        Some((45 + DAY + 60) / 2),
        "between the second and the third of 30, 45, 1500, 2880"
    );
    assert_eq!((march.longest_minutes, march.longest_days), (Some(2 * DAY), Some(2)));
    assert_eq!((march.open_since, march.escalated), (None, 1));
}

#[test]
fn an_open_concern_is_overdue_and_escalated_on_the_day_after_its_due_date() {
    let tale = answered(&[(70, 1, None), (72, 3, None)]);
    let on_the_day = measured(&tale, 70, |_| false);
    assert_eq!((on_the_day.open, on_the_day.overdue, on_the_day.escalated), (1, 0, 0));
    let next = measured(&tale, 71, |_| false);
    assert_eq!((next.open, next.overdue, next.escalated), (1, 1, 1));
    let later = measured(&tale, 72, |_| false);
    assert_eq!((later.concerns, later.high, later.open, later.overdue, later.escalated), (2, 1, 2, 1, 1));
    assert_eq!((later.open_since, later.assessed, later.timed), (Some(date(70)), 0, 0));
    assert_eq!((later.median_minutes, later.longest_minutes, later.longest_days), (None, None, None));
}

#[test]
fn an_odd_number_has_the_one_in_the_middle_as_its_median() {
    let told: Vec<(i64, u8, Option<i64>)> = [(55, 90), (57, 10), (59, 20)].map(|(d, m)| (d, 2, Some(m))).to_vec();
    let march = measured(&answered(&told), 85, |_| false);
    assert_eq!((march.timed, march.median_minutes, march.longest_minutes), (3, Some(20), Some(90)));
}

#[test]
fn where_only_the_day_is_known_days_count_and_minutes_do_not() {
    let tale = answered(&[(60, 2, Some(3 * DAY))]);
    let all = concerns(&tale.story, &RuleSet::default(), date(85));
    let noons = [at(60, 0), at(63, 0)];
    for known in noons {
        let elapsed = to_assessment(&all[0], &|instant| instant != known);
        assert_eq!(elapsed, Some(WaitingTime { minutes: None, days: 3 }));
        let march = measured(&tale, 85, |instant| instant != known);
        assert_eq!((march.assessed, march.timed, march.longest_days), (1, 0, Some(3)));
    }
    assert_eq!(to_assessment(&all[0], &|_| false), Some(WaitingTime { minutes: Some(3 * DAY), days: 3 }));
    let open = concerns(&answered(&[(60, 2, None)]).story, &RuleSet::default(), date(85));
    assert_eq!(to_assessment(&open[0], &|_| false), None);
}
