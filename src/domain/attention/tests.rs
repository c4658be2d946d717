use chrono::NaiveDate;
use uuid::Uuid;

use super::{Attention, LAST_IN_QUEUE, NOTHING_DUE, QueuePlace, reasons};
use crate::domain::episode::Phase;
use crate::domain::finding::{Finding, Rule};
use crate::domain::standing::{RuleSetName, Standing};
use crate::id::EpisodeId;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Enrolled on 2026-01-05, looked at on 2026-06-01, reviewed on 2026-05-20.
fn standing(rules: &[(Rule, &str)]) -> Standing {
    let finding = |(rule, since): &(Rule, &str)| {
        Finding::new(*rule, None, day(since), format!("{rule}."))
            .against("contact_amber_days", 30)
            .against("contact_red_days", 60)
    };
    Standing {
        episode: EpisodeId(Uuid::nil()),
        as_of: day("2026-06-01"),
        rule_set: RuleSetName { id: "default".into(), version: 1 },
        status: Phase::Active,
        day: Some(147),
        plan_day: Some(147),
        plan_started_on: Some(day("2026-01-05")),
        plan_clock: None,
        measures: Vec::new(),
        at_target: false,
        discussion_flag: false,
        discussion_flag_since: None,
        last_contact_on: None,
        reviewed_on: Some(day("2026-05-20")),
        next_contact: None,
        discharged_on: None,
        discharge_reason: None,
        findings: rules.iter().map(finding).collect(),
        desired: Vec::new(),
        reevaluate_on: None,
    }
}

fn place(standing: &Standing) -> (i16, NaiveDate) {
    let attention = Attention::of(standing);
    (attention.rank, attention.since)
}

#[test]
fn the_order_is_r15() {
    let flagged = Standing { discussion_flag: true, discussion_flag_since: Some(day("2026-05-30")), ..standing(&[]) };
    let new = Standing { reviewed_on: None, ..standing(&[]) };
    let places = [
        place(&standing(&[(Rule::SafetyItem9, "2026-05-31"), (Rule::Worsening, "2026-02-01")])),
        place(&standing(&[(Rule::Relapse, "2026-05-01"), (Rule::Nonresponse, "2026-03-02")])),
        place(&flagged),
        place(&Standing { reviewed_on: Some(day("2026-04-01")), ..standing(&[(Rule::Nonresponse, "2026-03-02")]) }),
        place(&standing(&[(Rule::InadequateResponse, "2026-02-16")])),
        place(&new),
        place(&standing(&[(Rule::ContactOverdue, "2026-04-01")])),
        place(&standing(&[(Rule::Plateau, "2026-04-01"), (Rule::ReviewOverdue, "2026-02-01")])),
        place(&standing(&[(Rule::ReviewOverdue, "2026-02-01")])),
        place(&standing(&[(Rule::SustainedRemission, "2026-02-01")])),
    ];
    let expected = [
        (1, "2026-05-31"),
        (2, "2026-05-01"),
        (3, "2026-05-30"),
        (4, "2026-06-01"),
        (5, "2026-02-16"),
        (6, "2026-01-05"),
        (7, "2026-05-01"),
        (8, "2026-04-01"),
        (9, "2026-02-01"),
        (10, "2026-02-01"),
    ];
    assert_eq!(places, expected.map(|(rank, since)| (rank, day(since))));
    assert_eq!(QueuePlace::ALL.last().map(|p| p.rank()), Some(LAST_IN_QUEUE));
    assert!(QueuePlace::ALL.iter().all(|p| QueuePlace::of_rank(p.rank()) == Some(*p)));
    assert_eq!((QueuePlace::of_rank(0), QueuePlace::of_rank(11), QueuePlace::of_rank(-1)), (None, None, None));
}

#[test]
fn a_nonresponse_reviewed_lately_waits_with_the_inadequate_responses() {
    let mut reviewed = standing(&[(Rule::Nonresponse, "2026-03-02")]);
    assert_eq!(place(&reviewed), (5, day("2026-03-02")));
    reviewed.reviewed_on = Some(day("2026-04-02"));
    assert_eq!(place(&reviewed).0, 5, "sixty days are still within");
    reviewed.reviewed_on = None;
    assert_eq!(place(&reviewed), (4, day("2026-03-02")));
}

#[test]
fn an_amber_contact_is_not_for_the_review() {
    let amber = standing(&[(Rule::ContactOverdue, "2026-05-10")]);
    assert_eq!(place(&amber), (11, day("2026-05-10")));
    assert!(reasons(&amber).is_empty());
    assert_eq!(place(&standing(&[(Rule::ContactDue, "2026-05-10")])).0, NOTHING_DUE);
}

#[test]
fn who_is_discharged_is_in_no_queue() {
    let mut gone = standing(&[(Rule::Worsening, "2026-05-01")]);
    gone.status = Phase::Discharged;
    assert_eq!(place(&gone).0, NOTHING_DUE);
}
