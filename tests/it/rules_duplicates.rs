//! R13: two charts of one person were joined, and both had an open episode.

use cocm_registry::domain::care::{Care, DischargeReason};
use cocm_registry::domain::chart_plan::plan;
use cocm_registry::domain::episode::Phase;
use cocm_registry::domain::graduation;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::metrics::{Metric, nys};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::task::Code;
use cocm_registry::id::EpisodeId;

use crate::rules_story::{Tale, date};

/// Two open episodes: the first with a contact and a review, the second from day 20.
fn joined() -> (Tale, EpisodeId, EpisodeId) {
    let mut tale = Tale::new();
    let first = tale.episode;
    tale.phq9(0, 18).contact(10).review(15).phq9(40, 17);
    tale.enroll(Some(20), &[Instrument::PHQ9, Instrument::GAD7]);
    let second = tale.episode;
    (tale, first, second)
}

fn figure(tale: &Tale, number: u8) -> Metric {
    let stories = [tale.story.clone()];
    nys(&stories, &RuleSet::default(), "2026-02".parse().unwrap(), None, None)
        .into_iter()
        .find(|metric| metric.number == number)
        .unwrap()
}

#[test]
fn both_stay_visible_and_each_names_the_other() {
    let (tale, first, second) = joined();
    let plan = plan(&tale.story, &RuleSet::default(), date(50));
    let others: Vec<_> = plan.standings.iter().map(|s| (s.episode, s.other_open_episodes.clone())).collect();
    assert_eq!(others, [(first, vec![second]), (second, vec![first])]);
    let codes: Vec<Code> = plan.desired.iter().map(|item| item.code).collect();
    let mut once = codes.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), codes.len(), "one Task per code, whichever episode asks: {codes:?}");
}

#[test]
fn the_person_counts_once_in_every_metric_meanwhile_and_afterwards() {
    let (mut tale, first, second) = joined();
    assert_eq!((figure(&tale, 1).numerator, figure(&tale, 5).denominator), (Some(1), Some(1)));
    tale.episode = second;
    tale.entry(50, Care::Duplicate { of: first });
    assert_eq!((figure(&tale, 1).numerator, figure(&tale, 5).denominator), (Some(1), Some(1)));
    assert_eq!(figure(&tale, 4).denominator, Some(0), "a duplicate was not discharged");
}

#[test]
fn what_was_entered_in_a_duplicate_counts_for_the_episode_that_stays() {
    let (mut tale, first, second) = joined();
    tale.episode = first;
    tale.entry(50, Care::Duplicate { of: second });
    let plan = plan(&tale.story, &RuleSet::default(), date(51));
    let of = |id: EpisodeId| plan.standings.iter().find(|s| s.episode == id).unwrap();
    assert_eq!((of(first).status, of(first).discharge_reason), (Phase::Discharged, Some(DischargeReason::Duplicate)));
    assert_eq!((of(second).last_contact_on, of(second).reviewed_on), (Some(date(10)), Some(date(15))));
    assert!(of(second).other_open_episodes.is_empty());
}

#[test]
fn graduation_asks_for_a_reason_without_response_and_without_a_plan() {
    let missing = |tale: &Tale| graduation::missing(&tale.story, &RuleSet::default(), tale.episode, date(60)).len();
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(50, 15);
    assert_eq!(missing(&tale), 2);
    tale.phq9(55, 8);
    assert_eq!(missing(&tale), 1, "a response, and no plan");
    tale.relapse_prevention(56);
    assert_eq!(missing(&tale), 0);
}
