//! Variables over the file, flags over both.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::{Table, Value};

use super::ConfigError;

/// Settings from the command line. A missing flag keeps the value of the file or the variable.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub listen: Option<SocketAddr>,
    /// `--admin-listen`.
    pub admin_listen: Option<SocketAddr>,
    /// `--database-url`.
    pub database_url: Option<String>,
    pub data_dir: Option<PathBuf>,
}

/// Variable name after `COCM_`, the key it sets, and whether that key is a number.
const VARIABLES: &[(&str, &[&str], bool)] = &[
    ("LISTEN", &["listen"], false),
    ("ADMIN_LISTEN", &["admin_listen"], false),
    ("DATABASE_URL", &["database_url"], false),
    ("DATA_DIR", &["data_dir"], false),
    ("PUBLIC_URL", &["public_url"], false),
    ("LOG_FORMAT", &["log", "format"], false),
    ("LOG_FILTER", &["log", "filter"], false),
    ("LIMITS_BODY_BYTES", &["limits", "body_bytes"], true),
    ("LIMITS_BUNDLE_BYTES", &["limits", "bundle_bytes"], true),
    ("LIMITS_CONNECTIONS", &["limits", "connections"], true),
    ("LIMITS_HEADER_TIMEOUT_S", &["limits", "header_timeout_s"], true),
    ("LIMITS_REQUEST_TIMEOUT_S", &["limits", "request_timeout_s"], true),
    ("LIMITS_DRAIN_S", &["limits", "drain_s"], true),
];

/// Lays `COCM_*` over the table; answers with the names that mean nothing here.
pub(super) fn variables(
    table: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<String>, ConfigError> {
    let (mut ignored, mut faults) = (Vec::new(), Vec::new());
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix("COCM_") else { continue };
        if let Some((_, path, number)) = VARIABLES.iter().find(|(known, ..)| *known == rest) {
            match (number, text.parse::<i64>()) {
                (true, Ok(value)) => put(table, path, Value::Integer(value)),
                (true, Err(_)) => faults.push(format!("{name}: must be a whole number")),
                (false, _) => put(table, path, Value::String(text)),
            }
        } else if !ehr_secret(table, rest, &text) && !webhook_secrets(table, rest, &text) && rest != "CONFIG" {
            ignored.push(name);
        }
    }
    if faults.is_empty() { Ok(ignored) } else { Err(ConfigError { faults }) }
}

/// The secrets of a connection: what follows `COCM_EHR_<NAME>_`, and the key it sets.
const EHR_SECRETS: [(&str, &[&str]); 3] = [
    ("_BEARER_TOKEN", &["bearer_token"]),
    ("_NOTIFY_TOKEN", &["notify", "token"]),
    ("_NOTIFY_HMAC_SECRET", &["notify", "hmac_secret"]),
];

/// `COCM_EHR_<NAME>_BEARER_TOKEN` and similar variables, so that secrets need not be in the file.
fn ehr_secret(table: &mut Table, rest: &str, text: &str) -> bool {
    let Some(rest) = rest.strip_prefix("EHR_") else { return false };
    let found = EHR_SECRETS.iter().find_map(|(end, path)| Some((rest.strip_suffix(end)?, *path)));
    let Some((wanted, path)) = found else { return false };
    let ehrs = table.get_mut("ehr").and_then(Value::as_array_mut).into_iter().flatten();
    let named = |ehr: &&mut Table| ehr.get("name").and_then(Value::as_str).is_some_and(|name| shouted(name) == wanted);
    let Some(ehr) = ehrs.filter_map(Value::as_table_mut).find(named) else { return false };
    put(ehr, path, Value::String(text.to_owned()));
    true
}

/// `COCM_WEBHOOK_<NAME>_SECRETS`, with spaces between several.
fn webhook_secrets(table: &mut Table, rest: &str, text: &str) -> bool {
    let Some(wanted) = rest.strip_prefix("WEBHOOK_").and_then(|r| r.strip_suffix("_SECRETS")) else { return false };
    let hooks = table.get_mut("webhook").and_then(Value::as_array_mut).into_iter().flatten();
    let named = |hook: &Table| hook.get("name").and_then(Value::as_str).is_some_and(|name| shouted(name) == wanted);
    let secrets = Value::Array(text.split_whitespace().map(|secret| Value::String(secret.to_owned())).collect());
    let mut found = false;
    for hook in hooks.filter_map(Value::as_table_mut).filter(|hook| named(hook)) {
        hook.insert("secrets".into(), secrets.clone());
        found = true;
    }
    found
}

fn shouted(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Lays flags over the table.
pub(super) fn flags(table: &mut Table, flags: &Flags) {
    let given = [
        ("listen", flags.listen.map(|a| a.to_string())),
        ("admin_listen", flags.admin_listen.map(|a| a.to_string())),
        ("database_url", flags.database_url.clone()),
        ("data_dir", flags.data_dir.as_ref().map(|p| p.display().to_string())),
    ];
    for (key, text) in given {
        if let Some(text) = text {
            put(table, &[key], Value::String(text));
        }
    }
}

fn put(table: &mut Table, path: &[&str], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert((*key).to_owned(), value);
        }
        [section, rest @ ..] => {
            let section = table.entry((*section).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            // Not a table: a fault of the file's, which reading the whole reports.
            if let Value::Table(section) = section {
                put(section, rest, value);
            }
        }
    }
}
