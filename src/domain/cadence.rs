//! R11 and the review rule of R8: what is due, what is overdue.

use chrono::NaiveDate;

use super::care::{Care, ContactOutcome};
use super::conclusion::{Conclusion, LastContact};
use super::day;
use super::episode::{Course, Phase};
use super::finding::Finding;
use super::rules::RuleSet;
use super::target::Track;

/// Findings about contacts, measuring and reviews of an episode that is in treatment.
pub fn findings(course: &Course<'_>, tracks: &[Track<'_>], rules: &RuleSet) -> Vec<Finding> {
    let Some(start) = course.start().filter(|_| course.in_treatment()) else { return Vec::new() };
    let mut found = contacts(course, rules);
    found.extend(tracks.iter().filter_map(|t| measure_overdue(course, t, rules)));
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

/// R11: when a treatment contact is due, overdue and so long ago that discharge may be considered. Days on hold do not
/// count; after one the first contact is due soon, and nothing is overdue before it was due.
#[derive(Clone, Copy, Debug)]
pub struct ContactDates {
    /// The last contact.
    pub last: LastContact,
    /// Days after which it is due.
    pub days: u16,
    /// When treatment was resumed, where no contact has followed yet.
    pub resumed_on: Option<NaiveDate>,
    pub due: NaiveDate,
    pub overdue: NaiveDate,
    /// It is long overdue.
    pub red: NaiveDate,
    /// Discharge for inactivity may be considered.
    pub inactive: NaiveDate,
}

/// The dates of the next treatment contact; `None` while only referred.
pub fn contact_dates(course: &Course<'_>, rules: &RuleSet) -> Option<ContactDates> {
    let (c, start) = (&rules.cadence, course.start()?);
    let (last, from, days) = match course.last_followup_contact() {
        Some(on) => (LastContact::On(on), on, contact_days(course.phase, rules)),
        None => (LastContact::NoneSince(start), start, c.first_contact_days),
    };
    let holds = &course.holds;
    let resumed_on = course.resumed_since(from);
    let (due, days) = match resumed_on {
        Some(resumed) => (holds.after(resumed, c.resumed_contact_days), c.resumed_contact_days),
        None => (holds.after(from, days), days),
    };
    let not_before = |date: NaiveDate, after_due: u16| match resumed_on {
        Some(_) => date.max(holds.after(due, after_due)),
        None => date,
    };
    Some(ContactDates {
        last,
        days,
        resumed_on,
        due,
        overdue: not_before(holds.beyond(from, c.contact_amber_days), 1),
        red: not_before(holds.beyond(from, c.contact_red_days), 1),
        inactive: not_before(holds.after(from, c.inactivity_days), 1),
    })
}

fn contacts(course: &Course<'_>, rules: &RuleSet) -> Vec<Finding> {
    let Some(dates) = contact_dates(course, rules) else { return Vec::new() };
    let (c, last) = (&rules.cadence, dates.last);
    let mut found = Vec::new();
    if course.as_of >= dates.overdue {
        let red = course.as_of >= dates.red;
        let conclusion = Conclusion::ContactOverdue { last, red, red_on: dates.red, limits: c.clone() };
        found.push(Finding::new(conclusion, dates.overdue));
    } else if course.as_of >= dates.due {
        let ContactDates { due, resumed_on, days, .. } = dates;
        found.push(Finding::new(Conclusion::ContactDue { due, last, resumed_on, days }, due));
    }
    if course.as_of >= dates.inactive {
        let conclusion =
            Conclusion::InactivityDischargeProposed { as_of: dates.inactive, last, days: c.inactivity_days };
        found.push(Finding::new(conclusion, dates.inactive));
    }
    found
}

/// When a targeted scale is overdue; any score counts, the baseline too. After a hold it is due with the first contact.
pub fn measure_overdue_on(course: &Course<'_>, last: Option<NaiveDate>, rules: &RuleSet) -> Option<NaiveDate> {
    let start = course.start()?;
    let from = last.map_or(start, |on| on.max(start));
    let overdue = course.holds.beyond(from, measure_days(course.phase, rules));
    let resumed = course.resumed_since(from);
    let after_hold = resumed.map(|on| course.holds.beyond(on, rules.cadence.resumed_contact_days));
    Some(after_hold.map_or(overdue, |after_hold| overdue.max(after_hold)))
}

fn measure_overdue(course: &Course<'_>, track: &Track<'_>, rules: &RuleSet) -> Option<Finding> {
    let last = track.last_taken.as_ref();
    let overdue = measure_overdue_on(course, last.map(|s| s.on), rules)?;
    (course.as_of >= overdue).then(|| {
        let days = measure_days(course.phase, rules);
        let conclusion = Conclusion::MeasureOverdue { instrument: track.instrument, last: last.map(Into::into), days };
        Finding::new(conclusion, overdue).on_scores(last)
    })
}

/// When the next case review is overdue.
pub fn review_overdue_on(course: &Course<'_>, rules: &RuleSet) -> Option<NaiveDate> {
    Some(match course.reviews(false).last() {
        None => course.holds.beyond(course.start()?, rules.cadence.review_first_days),
        Some(last) => course.holds.beyond(last, review_days(course.phase, rules)),
    })
}

fn review_overdue(course: &Course<'_>, start: NaiveDate, rules: &RuleSet) -> Option<Finding> {
    let overdue = review_overdue_on(course, rules).filter(|overdue| course.as_of >= *overdue)?;
    let last = course.reviews(false).last();
    let days = if last.is_some() { review_days(course.phase, rules) } else { rules.cadence.review_first_days };
    Some(Finding::new(Conclusion::ReviewOverdue { last, start, days }, overdue))
}

/// R8, episode clock: not improved, and no review with a recommendation in the required time.
fn review_required(course: &Course<'_>, tracks: &[Track<'_>], start: NaiveDate, rules: &RuleSet) -> Option<Finding> {
    let c = &rules.checkpoints;
    let not_improved: Vec<&Track<'_>> = tracks.iter().filter(|t| t.elevated() && !t.improved_now()).collect();
    let ill_since = not_improved.iter().map(|t| not_improved_since(t, start)).min()?;
    let from = day::after(start, c.review_required_day).max(ill_since);
    let last = course.reviews(true).last();
    let since = last.map_or(from, |last| from.max(day::beyond(last, c.review_required_every_days)));
    // The episode clock runs on during a hold, and nothing is required on one of its days.
    let since = course.holds.next_treatment_day(since);
    (course.as_of >= since).then(|| {
        let instruments = not_improved.iter().map(|t| t.instrument).collect();
        let conclusion = Conclusion::ReviewRequired { instruments, last, limits: c.clone() };
        Finding::new(conclusion, since)
            .on_scores(not_improved.iter().filter_map(|t| t.latest().or(t.baseline.as_ref().map(|b| &b.score))))
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
        if let Care::Contact { scheduled: true, purpose, outcome, .. } = &entry.care
            && purpose.is_with_patient()
            && *outcome != ContactOutcome::NotReached
        {
            scheduled += 1;
            attended += u32::from(*outcome == ContactOutcome::Attended);
            let low = scheduled >= u32::from(c.engagement_min_scheduled)
                && attended * 100 < scheduled * u32::from(c.engagement_percent);
            low_since = low.then(|| low_since.unwrap_or(entry.on));
        }
    }
    let conclusion = Conclusion::LowEngagement {
        attended,
        scheduled,
        percent: c.engagement_percent,
        min_scheduled: c.engagement_min_scheduled,
    };
    low_since.map(|since| Finding::new(conclusion, since))
}
