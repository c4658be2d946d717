//! No statement of the store walks a table, or a clinic's part of one, to find what its question names.
//!
//! The texts are read from the store's source; each engine says what it would do with them. Without statistics SQLite's
//! answer is the same for an empty table and a large one. PostgreSQL scans an empty table whatever its indexes, so it is told
//! that a scan is expensive: where it scans all the same, no index answers the question. Which of several it takes depends on
//! statistics, and is not asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sqlx::{AssertSqlSafe, PgConnection, Row, SqlitePool};

use super::architecture::files;
use super::world::{Database, Engine};

/// Statements that are about everything: of a clinic, or of the database. Each with its reason.
const ABOUT_EVERYTHING: &[(&str, &str)] = &[
    ("SELECT (SELECT COUNT(*) FROM patient)", "whether a database is empty, asked once by a restore"),
    ("SELECT COUNT(*) FROM sqlite_schema", "names of tables, asked once by a restore"),
    ("SELECT connection, type, swept_at FROM connection_watermark", "one row for each connection and type"),
    ("SELECT entry FROM journal WHERE clinic_id = $1 AND (seq > $2", "verify-audit compares everything"),
    ("SELECT COUNT(*) FROM quarantine", "a count of what could not be read"),
    ("SELECT clinic_id, 'safety_answers' AS kind", "counts what waits, in indexes of what waits"),
    ("SELECT type, code, detail, COUNT(*)", "counts all that waits, by its reason"),
    ("SELECT integrity_check", "reads every page: that is what it is for"),
    (
        "SELECT patient_id, episode_id FROM fact WHERE clinic_id = $1 AND kind = 'case_review'",
        "ids inside of documents",
    ),
    ("SELECT clinic_id, seq FROM journal_head", "one row a clinic"),
    ("SELECT DISTINCT clinic_id FROM journal WHERE seq IS NULL", "an index of what is not sealed yet"),
    ("SELECT id, entry FROM journal WHERE clinic_id = $1 AND seq IS NULL", "an index of what is not sealed yet"),
    ("SELECT COUNT(*) FROM journal WHERE clinic_id = $1 AND seq IS NULL", "an index of what is not sealed yet"),
    ("SELECT clinic_id FROM journal_head UNION", "verify-audit names every clinic"),
    ("SELECT COUNT(*) FROM fact f", "verify-audit compares everything"),
    ("SELECT CASE WHEN state = 'settled' AND rung IN", "a count of the whole ledger"),
    ("SELECT clinic_id FROM lane", "an index of what waits"),
    ("SELECT MIN(due_at) FROM lane", "a table of what waits"),
    ("UPDATE patient SET reevaluate_on = $2 WHERE clinic_id = $1", "new rules: everybody is due"),
    ("SELECT id FROM patient WHERE clinic_id = $1 AND created_at < $2", "asked once a month"),
    ("WITH RECURSIVE clinic", "names every clinic, from one to the next"),
    ("SELECT r.id, r.patient_id, p.reference", "a list in the order of an index, by pages"),
    ("SELECT m.id, m.one_id, m.other_id", "a list of possible matches, by pages"),
    ("SELECT id, held_on, consultant", "a list in the order of an index, by pages"),
    ("SELECT d.patient_id, p.reference", "a list in the order of an index of safety answers"),
    (
        "SELECT COUNT(*) FROM delivery WHERE clinic_id = $1 AND code = 'safety-assessment'",
        "an index of open safety answers",
    ),
    ("SELECT psychiatric_consultant, care_manager, SUM", "counts the whole caseload"),
    ("SELECT * FROM standing s JOIN patient p", "the caseload, in the order of an index, by pages"),
    ("SELECT key FROM patient_key WHERE clinic_id = $1 AND key LIKE", "some identifiers, up to a limit"),
    ("SELECT care_manager, status, at_target", "counts the whole caseload in one index"),
];

/// Tables of one row, or a few, for each clinic.
const SMALL: [&str; 5] = ["journal_head", "rule_set", "rule_activation", "questionnaire", "api_key"];

/// The statements in a source text; pieces that only Rust puts together are left to the texts that they are part of.
fn statements(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = lines.join("\n");
    let mut statements = Vec::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find('"') {
        let is_joined = rest[..at].trim_end().ends_with("concat!(");
        let (mut text, mut after) = literal(&rest[at..]);
        if is_joined {
            let (more, behind) = joined(after);
            text.push_str(&more);
            after = behind;
        }
        rest = after;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if ["SELECT ", "UPDATE ", "DELETE ", "WITH ", "INSERT "].iter().any(|verb| text.starts_with(verb)) {
            statements.push(if text.ends_with(" IN") { text + " ($2)" } else { text });
        }
    }
    statements
}

/// The rest of what `concat!` joins, and what stands after it.
fn joined(mut after: &str) -> (String, &str) {
    let mut text = String::new();
    loop {
        let next = after.trim_start_matches([',', ' ', '\n']);
        if let Some(macro_call) = next.strip_prefix("columns!(") {
            text.push('*');
            after = macro_call.split_once(')').map_or("", |(_, rest)| rest);
        } else if next.starts_with('"') {
            let (more, behind) = literal(next);
            text.push_str(&more);
            after = behind;
        } else {
            return (text, after);
        }
    }
}

/// A string literal, and what stands after it.
fn literal(from: &str) -> (String, &str) {
    let mut text = String::new();
    let mut escaped = false;
    for (at, c) in from.char_indices().skip(1) {
        match c {
            '"' if !escaped => return (text, &from[at + 1..]),
            '\\' if !escaped => escaped = true,
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    (text, "")
}

/// What SQLite says it would do; `None` for a text that is only a part of a statement.
async fn plan(pool: &SqlitePool, statement: &str) -> Option<Vec<String>> {
    let explained = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"))).fetch_all(pool).await.ok()?;
    Some(explained.iter().map(|row| row.get::<String, _>("detail")).collect())
}

/// Whether a step reads a whole table, or all that a clinic has in it.
fn walks(step: &str) -> bool {
    // Rows that the statement brings along, or that a step before has found, are no table.
    let is_table = !["CONSTANT ROW", "VALUES CLAUSE", "(subquery-"].iter().any(|rows| step.contains(rows));
    let scans = step.starts_with("SCAN ") && is_table && step != "SCAN v";
    (scans || step.ends_with("(clinic_id=?)")) && !SMALL.iter().any(|table| step.contains(table))
}

/// The statements of the store.
fn texts() -> BTreeSet<String> {
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    files(&store).iter().flat_map(|path| statements(&fs::read_to_string(path).unwrap())).collect()
}

fn is_about_everything(text: &str) -> bool {
    ABOUT_EVERYTHING.iter().any(|(beginning, _)| text.starts_with(beginning))
}

#[tokio::test]
async fn no_statement_walks_a_clinic_to_find_what_it_names() {
    let Some(database) = Database::on(Engine::Sqlite).await else { return };
    let db = database.open().await;
    let cocm_registry::store::Db::Sqlite { readers, .. } = &db else { return };
    let texts = texts();
    let (mut explained, mut walking) = (0, Vec::new());
    for text in &texts {
        let Some(steps) = plan(readers, text).await else { continue };
        explained += 1;
        if !is_about_everything(text)
            && let Some(step) = steps.iter().find(|step| walks(step))
        {
            walking.push(format!("{step}: {text}"));
        }
    }
    assert!(explained > 120, "only {explained} of {} texts were understood", texts.len());
    assert!(walking.is_empty(), "{}", walking.join("\n"));
}

/// What PostgreSQL says it would do, line by line; `None` for a text that is only a part of a statement.
async fn plan_on_postgres(connection: &mut PgConnection, statement: &str) -> Option<Vec<String>> {
    let numbers = statement.split('$').skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let places = numbers.filter_map(|number| number?.parse().ok()).max().unwrap_or(0);
    let values = if places == 0 { String::new() } else { format!("({})", vec!["NULL"; places].join(", ")) };
    sqlx::raw_sql(AssertSqlSafe(format!("PREPARE explained AS {statement}"))).execute(&mut *connection).await.ok()?;
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE explained{values}");
    let explained = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await;
    sqlx::raw_sql("DEALLOCATE explained").execute(connection).await.unwrap();
    Some(explained.ok()?.iter().map(|row| row.get::<String, _>(0)).collect())
}

#[tokio::test]
async fn postgres_has_an_index_for_every_statement() {
    let Some(database) = Database::on(Engine::Postgres).await else { return };
    let db = database.open().await;
    let cocm_registry::store::Db::Postgres { writer, .. } = &db else { return };
    let mut connection = writer.acquire().await.unwrap();
    let settings = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(settings).execute(&mut *connection).await.unwrap();
    let texts = texts();
    let (mut explained, mut walking) = (0, Vec::new());
    for text in &texts {
        let Some(lines) = plan_on_postgres(&mut connection, text).await else { continue };
        explained += 1;
        if !is_about_everything(text)
            && let Some(step) = lines.iter().find(|line| line.contains("Seq Scan on "))
            && !SMALL.iter().any(|table| step.contains(table))
        {
            walking.push(format!("{}: {text}", step.trim()));
        }
    }
    assert!(explained > 120, "only {explained} of {} texts were understood", texts.len());
    assert!(walking.is_empty(), "{}", walking.join("\n"));
}
