//! The instruments and translations that an installation adds: `instruments = ["instruments/sds.toml"]`.

use std::path::{Path, PathBuf};

use super::ConfigError;
use crate::domain::instrument;

/// Loads the configured instrument files. The full parser reports malformed TOML.
pub(super) fn register(configuration: &str, file: Option<&Path>) -> Result<(), ConfigError> {
    let table = configuration.parse::<toml::Table>().unwrap_or_default();
    let named = table.get("instruments").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    let folder = file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    let paths: Vec<PathBuf> = named.iter().filter_map(toml::Value::as_str).map(|path| folder.join(path)).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let mut own = Vec::with_capacity(paths.len());
    for path in paths {
        let wrong = |e| ConfigError::one(format!("instruments: {} cannot be read: {e}", path.display()));
        own.push((path.display().to_string(), std::fs::read_to_string(&path).map_err(wrong)?));
    }
    instrument::add(&own).map_err(|why| ConfigError::one(format!("instruments: {why}")))
}
