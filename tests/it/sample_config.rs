//! The sample configuration that is handed out can be used as it is.

use cocm_registry::config::{Config, Flags};
use cocm_registry::fhir::mapping::MappingConfig;

const SAMPLE: &str = include_str!("../../docker/cocm.toml");

#[test]
fn the_sample_configuration_is_read_without_a_fault() {
    let config = Config::parse(SAMPLE, [], &Flags::default()).unwrap();
    config.check().unwrap();
    for ehr in &config.ehrs {
        let mapping: MappingConfig = ehr.mapping.clone().try_into().unwrap();
        assert!(!mapping.questionnaires.is_empty() && !mapping.items.is_empty() && !mapping.answers.is_empty());
    }
}

#[test]
fn the_samples_limits_are_the_defaults() {
    let (sample, default) = (Config::parse(SAMPLE, [], &Flags::default()).unwrap().limits, Config::default().limits);
    assert_eq!(format!("{sample:?}"), format!("{default:?}"));
}
