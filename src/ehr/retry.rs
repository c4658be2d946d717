//! When a failed write is tried again, and when it is parked for an operator. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::failure::{Failure, is_passing};

/// The published schedule: the wait after the first, second, … failed attempt. After one more failure it is parked.
pub const SCHEDULE: [TimeDelta; 8] = [
    TimeDelta::seconds(5),
    TimeDelta::seconds(30),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(5),
    TimeDelta::hours(10),
    TimeDelta::hours(10),
];

/// Why a write is not tried again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// The server refuses it, and would again.
    Refused,
    /// The address is outside the configured server.
    NotAllowed,
    /// The whole schedule was tried.
    Exhausted,
}

impl Parked {
    /// A stable name for the dead letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotAllowed => "not_allowed",
            Self::Exhausted => "exhausted",
        }
    }
}

/// Next step after a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    RetryAt {
        at: DateTime<Utc>,
        /// Whether it uses up a place in the schedule: a wait that the server asked for does not.
        counts_attempt: bool,
    },
    /// Not tried again until an operator sends it.
    Park(Parked),
}

/// Decides after the `attempt`-th counted attempt (from 1) failed. `jitter` in 0..1 spreads the wait by ±10 %.
pub fn decide(failure: &Failure, attempt: u32, jitter: f64, now: DateTime<Utc>) -> RetryDecision {
    match failure {
        Failure::NotAllowed { .. } => return RetryDecision::Park(Parked::NotAllowed),
        Failure::Refused { status, .. } if !is_passing(*status) => return RetryDecision::Park(Parked::Refused),
        _ => {}
    }
    if let Some(after) = failure.retry_after() {
        return RetryDecision::RetryAt { at: after.instant(now), counts_attempt: false };
    }
    let Some(wait) = SCHEDULE.get(attempt.max(1) as usize - 1) else {
        return RetryDecision::Park(Parked::Exhausted);
    };
    RetryDecision::RetryAt { at: now + spread(*wait, jitter), counts_attempt: true }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "ten hours in ms fit in both")]
fn spread(wait: TimeDelta, jitter: f64) -> TimeDelta {
    let factor = 0.9 + 0.2 * jitter.clamp(0.0, 1.0);
    TimeDelta::milliseconds((wait.num_milliseconds() as f64 * factor).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::super::failure::RetryAfter;
    use super::*;
    use rstest::rstest;

    fn now() -> DateTime<Utc> {
        "2026-03-02T09:00:00Z".parse().unwrap()
    }

    fn refused(status: u16, retry_after: Option<RetryAfter>) -> Failure {
        Failure::Refused { status, retry_after, diagnostics: String::new() }
    }

    fn lost(status: Option<u16>, retry_after: Option<RetryAfter>) -> Failure {
        Failure::OutcomeUnknown { cause: "the connection broke", status, retry_after }
    }

    fn wait(failure: &Failure, attempt: u32, jitter: f64) -> Option<(i64, bool)> {
        match decide(failure, attempt, jitter, now()) {
            RetryDecision::RetryAt { at, counts_attempt } => Some(((at - now()).num_milliseconds(), counts_attempt)),
            RetryDecision::Park(_) => None,
        }
    }

    #[test]
    fn the_published_schedule_is_kept_and_then_parked() {
        let waits: Vec<i64> = (1..=8).map(|n| wait(&lost(None, None), n, 0.5).unwrap().0 / 1000).collect();
        assert_eq!(waits, [5, 30, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
        assert_eq!(decide(&lost(None, None), 9, 0.5, now()), RetryDecision::Park(Parked::Exhausted));
    }

    #[rstest]
    #[case(0.0, 4_500)]
    #[case(0.25, 4_750)]
    #[case(0.5, 5_000)]
    #[case(1.0, 5_500)]
    #[case(7.0, 5_500)]
    fn jitter_is_ten_percent_either_way(#[case] jitter: f64, #[case] ms: i64) {
        assert_eq!(wait(&lost(None, None), 1, jitter).unwrap().0, ms);
    }

    #[rstest]
    fn what_may_pass_is_tried_again(
        #[values(401, 408, 409, 412, 423, 425, 429, 500, 501, 502, 503, 504, 599)] status: u16,
    ) {
        assert_eq!(wait(&refused(status, None), 1, 0.5), Some((5_000, true)));
        assert_eq!(wait(&refused(status, None), 9, 0.5), None);
    }

    #[rstest]
    fn what_would_be_refused_again_is_parked_at_once(
        #[values(300, 301, 302, 400, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 418, 422, 428, 431, 451)]
        status: u16,
        #[values(None, Some(RetryAfter::Seconds(5)))] after: Option<RetryAfter>,
    ) {
        assert_eq!(decide(&refused(status, after), 1, 0.5, now()), RetryDecision::Park(Parked::Refused));
    }

    #[rstest]
    #[case(Failure::NotSent { cause: "no connection" })]
    #[case(Failure::Unanswered { cause: "timeout", status: None, retry_after: None })]
    #[case(lost(None, None))]
    #[case(lost(Some(503), None))]
    fn the_network_is_tried_again(#[case] failure: Failure) {
        assert_eq!(wait(&failure, 2, 0.5), Some((30_000, true)));
    }

    #[test]
    fn an_address_outside_is_parked() {
        let failure = Failure::NotAllowed { cause: "outside the configured server" };
        assert_eq!(decide(&failure, 1, 0.5, now()), RetryDecision::Park(Parked::NotAllowed));
    }

    #[rstest]
    #[case("120", 120)]
    #[case(" 7 ", 7)]
    #[case("0", 1)]
    #[case("90000", 86_400)]
    #[case("99999999999999999999999999", 86_400)]
    #[case("18446744073709551615", 86_400)]
    #[case("Mon, 02 Mar 2026 09:10:00 GMT", 600)]
    #[case("Mon, 02 Mar 2026 08:00:00 GMT", 1)]
    #[case("Tue, 02 Mar 2027 09:00:00 GMT", 86_400)]
    fn retry_after_is_honoured_within_limits_and_costs_nothing(#[case] header: &str, #[case] seconds: i64) {
        let after = RetryAfter::parse(header).unwrap();
        // Also when the schedule is used up: the server asked us to come back.
        for failure in [refused(429, Some(after)), lost(Some(503), Some(after)), refused(423, Some(after))] {
            for attempt in [1, 9, 100] {
                assert_eq!(wait(&failure, attempt, 0.9), Some((seconds * 1000, false)));
            }
        }
    }

    #[rstest]
    fn a_retry_after_that_cannot_be_read_is_absent(#[values("", "soon", "-5", "1.5", "Mon, 99 Mar")] header: &str) {
        assert_eq!(RetryAfter::parse(header), None);
    }
}
