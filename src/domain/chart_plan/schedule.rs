//! When the answer next changes by itself, with no new fact: so that the daily sweep touches only what is due.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::{ChartPlan, without_outlook};
use crate::domain::attention::{self, Attention};
use crate::domain::cadence;
use crate::domain::day::{after, beyond};
use crate::domain::episode::{Course, Phase};
use crate::domain::history::History;
use crate::domain::recommendation;
use crate::domain::rules::RuleSet;
use crate::domain::safety::ConcernState;
use crate::domain::standing::Standing;

/// The first date after `as_of` on which the plan says something else; `None` if it never does.
///
/// Every rule compares a date with an anchor and a threshold, so the plan can change only where some threshold is
/// reached; each such date is tried in order. `tests/it/rules_properties.rs` walks day by day and finds no other.
/// Facts normally lie in the past. Where one lies ahead it may move the anchors without changing the plan, and the
/// search goes on from there.
pub(super) fn next_change(
    history: &History<'_>,
    rules: &RuleSet,
    now: &ChartPlan,
    as_of: NaiveDate,
) -> Option<NaiveDate> {
    let differs = |date: &NaiveDate| !says_the_same(&without_outlook(history, rules, *date), now);
    let mut from = as_of;
    loop {
        let fact = history.next_fact(from);
        let until = fact.unwrap_or(NaiveDate::MAX);
        let moved = (from > as_of).then(|| without_outlook(history, rules, from));
        let dates = thresholds(history, rules, moved.as_ref().unwrap_or(now), from);
        if let Some(date) = dates.range(after(from, 1)..).take_while(|date| **date < until).find(|date| differs(date)) {
            return Some(*date);
        }
        from = fact?;
        if differs(&from) {
            return Some(from);
        }
    }
}

fn says_the_same(then: &ChartPlan, now: &ChartPlan) -> bool {
    then.standings.len() == now.standings.len()
        && then.standings.iter().zip(&now.standings).all(|(then, now)| {
            // The place in the queue may move while every finding stays.
            then.says_the_same(now) && Attention::of(then).rank == Attention::of(now).rank
        })
        && then.desired == now.desired
        && then.concerns == now.concerns
}

/// The dates on which a rule may begin or cease to hold, as things stand on a day. Safety waits for people; only its
/// escalation has dates.
fn thresholds(history: &History<'_>, rules: &RuleSet, plan: &ChartPlan, on: NaiveDate) -> BTreeSet<NaiveDate> {
    let open = plan.concerns.iter().filter(|c| c.state == ConcernState::Open);
    let mut dates: BTreeSet<NaiveDate> = open.flat_map(|c| &c.escalation).map(|step| step.on).collect();
    for (standing, course) in plan.standings.iter().zip(&history.courses(on)) {
        dates.extend(standing.next_contact.as_ref().map(|next| after(next.on, 1)));
        dates.extend(recommendation::waiting(course, rules).into_iter().map(|(_, due)| beyond(due, 0)));
        let Some(start) = course.start().filter(|_| course.in_treatment()) else { continue };
        of_cadence(course, rules, start, &mut dates);
        if course.phase == Phase::Active {
            of_checkpoints(course.plan_start().unwrap_or(start), rules, &mut dates);
        }
        of_measures(history, standing, course, rules, start, &mut dates);
    }
    dates
}

fn of_cadence(course: &Course<'_>, rules: &RuleSet, start: NaiveDate, dates: &mut BTreeSet<NaiveDate>) {
    let (c, k) = (&rules.checkpoints, &rules.cadence);
    let (contact, days) = match course.last_followup_contact() {
        Some(last) => (last, cadence::contact_days(course.phase, rules)),
        None => (start, k.first_contact_days),
    };
    dates.extend([
        after(contact, days),
        beyond(contact, k.contact_amber_days),
        beyond(contact, k.contact_red_days),
        after(contact, k.inactivity_days),
    ]);
    dates.insert(match course.reviews(false).last() {
        Some(last) => beyond(last, cadence::review_days(course.phase, rules)),
        None => beyond(start, k.review_first_days),
    });
    dates.insert(after(start, c.review_required_day));
    dates.extend(course.reviews(false).last().map(|last| beyond(last, attention::REVIEWED_WITHIN_DAYS)));
    dates.extend(course.reviews(true).last().map(|last| beyond(last, c.review_required_every_days)));
}

fn of_checkpoints(plan_start: NaiveDate, rules: &RuleSet, dates: &mut BTreeSet<NaiveDate>) {
    let c = &rules.checkpoints;
    let days = [
        c.early_watch_day,
        c.inadequate_response_day,
        c.nonresponse_day,
        c.persistent_nonresponse_day,
        c.specialty_referral_day,
        rules.trajectory.plateau_day,
        c.early_watch_day.saturating_add(c.unmeasured_after_days),
    ];
    dates.extend(days.map(|day| after(plan_start, day)));
}

fn of_measures(
    history: &History<'_>,
    standing: &Standing,
    course: &Course<'_>,
    rules: &RuleSet,
    start: NaiveDate,
    dates: &mut BTreeSet<NaiveDate>,
) {
    let c = &rules.checkpoints;
    for measure in &standing.measures {
        let taken = history.scores(measure.instrument, course.as_of).last().map(|s| s.on);
        dates.insert(beyond(taken.map_or(start, |on| on.max(start)), cadence::measure_days(course.phase, rules)));
        let latest = measure.latest.as_ref().map(|l| l.taken_on);
        let reference = measure.plan_reference.as_ref().map(|r| r.taken_on);
        for on in [latest, reference].into_iter().flatten() {
            let stale = beyond(on, c.stale_after_days);
            dates.extend([stale, after(stale, c.unmeasured_after_days)]);
        }
    }
}
