//! Checks the meaning of a configuration and reports every fault at once.

mod connection;

pub use connection::is_private;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;
use tracing_subscriber::EnvFilter;

use super::{Config, ConfigError, Issuer, SignInConfig};

impl Config {
    /// Finds what would fail later: unknown names, duplicate names, invalid addresses, limits out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        self.check_database(&mut faults);
        self.check_limits(&mut faults);
        self.check_issuers(&mut faults);
        self.check_sign_ins(&mut faults);
        self.check_clinics(&mut faults);
        self.check_ehrs(&mut faults);
        self.check_webhooks(&mut faults);
        if let Some(url) = &self.public_url {
            http_url("public_url", url, &mut faults);
        }
        if let Err(e) = EnvFilter::try_new(&self.log.filter) {
            faults.push(format!("log.filter: {e}"));
        }
        if faults.is_empty() { Ok(()) } else { Err(ConfigError { faults }) }
    }

    fn check_database(&self, faults: &mut Vec<String>) {
        const SCHEMES: [&str; 4] = ["sqlite://", "sqlite:", "postgres://", "postgresql://"];
        let url = self.database_url();
        if !SCHEMES.iter().any(|scheme| url.as_str().starts_with(scheme)) {
            faults.push("database_url: must begin with sqlite:// or postgres://".into());
        }
    }

    fn check_limits(&self, faults: &mut Vec<String>) {
        let limits = &self.limits;
        within("limits.body_bytes", limits.body_bytes, 1 << 10..=64 << 20, faults);
        within("limits.bundle_bytes", limits.bundle_bytes, 1 << 10..=256 << 20, faults);
        within("limits.connections", limits.connections, 1..=65_536, faults);
        within("limits.connections_per_peer", limits.connections_per_peer, 1..=65_536, faults);
        within("limits.requests", limits.requests, 10..=65_536, faults);
        within("limits.requests_per_client", limits.requests_per_client, 1..=65_536, faults);
        within("limits.requests_per_second", limits.requests_per_second as usize, 1..=1_000_000, faults);
        let hour = Duration::from_hours(1);
        let second = Duration::from_secs(1);
        let times = [
            ("limits.header_timeout_s", limits.header_timeout),
            ("limits.request_timeout_s", limits.request_timeout),
            ("limits.drain_s", limits.drain),
            ("journal.heads_every_s", self.journal.heads_every),
        ];
        for (key, time) in times {
            if !(second..=hour).contains(&time) {
                faults.push(format!("{key}: must be 1 to 3600"));
            }
        }
        if limits.bundle_bytes < limits.body_bytes {
            faults.push("limits.bundle_bytes: must not be below limits.body_bytes".into());
        }
    }

    fn check_issuers(&self, faults: &mut Vec<String>) {
        if self.auth.issuers.is_empty() {
            faults.push("auth.issuers: at least one is needed, or nobody can call".into());
        }
        if let Some(certificates) = &self.auth.client_certificates {
            let key = "auth.client_certificates";
            if certificates.proxies.is_empty() {
                faults.push(format!("{key}.proxies: at least one address is needed, or nobody is believed"));
            }
            for client in &certificates.clients {
                if client.certificate.trim().is_empty() || client.name.is_empty() {
                    faults.push(format!("{key}.clients: each needs a name and a certificate"));
                }
                if self.clinic(&client.clinic).is_none() {
                    faults.push(format!("{key}.clients.clinic: {} is not served here", client.clinic));
                }
            }
        }
        let mut seen = HashSet::new();
        for (i, issuer) in self.auth.issuers.iter().enumerate() {
            let key = format!("auth.issuers[{i}]");
            if !seen.insert(&issuer.issuer) {
                faults.push(format!("{key}.issuer: named twice"));
            }
            for (field, value) in [("issuer", &issuer.issuer), ("audience", &issuer.audience)] {
                if value.is_empty() {
                    faults.push(format!("{key}.{field}: must not be empty"));
                }
            }
            if let Some(url) = &issuer.token_url {
                http_url(&format!("{key}.token_url"), url, faults);
            }
            keys(&key, issuer, faults);
            self.check_clinics_of(&key, issuer, faults);
        }
    }

    /// The clinics that an issuer's settings name have to be served here.
    fn check_clinics_of(&self, key: &str, issuer: &Issuer, faults: &mut Vec<String>) {
        let fixed = issuer.clinic.iter().map(|clinic| ("clinic", clinic));
        let mapped = issuer.clinic_map.values().map(|clinic| ("clinic_map", clinic));
        let clients = issuer.clients.iter().filter_map(|client| Some(("clients.clinic", client.clinic.as_ref()?)));
        for (field, clinic) in fixed.chain(mapped).chain(clients) {
            if self.clinic(clinic).is_none() {
                faults.push(format!("{key}.{field}: {clinic} is not served here"));
            }
        }
        let mut seen = HashSet::new();
        for client in &issuer.clients {
            if client.client_id.is_empty() || !seen.insert(&client.client_id) {
                faults.push(format!("{key}.clients: each needs a client_id of its own"));
            }
        }
    }

    fn check_sign_ins(&self, faults: &mut Vec<String>) {
        if !self.sign_ins.is_empty() && self.public_url.is_none() {
            faults.push("public_url: needed for signing in, which leads back to it".into());
        }
        for (i, way) in self.sign_ins.iter().enumerate() {
            let key = format!("sign_in[{i}]");
            for (field, value) in [("name", &way.name), ("issuer", &way.issuer), ("client_id", &way.client_id)] {
                if value.is_empty() {
                    faults.push(format!("{key}.{field}: must not be empty"));
                }
            }
            keys(&key, &way.as_issuer(), faults);
            if let Some(base) = &way.fhir_base {
                http_url(&format!("{key}.fhir_base"), base, faults);
            } else {
                http_url(&format!("{key}.issuer"), &way.issuer, faults);
            }
            self.check_frames(&key, way, faults);
            self.check_clinics_of(&key, &way.as_issuer(), faults);
            if way.scope.as_ref().is_some_and(|scope| !scope.split_whitespace().any(|one| one == "openid")) {
                faults.push(format!("{key}.scope: must have openid in it, or no ID token comes"));
            }
        }
    }

    fn check_frames(&self, key: &str, way: &SignInConfig, faults: &mut Vec<String>) {
        if way.frame_origins.is_empty() {
            return;
        }
        if way.fhir_base.is_none() {
            faults.push(format!("{key}.frame_origins: only an EHR that launches us (fhir_base) may frame the pages"));
        }
        if self.public_url.as_deref().is_none_or(|url| !url.starts_with("https:")) {
            faults.push(format!(
                "{key}.frame_origins: public_url must be https: browsers keep such cookies over it only"
            ));
        }
        for origin in &way.frame_origins {
            // The value goes into a header unchanged, so it must be an origin and nothing more.
            let is_origin = Url::parse(origin)
                .is_ok_and(|url| url.scheme() == "https" && url.origin().ascii_serialization() == *origin);
            if !is_origin {
                faults.push(format!("{key}.frame_origins: {origin:?} is no origin such as https://ehr.example.org"));
            }
        }
    }

    fn check_clinics(&self, faults: &mut Vec<String>) {
        if self.clinics.is_empty() {
            faults.push("clinic: at least one [[clinic]] is needed".into());
        }
        let mut seen = HashSet::new();
        for (i, clinic) in self.clinics.iter().enumerate() {
            if !seen.insert(&clinic.id) {
                faults.push(format!("clinic[{i}].id: {} is named twice", clinic.id));
            }
            within(&format!("clinic[{i}].close_month_on"), usize::from(clinic.close_month_on), 0..=28, faults);
            if let Some(name) = clinic.ehr.as_deref().filter(|name| self.ehr(name).is_none()) {
                let known: Vec<&str> = self.ehrs.iter().map(|ehr| ehr.name.as_str()).collect();
                faults.push(format!("clinic[{i}].ehr: no [[ehr]] is named {name}; there are: {}", known.join(", ")));
            }
        }
    }

    fn check_webhooks(&self, faults: &mut Vec<String>) {
        let mut seen = HashSet::new();
        for (i, hook) in self.webhooks.iter().enumerate() {
            let key = format!("webhook[{i}]");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if hook.name.is_empty() || !hook.name.bytes().all(plain) || !seen.insert((&hook.clinic, &hook.name)) {
                faults.push(format!("{key}.name: letters, digits, - and _, and only once in a clinic"));
            }
            if self.clinic(&hook.clinic).is_none() {
                faults.push(format!("{key}.clinic: no [[clinic]] is {}", hook.clinic));
            }
            // Ids of patients and what happened to them are not for everybody on the way.
            if let Some(url) = http_url(&format!("{key}.url"), &hook.url, faults)
                && url.scheme() == "http"
                && !nearby(&url)
            {
                faults.push(format!("{key}.url: must be https, except on this machine or its container network"));
            }
            if hook.secrets.is_empty() {
                faults.push(format!("{key}.secrets: at least one whsec_… is needed"));
            }
            if hook.timeout.is_zero() || hook.timeout > Duration::from_mins(1) {
                faults.push(format!("{key}.timeout_s: must be 1 to 60"));
            }
        }
    }
}

fn keys(key: &str, issuer: &Issuer, faults: &mut Vec<String>) {
    match (&issuer.jwks_url, &issuer.jwks_file) {
        (Some(url), None) => {
            let field = format!("{key}.jwks_url");
            // Anyone who can change the keys in transit can impersonate anyone. A host name without a dot is a
            // container's.
            if let Some(url) = http_url(&field, url, faults)
                && url.scheme() == "http"
                && !nearby(&url)
            {
                faults.push(format!("{field}: must be https, except on this machine or its container network"));
            }
        }
        (None, Some(_)) => {}
        _ => faults.push(format!("{key}: needs either jwks_url or jwks_file")),
    }
}

/// On this machine, or under a name without a dot: a container's.
pub(super) fn nearby(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.starts_with("127.") || host == "[::1]" || !host.contains(['.', ':']))
}

fn http_url(key: &str, text: &str, faults: &mut Vec<String>) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            faults.push(format!("{key}: must not carry a user or password"));
            None
        }
        Some(url) => Some(url),
        None => {
            faults.push(format!("{key}: must be an http:// or https:// address"));
            None
        }
    }
}

fn within(key: &str, value: usize, range: RangeInclusive<usize>, faults: &mut Vec<String>) {
    if !range.contains(&value) {
        faults.push(format!("{key}: must be {} to {}", range.start(), range.end()));
    }
}
