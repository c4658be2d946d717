//! R5, R8, R9: what a measure's course calls for.

use chrono::NaiveDate;

use super::conclusion::{Conclusion, MissingScore, ReachedCheckpoint, ScoreChange};
use super::day;
use super::episode::{Course, Phase};
use super::finding::Finding;
use super::rules::RuleSet;
use super::story::Score;
use super::target::Track;

mod trajectory;

pub use trajectory::target_run;

/// Findings about one measure of an episode that is in treatment.
pub fn findings(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(start) = course.start().filter(|_| course.in_treatment()) else { return found };
    if track.baseline.is_some() && !track.elevated() {
        found.extend(trajectory::subthreshold_worsened(track));
        return found;
    }
    let plan_start = course.plan_start().unwrap_or(start);
    let relapse = trajectory::relapse(track, course);
    found.extend(unmeasured(track, course, rules, start));
    if course.phase == Phase::Active {
        // A relapse speaks instead of nonresponse, until treatment was changed because of it: the new plan is judged
        // like any other.
        let relapsed = relapse.as_ref().is_some_and(|r| r.since > plan_start);
        at_checkpoints(track, course, rules, plan_start, relapsed, &mut found);
        found.extend(trajectory::plateau(track, course, rules, plan_start));
    }
    found.extend(relapse);
    found.extend(trajectory::worsening(track));
    found.extend(trajectory::sustained_remission(track, rules));
    found
}

/// The last run of scores, without a gap, for which something holds: its first score, if it holds now.
pub(super) fn since<'s, 'a>(scores: &'s [Score<'a>], holds: impl Fn(&Score<'a>) -> bool) -> Option<&'s Score<'a>> {
    scores.iter().rev().take_while(|s| holds(s)).last()
}

fn change(track: &Track<'_>, latest: &Score<'_>, from: &Score<'_>) -> ScoreChange {
    ScoreChange { instrument: track.instrument, latest: latest.into(), from: from.into() }
}

/// R8. A checkpoint is judged on a score that was fresh when the checkpoint was reached; otherwise the scale is asked
/// for first. A score that has gone stale since then does not undo what it showed.
fn at_checkpoints(
    track: &Track<'_>,
    course: &Course<'_>,
    rules: &RuleSet,
    plan_start: NaiveDate,
    relapsed: bool,
    found: &mut Vec<Finding>,
) {
    let c = &rules.checkpoints;
    let date_of = |day: u16| course.holds.after(plan_start, day);
    let (Some(reference), Some(baseline)) = (&track.plan_reference, &track.baseline) else { return };
    let on_plan = &track.followups[track.followups.partition_point(|s| s.on <= reference.on)..];
    let not_improved = |s: &Score<'_>| !track.is_improved(s.total);
    let difference = track.numbers.important_difference;
    let hardly_moved =
        |s: &Score<'_>| not_improved(s) && i32::from(reference.total) - i32::from(s.total) < i32::from(difference);
    // The first day on which a checkpoint was reached with a fresh score for which something holds, if it holds now.
    let holds_since = |day: u16, holds: &dyn Fn(&Score<'_>) -> bool| {
        let date = date_of(day);
        let fresh = |s: &Score<'_>| course.holds.after(s.on, c.stale_after_days) >= date;
        (course.as_of >= date)
            .then(|| since(on_plan, |s| holds(s) && fresh(s)))
            .flatten()
            .map(|first| date.max(first.on))
    };
    let at = |day: u16| ReachedCheckpoint { day, plan_start, stale_after_days: c.stale_after_days };
    let finding = |conclusion: Conclusion, since: NaiveDate| {
        let scores = track.latest_on_plan().into_iter().chain([reference, &baseline.score]);
        Finding::new(conclusion, since).on_scores(scores)
    };

    // The rows for weeks 4 and 6 give way to the next one.
    if let Some(latest) = track.latest_on_plan() {
        let change = change(track, latest, reference);
        let early = (c.early_watch_day, c.inadequate_response_day);
        let inadequate = (c.inadequate_response_day, c.nonresponse_day);
        for (is_early, (day, until)) in [(true, early), (false, inadequate)] {
            let Some(since) = holds_since(day, &hardly_moved).filter(|_| course.as_of < date_of(until)) else {
                continue;
            };
            let at = at(day);
            let conclusion = if is_early {
                Conclusion::EarlyWatch { change, at, difference }
            } else {
                Conclusion::InadequateResponse { change, at, difference }
            };
            found.push(finding(conclusion, since));
        }
    }
    if relapsed || track.improved_now() {
        return;
    }
    let Some(latest) = track.latest() else { return };
    let change = change(track, latest, &baseline.score);
    if let Some(since) = holds_since(c.nonresponse_day, &not_improved) {
        found.push(finding(Conclusion::Nonresponse { change, at: at(c.nonresponse_day) }, since));
    }
    if let Some(since) = holds_since(c.persistent_nonresponse_day, &not_improved) {
        found.push(finding(Conclusion::PersistentNonresponse { change, at: at(c.persistent_nonresponse_day) }, since));
    }
    let mut failures = failed_plans(track, course, rules);
    failures.extend(holds_since(c.nonresponse_day, &not_improved));
    let by_day = holds_since(c.specialty_referral_day, &not_improved);
    let by_plans =
        usize::from(c.specialty_referral_failed_plans).checked_sub(1).and_then(|nth| failures.get(nth)).copied();
    if let Some(since) = by_day.into_iter().chain(by_plans).min() {
        let conclusion = Conclusion::ConsiderSpecialtyReferral {
            change,
            at: at(c.specialty_referral_day),
            failed_plans: by_plans.map(|_| failures.len()),
            plans_limit: c.specialty_referral_failed_plans,
        };
        found.push(finding(conclusion, since));
    }
}

/// When each earlier plan ended, by a treatment change, without improvement. Only plans that were given at least until
/// the first checkpoint count.
fn failed_plans(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet) -> Vec<NaiveDate> {
    let Some(mut began) = course.start() else { return Vec::new() };
    let mut failed = Vec::new();
    for changed in course.treatment_changes() {
        let given = changed >= course.holds.after(began, rules.checkpoints.early_watch_day);
        let last = track.followups.iter().rev().find(|s| s.on > began && s.on <= changed);
        if given && last.is_some_and(|s| !track.is_improved(s.total)) {
            failed.push(changed);
        }
        began = changed;
    }
    failed
}

/// Since when a scale is asked for, and why.
#[derive(Clone, Copy)]
struct MeasureRequest {
    since: NaiveDate,
    lack: MissingScore,
}

/// No score to judge the treatment by when its first checkpoint is reached, or one that is too old; and none after a hold.
/// It is asked for until there is a score: a change of treatment in between takes nothing back.
fn measure_request(
    track: &Track<'_>,
    course: &Course<'_>,
    rules: &RuleSet,
    start: NaiveDate,
) -> Option<MeasureRequest> {
    let c = &rules.checkpoints;
    let last = track.last_taken.as_ref().filter(|s| s.on >= start || track.is_baseline(s));
    let is_new = |asked: &MeasureRequest| last.is_none_or(|s| s.on < asked.since);
    let resumed =
        course.holds.resumed_on().filter(|on| last.is_none_or(|s| day::after(s.on, c.stale_after_days) < *on));
    let resumed = resumed.map(|on| MeasureRequest { since: on, lack: MissingScore::SinceResumed(on) });
    let mut asked: Vec<MeasureRequest> = resumed.into_iter().filter(is_new).collect();
    if course.phase == Phase::Active {
        let mut starts: Vec<NaiveDate> = std::iter::once(start).chain(course.treatment_changes()).collect();
        starts.push(day::after(course.as_of, 1));
        for plan in starts.windows(2) {
            let [began, ended] = plan else { continue };
            let first_checkpoint = course.holds.after(*began, c.early_watch_day);
            // A baseline that was taken late is itself news about the plan; one from its beginning is not.
            let window_end = day::after(*began, rules.baseline.window_days);
            let news = last.filter(|s| s.on > *began && !(track.is_baseline(s) && s.on <= window_end));
            let one = match news {
                Some(s) => MeasureRequest {
                    since: course.holds.beyond(s.on, c.stale_after_days).max(first_checkpoint),
                    lack: MissingScore::Old { days: c.stale_after_days },
                },
                None => MeasureRequest { since: first_checkpoint, lack: MissingScore::SincePlan(*began) },
            };
            if one.since < *ended && is_new(&one) {
                asked.push(one);
            }
        }
    }
    asked.into_iter().filter(|one| one.since <= course.as_of).min_by_key(|one| one.since)
}

fn unmeasured(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet, start: NaiveDate) -> Vec<Finding> {
    let Some(asked) = measure_request(track, course, rules, start) else { return Vec::new() };
    let instrument = track.instrument;
    let score = track.last_taken.as_ref().filter(|s| s.on >= start || track.is_baseline(s));
    let last = score.map(Into::into);
    let limits = || rules.checkpoints.clone();
    let stale = Conclusion::MeasureStale { instrument, last, lack: asked.lack, limits: limits() };
    let mut found = vec![Finding::new(stale, asked.since).on_scores(score)];
    let unmeasured_from = course.holds.after(asked.since, rules.checkpoints.unmeasured_after_days);
    if course.phase == Phase::Active && course.as_of >= unmeasured_from {
        let unmeasured = Conclusion::Unmeasured { instrument, last, asked_on: asked.since, limits: limits() };
        found.push(Finding::new(unmeasured, unmeasured_from).on_scores(score));
    }
    found
}
