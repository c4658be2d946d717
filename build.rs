//! Tells the OpenAPI document how the ids of `src/id.rs` look on the wire.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    ["PatientId", "EpisodeId", "MeasurementId"]
        .into_iter()
        .fold(utoipa_config::Config::new(), |config, id| config.alias_for(id, "Uuid"))
        .write_to_file();
}
