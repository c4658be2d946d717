//! When the answer next changes by itself, with no new fact: so that the daily sweep touches only what is due.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};

use super::attention::Attention;
use super::plan::{Plan, plan_without_outlook};
use super::rules::RuleSet;
use super::story::Story;

/// The first date after `as_of` on which the plan says something else.
///
/// Every rule compares `date − anchor` with a threshold, so the plan can only change on `anchor + threshold` or the day
/// after; each such date is tried in order. `tests` walk day by day and find no other.
pub fn next_change(story: &Story, rules: &RuleSet, now: &Plan, as_of: NaiveDate) -> Option<NaiveDate> {
    candidates(story, rules, now, as_of).into_iter().find(|date| {
        let then = plan_without_outlook(story, rules, *date);
        then.desired != now.desired
            || then.concerns != now.concerns
            || then.standings.len() != now.standings.len()
            || then.standings.iter().zip(&now.standings).any(|(a, b)| {
                // The place in the queue may move while every finding stays.
                !a.says_the_same(b) || Attention::of(a).rank != Attention::of(b).rank
            })
    })
}

fn candidates(story: &Story, rules: &RuleSet, now: &Plan, as_of: NaiveDate) -> BTreeSet<NaiveDate> {
    let mut anchors: BTreeSet<NaiveDate> = BTreeSet::new();
    let mut dates: BTreeSet<NaiveDate> = BTreeSet::new();
    let mut thresholds: BTreeSet<u16> = BTreeSet::new();
    let (c, t, k) = (&rules.checkpoints, &rules.trajectory, &rules.cadence);
    // Facts that are dated after the day looked at.
    dates.extend(story.measurements.iter().map(|m| m.taken_on));
    dates.extend(story.entries.iter().map(|e| e.on));
    dates.extend(story.episodes.iter().filter_map(|e| e.enrolled_on));
    dates.extend(story.patient.deceased_on);

    for (standing, course) in now.standings.iter().zip(story.courses(as_of)) {
        if !course.in_treatment() {
            continue;
        }
        anchors.extend(course.start());
        anchors.extend(standing.plan_started_on);
        anchors.extend(course.last_contact());
        anchors.extend(course.reviews(true).last());
        anchors.extend(course.reviews(false).last());
        anchors.extend(standing.findings.iter().map(|f| f.since));
        for measure in &standing.measures {
            anchors.extend(measure.latest.as_ref().map(|l| l.taken_on));
            anchors.extend(measure.baseline.as_ref().map(|b| b.taken_on));
            anchors.extend(story.scores(measure.instrument, as_of).last().map(|s| s.on));
        }
    }
    if !anchors.is_empty() {
        thresholds.extend([
            c.early_watch_day,
            c.inadequate_response_day,
            c.nonresponse_day,
            c.review_required_day,
            c.review_required_every_days,
            60, // R15: nonresponse without a review in 60 d
            c.persistent_nonresponse_day,
            c.specialty_referral_day,
            c.stale_after_days,
            c.unmeasured_after_days,
            t.plateau_day,
            t.sustained_remission_span_days,
            k.first_contact_days,
            k.contact_active_days,
            k.contact_relapse_prevention_days,
            k.contact_amber_days,
            k.contact_red_days,
            k.inactivity_days,
            k.measure_active_days,
            k.measure_relapse_prevention_days,
            k.review_first_days,
            k.review_active_days,
            k.review_relapse_prevention_days,
            c.stale_after_days + c.unmeasured_after_days,
        ]);
    }
    for anchor in &anchors {
        for days in &thresholds {
            dates.insert(*anchor + Days::new((*days).into()));
            dates.insert(*anchor + Days::new(u64::from(*days) + 1));
        }
    }
    // Safety has no threshold that passes by itself, but its measurements may lie ahead: they are in `dates`.
    dates.split_off(&(as_of + Days::new(1)))
}
