//! Tells the OpenAPI document how the ids of `src/id.rs` look on the wire, and lists the instruments' files for
//! `domain/instrument/registry.rs`, so that a new instrument is one new file.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    ["PatientId", "EpisodeId", "MeasurementId"]
        .into_iter()
        .fold(utoipa_config::Config::new(), |config, id| config.alias_for(id, "Uuid"))
        .write_to_file();
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("src/domain/instrument");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("instruments.rs"), listing(&root)?)?;
    fs::write(out.join("scales.rs"), listing(&root.join("scale"))?)?;
    Ok(())
}

/// `&[("phq9", include_str!("…/phq9.toml")), …]`
fn listing(folder: &Path) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            entries.push(format!("({name:?}, include_str!({:?}))", path.display().to_string()));
        }
    }
    entries.sort();
    Ok(format!("&[{}]", entries.join(", ")))
}
