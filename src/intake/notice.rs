//! Hearing that something has changed: written down in one short transaction and acknowledged; fetched afterwards.

use chrono::{DateTime, Utc};

use super::Intake;
use super::connection::Connection;
use crate::fhir::notification::{Notification, Status};
use crate::problem::Problem;
use crate::store::connection::subscription::{self, SubscriptionRecord};
use crate::store::connection::{self, hint};

impl Intake {
    /// Writes down what an EHR has said; answers after the commit. Fetching begins at once.
    ///
    /// # Errors
    /// When the database does not answer: then the EHR has to say it again, or the sweep finds it.
    pub async fn hear(&self, connection: &Connection, said: &Notification) -> Result<(), Problem> {
        let (of, now) = (connection.of(), self.clock.now());
        let mut tx = self.db.begin("notification_store").await?;
        let mut look_again = said.look_again;
        let changed: Vec<_> = said.changed.iter().map(|(kind, id)| (kind.name(), id.as_str())).collect();
        hint::hear(&mut tx, of, &changed, now).await?;
        if let Some(status) = &said.status
            && let Some(name) = &status.subscription
        {
            let known = subscription::find(&mut tx, of, name).await?;
            let (row, is_missing) = follow(known, name, status, now);
            subscription::put(&mut tx, of, &row).await?;
            look_again |= is_missing;
        }
        if look_again {
            connection::look_again(&mut tx, of, now).await?;
        }
        tx.commit().await?;
        metrics::counter!("cocm_notifications", "gap" => if look_again { "yes" } else { "no" }).increment(1);
        connection.heard.notify_one();
        Ok(())
    }

    /// Asks for the events that did not arrive, where the server keeps them. A sweep has been asked for in any case.
    pub(super) async fn recover(&self, connection: &Connection) -> Result<(), Problem> {
        let of = connection.of();
        let mut tx = self.db.read().await?;
        let all = subscription::all(&mut tx, of).await?;
        drop(tx);
        for one in all {
            let Some(from) = one.missed_from else { continue };
            match connection.ehr.events(&one.subscription, from).await {
                Ok(page) => {
                    // Resources named by the events are fetched like any other hint; their numbers are already known.
                    let mut said = connection.understand(&page.text).unwrap_or_default();
                    (said.status, said.look_again) = (None, false);
                    if !said.changed.is_empty() {
                        self.hear(connection, &said).await?;
                    }
                }
                Err(failure) => {
                    tracing::info!(connection = connection.name(), %failure, "$events does not help; the sweep will");
                }
            }
            let mut tx = self.db.begin("notification_recover").await?;
            subscription::recovered(&mut tx, of, &one.subscription, from).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

impl Connection {
    /// The addresses under which the server's own resources are.
    pub fn bases(&self) -> Vec<String> {
        let known = self.settings.known_bases.iter().cloned();
        std::iter::once(self.settings.base_url.clone()).chain(known).collect()
    }

    /// Reads what this EHR says.
    ///
    /// # Errors
    /// Where it is not JSON.
    pub fn understand(&self, raw: &str) -> Result<Notification, Problem> {
        let bases = self.bases();
        let bases: Vec<&str> = bases.iter().map(String::as_str).collect();
        Notification::read(raw, &bases)
    }
}

/// Last event of a Subscription after this notification, and whether one is missing.
fn follow(
    known: Option<SubscriptionRecord>,
    name: &str,
    status: &Status,
    now: DateTime<Utc>,
) -> (SubscriptionRecord, bool) {
    let mut row = known.unwrap_or_else(|| SubscriptionRecord::new(name.to_owned()));
    row.heard_at = Some(now);
    if let Some(said) = &status.status {
        said.clone_into(&mut row.status);
    }
    let is_ill = matches!(row.status.as_str(), "error" | "off");
    let (last, missed, look) = count(row.last_event, status);
    row.last_event = last;
    row.missed_from = row.missed_from.or(missed);
    (row, look || missed.is_some() || is_ill)
}

/// The last event now, the first that is missing, and whether to look again although no number says so.
fn count(last: Option<i64>, status: &Status) -> (Option<i64>, Option<i64>, bool) {
    let highest = status.numbers.iter().copied().max().max(status.events_so_far);
    let Some(highest) = highest else { return (last, None, false) };
    let Some(last) = last else {
        // The first word of it. Whatever there was before, nobody has told us.
        return (Some(highest), None, highest > i64::try_from(status.numbers.len()).unwrap_or(i64::MAX));
    };
    if status.events_so_far.is_some_and(|so_far| so_far < last && status.kind != "query-event") {
        // The server counts anew, or this notification is late; neither tells what lies between.
        let restarted = status.kind == "handshake";
        return (Some(if restarted { highest } else { last }), None, true);
    }
    let mut arrived: Vec<i64> = status.numbers.iter().copied().filter(|number| *number > last).collect();
    arrived.sort_unstable();
    let mut expected = last + 1;
    for number in arrived {
        if number > expected {
            return (Some(highest), Some(expected), true);
        }
        expected = number + 1;
    }
    // The head knows of more than this notification carries.
    let missed = (highest >= expected).then_some(expected);
    (Some(highest.max(last)), missed, missed.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("handshake", None, Some(0), &[], (Some(0), None, false))]
    #[case("event-notification", Some(0), Some(1), &[1], (Some(1), None, false))]
    #[case("event-notification", Some(1), Some(3), &[2, 3], (Some(3), None, false))]
    #[case("event-notification", Some(3), Some(3), &[3], (Some(3), None, false))] // again
    #[case("event-notification", Some(3), Some(5), &[5], (Some(5), Some(4), true))] // 4 is lost
    #[case("event-notification", Some(3), Some(7), &[4, 6, 7], (Some(7), Some(5), true))]
    #[case("event-notification", Some(5), Some(4), &[4], (Some(5), None, true))] // 4 comes after 5
    #[case("event-notification", Some(3), None, &[4], (Some(4), None, false))] // without a count
    #[case("event-notification", Some(3), Some(6), &[4], (Some(6), Some(5), true))]
    #[case("heartbeat", Some(3), Some(3), &[], (Some(3), None, false))]
    #[case("heartbeat", Some(3), Some(5), &[], (Some(5), Some(4), true))]
    #[case("handshake", Some(9), Some(0), &[], (Some(0), None, true))] // it counts anew
    #[case("event-notification", None, Some(8), &[8], (Some(8), None, true))] // what were the other seven?
    #[case("event-notification", Some(3), None, &[], (Some(3), None, false))]
    fn a_gap_in_the_numbers_is_noticed(
        #[case] kind: &str,
        #[case] last: Option<i64>,
        #[case] so_far: Option<i64>,
        #[case] numbers: &[i64],
        #[case] expected: (Option<i64>, Option<i64>, bool),
    ) {
        let status =
            Status { kind: kind.to_owned(), events_so_far: so_far, numbers: numbers.to_vec(), ..Status::default() };
        assert_eq!(count(last, &status), expected);
    }
}
