//! Dates and durations as people say them.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

/// `May 13`, with the year where it is another one than today's.
pub fn day(on: NaiveDate, today: NaiveDate) -> String {
    if on.year() == today.year() { on.format("%b %-d").to_string() } else { on.format("%b %-d, %Y").to_string() }
}

pub fn whole_day(on: NaiveDate) -> String {
    on.format("%b %-d, %Y").to_string()
}

/// `May 13, 09:30`, local.
pub fn instant(at: DateTime<Utc>, zone: Tz, today: NaiveDate) -> String {
    let local = at.with_timezone(&zone);
    format!("{}, {}", day(local.date_naive(), today), local.format("%H:%M"))
}

/// How long something has been going on: `12 min`, `3 h 20 min`, `5 days`. The page's script counts on in the same words.
pub fn elapsed(time: TimeDelta) -> String {
    let minutes = time.num_minutes().max(0);
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (1, h, _) => format!("1 day {h} h"),
        (d, ..) => format!("{d} days"),
    }
}

/// Dates in a sentence of the rules, as the rest of the page writes them.
pub fn in_sentence(text: &str, today: NaiveDate) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let date = from.get(..10).filter(|date| date.as_bytes()[4] == b'-').and_then(|date| date.parse().ok());
        let (said, taken) = match date {
            Some(on) => (day(on, today), 10),
            None => ("20".to_owned(), 2),
        };
        out.push_str(&said);
        rest = &from[taken..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeDelta};

    use super::{elapsed, in_sentence};

    #[test]
    fn dates_in_a_sentence_are_said_as_people_say_them() {
        let today: NaiveDate = "2026-05-25".parse().unwrap();
        let said = in_sentence("PHQ-9 20 on 2026-05-18, up 13 from 7 on 2025-03-09; 2026 é 20é-", today);
        assert_eq!(said, "PHQ-9 20 on May 18, up 13 from 7 on Mar 9, 2025; 2026 é 20é-");
    }

    #[test]
    fn time_is_said_coarser_the_longer_it_is() {
        for (minutes, said) in
            [(0, "0 min"), (59, "59 min"), (200, "3 h 20 min"), (1500, "1 day 1 h"), (9000, "6 days")]
        {
            assert_eq!(elapsed(TimeDelta::minutes(minutes)), said);
        }
    }
}
