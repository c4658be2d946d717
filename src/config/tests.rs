use std::path::PathBuf;
use std::time::Duration;

use rstest::rstest;
use secrecy::ExposeSecret;

use super::{ClinicId, Config, ConfigError, Development, Flags, LogFormat};

const FILE: &str = r#"
listen = "127.0.0.1:9000"
database_url = "postgres://cocm:hunter2@db/cocm"
public_url = "https://cocm.example"
[limits]
body_bytes = 2048
header_timeout_s = 5
[[auth.issuers]]
issuer = "https://id.example"
jwks_url = "https://id.example/keys"
audience = "cocm"
[[clinic]]
id = "north"
time_zone = "America/New_York"
ehr = "main-chart"
[[ehr]]
name = "main-chart"
base_url = "https://ehr.example/fhir"
bearer_token = "from-the-file"
mapping = { "http://loinc.org|44249-1" = "phq9" }
"#;

fn parse(text: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigError> {
    Config::parse(text, variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())), flags)
}

#[test]
fn flags_lie_over_variables_over_the_file() {
    let variables = [
        ("COCM_LISTEN", "127.0.0.1:9001"),
        ("COCM_DATA_DIR", "/var/lib/cocm"),
        ("COCM_LIMITS_BODY_BYTES", "4096"),
        ("COCM_LOG_FORMAT", "text"),
        ("COCM_EHR_MAIN_CHART_BEARER_TOKEN", "from-the-environment"),
        ("COCM_REGISTRY_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
    ];
    let flags = Flags { data_dir: Some(PathBuf::from("/flag")), ..Flags::default() };
    let config = parse(FILE, &variables, &flags).unwrap();
    config.check().unwrap();
    assert_eq!(config.listen.port(), 9001);
    assert_eq!(config.data_dir, PathBuf::from("/flag"));
    assert_eq!((config.limits.body_bytes, config.limits.bundle_bytes), (4096, 8 << 20));
    assert_eq!(config.limits.header_timeout, Duration::from_secs(5));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.ehrs[0].bearer_token.as_ref().unwrap().expose_secret(), "from-the-environment");
    assert_eq!(config.ehrs[0].mapping.len(), 1);
    assert_eq!(config.ignored_variables, ["COCM_REGISTRY_SERVICE_HOST"]);
    assert!(config.clinic(&ClinicId::new("south").unwrap()).is_none());
}

#[test]
fn no_secret_is_printed() {
    let config = parse(FILE, &[], &Flags::default()).unwrap();
    let printed = format!("{config:?} {config:#?}");
    assert!(!printed.contains("hunter2") && !printed.contains("from-the-file"), "{printed}");
}

#[rstest]
#[case::unknown("lissten = 1", "unknown field `lissten`")]
#[case::nested("[limits]\nbody = 1", "limits.body: unknown field `body`")]
#[case::typed("[limits]\nbody_bytes = \"much\"", "limits.body_bytes: invalid type")]
#[case::zone("[[clinic]]\nid = \"a\"\ntime_zone = \"Mars/Base\"", "clinic[0].time_zone")]
#[case::clinic("[[clinic]]\nid = \"A B\"\ntime_zone = \"UTC\"", "clinic[0].id: must be 1 to 63")]
#[case::secret_type("database_url = 5318008", "database_url: must be a string")]
#[case::syntax("listen = \"a\"\n\ndatabase_url = \"hunter2", "line 3")]
fn a_fault_names_its_key_and_no_secret(#[case] text: &str, #[case] expected: &str) {
    let error = parse(text, &[], &Flags::default()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("5318008"), "{error}");
}

#[test]
fn a_check_names_every_fault_at_once() {
    let text = r#"
        database_url = "mysql://x"
        public_url = "cocm.example"
        [limits]
        connections = 0
        drain_s = 0
        [log]
        filter = "info,="
        [[auth.issuers]]
        issuer = "a"
        audience = ""
        jwks_url = "http://id.example/keys"
        [[auth.issuers]]
        issuer = "a"
        audience = "cocm"
        [[clinic]]
        id = "north"
        time_zone = "UTC"
        ehr = "none"
        [[clinic]]
        id = "north"
        time_zone = "UTC"
        [[ehr]]
        name = "one"
        base_url = "https://user:pass@ehr.example"
    "#;
    let faults = parse(text, &[], &Flags::default()).unwrap().check().unwrap_err().faults;
    let keys = [
        "database_url:",
        "public_url:",
        "limits.connections:",
        "limits.drain_s:",
        "log.filter:",
        "auth.issuers[0].audience:",
        "auth.issuers[0].jwks_url: must be https",
        "auth.issuers[1].issuer: named twice",
        "auth.issuers[1]: needs either",
        "clinic[0].ehr: no [[ehr]] is named none; there are: one",
        "clinic[1].id:",
        "ehr[0].base_url:",
    ];
    for key in keys {
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} in {faults:#?}");
    }
    assert_eq!(faults.len(), keys.len(), "{faults:#?}");
}

#[test]
fn nothing_configured_is_a_fault_outside_of_development() {
    assert!(Config::load(None, [], &Flags::default()).is_err());
}

#[test]
fn development_serves_any_clinic_with_the_demo_clinics_settings() {
    let options = Development {
        time_zone: Some(chrono_tz::America::New_York),
        ehr: Some("http://127.0.0.1:8090/fhir".into()),
        ..Development::default()
    };
    let config = Config::development(options).unwrap();
    assert_eq!(config.database_url().as_str(), "sqlite://./data/cocm-registry.db");
    let other = config.clinic(&ClinicId::new("other").unwrap()).unwrap();
    assert_eq!((other.id.as_str(), other.time_zone), ("other", chrono_tz::America::New_York));
    assert_eq!(config.ehr(other.ehr.as_deref().unwrap()).unwrap().base_url, "http://127.0.0.1:8090/fhir");
    let nonsense = Development { ehr: Some("nonsense".into()), ..Development::default() };
    assert!(Config::development(nonsense).is_err());
}

#[test]
fn a_check_names_the_faults_of_a_connection() {
    let text = r#"
        [[auth.issuers]]
        issuer = "a"
        audience = "cocm"
        jwks_file = "x"
        [[clinic]]
        id = "north"
        time_zone = "UTC"
        ehr = "the chart"
        [[clinic]]
        id = "south"
        time_zone = "UTC"
        ehr = "the chart"
        [[ehr]]
        name = "the chart"
        base_url = "https://ehr.example/fhir"
        bearer_token = "x"
        [ehr.auth]
        kind = "backend_services"
        client_id = ""
        token_url = "http://auth.example/token"
        [ehr.poll]
        types = ["Patient", "Encounter"]
        period_s = 1
        page_size = 0
        search = { Observation = "category = survey" }
        way = { Encounter = "everything" }
        [ehr.notify]
        timestamp_header = "X-Timestamp"
        subscribe = "rest_hook"
        topics = { "forms" = ["Observation?category"] }
    "#;
    let faults = parse(text, &[], &Flags::default()).unwrap().check().unwrap_err().faults;
    let keys = [
        "ehr[0]: bearer_token and auth are set",
        "ehr[0].auth.client_id:",
        "ehr[0].auth.token_url: must be https",
        "ehr[0].poll.types: Encounter",
        "ehr[0].poll.way.Encounter:",
        "ehr[0].poll.search.Observation:",
        "ehr[0].poll.period_s:",
        "ehr[0].poll.page_size:",
        "ehr[0].notify.hmac_secret:",
        "ehr[0].notify.token:",
        "ehr[0].notify.subscribe: needs public_url",
        "ehr[0].notify.topics: are subscribed to",
        "ehr[0].notify.topics: `forms`",
        "ehr[0].notify.topics: `Observation?category`",
        "ehr[0].name: is part of an address",
        "ehr[0].poll: 2 clinics use this EHR",
    ];
    for key in keys {
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} in {faults:#?}");
    }
    assert_eq!(faults.len(), keys.len(), "{faults:#?}");
}

#[test]
fn the_secrets_of_a_connection_may_come_from_the_environment() {
    let variables =
        [("COCM_EHR_MAIN_CHART_NOTIFY_TOKEN", "from-outside"), ("COCM_EHR_MAIN_CHART_NOTIFY_HMAC_SECRET", "key")];
    let config = parse(FILE, &variables, &Flags::default()).unwrap();
    let notify = &config.ehrs[0].notify;
    assert_eq!(notify.token.as_ref().unwrap().expose_secret(), "from-outside");
    assert_eq!(notify.hmac_secret.as_ref().unwrap().expose_secret(), "key");
    assert!(config.ignored_variables.is_empty());
}

#[test]
fn an_instruments_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cocm.toml");
    std::fs::write(&file, "instruments = [\"own/absent.toml\"]").unwrap();
    let error = Config::load(Some(&file), [], &Flags::default()).unwrap_err();
    assert!(error.faults[0].starts_with("instruments: ") && error.faults[0].contains("own/absent.toml"), "{error}");
}
