//! Checks the meaning of one connection's settings.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Url;

use super::{http_url, keys, nearby};
use crate::config::connection::{OURS, TYPES};
use crate::config::{CardLink, CdsHooks, Config, EhrConnection, SubscriptionPayload};

impl Config {
    pub(super) fn check_ehrs(&self, faults: &mut Vec<String>) {
        let mut seen = HashSet::new();
        for (i, ehr) in self.ehrs.iter().enumerate() {
            let key = format!("ehr[{i}]");
            if ehr.name.is_empty() || !seen.insert(&ehr.name) {
                faults.push(format!("{key}.name: must not be empty, nor given twice"));
            }
            http_url(&format!("{key}.base_url"), &ehr.base_url, faults);
            for (j, base) in ehr.known_bases.iter().enumerate() {
                http_url(&format!("{key}.known_bases[{j}]"), base, faults);
            }
            if ehr.timeout.is_zero() || ehr.timeout > Duration::from_mins(10) {
                faults.push(format!("{key}.timeout_s: must be 1 to 600"));
            }
            check_auth(&key, ehr, faults);
            check_poll(&key, ehr, faults);
            check_notify(&key, ehr, self.public_url.is_some(), faults);
            for (j, origin) in ehr.bulk.file_origins.iter().enumerate() {
                http_url(&format!("{key}.bulk.file_origins[{j}]"), origin, faults);
            }
            // Otherwise data from one server would belong to every clinic.
            let clinics = self.clinics.iter().filter(|clinic| clinic.ehr.as_ref() == Some(&ehr.name)).count();
            if clinics > 1 && (!ehr.poll.period.is_zero() || ehr.notify.subscribe.is_some()) {
                faults.push(format!(
                    "{key}.poll: {clinics} clinics use this EHR, and what is fetched must be one clinic's: give each its \
                     own [[ehr]] (the base_url may be the same) with poll.search telling whose patients are whose, or \
                     set poll.period_s = 0"
                ));
            }
            if let Some(hooks) = &ehr.cds_hooks {
                if clinics != 1 {
                    faults.push(format!(
                        "{key}.cds_hooks: {clinics} clinics use this EHR; a card must be of exactly one"
                    ));
                }
                self.check_cds_hooks(&format!("{key}.cds_hooks"), ehr, hooks, faults);
            }
        }
    }

    fn check_cds_hooks(&self, key: &str, ehr: &EhrConnection, hooks: &CdsHooks, faults: &mut Vec<String>) {
        if hooks.issuer.is_empty() {
            faults.push(format!("{key}.issuer: must not be empty"));
        }
        keys(key, &hooks.as_issuer(), faults);
        if self.public_url.is_none() {
            faults.push(format!("{key}: needs public_url, which the EHR's tokens name as their audience"));
        }
        // The token must identify exactly one clinic.
        let alike = |(_, other): &(&EhrConnection, &CdsHooks)| {
            other.issuer == hooks.issuer
                && (other.tenant == hooks.tenant || other.tenant.is_none() || hooks.tenant.is_none())
        };
        if self.cds_clients().filter(alike).count() > 1 {
            faults.push(format!("{key}.tenant: several EHRs have this issuer, so each needs a tenant of its own"));
        }
        for (j, origin) in hooks.origins.iter().enumerate() {
            let field = format!("{key}.origins[{j}]");
            if http_url(&field, origin, faults).is_some_and(|url| url.origin().ascii_serialization() != *origin) {
                faults.push(format!("{field}: must be an origin as browsers say it, like https://ehr.example.org"));
            }
        }
        let base = |text: &str| text.trim_end_matches('/').to_owned();
        let launches =
            self.sign_ins.iter().filter_map(|way| way.fhir_base.as_deref()).any(|of| base(of) == base(&ehr.base_url));
        if hooks.link == CardLink::Smart && !launches {
            faults.push(format!("{key}.link: smart needs a [[sign_in]] whose fhir_base is this EHR's base_url"));
        }
    }
}

fn check_auth(key: &str, ehr: &EhrConnection, faults: &mut Vec<String>) {
    let Some(auth) = &ehr.auth else { return };
    if ehr.bearer_token.is_some() {
        faults.push(format!("{key}.bearer_token: there is auth as well; one of them has to go"));
    }
    if auth.client_id.is_empty() {
        faults.push(format!("{key}.auth.client_id: must not be empty"));
    }
    if auth.scopes.trim().is_empty() {
        faults.push(format!("{key}.auth.scopes: must not be empty"));
    }
    if let Some(url) = &auth.token_url {
        let field = format!("{key}.auth.token_url");
        if http_url(&field, url, faults).is_some_and(|url| url.scheme() == "http" && !nearby(&url)) {
            faults.push(format!("{field}: must be https, except on this machine or its container network"));
        }
    }
}

fn check_poll(key: &str, ehr: &EhrConnection, faults: &mut Vec<String>) {
    let poll = &ehr.poll;
    let is_type = |name: &String| TYPES.contains(&name.as_str());
    let known = TYPES.join(", ");
    for name in poll.types.iter().filter(|name| !is_type(name)) {
        faults.push(format!("{key}.poll.types: {name} is not fetched; there are: {known}"));
    }
    for (field, names) in [("search", poll.search.keys().collect::<Vec<_>>()), ("way", poll.way.keys().collect())] {
        for name in names.into_iter().filter(|name| !is_type(name) && !OURS.contains(&name.as_str())) {
            faults.push(format!("{key}.poll.{field}.{name}: is not fetched; there are: {known}, {}", OURS.join(", ")));
        }
    }
    for (name, query) in poll.search.iter().filter(|(_, query)| !is_query(query)) {
        faults.push(format!("{key}.poll.search.{name}: must be name=value pairs joined by &, and `{query}` is not"));
    }
    let period = poll.period.as_secs();
    if period != 0 && !(5..=604_800).contains(&period) {
        faults.push(format!("{key}.poll.period_s: must be 0 (never), or 5 to 604800"));
    }
    if poll.overlap > Duration::from_hours(24 * 7) {
        faults.push(format!("{key}.poll.overlap_s: must be at most 604800"));
    }
    for (field, often) in [("reread_s", poll.reread), ("deletions_s", poll.deletions)] {
        if !often.is_zero() && !(60..=2_592_000).contains(&often.as_secs()) {
            faults.push(format!("{key}.poll.{field}: must be 0 (never), or 60 to 2592000"));
        }
    }
    if !(1..=1000).contains(&poll.page_size) {
        faults.push(format!("{key}.poll.page_size: must be 1 to 1000"));
    }
}

fn is_query(text: &str) -> bool {
    text.split('&').all(|pair| pair.split_once('=').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty()))
        && !text.contains(['?', '#'])
        && !text.chars().any(char::is_whitespace)
}

fn check_notify(key: &str, ehr: &EhrConnection, has_public_url: bool, faults: &mut Vec<String>) {
    let notify = &ehr.notify;
    if notify.hmac_secret.is_none() && (notify.signature_header.is_some() || notify.timestamp_header.is_some()) {
        faults
            .push(format!("{key}.notify.hmac_secret: is needed where there is a signature_header or timestamp_header"));
    }
    for (field, name) in
        [("signature_header", &notify.signature_header), ("timestamp_header", &notify.timestamp_header)]
    {
        if name.as_ref().is_some_and(|name| reqwest::header::HeaderName::try_from(name.as_str()).is_err()) {
            faults.push(format!("{key}.notify.{field}: must be the name of a header"));
        }
    }
    if notify.subscribe.is_some() {
        if notify.token.is_none() {
            faults.push(format!("{key}.notify.token: is needed for notify.subscribe: the EHR sends it to us"));
        }
        if !has_public_url {
            faults.push(format!("{key}.notify.subscribe: needs public_url, the address to which the EHR sends"));
        }
    }
    if !notify.topics.is_empty() && notify.subscribe != Some(SubscriptionPayload::Topics) {
        faults.push(format!("{key}.notify.topics: are subscribed to where notify.subscribe = \"topics\""));
    }
    for (topic, filters) in &notify.topics {
        if !topic.contains(':') || topic.chars().any(char::is_whitespace) {
            faults.push(format!("{key}.notify.topics: `{topic}` is not the canonical address of a topic"));
        }
        let is_filter = |filter: &String| is_query(filter.split_once('?').map_or(filter.as_str(), |(_, query)| query));
        for filter in filters.iter().filter(|filter| !is_filter(filter)) {
            faults.push(format!("{key}.notify.topics: `{filter}` is not a filter like Observation?category=survey"));
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (notify.token.is_some() || notify.hmac_secret.is_some() || notify.subscribe.is_some())
        && !ehr.name.chars().all(plain)
    {
        faults.push(format!("{key}.name: is part of an address, so it may only have a-z, A-Z, 0-9, -, _ and ."));
    }
}

/// Whether a token endpoint may be called: the connection must be private.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || nearby(url)
}
