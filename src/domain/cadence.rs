//! R11 and the review rule of R8: what is due, what is overdue.

use chrono::NaiveDate;

use super::care::{Care, ContactOutcome};
use super::day;
use super::episode::{Course, Phase};
use super::finding::{Finding, Rule};
use super::rules::RuleSet;
use super::target::Track;

/// Findings about contacts, measuring and reviews of an episode that is in treatment.
pub fn findings(course: &Course<'_>, tracks: &[Track<'_>], rules: &RuleSet) -> Vec<Finding> {
    let Some(start) = course.start().filter(|_| course.in_treatment()) else { return Vec::new() };
    let mut found = contacts(course, start, rules);
    found.extend(tracks.iter().filter_map(|t| measure_overdue(course, t, start, rules)));
    found.extend(review_overdue(course, start, rules));
    found.extend(review_required(course, tracks, start, rules));
    found.extend(engagement(course, rules));
    found
}

/// Days until the next contact is due, once there has been a follow-up.
pub fn contact_days(phase: Phase, rules: &RuleSet) -> u16 {
    match phase {
        Phase::RelapsePrevention => rules.cadence.contact_relapse_prevention_days,
        _ => rules.cadence.contact_active_days,
    }
}

/// Days after which a scale is overdue.
pub fn measure_days(phase: Phase, rules: &RuleSet) -> u16 {
    match phase {
        Phase::RelapsePrevention => rules.cadence.measure_relapse_prevention_days,
        _ => rules.cadence.measure_active_days,
    }
}

/// Days after which the next case review is overdue, once there has been one.
pub fn review_days(phase: Phase, rules: &RuleSet) -> u16 {
    match phase {
        Phase::RelapsePrevention => rules.cadence.review_relapse_prevention_days,
        _ => rules.cadence.review_active_days,
    }
}

fn contacts(course: &Course<'_>, start: NaiveDate, rules: &RuleSet) -> Vec<Finding> {
    let c = &rules.cadence;
    let (last, days) = match course.last_followup_contact() {
        Some(last) => (last, contact_days(course.phase, rules)),
        None => (start, c.first_contact_days),
    };
    let due = day::after(last, days);
    let words = match course.last_followup_contact() {
        Some(last) => format!("the last treatment contact was on {last}"),
        None => format!("no treatment contact since enrollment on {start}"),
    };
    let mut found = Vec::new();
    let amber = day::beyond(last, c.contact_amber_days);
    let red = day::beyond(last, c.contact_red_days);
    if course.as_of >= amber {
        let grade = if course.as_of >= red { "red" } else { "amber" };
        found.push(
            Finding::new(Rule::ContactOverdue, None, amber, format!("A contact is overdue ({grade}): {words}."))
                .against("contact_amber_days", c.contact_amber_days)
                .against("contact_red_days", c.contact_red_days),
        );
    } else if course.as_of >= due {
        found.push(
            Finding::new(Rule::ContactDue, None, due, format!("A contact is due since {due}: {words}."))
                .against("contact_due_days", days),
        );
    }
    let inactive = day::after(last, c.inactivity_days);
    if course.as_of >= inactive {
        found.push(
            Finding::new(
                Rule::InactivityDischargeProposed,
                None,
                inactive,
                format!("Discharge for inactivity as of {inactive} may be considered: {words}. A person decides."),
            )
            .against("inactivity_days", c.inactivity_days),
        );
    }
    found
}

/// A targeted scale is overdue; any score counts, the baseline too.
fn measure_overdue(course: &Course<'_>, track: &Track<'_>, start: NaiveDate, rules: &RuleSet) -> Option<Finding> {
    let days = measure_days(course.phase, rules);
    let last = track.last_taken.as_ref();
    let overdue = day::beyond(last.map_or(start, |s| s.on.max(start)), days);
    (course.as_of >= overdue).then(|| {
        let words = match last {
            Some(s) => format!("was last taken on {} ({})", s.on, s.total),
            None => "has never been taken".to_owned(),
        };
        Finding::new(
            Rule::MeasureOverdue,
            Some(track.instrument),
            overdue,
            format!("{} {words}: overdue after {days} days.", track.instrument),
        )
        .on_scores(last)
        .against("measure_days", days)
    })
}

fn review_overdue(course: &Course<'_>, start: NaiveDate, rules: &RuleSet) -> Option<Finding> {
    let (last, days) = match course.reviews(false).last() {
        None => (start, rules.cadence.review_first_days),
        Some(last) => (last, review_days(course.phase, rules)),
    };
    let overdue = day::beyond(last, days);
    (course.as_of >= overdue).then(|| {
        let words = match course.reviews(false).last() {
            Some(last) => format!("the last was on {last}"),
            None => format!("none since enrollment on {start}"),
        };
        Finding::new(Rule::ReviewOverdue, None, overdue, format!("A psychiatric case review is overdue: {words}."))
            .against("review_days", days)
    })
}

/// R8, episode clock: not improved, and no review with a recommendation in the required time.
fn review_required(course: &Course<'_>, tracks: &[Track<'_>], start: NaiveDate, rules: &RuleSet) -> Option<Finding> {
    let c = &rules.checkpoints;
    let not_improved: Vec<&Track<'_>> = tracks.iter().filter(|t| t.elevated() && !t.improved_now()).collect();
    let track = not_improved.first()?;
    let ill_since = not_improved.iter().map(|t| not_improved_since(t, start)).min()?;
    let from = day::after(start, c.review_required_day).max(ill_since);
    let last = course.reviews(true).last();
    let since = last.map_or(from, |last| from.max(day::beyond(last, c.review_required_every_days)));
    (course.as_of >= since).then(|| {
        let words = match last {
            Some(last) => format!("the last review with a recommendation was on {last}"),
            None => "no review has recommended anything yet".to_owned(),
        };
        let names: Vec<String> = not_improved.iter().map(|t| t.instrument.to_string()).collect();
        Finding::new(
            Rule::ReviewRequired,
            Some(track.instrument),
            since,
            format!(
                "{} not improved on day {} of treatment or later, and {words}: a review with a recommendation is required every {} days.",
                names.join(" and "), c.review_required_day, c.review_required_every_days
            ),
        )
        .on_scores(not_improved.iter().filter_map(|t| t.latest().or(t.baseline.as_ref().map(|b| &b.score))))
        .against("review_required_day", c.review_required_day)
        .against("review_required_every_days", c.review_required_every_days)
    })
}

/// Since when a measure has shown no improvement: its present run of such scores, or from the start.
fn not_improved_since(track: &Track<'_>, start: NaiveDate) -> NaiveDate {
    let improved_until = track.followups.iter().rposition(|s| track.is_improved(s.total));
    improved_until.and_then(|i| track.followups.get(i + 1)).map_or(start, |s| s.on)
}

fn engagement(course: &Course<'_>, rules: &RuleSet) -> Option<Finding> {
    let c = &rules.cadence;
    let (mut attended, mut scheduled, mut low_since) = (0_u32, 0_u32, None);
    for entry in &course.entries {
        if let Care::Contact { scheduled: true, outcome, .. } = &entry.care
            && *outcome != ContactOutcome::NotReached
        {
            scheduled += 1;
            attended += u32::from(*outcome == ContactOutcome::Attended);
            let low = scheduled >= u32::from(c.engagement_min_scheduled)
                && attended * 100 < scheduled * u32::from(c.engagement_percent);
            low_since = low.then(|| low_since.unwrap_or(entry.on));
        }
    }
    low_since.map(|since| {
        Finding::new(
            Rule::LowEngagement,
            None,
            since,
            format!("{attended} of {scheduled} scheduled contacts were attended, below {} %.", c.engagement_percent),
        )
        .against("engagement_percent", c.engagement_percent)
        .against("engagement_min_scheduled", c.engagement_min_scheduled)
    })
}
