//! One day in the clinic.

use chrono::{Datelike, Days, NaiveDate, Weekday};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::cast::{DemoPatient, IllnessCourse, ScheduledEvent};
use super::client::DemoClient;
use super::forms::{at, corrected, form, patient};
use crate::domain::instrument::Instrument;
use crate::problem::Problem;

/// Patients whose care goes on at the same time.
const AT_ONCE: usize = 12;
/// Patients in one weekly review.
const REVIEWED: usize = 30;
const CONSULTANT: &str = "Dr. H. Weiss";

pub async fn day(door: &DemoClient, people: &mut [DemoPatient], today: NaiveDate) -> Result<(), Problem> {
    stream::iter(people.iter_mut().filter(|p| !p.gone))
        .map(|person| async move { live(door, person, today).await })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    if today.weekday() == Weekday::Tue {
        weekly_review(door, people, today).await?;
    }
    Ok(())
}

async fn live(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate) -> Result<(), Problem> {
    let due: Vec<ScheduledEvent> = {
        let (now, later) = std::mem::take(&mut person.later).into_iter().partition(|(on, _)| *on <= today);
        person.later = later;
        let now: Vec<(NaiveDate, ScheduledEvent)> = now;
        now.into_iter().map(|(_, what)| what).collect()
    };
    for what in due {
        happen(door, person, what, today).await?;
    }
    let days = (today - person.starts).num_days();
    if days == 0 {
        begin(door, person, today).await?;
    } else if days > 0 && days % 14 == 0 && !person.gone {
        visit(door, person, today, u64::try_from(days).unwrap_or(0)).await?;
    }
    specials(door, person, today, days).await
}

/// Enrollment: the care manager's initial assessment.
async fn begin(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate) -> Result<(), Problem> {
    // One form overtakes its Patient on the way.
    let overtaken = person.number == 76;
    if !overtaken {
        door.put(&patient(person)).await?;
    }
    measure(door, person, today, today).await?;
    if overtaken {
        door.put(&patient(person)).await?;
    }
    let targets = if person.first.1 >= 10 { json!(["phq9", "gad7"]) } else { json!(["phq9"]) };
    let episode = door
        .enter(
            "episodes",
            &json!({
                "patient": {"reference": format!("Patient/{}", person.id)},
                "enrolled_on": today, "consent_on": today,
                "primary_instrument": "phq9", "target_instruments": targets,
                "care_manager": person.care_manager,
                "primary_care_provider": "Dr. A. Brandt",
                "psychiatric_consultant": CONSULTANT,
            }),
        )
        .await?;
    person.episode = episode["id"].as_str().map(str::to_owned);
    contact(door, person, today, "attended").await
}

/// A PHQ-9 at the doctor's, and no episode.
pub async fn is_screened(door: &DemoClient, person: &DemoPatient) -> Result<(), Problem> {
    door.put(&patient(person)).await?;
    door.put(&form(person, Instrument::Phq9, 1, person.starts, person.first.0.max(12), 0)).await
}

/// Every second week: a contact and the scales, if the person comes.
async fn visit(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate, days: u64) -> Result<(), Problem> {
    let away =
        person.fate == IllnessCourse::DropsOut && days >= 42 + 14 * (u64::try_from(person.number).unwrap_or(0) % 3);
    if away {
        if days.is_multiple_of(28) && days < 112 {
            contact(door, person, today, "not_reached").await?;
        }
        return Ok(());
    }
    let comes = person.happens(0.92);
    contact(door, person, today, if comes { "attended" } else { "no_show" }).await?;
    if !comes {
        // Taken over the telephone a few days later, mostly.
        if person.happens(0.7) {
            person.later.push((today + Days::new(4), ScheduledEvent::Measure));
        }
        return Ok(());
    }
    let measured = if person.fate == IllnessCourse::IsNotMeasured { 0.15 } else { 0.93 };
    if person.happens(measured) {
        measure(door, person, today, today).await?;
    }
    Ok(())
}

async fn contact(door: &DemoClient, person: &DemoPatient, today: NaiveDate, outcome: &str) -> Result<(), Problem> {
    let Some(episode) = &person.episode else { return Ok(()) };
    let treatment = outcome == "attended" || outcome == "no_show";
    let body = json!({
        "occurred_at": at(today),
        "kind": if treatment { "treatment" } else { "outreach" },
        "modality": if person.number.is_multiple_of(3) { "in_person" } else { "phone" },
        "scheduled": treatment,
        "outcome": outcome,
        "minutes": if outcome == "attended" { 30 } else { 5 },
        "performer": person.care_manager,
        "interventions": if outcome == "attended" { json!(["behavioral activation"]) } else { json!([]) },
    });
    door.enter(&format!("episodes/{episode}/contacts"), &body).await.map(|_| ())
}

/// The scales are taken on `day` and arrive `today`.
async fn measure(door: &DemoClient, person: &mut DemoPatient, day: NaiveDate, today: NaiveDate) -> Result<(), Problem> {
    let (phq9, gad7) = person.scores(day);
    let item9 = person.item9_at(phq9).min(u8::try_from(phq9.min(3)).unwrap_or(0));
    person.taken += 1;
    let nth = person.taken;
    let filled = form(person, Instrument::Phq9, nth, day, phq9, item9);
    let number = person.number;
    match (number % 17, number % 19, number % 23, nth) {
        // Sent twice, as webhooks do.
        (3, _, _, _) => {
            door.put(&filled).await?;
            door.put(&filled).await?;
        }
        // Held up for six days.
        (_, 5, _, 3 | 5) => person.later.push((today + Days::new(6), ScheduledEvent::Send(filled))),
        // Entered wrongly, corrected on the next day.
        (_, _, 7, 4) => {
            let mut wrong = form(person, Instrument::Phq9, nth, day, (phq9 + 6).min(27), item9);
            wrong["id"].clone_from(&filled["id"]);
            door.put(&wrong).await?;
            person.later.push((today + Days::new(1), ScheduledEvent::Send(corrected(&filled, "amended"))));
        }
        // Another patient's: retracted two days later, and taken again.
        (_, _, 11, 3) => {
            door.put(&filled).await?;
            person.later.push((today + Days::new(2), ScheduledEvent::Send(corrected(&filled, "entered-in-error"))));
            person.later.push((today + Days::new(3), ScheduledEvent::Measure));
        }
        _ => door.put(&filled).await?,
    }
    if person.first.1 >= 4 {
        door.put(&form(person, Instrument::Gad7, nth, day, gad7, 0)).await?;
    }
    if item9 > 0 {
        // Usually at once; sometimes only when the Task in the chart is seen.
        if person.happens(0.75) {
            assess(door, person, today).await?;
        } else {
            let wait = 1 + person.dice.roll() % 4;
            person.later.push((today + Days::new(wait), ScheduledEvent::Assess));
        }
    }
    Ok(())
}

/// A PHQ-9 whose last question is left open.
pub async fn leaves_item9_open(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate) -> Result<(), Problem> {
    let (phq9, _) = person.scores(today);
    person.taken += 1;
    let mut filled = form(person, Instrument::Phq9, person.taken, today, phq9, 0);
    if let Some(items) = filled["item"].as_array_mut() {
        items.retain(|item| item["linkId"] != "/44260-8" && item["linkId"] != "/44261-6");
    }
    door.put(&filled).await
}

/// A PHQ-9 with this answer to its last question, not yet assessed.
pub async fn answers_item9(
    door: &DemoClient,
    person: &mut DemoPatient,
    today: NaiveDate,
    item9: u8,
) -> Result<(), Problem> {
    let (phq9, _) = person.scores(today);
    person.taken += 1;
    door.put(&form(person, Instrument::Phq9, person.taken, today, phq9.max(u16::from(item9)), item9)).await
}

async fn assess(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate) -> Result<(), Problem> {
    if person.patient.is_none() {
        let found = door.get(&format!("patients?reference=Patient/{}", person.id)).await?;
        person.patient = found["items"][0]["id"].as_str().map(str::to_owned);
    }
    let Some(patient) = &person.patient else { return Ok(()) };
    let body = json!({
        "assessed_at": at(today) + chrono::TimeDelta::hours(1),
        "instrument": "C-SSRS screener", "result": "wish to be dead, no plan, no intent",
        "disposition": "safety plan reviewed, means discussed", "assessor": person.care_manager,
    });
    door.enter(&format!("patients/{patient}/safety-assessments"), &body).await.map(|_| ())
}

async fn happen(
    door: &DemoClient,
    person: &mut DemoPatient,
    what: ScheduledEvent,
    today: NaiveDate,
) -> Result<(), Problem> {
    match what {
        ScheduledEvent::Send(resource) => door.put(&resource).await,
        ScheduledEvent::Measure => measure(door, person, today, today).await,
        ScheduledEvent::Assess => assess(door, person, today).await,
        ScheduledEvent::Decide(recommendation) => {
            let accepted = person.happens(0.8);
            let body = if accepted {
                json!({"decision": "accepted", "decided_on": today, "by": "Dr. A. Brandt"})
            } else {
                json!({"decision": "declined", "decided_on": today, "by": "Dr. A. Brandt", "reason": "the patient prefers to wait"})
            };
            door.decide(&format!("recommendations/{recommendation}/decision"), &body).await?;
            if accepted {
                person.later.push((today + Days::new(5), ScheduledEvent::Do(recommendation)));
            }
            Ok(())
        }
        ScheduledEvent::Do(recommendation) => {
            let body = json!({"decision": "done", "decided_on": today, "by": "Dr. A. Brandt"});
            door.decide(&format!("recommendations/{recommendation}/decision"), &body).await?;
            if person.happens(0.6) {
                person.helped = Some(today);
            }
            Ok(())
        }
        ScheduledEvent::Graduate => {
            let Some(episode) = person.episode.clone() else { return Ok(()) };
            person.gone = true;
            person.later.clear();
            let body = json!({"discharged_on": today, "reason": "graduated", "note": "goals met"});
            door.enter(&format!("episodes/{episode}/discharge"), &body).await.map(|_| ())
        }
    }
}

/// Special events of a few patients.
async fn specials(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate, days: i64) -> Result<(), Problem> {
    if person.number == 59 && days == 40 {
        let mut died = patient(person);
        died["meta"]["versionId"] = json!("2");
        died["deceasedDateTime"] = json!(today);
        person.gone = true;
        door.put(&died).await?;
    }
    // A second record of the same person turns up, and is merged away.
    if person.number == 87 && days == 30 {
        let mut second = patient(person);
        second["id"] = json!(format!("{}-old", person.id));
        second["active"] = json!(false);
        second["link"] = json!([{"other": {"reference": format!("Patient/{}", person.id)}, "type": "replaced-by"}]);
        door.put(&second).await?;
    }
    Ok(())
}

/// Tuesday: the consultant goes through the queue, and the care manager sees who is ready to stay well.
async fn weekly_review(door: &DemoClient, people: &mut [DemoPatient], today: NaiveDate) -> Result<(), Problem> {
    let mut queue = door.list("review-queue").await?;
    // Ids differ from run to run; the same people must be reviewed in each.
    queue.sort_by_cached_key(super::show::place);
    let asks = ["worsening", "relapse", "nonresponse", "inadequate_response", "review_required"];
    let rules = |row: &Value| -> Vec<String> {
        row["reasons"].as_array().into_iter().flatten().filter_map(|r| r["rule"].as_str().map(str::to_owned)).collect()
    };
    let mut reviewed = 0;
    for row in &queue {
        let Some(person) =
            people.iter_mut().find(|p| p.episode.is_some() && p.episode.as_deref() == row["episode"].as_str())
        else {
            continue;
        };
        let rules = rules(row);
        if rules.iter().any(|r| r == "relapse_prevention_suggested") {
            prevent_relapse(door, person, today).await?;
        } else if reviewed < REVIEWED {
            reviewed += 1;
            let change = rules.iter().any(|r| asks.contains(&r.as_str())) && person.may_change(today);
            review(door, person, today, change).await?;
        }
    }
    Ok(())
}

async fn review(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate, change: bool) -> Result<(), Problem> {
    let Some(episode) = &person.episode else { return Ok(()) };
    let (kind, text) = match person.number % 3 {
        _ if !change => ("continue", "Go on as planned."),
        0 => ("medication", "Increase sertraline to 100 mg; repeat the PHQ-9 in four weeks."),
        1 => ("medication", "Add bupropion XL 150 mg in the morning."),
        _ => ("psychotherapy", "Move to weekly problem-solving treatment."),
    };
    let body = json!({
        "reviewed_on": today, "reviewer": CONSULTANT, "minutes": 8,
        "summary": "Reviewed with the care manager: scores, medication, contacts.",
        "recommendations": [{"kind": kind, "text": text, "to": "primary_care", "due_on": today + Days::new(14)}],
    });
    let entered = door.consult(&format!("episodes/{episode}/case-reviews"), &body).await?;
    if let (true, Some(recommendation)) = (change, entered["recommendations"][0]["id"].as_str()) {
        person.changed = Some(today);
        person.later.push((today + Days::new(3), ScheduledEvent::Decide(recommendation.to_owned())));
    }
    Ok(())
}

async fn prevent_relapse(door: &DemoClient, person: &mut DemoPatient, today: NaiveDate) -> Result<(), Problem> {
    let Some(episode) = &person.episode else { return Ok(()) };
    let plan = "Early signs: poor sleep, staying in. First steps: call the care manager, resume activity plan.";
    door.enter(&format!("episodes/{episode}/relapse-prevention"), &json!({"on": today, "plan": plan})).await?;
    if person.fate == IllnessCourse::Graduates {
        person.later.push((today + Days::new(28), ScheduledEvent::Graduate));
    }
    Ok(())
}
