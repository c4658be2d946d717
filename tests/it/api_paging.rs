//! Every list pages stably over ten thousand equal sort values: each row once; and again, with pages of another size
//! and while rows come and change their place between pages, what was there all along once each and in the same order.
//!
//! The lists are taken from the OpenAPI document: one that is added fails here until the table knows it. One patient is
//! made through the API, and multiplied in the database.

use std::collections::{HashMap, HashSet};

use cocm_registry::identity::Role;
use cocm_registry::store::Db;
use rstest::rstest;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};

use crate::api_document::Document;
use crate::api_world::{CLINIC, World};
use crate::world::Engine;

const MANY: u32 = 10_000;

/// The lists with pages, and the name of what identifies a row.
const PAGED: [(&str, &str); 8] = [
    ("/api/v1/caseload", "episode"),
    ("/api/v1/caseload?sort=name", "episode"),
    ("/api/v1/review-queue", "episode"),
    ("/api/v1/patients", "id"),
    ("/api/v1/deliveries", "id"),
    ("/api/v1/quarantine", "id"),
    ("/api/v1/safety-concerns", "delivery"),
    ("/api/v1/episodes/{id}/timeline", "id"),
];

/// Lists that are tried with fewer rows, and why; `a_queue_of_another_date_…` and `a_patients_episodes_…` try them.
const OF_FEW: [&str; 2] = ["/api/v1/episodes", "/api/v1/patient-matches"];

/// Lists that have a test of their own, over as many rows: `the_programmes_lists_page_stably`.
const OF_THE_PROGRAMME: [(&str, &str); 5] = [
    ("/api/v1/candidates", "patient"),
    ("/api/v1/recommendations", "id"),
    ("/api/v1/review-sessions", "id"),
    ("/api/v1/audit", "seq"),
    ("/api/v1/webhook-deliveries", "id"),
];

/// Lists without a cursor: all on one page.
const ONE_PAGE: [&str; 7] = [
    "/api/v1/api-keys",
    "/api/v1/connections",
    "/api/v1/rule-sets",
    "/api/v1/time",
    "/api/v1/episodes/{id}/care-plans",
    "/api/v1/episodes/{id}/recommendations",
    "/api/v1/metrics/{month}/versions",
];

/// The FHIR searches that page.
const SEARCHES: [&str; 2] = ["/fhir/Patient", "/fhir/QuestionnaireResponse"];

/// SQL on either engine.
pub struct Sql<'w>(pub &'w Db);

impl Sql<'_> {
    async fn run(&self, text: String) {
        match self.0 {
            Db::Sqlite { writer, .. } => sqlx::raw_sql(AssertSqlSafe(text)).execute(writer).await.map(|_| ()),
            Db::Postgres { writer: pool, .. } => sqlx::raw_sql(AssertSqlSafe(text)).execute(pool).await.map(|_| ()),
        }
        .unwrap();
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        match self.0 {
            Db::Sqlite { writer, .. } => {
                let rows = sqlx::query("SELECT name FROM pragma_table_info($1)").bind(table).fetch_all(writer).await;
                rows.unwrap().iter().map(|row| row.get(0)).collect()
            }
            Db::Postgres { writer: pool, .. } => {
                let text = "SELECT CAST(column_name AS TEXT) FROM information_schema.columns
                    WHERE table_name = $1 AND table_schema = 'public'";
                sqlx::query(text).bind(table).fetch_all(pool).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
        }
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.0, Db::Sqlite { .. })
    }

    /// The text of an id that follows from `n`, in no order of `n`.
    fn name(&self) -> &'static str {
        if self.is_sqlite() {
            "lower(printf('%08x-0000-4000-8000-%012x', (n * 2654435761) & 4294967295, n))"
        } else {
            "lpad(to_hex((n * 2654435761) & 4294967295), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0')"
        }
    }

    /// The same as an id.
    fn id(&self) -> String {
        let name = self.name();
        if self.is_sqlite() { format!("unhex(replace({name}, '-', ''))") } else { format!("CAST({name} AS UUID)") }
    }

    fn literal(&self, id: &str) -> String {
        if self.is_sqlite() { format!("unhex('{}')", id.replace('-', "")) } else { format!("CAST('{id}' AS UUID)") }
    }

    fn json(&self, text: &str) -> String {
        if self.is_sqlite() { text.to_owned() } else { format!("CAST({text} AS JSONB)") }
    }

    /// Copies the rows of a table for which `of` holds, once for each number, with other values in some columns.
    async fn multiply(&self, table: &str, of: &str, (from, to): (u32, u32), other: &[(&str, String)]) {
        let columns = self.columns(table).await;
        let values: Vec<String> = columns
            .iter()
            .map(|column| {
                let given = other.iter().find(|(name, _)| name == column);
                given.map_or_else(|| format!("{table}.{column}"), |(_, value)| value.clone())
            })
            .collect();
        let (columns, values) = (columns.join(", "), values.join(", "));
        let first = if self.is_sqlite() { format!("{from}") } else { format!("CAST({from} AS BIGINT)") };
        self.run(format!(
            "WITH RECURSIVE c(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c WHERE n < {to})
             INSERT INTO {table} ({columns}) SELECT {values} FROM {table}, c
             WHERE {table}.clinic_id = '{CLINIC}' AND {of}"
        ))
        .await;
    }
}

/// What is multiplied: a patient in care, and another one of whom there is an open safety concern and a form in
/// quarantine. Small rows: it is their number that matters.
pub struct Template {
    patient: String,
    episode: String,
    contact: String,
    concerned: String,
}

pub async fn template(world: &World) -> Template {
    let patient = world.patient("1", "Same").await;
    let episode = world.enroll(&patient, "2026-02-02").await;
    let contact = json!({"on": "2026-02-02", "kind": "outreach"});
    let contact = world.post(&format!("episodes/{episode}/contacts"), contact).await.expect(201).id();
    let concerned = world.patient("2", "Same").await;
    let form =
        json!({"instrument": "phq9", "taken_at": "2026-02-01T08:00:00Z", "answers": [0, 0, 0, 0, 0, 0, 0, 0, 1]});
    world.post(&format!("patients/{concerned}/measurements"), form).await.expect(201);
    world
        .arrives(json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
            "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": "Patient/2"},
            "item": [{"linkId": "/44250-9", "answer": [{"valueInteger": 1}]}]}))
        .await;
    Template { patient, episode, contact, concerned }
}

impl Template {
    /// Everything but the timeline, once for each number.
    pub async fn multiply(&self, sql: &Sql<'_>, numbers: (u32, u32)) {
        let (id, name) = (sql.id(), sql.name());
        let (patient, episode) = (sql.literal(&self.patient), sql.literal(&self.episode));
        let of_patient = format!("patient_id = {patient}");
        let of_concerned = format!("patient_id = {}", sql.literal(&self.concerned));
        let body = format!("replace(CAST(body AS TEXT), '{}', {name})", self.episode);
        let as_patient = ("patient_id", id.clone());
        let named = [("id", id.clone()), ("reference", "'Patient/m' || n".to_owned())];
        sql.multiply("patient", &format!("id = {patient}"), numbers, &named).await;
        sql.multiply("episode", &of_patient, numbers, &[("id", id.clone()), as_patient.clone()]).await;
        let standing = [("episode_id", id.clone()), as_patient.clone(), ("body", sql.json(&body))];
        sql.multiply("standing", &format!("episode_id = {episode}"), numbers, &standing).await;
        let delivery = [("id", id.clone()), as_patient.clone(), ("identifier", "'i' || n".to_owned())];
        sql.multiply("delivery", &format!("{of_concerned} AND code = 'safety-assessment'"), numbers, &delivery).await;
        let kept = [("id", id.clone()), as_patient.clone(), ("resource_id", "'m' || n".to_owned())];
        sql.multiply("quarantine", &of_concerned, numbers, &kept).await;
        let resource = [("id", "'m' || n".to_owned()), as_patient];
        sql.multiply("resource", &of_concerned, numbers, &resource).await;
    }

    /// The last entry of the timeline, once for each number.
    async fn lengthen(&self, sql: &Sql<'_>, numbers: (u32, u32)) {
        let of = format!("id = {}", sql.literal(&self.contact));
        sql.multiply("fact", &of, numbers, &[("id", sql.id())]).await;
    }
}

/// A page of a list, read only as far as is needed.
#[derive(Deserialize)]
struct Listed {
    items: Vec<HashMap<String, Box<RawValue>>>,
    next: Option<String>,
}

/// One page: the ids on it, and the address of the next.
async fn page(world: &World, uri: &str, id: &str) -> (Vec<String>, Option<String>) {
    let fhir = uri.starts_with("/fhir");
    let of_operators = uri.contains("/audit") || uri.contains("/webhook-deliveries");
    let role = match (fhir, of_operators) {
        (true, _) => Role::Ehr,
        (_, true) => Role::Admin,
        _ => Role::CareManager,
    };
    let heard = world.call(Some((CLINIC, role)), "GET", uri, None, &[]).await;
    assert_eq!(heard.status, 200, "{uri}: {}", heard.text());
    if !fhir {
        let body: Listed = serde_json::from_slice(&heard.bytes).unwrap();
        let ids = body.items.iter().map(|item| item[id].get().trim_matches('"').to_owned()).collect();
        let plain = uri.split("&cursor=").next().unwrap();
        return (ids, body.next.map(|next| format!("{plain}&cursor={next}")));
    }
    let body: Value = serde_json::from_slice(&heard.bytes).unwrap();
    let entries = body["entry"].as_array().cloned().unwrap_or_default();
    let ids = entries.iter().map(|entry| entry["fullUrl"].as_str().unwrap().to_owned()).collect();
    let next = body["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next");
    (ids, next.map(|link| link["url"].as_str().unwrap().replace("http://registry.example", "")))
}

/// Walks through a list; `between` happens after each page.
async fn walk(world: &World, list: &str, id: &str, size: usize, mut between: impl AsyncFnMut(u32)) -> Vec<String> {
    let size_as = if list.starts_with("/fhir") { "_count" } else { "limit" };
    let separator = if list.contains('?') { '&' } else { '?' };
    let mut uri = format!("{list}{separator}{size_as}={size}");
    let (mut all, mut number) = (Vec::new(), 0);
    loop {
        let (ids, next) = page(world, &uri, id).await;
        assert!(ids.len() <= size && (next.is_none() || ids.len() == size), "{list}: a page of {}", ids.len());
        all.extend(ids);
        let Some(next) = next else { return all };
        uri = next;
        number += 1;
        between(number).await;
    }
}

fn once_each(list: &str, seen: &[String]) -> HashSet<String> {
    let distinct: HashSet<String> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "{list}: something was shown twice");
    distinct
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn every_list_pages_stably_over_ten_thousand_equal_values(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-02").await else { return };
    let lists: Vec<String> = {
        let document = Document::read();
        let lists = document.operations().into_iter().filter(|operation| document.is_list(operation));
        lists.map(|operation| operation.path).collect()
    };
    for list in &lists {
        let known = PAGED.iter().any(|(paged, _)| paged.split('?').next() == Some(list.as_str()));
        let known = known || OF_THE_PROGRAMME.iter().any(|(paged, _)| paged == list);
        let known = known || OF_FEW.contains(&list.as_str()) || ONE_PAGE.contains(&list.as_str());
        assert!(known, "{list} is a list: add it to the tables here");
    }
    let one = template(&world).await;
    let sql = Sql(&world.app.db);
    one.multiply(&sql, (1, MANY)).await;
    one.lengthen(&sql, (1, MANY)).await;

    let mut fresh = 2 * MANY;
    for (list, id) in PAGED.into_iter().chain(SEARCHES.map(|search| (search, ""))) {
        let begun = std::time::Instant::now();
        let list = list.replace("{id}", &one.episode);
        let first = walk(&world, &list, id, 491, async |_| {}).await;
        let all = once_each(&list, &first);
        assert!(all.len() >= MANY as usize, "{list}: only {}", all.len());

        // While rows come before and behind, and some change their place; each of them in the last digit of `n`.
        let moving = walk(&world, &list, id, 500, async |number| {
            if number % 4 == 0 {
                one.multiply(&sql, (fresh, fresh + 20)).await;
                one.lengthen(&sql, (fresh, fresh + 20)).await;
                fresh += 21;
                let name = if number % 8 == 0 { "Aaron" } else { "Zoe" };
                sql.run(format!(
                    "UPDATE standing SET display_name = '{name}', attention = 2, waiting_since = '2026-01-0{}'
                     WHERE patient_id IN (SELECT id FROM patient WHERE reference LIKE 'Patient/m%{number}0')",
                    1 + number % 9
                ))
                .await;
                sql.run(format!("UPDATE resource SET version = version + 1, updated_at = '2026-02-02 0{}:30:00+00:00' WHERE id LIKE 'm%{number}0'", number % 9)).await;
            }
        })
        .await;
        let was_left_alone = |id: &&String| number_of(id).is_some_and(|n| n % 10 != 0 && n <= MANY);
        let (first, then): (Vec<&String>, Vec<&String>) =
            (first.iter().filter(was_left_alone).collect(), moving.iter().filter(was_left_alone).collect());
        assert!(first == then, "{list}: what was there all along was not shown once each, in the same order");
        assert!(first.len() >= MANY as usize * 9 / 10, "{list}: {}", first.len());
        println!("{list}: {:.1} s", begun.elapsed().as_secs_f64());
    }
}

/// Which one it is, of those that were multiplied.
fn number_of(id: &str) -> Option<u32> {
    match id.rsplit_once("/m") {
        Some((_, number)) => number.parse().ok(),
        None => u32::from_str_radix(id.get(24..)?, 16).ok().filter(|_| id.contains("-0000-4000-8000-")),
    }
}

/// Ten thousand rows that are equal in everything but their id, walked through twice in pages of different size.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn the_programmes_lists_page_stably(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-02").await else { return };
    let sql = Sql(&world.app.db);
    let (id, name) = (sql.id(), sql.name());
    let candidate = world.patient("1", "Same").await;
    world.phq9(&candidate, "2026-02-01", 15).await;
    let enrolled = world.patient("2", "Same").await;
    let episode = world.enroll(&enrolled, "2026-02-02").await;
    let review = json!({"reviewed_on": "2026-02-02", "reviewer": "Dr Freud",
        "recommendations": [{"kind": "medication", "text": "words", "to": "primary_care"}]});
    let review = world.post(&format!("episodes/{episode}/case-reviews"), review).await.expect(201).body;
    let recommendation = review["recommendations"][0]["id"].as_str().unwrap().to_owned();
    let session = json!({"held_on": "2026-02-02", "consultant": "Dr Freud"});
    let session = world.post_as(Role::PsychiatricConsultant, "review-sessions", session).await.expect(201).id();

    let numbers = (1, MANY);
    let of = |column: &str, id: &str| format!("{column} = {}", sql.literal(id));
    let named = [("id", id.clone()), ("reference", "'Patient/m' || n".to_owned())];
    sql.multiply("patient", &of("id", &candidate), numbers, &named).await;
    let body = format!("replace(CAST(body AS TEXT), '{recommendation}', {name})");
    let copied = [("id", id.clone()), ("body", sql.json(&body))];
    sql.multiply("recommendation", &of("id", &recommendation), numbers, &copied).await;
    sql.multiply("review_session", &of("id", &session), numbers, &[("id", id.clone())]).await;
    let told = "INSERT INTO webhook_delivery (clinic_id, id, webhook, seq, part, type, body, state, attempts,
          next_attempt_at, created_at, updated_at)
        SELECT clinic_id, id, 'w', 1, 0, 'x', '{}', 'pending', 0, opened_at, opened_at, opened_at FROM review_session";
    sql.run(told.to_owned()).await;
    let first_line = "seq = (SELECT MIN(seq) FROM journal)";
    world.app.journal.seal().await.unwrap();
    let line = [("id", id.clone()), ("seq", "n + 100000".to_owned())];
    sql.multiply("journal", first_line, numbers, &line).await;

    for (list, id) in OF_THE_PROGRAMME {
        let first = walk(&world, list, id, 491, async |_| {}).await;
        assert!(once_each(list, &first).len() >= MANY as usize, "{list}: only {}", first.len());
        assert!(walk(&world, list, id, 500, async |_| {}).await == first, "{list}: another order");
    }
}

/// Each page of it is planned anew over the whole clinic: five hundred are enough to see whether it pages well.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_queue_of_another_date_pages_stably(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-02").await else { return };
    let one = template(&world).await;
    let sql = Sql(&world.app.db);
    one.multiply(&sql, (1, 500)).await;
    let list = "/api/v1/review-queue?on=2026-02-20";
    let first = walk(&world, list, "episode", 97, async |_| {}).await;
    assert_eq!(once_each(list, &first).len(), 501);
    assert_eq!(walk(&world, list, "episode", 211, async |_| {}).await, first);
    // Each row of this list shows two records whole.
    let pair = "INSERT INTO patient_match (clinic_id, id, one_id, other_id, reasons, state, found_at)
        SELECT p.clinic_id, p.id, p.id, o.id, '[]', 'open', p.updated_at FROM patient p, patient o
        WHERE p.reference LIKE 'Patient/m%' AND o.reference = 'Patient/2'";
    sql.run(pair.to_owned()).await;
    let list = "/api/v1/patient-matches";
    let first = walk(&world, list, "id", 97, async |_| {}).await;
    assert_eq!(once_each(list, &first).len(), 500);
    assert_eq!(walk(&world, list, "id", 211, async |_| {}).await, first);
}

/// Nobody has a thousand episodes; it pages as if somebody had, also while one is added.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_patients_episodes_page_stably(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-02").await else { return };
    let one = template(&world).await;
    let sql = Sql(&world.app.db);
    let of = format!("id = {}", sql.literal(&one.episode));
    let another = async |numbers| sql.multiply("episode", &of, numbers, &[("id", sql.id())]).await;
    another((1, 1000)).await;
    let list = format!("/api/v1/episodes?patient={}", one.patient);
    let first = walk(&world, &list, "id", 97, async |_| {}).await;
    assert_eq!(once_each(&list, &first).len(), 1001);
    let mut n = 2000;
    let moving = walk(&world, &list, "id", 97, async |_| {
        another((n, n + 3)).await;
        n += 4;
    })
    .await;
    let seen = once_each(&list, &moving);
    assert!(first.iter().all(|id| seen.contains(id)), "an episode was passed over");
}
