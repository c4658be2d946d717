//! R5, R8, R9: what a measure's course calls for.

use chrono::NaiveDate;

use super::day;
use super::episode::{Course, Phase};
use super::finding::{Finding, Rule};
use super::rules::RuleSet;
use super::story::Score;
use super::target::Track;

mod trajectory;

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

/// The course of the scores in words: nothing that changes with the day it is read.
fn course_in_words(track: &Track<'_>, latest: &Score<'_>, reference: &Score<'_>) -> String {
    let change = i32::from(latest.total) - i32::from(reference.total);
    let moved = match change {
        0 => "unchanged".to_owned(),
        c if c < 0 => format!("down {}", -c),
        c => format!("up {c}"),
    };
    format!(
        "{} {} on {}, {moved} from {} on {}",
        track.instrument, latest.total, latest.on, reference.total, reference.on
    )
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
    let date_of = |day: u16| day::after(plan_start, day);
    found.extend(unmeasured(track, course, rules, plan_start).into_iter().flatten());
    let (Some(reference), Some(baseline)) = (&track.plan_reference, &track.baseline) else { return };
    let on_plan = &track.followups[track.followups.partition_point(|s| s.on <= reference.on)..];
    let not_improved = |s: &Score<'_>| !track.is_improved(s.total);
    let difference = track.numbers.important_difference;
    let hardly_moved =
        |s: &Score<'_>| not_improved(s) && i32::from(reference.total) - i32::from(s.total) < i32::from(difference);
    // The first day on which a checkpoint was reached with a fresh score for which something holds, if it holds now.
    let holds_since = |day: u16, holds: &dyn Fn(&Score<'_>) -> bool| {
        let date = date_of(day);
        let fresh = |s: &Score<'_>| day::after(s.on, c.stale_after_days) >= date;
        (course.as_of >= date)
            .then(|| since(on_plan, |s| holds(s) && fresh(s)))
            .flatten()
            .map(|first| date.max(first.on))
    };
    let finding = |rule, day: u16, since: NaiveDate, sentence: String| {
        Finding::new(rule, Some(track.instrument), since, sentence)
            .on_scores(track.latest_on_plan().into_iter().chain([reference, &baseline.score]))
            .against("plan_day", day)
            .against("stale_after_days", c.stale_after_days)
    };

    // The rows for weeks 4 and 6 give way to the next one.
    for (rule, day, until) in [
        (Rule::EarlyWatch, c.early_watch_day, c.inadequate_response_day),
        (Rule::InadequateResponse, c.inadequate_response_day, c.nonresponse_day),
    ] {
        if course.as_of < date_of(until)
            && let Some(since) = holds_since(day, &hardly_moved)
            && let Some(latest) = track.latest_on_plan()
        {
            let sentence = format!(
                "{}: less than {difference} points of improvement by day {day} of the plan that began {plan_start}.",
                course_in_words(track, latest, reference)
            );
            found.push(finding(rule, day, since, sentence).against("important_difference", difference));
        }
    }
    if relapsed || track.improved_now() {
        return;
    }
    let Some(latest) = track.latest() else { return };
    let words = course_in_words(track, latest, &baseline.score);
    for (rule, day) in
        [(Rule::Nonresponse, c.nonresponse_day), (Rule::PersistentNonresponse, c.persistent_nonresponse_day)]
    {
        if let Some(since) = holds_since(day, &not_improved) {
            let sentence = format!(
                "{words}: no clinically significant improvement by day {day} of the plan that began {plan_start}."
            );
            found.push(finding(rule, day, since, sentence));
        }
    }
    let mut failures = failed_plans(track, course, rules);
    failures.extend(holds_since(c.nonresponse_day, &not_improved));
    let day = c.specialty_referral_day;
    let by_day = holds_since(day, &not_improved);
    let by_plans =
        usize::from(c.specialty_referral_failed_plans).checked_sub(1).and_then(|nth| failures.get(nth)).copied();
    if let Some(since) = by_day.into_iter().chain(by_plans).min() {
        let why = match by_plans {
            Some(_) => format!("{} treatment plans without clinically significant improvement", failures.len()),
            None => format!("no clinically significant improvement by day {day} of the plan"),
        };
        let sentence = format!("{words}: {why}; consider referral to specialty care.");
        found.push(
            finding(Rule::ConsiderSpecialtyReferral, day, since, sentence)
                .against("failed_plans", c.specialty_referral_failed_plans),
        );
    }
}

/// When each earlier plan ended, by a treatment change, without improvement. Only plans that were given at least until
/// the first checkpoint count.
fn failed_plans(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet) -> Vec<NaiveDate> {
    let Some(mut began) = course.start() else { return Vec::new() };
    let mut failed = Vec::new();
    for changed in course.treatment_changes() {
        let given = changed >= day::after(began, rules.checkpoints.early_watch_day);
        let last = track.followups.iter().rev().find(|s| s.on > began && s.on <= changed);
        if given && last.is_some_and(|s| !track.is_improved(s.total)) {
            failed.push(changed);
        }
        began = changed;
    }
    failed
}

/// No score on this plan when its first checkpoint is reached, or one that is too old to be judged.
fn unmeasured(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet, plan_start: NaiveDate) -> [Option<Finding>; 2] {
    let c = &rules.checkpoints;
    let first_checkpoint = day::after(plan_start, c.early_watch_day);
    if course.as_of < first_checkpoint {
        return [None, None];
    }
    // A baseline that was taken late is itself news about the plan; one from its beginning is not.
    let window_end = day::after(plan_start, rules.baseline.window_days);
    let news = track.latest_on_plan().or(track.plan_reference.as_ref().filter(|s| s.on > window_end));
    let stale_from = news.map_or(first_checkpoint, |s| day::beyond(s.on, c.stale_after_days).max(first_checkpoint));
    if course.as_of < stale_from {
        return [None, None];
    }
    let name = track.instrument;
    let last = news.or(track.plan_reference.as_ref());
    let what = match last {
        Some(score) => format!("{name} was last taken on {} ({})", score.on, score.total),
        None => format!("{name} has not been taken in this episode"),
    };
    let lack = match news {
        Some(_) => format!("older than {} days", c.stale_after_days),
        None => format!("no score since the plan began on {plan_start}"),
    };
    let finding = |rule, since, sentence| {
        Finding::new(rule, Some(name), since, sentence)
            .on_scores(last)
            .against("stale_after_days", c.stale_after_days)
            .against("unmeasured_after_days", c.unmeasured_after_days)
    };
    let stale = finding(
        Rule::MeasureStale,
        stale_from,
        format!("{what}: {lack}, too little to judge the plan by; measure again."),
    );
    let unmeasured_from = day::after(stale_from, c.unmeasured_after_days);
    let unmeasured = (course.as_of >= unmeasured_from).then(|| {
        let sentence = format!("{what}: still not measured {} days after it was asked for.", c.unmeasured_after_days);
        finding(Rule::Unmeasured, unmeasured_from, sentence)
    });
    [Some(stale), unmeasured]
}
