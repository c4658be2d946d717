//! The story that the registry is for, told only through HTTP and worked by hand: from a positive screening to
//! graduation, with a declined recommendation, two treatment changes, a safety event, a relapse, and a re-enrolment.
//!
//! Three patients, every Monday from January to September. Ada is the story; Ben gets well and graduates; Cleo is never
//! reached again. The clinic is in UTC. Each Monday's queue is looked at before anything of that day is entered.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World};
use crate::world::Engine;

/// The Monday, and its queue in order: who, in which place, waiting since when.
///
/// Days of Ada's first plan: 5 January is day 0, 2 February day 28, 16 February day 42 (week 6), 2 March day 56 (week 8).
/// Her second plan begins on 4 March, her third on 1 April.
const QUEUES: [(&str, &[&str]); 38] = [
    ("2026-01-05", &[]),
    ("2026-01-12", &["Ben new_without_review 2026-01-02", "Ada new_without_review 2026-01-05"]),
    // Longest waiting first: by the date of enrollment.
    (
        "2026-01-19",
        &[
            "Ben new_without_review 2026-01-02",
            "Ada new_without_review 2026-01-05",
            "Cleo new_without_review 2026-01-12",
        ],
    ),
    (
        "2026-01-26",
        &[
            "Ben new_without_review 2026-01-02",
            "Ada new_without_review 2026-01-05",
            "Cleo new_without_review 2026-01-12",
        ],
    ),
    // Ben's first review is overdue too, which is a lesser reason than that he was never reviewed.
    (
        "2026-02-02",
        &[
            "Ben new_without_review 2026-01-02",
            "Ada new_without_review 2026-01-05",
            "Cleo new_without_review 2026-01-12",
        ],
    ),
    // Ada fell by one point in four weeks: an early watch is shown, and is no place in the queue.
    (
        "2026-02-09",
        &[
            "Ben new_without_review 2026-01-02",
            "Ada new_without_review 2026-01-05",
            "Cleo new_without_review 2026-01-12",
        ],
    ),
    // Ben and Cleo were reviewed. Ada's week 6: 17 from 18.
    ("2026-02-16", &["Ada inadequate_response 2026-02-16"]),
    // Cleo: no score by day 28 (9 February), nor in the 14 days after.
    ("2026-02-23", &["Ada inadequate_response 2026-02-16", "Cleo unmeasured_or_red_on_contact 2026-02-23"]),
    // Week 8: nonresponse, reviewed two weeks ago.
    ("2026-03-02", &["Ada inadequate_response 2026-03-02", "Cleo unmeasured_or_red_on_contact 2026-02-23"]),
    // Treatment was changed on 4 March: a new plan, not judged yet. Ben has been at target for 28 days.
    (
        "2026-03-09",
        &["Cleo unmeasured_or_red_on_contact 2026-02-23", "Ben ready_for_relapse_prevention_or_graduation 2026-03-02"],
    ),
    // Ada's day 70: a review with a recommendation is required, and there was one.
    (
        "2026-03-16",
        &["Cleo unmeasured_or_red_on_contact 2026-02-23", "Ben ready_for_relapse_prevention_or_graduation 2026-03-02"],
    ),
    (
        "2026-03-23",
        &["Cleo unmeasured_or_red_on_contact 2026-02-23", "Ben ready_for_relapse_prevention_or_graduation 2026-03-02"],
    ),
    (
        "2026-03-30",
        &["Cleo unmeasured_or_red_on_contact 2026-02-23", "Ben ready_for_relapse_prevention_or_graduation 2026-03-02"],
    ),
    // Reviewed on 2 March: overdue on the 31st day. Of the two, the higher score first: 14 and 3.
    (
        "2026-04-06",
        &[
            "Cleo unmeasured_or_red_on_contact 2026-02-23",
            "Ada review_overdue 2026-04-02",
            "Ben review_overdue 2026-04-02",
        ],
    ),
    // Ben is in relapse prevention: reviews every 60 days. Below 5 since 2 March, and 28 days later.
    (
        "2026-04-13",
        &[
            "Cleo unmeasured_or_red_on_contact 2026-02-23",
            "Ada review_overdue 2026-04-02",
            "Ben ready_for_relapse_prevention_or_graduation 2026-03-30",
        ],
    ),
    ("2026-04-20", &["Ben ready_for_relapse_prevention_or_graduation 2026-03-30"]),
    ("2026-04-27", &[]),
    ("2026-05-04", &[]),
    ("2026-05-11", &[]),
    // Reviewed on 13 April.
    ("2026-05-18", &["Ada review_overdue 2026-05-14"]),
    ("2026-05-25", &[]),
    ("2026-06-01", &[]),
    ("2026-06-08", &[]),
    // 4 on 11 May, 3 on 8 June.
    ("2026-06-15", &["Ada ready_for_relapse_prevention_or_graduation 2026-06-08"]),
    ("2026-06-22", &["Ada ready_for_relapse_prevention_or_graduation 2026-06-08"]),
    ("2026-06-29", &["Ada ready_for_relapse_prevention_or_graduation 2026-06-08"]),
    ("2026-07-06", &["Ada ready_for_relapse_prevention_or_graduation 2026-06-08"]),
    ("2026-07-13", &["Ada ready_for_relapse_prevention_or_graduation 2026-06-08"]),
    // 14 from a best of 3.
    ("2026-07-20", &["Ada worsening_or_relapse 2026-07-13"]),
    ("2026-07-27", &["Ada worsening_or_relapse 2026-07-13"]),
    // 9: below 10 again.
    ("2026-08-03", &[]),
    ("2026-08-10", &[]),
    ("2026-08-17", &[]),
    // Reviewed on 20 July.
    ("2026-08-24", &["Ada review_overdue 2026-08-20"]),
    ("2026-08-31", &[]),
    ("2026-09-07", &[]),
    ("2026-09-14", &[]),
    // A new episode, a new first review.
    ("2026-09-21", &["Ada new_without_review 2026-09-14"]),
];

/// Ada's first episode as its timeline tells it: when, what, and which clinical findings that fact opened and closed.
/// What a day that merely passes opens is not the doing of any fact.
const TIMELINE: [&str; 43] = [
    "2026-01-05 enrolment",
    "2026-01-05 measurement 18",
    "2026-01-05 contact",
    "2026-01-05 patient",
    "2026-01-05 coverage medicaid",
    "2026-01-19 contact",
    "2026-02-02 measurement 17: +early_watch",
    "2026-02-02 contact",
    "2026-02-16 case_review medication",
    "2026-02-16 measurement 16",
    "2026-02-16 contact",
    "2026-02-17 recommendation_decision declined",
    "2026-03-02 case_review medication",
    "2026-03-02 measurement 15",
    "2026-03-02 contact",
    "2026-03-03 recommendation_decision accepted",
    // Week 8's nonresponse and the plateau of 17, 16, 15 belong to the plan that ends here.
    "2026-03-04 recommendation_decision done: -nonresponse -plateau",
    "2026-03-04 treatment_change medication",
    "2026-03-16 contact",
    "2026-03-30 measurement 14",
    "2026-03-30 contact",
    // Two plans of 28 days or more have failed: 15 on 2 March, 14 on 30 March.
    "2026-04-01 treatment_change psychotherapy: +consider_specialty_referral -early_watch",
    "2026-04-13 case_review continue",
    // 1 after 0: higher than the answer before.
    "2026-04-13 measurement 13: +safety_item9_high",
    "2026-04-13 contact",
    "2026-04-13 safety_assessment: -safety_item9_high",
    "2026-04-27 contact",
    "2026-05-11 measurement 4: -consider_specialty_referral -early_watch",
    "2026-05-11 contact",
    "2026-05-18 case_review continue",
    "2026-05-25 contact",
    "2026-06-08 relapse_prevention: -relapse_prevention_suggested",
    "2026-06-08 measurement 3: +relapse_prevention_suggested +sustained_remission",
    "2026-07-06 contact",
    "2026-07-13 resume",
    "2026-07-13 measurement 14: +relapse -sustained_remission",
    "2026-07-20 case_review continue",
    "2026-07-27 measurement 9: -relapse",
    "2026-08-10 measurement 4",
    "2026-08-10 contact",
    "2026-08-24 case_review continue",
    "2026-09-07 discharge graduated: -relapse_prevention_suggested -sustained_remission",
    "2026-09-07 measurement 3: +relapse_prevention_suggested +sustained_remission",
];

/// The findings that the timeline above speaks of; the others are about when something is due.
const CLINICAL: [&str; 10] = [
    "early_watch",
    "inadequate_response",
    "nonresponse",
    "plateau",
    "consider_specialty_referral",
    "safety_item9_high",
    "sustained_remission",
    "relapse_prevention_suggested",
    "relapse",
    "worsening",
];

struct Clinic {
    world: World,
    /// (name, patient, episode)
    people: Vec<(&'static str, String, String)>,
}

impl Clinic {
    async fn fhir(&self, resource: Value) {
        let uri = format!("/fhir/{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let body = Some(("application/fhir+json", resource.to_string()));
        let heard = self.world.call(Some((CLINIC, Role::Ehr)), "PUT", &uri, body, &[]).await;
        assert_eq!(heard.status, 201, "{}", heard.text());
    }

    /// A PHQ-9 of a total, with this answer to item 9, filled in at eight in the morning.
    async fn form(&self, name: &str, on: &str, total: u16, item9: u16) {
        const ITEMS: [&str; 9] =
            ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"];
        let mut rest = total - item9;
        let items: Vec<Value> = ITEMS
            .iter()
            .enumerate()
            .map(|(n, code)| {
                let answer = if n == 8 { item9 } else { rest.min(3) };
                rest -= if n == 8 { 0 } else { answer };
                json!({"linkId": format!("/{code}"), "answer": [{"valueInteger": answer}]})
            })
            .collect();
        assert_eq!(rest, 0);
        self.fhir(json!({"resourceType": "QuestionnaireResponse", "id": format!("{name}-{on}"), "status": "completed",
            "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": format!("Patient/{name}")},
            "authored": format!("{on}T08:00:00Z"), "item": items}))
            .await;
    }

    /// A patient of the chart, screened and enrolled on a day.
    async fn arrives(&mut self, name: &'static str, on: &str, total: u16) {
        self.fhir(json!({"resourceType": "Patient", "id": name, "name": [{"text": name}],
            "identifier": [{"system": "urn:mrn", "value": name}]}))
            .await;
        self.form(name, on, total, 0).await;
        let found = self.world.get(&format!("patients?identifier=urn:mrn%7C{name}")).await.expect(200).body;
        let patient = found["items"][0]["id"].as_str().unwrap().to_owned();
        let episode = self.world.enroll(&patient, on).await;
        self.people.push((name, patient, episode));
        self.contact(name, on).await;
    }

    fn of(&self, name: &str) -> (&str, &str) {
        let (_, patient, episode) = self.people.iter().rev().find(|(known, ..)| *known == name).unwrap();
        (patient, episode)
    }

    async fn enter(&self, name: &str, what: &str, body: Value) -> Value {
        self.world.post(&format!("episodes/{}/{what}", self.of(name).1), body).await.expect(201).body
    }

    async fn contact(&self, name: &str, on: &str) {
        let contact = json!({"occurred_at": format!("{on}T08:30:00Z"), "kind": "treatment", "minutes": 30});
        self.enter(name, "contacts", contact).await;
    }

    /// The consultant's review; the id of what it recommends.
    async fn review(&self, name: &str, on: &str, kind: &str) -> String {
        let body = json!({"reviewed_on": on, "reviewer": "Dr Freud",
            "recommendations": [{"kind": kind, "text": "as discussed", "to": "primary_care"}]});
        let path = format!("episodes/{}/case-reviews", self.of(name).1);
        let review = self.world.post_as(Role::PsychiatricConsultant, &path, body).await.expect(201).body;
        review["recommendations"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn decide(&self, recommendation: &str, decision: &str, on: &str) {
        self.world.go_to(on).await;
        let body = json!({"decision": decision, "decided_on": on, "by": "Dr Who", "reason": "because"});
        let path = format!("recommendations/{recommendation}/decision");
        self.world.post_as(Role::PrimaryCare, &path, body).await.expect(201);
    }

    async fn queue(&self) -> Vec<String> {
        let queue = self.world.get("review-queue").await.expect(200).body;
        let rows = queue["items"].as_array().unwrap().iter().map(|row| {
            assert_eq!(row["reasons"][0]["place"], row["place"], "the first reason decides the place: {row}");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let name = text(&row["patient"]["display_name"]);
            format!("{name} {} {}", text(&row["place"]), text(&row["waiting_since"]))
        });
        rows.collect()
    }

    /// What happens on a Monday, after its queue was looked at.
    async fn live(&mut self, monday: &str) {
        match monday {
            "2026-01-05" => {
                self.arrives("Ada", "2026-01-05", 18).await;
                let covered = json!({"payer": "medicaid", "from": "2026-01-01"});
                self.world.post(&format!("patients/{}/coverages", self.of("Ada").0), covered).await.expect(201);
                self.arrives("Ben", "2026-01-02", 12).await;
            }
            "2026-01-12" => self.arrives("Cleo", "2026-01-12", 20).await,
            "2026-01-19" => {
                self.contact("Ada", monday).await;
                self.contact("Ben", monday).await;
            }
            "2026-02-02" => {
                self.form("Ada", monday, 17, 0).await;
                self.contact("Ada", monday).await;
                self.form("Ben", monday, 6, 0).await;
                self.contact("Ben", monday).await;
            }
            "2026-02-09" => {
                self.review("Ben", monday, "continue").await;
                self.review("Cleo", monday, "continue").await;
            }
            "2026-02-16" => {
                self.form("Ada", monday, 16, 0).await;
                self.contact("Ada", monday).await;
                let recommended = self.review("Ada", monday, "medication").await;
                self.decide(&recommended, "declined", "2026-02-17").await;
            }
            "2026-03-02" => {
                self.form("Ada", monday, 15, 0).await;
                self.contact("Ada", monday).await;
                self.form("Ben", monday, 4, 0).await;
                self.contact("Ben", monday).await;
                self.review("Ben", monday, "continue").await;
                self.review("Cleo", monday, "continue").await;
                let recommended = self.review("Ada", monday, "medication").await;
                self.decide(&recommended, "accepted", "2026-03-03").await;
                self.decide(&recommended, "done", "2026-03-04").await;
            }
            "2026-03-16" | "2026-04-27" | "2026-05-25" | "2026-07-06" => self.contact("Ada", monday).await,
            "2026-03-30" => {
                self.form("Ada", monday, 14, 0).await;
                self.contact("Ada", monday).await;
                self.form("Ben", monday, 3, 0).await;
                self.contact("Ben", monday).await;
                self.world.go_to("2026-04-01").await;
                let change = json!({"changed_on": "2026-04-01", "kinds": ["psychotherapy"], "summary": "CBT added"});
                self.enter("Ada", "treatment-changes", change).await;
            }
            "2026-04-06" => {
                self.contact("Ben", monday).await;
                self.enter("Ben", "relapse-prevention", json!({"on": monday, "plan": "Walk, call."})).await;
            }
            "2026-04-13" => {
                self.form("Ada", monday, 13, 1).await;
                assert_eq!(self.queue().await[0], "Ada open_safety 2026-04-13", "before everybody else");
                self.contact("Ada", monday).await;
                let assessment = json!({"assessed_at": "2026-04-13T09:00:00Z", "instrument": "C-SSRS",
                    "result": "low risk", "disposition": "safety plan"});
                let path = format!("patients/{}/safety-assessments", self.of("Ada").0);
                self.world.post(&path, assessment).await.expect(201);
                assert!(!self.queue().await.iter().any(|row| row.contains("open_safety")));
                self.review("Ada", monday, "continue").await;
                let lost = json!({"discharged_on": monday, "reason": "lost_to_follow_up"});
                self.enter("Cleo", "discharge", lost).await;
            }
            "2026-04-20" => {
                self.enter("Ben", "discharge", json!({"discharged_on": monday, "reason": "graduated"})).await;
            }
            "2026-05-11" | "2026-08-10" => {
                self.form("Ada", monday, 4, 0).await;
                self.contact("Ada", monday).await;
            }
            "2026-05-18" | "2026-07-20" | "2026-08-24" => drop(self.review("Ada", monday, "continue").await),
            "2026-06-08" => {
                self.form("Ada", monday, 3, 0).await;
                self.enter("Ada", "relapse-prevention", json!({"on": monday, "plan": "Walk, call, come back."})).await;
            }
            "2026-07-13" => {
                self.form("Ada", monday, 14, 0).await;
                self.enter("Ada", "resume", json!({"on": monday})).await;
            }
            "2026-07-27" => self.form("Ada", monday, 9, 0).await,
            "2026-09-07" => {
                self.form("Ada", monday, 3, 0).await;
                let left = json!({"discharged_on": monday, "reason": "graduated"});
                let left = self.enter("Ada", "discharge", left).await;
                assert_eq!(left.get("warnings"), None, "there is a relapse-prevention plan");
            }
            "2026-09-14" => {
                self.form("Ada", monday, 15, 0).await;
                let patient = self.of("Ada").0.to_owned();
                let episode = self.world.enroll(&patient, monday).await;
                self.people.push(("Ada", patient, episode));
            }
            _ => {}
        }
    }

    /// The NYS metrics of a month: number, numerator, denominator, value.
    async fn metrics(&self, month: &str) -> Vec<String> {
        let body = self.world.get(&format!("metrics/nys?month={month}")).await.expect(200).body;
        let metrics = body["metrics"].as_array().unwrap().iter();
        metrics
            .map(|m| format!("{}: {}/{} = {}", m["number"], m["numerator"], m["denominator"], rounded(&m["value"])))
            .collect()
    }
}

fn rounded(value: &Value) -> String {
    value.as_f64().map_or_else(|| "null".to_owned(), |value| format!("{value:.2}"))
}

/// One line of the timeline, as in [`TIMELINE`].
fn line(item: &Value) -> String {
    let body = &item["body"];
    let kind = item["kind"].as_str().unwrap();
    let detail = match kind {
        "measurement" => body["measurements"][0]["total"].to_string(),
        "case_review" => body["recommendations"][0]["kind"].as_str().unwrap().to_owned(),
        "recommendation_decision" => body["decision"].as_str().unwrap().to_owned(),
        "treatment_change" => body["changes"][0].as_str().unwrap().to_owned(),
        "discharge" => body["reason"].as_str().unwrap().to_owned(),
        "coverage" => body["payer"].as_str().unwrap().to_owned(),
        _ => String::new(),
    };
    let mut changes: Vec<String> = Vec::new();
    for episode in item["changes"]["episodes"].as_array().into_iter().flatten() {
        for (sign, name) in [("+", "findings_opened"), ("-", "findings_closed")] {
            let rules = episode["changes"][name].as_array().into_iter().flatten();
            let rules = rules.map(|rule| rule.as_str().unwrap().rsplit(':').next().unwrap());
            changes.extend(rules.filter(|rule| CLINICAL.contains(rule)).map(|rule| format!("{sign}{rule}")));
        }
    }
    changes.sort();
    changes.dedup();
    let said = format!("{} {kind} {detail}", item["happened_on"].as_str().unwrap());
    let said = said.trim_end();
    if changes.is_empty() { said.to_owned() } else { format!("{said}: {}", changes.join(" ")) }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_course_from_screening_to_re_enrolment_reads_as_worked_by_hand(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, QUEUES[0].0).await else { return };
    let mut clinic = Clinic { world, people: Vec::new() };
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for (monday, queue) in QUEUES {
        clinic.world.go_to(monday).await;
        found.extend(clinic.queue().await.into_iter().map(|row| format!("{monday} {row}")));
        expected.extend(queue.iter().map(|row| format!("{monday} {row}")));
        clinic.live(monday).await;
    }
    assert_eq!(found.join("\n"), expected.join("\n"), "the weeks' queues");

    let first = &clinic.people.iter().find(|(name, ..)| *name == "Ada").unwrap().2;
    let timeline = clinic.world.get(&format!("episodes/{first}/timeline?limit=500")).await.expect(200).body;
    let told: Vec<String> = timeline["items"].as_array().unwrap().iter().map(line).collect();
    assert_eq!(told.join("\n"), TIMELINE.join("\n"), "Ada's first episode");

    // March: Ada (18, now 14), Ben (12, now 3), Cleo (20, never again). All are in treatment for 70 days or more.
    let march = [
        "1: 3/null = 3.00",
        "2: 1/null = 1.00",
        "3: 0/null = 0.00",
        "4: null/0 = null",
        "5: 2/3 = 0.67", // Ada and Ben have both a contact and a scale.
        "6: 1/3 = 0.33", // Ben.
        "7: 1/3 = 0.33", // Ben, 3 on 30 March.
        "8: 2/2 = 1.00", // Ada and Cleo were reviewed, with a recommendation, on 2 March.
        "9: 2/2 = 1.00", // Ada and Ben were seen; Cleo was not.
        "10: 0/0 = null",
        "11: null/null = null",
    ];
    assert_eq!(clinic.metrics("2026-03").await, march, "March");
    // April: Cleo left after 91 days, Ben after 108: (91 + 108) / 2 / 7 = 14.2 weeks.
    let april = [
        "1: 3/null = 3.00",
        "2: 1/null = 1.00",
        "3: 0/null = 0.00",
        "4: null/2 = 14.20",
        "5: 1/3 = 0.33", // Ada; Ben had a contact and no scale.
        "6: 1/3 = 0.33",
        "7: 0/3 = 0.00", // Ben's 3 is of March.
        "8: 2/2 = 1.00",
        "9: 2/2 = 1.00",
        "10: 0/0 = null",
        "11: null/null = null",
    ];
    assert_eq!(clinic.metrics("2026-04").await, april, "April");

    let second = clinic.world.standing(clinic.of("Ada").1).await;
    assert_eq!((&second["day"], &second["measures"][0]["baseline"]["score"]), (&json!(7), &json!(15)), "{second}");
    let caseload = clinic.world.get("caseload").await.expect(200).body;
    assert_eq!(caseload["items"].as_array().unwrap().len(), 1, "Ada's second episode alone is open");
}
