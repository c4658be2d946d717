//! What holds for every story.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use cocm_registry::domain::care::{Care, ChangeKind, RecommendationDecision};
use cocm_registry::domain::chart_plan::{ChartPlan, Slot, WorkItem, plan, plan_without_outlook, resolve};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::{EvidenceStatus, Measurement, Quality};
use cocm_registry::domain::rules::{Half, ResponseRule, RuleSet};
use cocm_registry::domain::story::Story;
use cocm_registry::domain::task::{Code, Posture};
use proptest::prelude::*;
use uuid::Uuid;

use crate::rules_story::{Tale, at, date};

#[derive(Clone, Debug)]
enum Event {
    Score { gad7: bool, total: u16, minutes: i64, how: u8, item9: Option<u8> },
    Care(u8),
}

fn event() -> impl Strategy<Value = (i64, Event)> {
    let score = (any::<bool>(), 0..28_u16, 0..3_i64, 0..8_u8, prop::option::weighted(0.3, 0..4_u8))
        .prop_map(|(gad7, total, minutes, how, item9)| Event::Score { gad7, total, minutes: minutes * 60, how, item9 });
    let what = prop_oneof![3 => score, 2 => (0..16_u8).prop_map(Event::Care)];
    (-20..170_i64, what)
}

fn tell(events: Vec<(i64, Event)>, two_episodes: Option<i64>, died: Option<i64>) -> Tale {
    let both = [Instrument::PHQ9, Instrument::GAD7];
    let mut tale = Tale::enrolled(&both);
    let first = tale.episode;
    if let Some(second) = two_episodes {
        tale.discharge(second - 7).enroll(Some(second), &both);
    }
    let second = tale.episode;
    tale.story.patient.deceased_on = died.map(date);
    for (day, event) in events {
        tale.episode = if two_episodes.is_some_and(|s| day >= s) { second } else { first };
        match event {
            Event::Score { gad7, total, minutes, how, item9 } => {
                let instrument = if gad7 { Instrument::GAD7 } else { Instrument::PHQ9 };
                tale.minutes(minutes);
                let m = tale.measurement(instrument, day, Some(total.min(instrument.max_total())));
                m.item9 = item9.filter(|_| !gad7);
                m.item9_unknown = !gad7 && m.item9.is_none() && how == 3;
                match how {
                    0 => m.counting = EvidenceStatus::Retracted,
                    1 => m.counting = EvidenceStatus::Partial,
                    2 => m.quality = Quality::Prorated,
                    4 => (m.total, m.quality) = (None, Quality::Unscorable),
                    _ => {}
                }
            }
            Event::Care(kind) => {
                match kind {
                    0..3 => tale.contact(day),
                    3 => tale.appointment(day, day + 9),
                    4 => tale.no_show(day),
                    5 | 6 => tale.change(day),
                    7 | 8 => tale.review(day),
                    9 => tale.meeting(day),
                    10 => tale.hold(day),
                    11 => tale.resume(day),
                    12 => tale.relapse_prevention(day),
                    13 => tale.assessed(day),
                    14 => {
                        let id = tale.recommendation(day, ChangeKind::Psychotherapy);
                        tale.decision(day + 5, id, RecommendationDecision::Done)
                    }
                    _ => match tale.story.measurements.last().map(|m| m.id) {
                        Some(chosen) => tale.override_baseline(day, chosen),
                        None => tale.discharge(day + 60),
                    },
                };
            }
        }
    }
    tale
}

pub fn story() -> impl Strategy<Value = Story> {
    let events = prop::collection::vec(event(), 0..28);
    (events, prop::option::weighted(0.3, 60..120_i64), prop::option::weighted(0.05, 40..160_i64))
        .prop_map(|(events, second, died)| tell(events, second, died).story)
}

fn same(a: &ChartPlan, b: &ChartPlan) -> bool {
    a.standings.len() == b.standings.len()
        && a.standings.iter().zip(&b.standings).all(|(a, b)| a.says_the_same(b))
        && a.desired == b.desired
        && a.concerns == b.concerns
}

fn slots(plan: &ChartPlan) -> Vec<Slot> {
    plan.desired.iter().map(WorkItem::slot).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter(story in story(), turn in 0..28_usize, day in 0..200_i64) {
        let rules = RuleSet::default();
        let mut other = story.clone();
        let (m, e) = (other.measurements.len().max(1), other.entries.len().max(1));
        other.measurements.rotate_left(turn % m);
        other.measurements.reverse();
        other.entries.rotate_left(turn % e);
        other.episodes.reverse();
        prop_assert_eq!(plan(&story, &rules, date(day)), plan(&other, &rules, date(day)));
    }

    #[test]
    fn an_entry_taken_back_twice_is_taken_back(events in prop::collection::vec(event(), 1..20), day in 0..200_i64) {
        // The store keeps one row per source and entry; a take-back is the one fact that can be told twice.
        let rules = RuleSet::default();
        let mut tale = tell(events, None, None);
        prop_assume!(!tale.story.entries.is_empty());
        let mistake = tale.story.entries[0].id;
        let mut without = tale.story.clone();
        without.entries.remove(0);
        tale.taken_back(0, mistake);
        let once = plan(&tale.story, &rules, date(day));
        tale.taken_back(3, mistake);
        let twice = plan(&tale.story, &rules, date(day));
        let never = plan(&without, &rules, date(day));
        prop_assert!(same(&once, &never) && same(&twice, &never));
    }

    #[test]
    fn retracted_and_sent_again_is_never_retracted(story in story(), which in any::<prop::sample::Index>(), day in 0..200_i64) {
        let rules = RuleSet::default();
        prop_assume!(!story.measurements.is_empty());
        let i = which.index(story.measurements.len());
        let before = plan(&story, &rules, date(day));
        let mut other = story.clone();
        let form = &mut other.measurements[i];
        let counting = form.counting;
        *form = Measurement { counting: EvidenceStatus::Retracted, ..form.clone() }.replacing(form, at(day, 0));
        let without = plan(&other, &rules, date(day));
        let still = slots(&without);
        for open in before.desired.iter().filter(|d| !still.contains(&d.slot())) {
            let (posture, reason) = resolve(open, &other, date(day));
            prop_assert!(posture != Posture::Open && !reason.is_empty());
            // A retraction closes no concern: it is to be confirmed.
            prop_assert!(open.code != Code::SafetyAssessment, "{}", open.key);
        }
        other.measurements[i].counting = counting;
        prop_assert_eq!(before, plan(&other, &rules, date(day)));
    }

    #[test]
    fn the_next_change_is_on_the_day_it_is_said_to_be(story in story(), day in 0..190_i64) {
        let rules = RuleSet::default();
        let now = plan(&story, &rules, date(day));
        let walked = (day + 1..day + 400).map(date).find(|d| !same(&plan_without_outlook(&story, &rules, *d), &now));
        prop_assert_eq!(now.reevaluate_on, walked);
    }

    #[test]
    fn the_plan_of_a_day_does_not_know_what_comes_after(story in story(), day in 0..170_i64) {
        let rules = RuleSet::default();
        let mut then = story.clone();
        then.measurements.retain(|m| m.taken_on <= date(day));
        then.entries.retain(|e| e.on <= date(day));
        then.patient.deceased_on = then.patient.deceased_on.filter(|d| *d <= date(day));
        let (a, b) = (plan_without_outlook(&story, &rules, date(day)), plan_without_outlook(&then, &rules, date(day)));
        prop_assert!(same(&a, &b), "{:#?}\n{:#?}", a, b);
    }

    #[test]
    fn keys_are_unique_within_a_patient(story in story(), day in 0..200_i64) {
        let plan = plan_without_outlook(&story, &RuleSet::default(), date(day));
        let keys: BTreeSet<&str> = plan.desired.iter().map(|d| d.key.as_str()).collect();
        prop_assert_eq!(keys.len(), plan.desired.len(), "{:#?}", plan.desired);
    }

    #[test]
    fn nothing_counts_the_days_up_to_today(story in story()) {
        // The same cause says the same sentence on every day, until something happens or a threshold is passed.
        let rules = RuleSet::default();
        let mut last = plan(&story, &rules, date(0));
        for day in 1..200 {
            let now = plan_without_outlook(&story, &rules, date(day));
            if last.reevaluate_on.is_none_or(|on| date(day) < on) {
                prop_assert!(same(&now, &last), "day {}", day);
            } else {
                last = plan(&story, &rules, date(day));
            }
        }
    }

    #[test]
    fn a_finding_holds_from_the_day_it_names(story in story(), day in 0..190_i64) {
        let rules = RuleSet::default();
        let now = plan_without_outlook(&story, &rules, date(day));
        for standing in &now.standings {
            for finding in &standing.findings {
                prop_assert!(finding.since <= date(day), "{} since {}", finding.rule, finding.since);
            }
            let desired = &standing.desired;
            prop_assert!(desired.iter().all(|d| d.due_on.is_none_or(|due| due >= d.since)));
        }
    }

    #[test]
    fn what_stood_open_yesterday_and_does_not_today_ends_with_a_reason(story in story()) {
        let rules = RuleSet::default();
        let mut yesterday = plan_without_outlook(&story, &rules, date(-20));
        for day in -19..200 {
            let today = plan_without_outlook(&story, &rules, date(day));
            let still = slots(&today);
            for open in yesterday.desired.iter().filter(|d| !still.contains(&d.slot())) {
                let mut known = story.clone();
                known.entries.retain(|e| e.on <= date(day));
                let (posture, reason) = resolve(open, &known, date(day));
                prop_assert!(matches!(posture, Posture::Fulfilled | Posture::Withdrawn), "{}: {:?}", open.key, posture);
                prop_assert!(reason.ends_with('.'));
                prop_assert!(!reason.contains("confirm"), "{}: nothing was corrected, yet {}", open.key, reason);
            }
            yesterday = today;
        }
    }

    #[test]
    fn a_patient_who_is_not_improving_is_never_lost(story in story(), day in 45..200_i64) {
        // From week 6 of a plan in active treatment, a measure that is elevated and not improved, or was never taken,
        // has a Task or a finding of its own; from week 10 of the episode a Task, or a review within 60 days.
        let rules = RuleSet::default();
        let now = plan_without_outlook(&story, &rules, date(day));
        for standing in now.standings.iter().filter(|s| s.status.as_str() == "active") {
            for measure in standing.measures.iter().filter(|m| m.elevated || m.baseline.is_none()) {
                if measure.clinically_significant_improvement || standing.plan_day.is_none_or(|d| d < 56) {
                    continue;
                }
                let recently = |on: NaiveDate| (date(day) - on).num_days() <= 60;
                let speaks = standing.findings.iter().any(|f| f.instrument == Some(measure.instrument));
                let awaiting = measure.latest.is_none() && measure.baseline.as_ref().is_some_and(|b| recently(b.taken_on));
                prop_assert!(speaks || awaiting, "{} on day {}: {:#?}", measure.instrument, day, standing);
            }
        }
    }

    #[test]
    fn no_date_and_no_score_stops_the_planner(
        day in prop::sample::select(vec![NaiveDate::MIN, NaiveDate::MAX, date(0)]),
        as_of in prop::sample::select(vec![NaiveDate::MIN, NaiveDate::MAX, date(60)]),
        totals in prop::collection::vec(any::<u16>(), 4),
        threshold in prop::sample::select(vec![0, 1, u16::MAX]),
    ) {
        let mut tale = Tale::enrolled(Instrument::all());
        tale.change(10).contact(11).review(12).hold(13).resume(14);
        for instrument in Instrument::all().iter().copied() {
            for (i, total) in totals.iter().enumerate() {
                let at = i64::try_from(i).unwrap() * 30;
                tale.score(instrument, at, *total);
                tale.last_measurement().item9 = Some(u8::MAX);
            }
        }
        tale.phq9(1, 12).last_measurement().taken_on = day;
        tale.contact(2).story.entries.last_mut().unwrap().on = day;
        tale.story.episodes[0].enrolled_on = Some(day);
        let mut rules = RuleSet::default();
        for measure in rules.measures.values_mut() {
            measure.important_difference = threshold;
            measure.response = ResponseRule::Points(threshold);
        }
        rules.checkpoints.stale_after_days = threshold;
        rules.checkpoints.unmeasured_after_days = threshold;
        rules.trajectory.plateau_scores = threshold;
        rules.cadence.contact_amber_days = threshold;
        rules.safety.repeat_days = threshold;
        let plan = plan(&tale.story, &rules, as_of);
        for open in &plan.desired {
            resolve(open, &tale.story, as_of);
        }
    }

    #[test]
    fn half_is_half_in_whole_numbers(baseline in 0..200_u16, latest in 0..200_u16, times in 1..5_u16) {
        let half = ResponseRule::Half(Half::Half);
        prop_assert_eq!(half.reached(baseline, latest), f64::from(latest) <= f64::from(baseline) / 2.0);
        prop_assert_eq!(half.reached(baseline, latest), half.reached(baseline * times, latest * times));
    }
}

#[test]
fn a_take_back_removes_the_entry_on_every_day() {
    let rules = RuleSet::default();
    let mut tale = Tale::new();
    tale.phq9(0, 18).phq9(40, 17);
    let without = tale.story.clone();
    tale.change(30);
    let change: Uuid = tale.story.entries.last().unwrap().id;
    assert!(matches!(tale.story.entries.last().unwrap().care, Care::TreatmentChange { .. }));
    tale.taken_back(50, change);
    for day in 0..100 {
        let (a, b) =
            (plan_without_outlook(&tale.story, &rules, date(day)), plan_without_outlook(&without, &rules, date(day)));
        assert!(same(&a, &b), "day {day}");
    }
}
