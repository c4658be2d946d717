//! Tries a connection without writing anything, and says in plain words what works and what an engineer can do about
//! the rest.

mod statement;

use std::fmt;

use reqwest::header::ACCEPT;
use serde_json::Value;

use super::auth::{Credentials, NoToken, TokenSource};
use super::client::EhrClient;
use super::failure::Failure;
use super::ladder::Ladder;
use super::response_body::{cause, read_body};
use crate::domain::task::ChartResource;

/// The largest CapabilityStatement that is read, in bytes: HAPI's has 3 MB.
const LARGEST: usize = 16 << 20;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Works,
    /// Works less well than it could.
    Limited,
    Broken,
}

/// Result of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// How serious it is.
    pub verdict: Verdict,
    pub sentence: String,
}

impl fmt::Display for ProbeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Works => "ok     ",
            Verdict::Limited => "limited",
            Verdict::Broken => "BROKEN ",
        };
        write!(f, "{mark} {}", self.sentence)
    }
}

fn finding(verdict: Verdict, sentence: impl Into<String>) -> ProbeResult {
    ProbeResult { verdict, sentence: sentence.into() }
}

pub fn works(sentence: impl Into<String>) -> ProbeResult {
    finding(Verdict::Works, sentence)
}

pub fn limited(sentence: impl Into<String>) -> ProbeResult {
    finding(Verdict::Limited, sentence)
}

pub fn broken(sentence: impl Into<String>) -> ProbeResult {
    finding(Verdict::Broken, sentence)
}

#[derive(Clone, Debug, Default)]
pub struct ProbePlan {
    /// Type and parameters of each search that the sweep will make.
    pub searches: Vec<(String, String)>,
    /// Where our public keys are, for the EHR's administrator.
    pub jwks_url: String,
}

/// Tries everything that can be tried without writing: metadata, token, searches, and what could be written.
pub async fn probe(ehr: &EhrClient, trial: &ProbePlan) -> Vec<ProbeResult> {
    let base = ehr.http().base().as_str().trim_end_matches('/').to_owned();
    let statement = match metadata(ehr).await {
        Ok(statement) => statement,
        // Nothing else can work.
        Err(finding) => return vec![finding],
    };
    let mut findings = statement::speaks(&statement, &base);
    if findings.iter().any(|finding| finding.verdict == Verdict::Broken) {
        return findings;
    }
    if let Credentials::BackendServices(source) = ehr.http().credentials() {
        let tried = token(source, trial).await;
        let is_broken = tried.iter().any(|finding| finding.verdict == Verdict::Broken);
        findings.extend(tried);
        if is_broken {
            return findings;
        }
    }
    for (kind, query) in &trial.searches {
        findings.push(search(ehr, kind, query).await);
    }
    let write = ehr.config().write;
    findings.extend(statement::rungs(&statement, write));
    findings.extend(permission(ehr, &Ladder::of(&statement)));
    findings.extend(statement::subscriptions(&statement));
    findings
}

async fn metadata(ehr: &EhrClient) -> Result<Value, ProbeResult> {
    let base = ehr.http().base();
    let shown = base.as_str().trim_end_matches('/');
    let lost = |why: &str| broken(format!("{shown}: {why}; {}", advice(why)));
    let url = base.join("metadata").map_err(|_| lost("it is no address"))?;
    // Without a token: whether that works is another question.
    let request = ehr.http().client().get(url).headers(ehr.http().headers().clone());
    let request = request.header(ACCEPT, "application/fhir+json");
    let mut response = request.send().await.map_err(|error| lost(cause(&error)))?;
    let status = response.status().as_u16();
    match status {
        200 => {}
        401 | 403 => {
            // Against FHIR, but so be it: with the token, if there is one.
            let answer = ehr.capabilities().await.map_err(|failure| {
                broken(format!(
                    "{shown}: GET metadata needs a token here, and with ours it says: {}",
                    failure.in_full()
                ))
            })?;
            return Ok(answer.body.unwrap_or(Value::Null));
        }
        300..=399 => {
            return Err(broken(format!(
                "{shown}: GET metadata is redirected ({status}), and redirects are never followed with a token; set \
                 base_url to the address it leads to"
            )));
        }
        404 | 405 | 410 => {
            return Err(broken(format!(
                "{shown}: something answers there, but GET metadata gives {status}, so it is not the FHIR base; correct \
                 base_url (its path usually ends in /fhir, /r4 or the like)"
            )));
        }
        status => return Err(broken(format!("{shown}: GET metadata gives {status}; ask the people who run it"))),
    }
    let bytes = read_body(&mut response, LARGEST).await.map_err(lost)?;
    serde_json::from_slice(&bytes).map_err(|_| {
        broken(format!("{shown}: what answers GET metadata is not JSON, so it is not the FHIR base; correct base_url"))
    })
}

fn advice(why: &str) -> &'static str {
    match why {
        "its certificate has expired" => "it has to be renewed by the people who run the server",
        "its certificate is not valid yet" => "look at the clocks of both machines",
        "its certificate is for another name" => "use the name in the certificate as the host of base_url",
        "its certificate is from an authority that is not known here" => {
            "put the authority's certificate (PEM) into a file and name it in ca_file"
        }
        "its name is not known (DNS)" => "correct the host in base_url, or this machine's DNS",
        "it refuses the connection" => "correct the port in base_url, or start the server",
        "no connection in time" => "is there a firewall between, or a proxy to be set in HTTPS_PROXY?",
        _ => "look at base_url and at the network between",
    }
}

async fn token(source: &TokenSource, trial: &ProbePlan) -> Vec<ProbeResult> {
    let settings = source.settings();
    let endpoint = match source.endpoint().await {
        Ok(endpoint) => endpoint,
        Err(why) => return vec![broken(no_token(&why, source, trial, None))],
    };
    let shown = endpoint.url.as_str();
    let grant = match source.grant().await {
        Ok(grant) => grant,
        Err(why) => return vec![broken(no_token(&why, source, trial, Some(shown)))],
    };
    let mut findings =
        vec![works(format!("token: granted by {shown} (named by {}) for {} s", endpoint.named_by, grant.expires_in))];
    if let Some(granted) = &grant.scope {
        let missing: Vec<&str> = settings.scopes.split_whitespace().filter(|wanted| !covers(granted, wanted)).collect();
        if !missing.is_empty() {
            findings.push(limited(format!(
                "token: the EHR did not grant {}; have them allowed for client {} there, or take them out of auth.scopes",
                missing.join(" "),
                settings.client_id
            )));
        }
    }
    findings
}

/// Why there is no token, and what to do.
fn no_token(why: &NoToken, source: &TokenSource, trial: &ProbePlan, endpoint: Option<&str>) -> String {
    let settings = source.settings();
    let (client, keys, endpoint) = (&settings.client_id, &trial.jwks_url, endpoint.unwrap_or("the token endpoint"));
    let algorithm = settings.algorithm.as_str();
    match why {
        NoToken::NoEndpoint => {
            "token: the EHR names no token endpoint, neither in .well-known/smart-configuration nor \
            in its CapabilityStatement; set auth.token_url"
                .to_owned()
        }
        NoToken::Exposed => {
            format!("token: {endpoint} is not https, and a signed assertion is not sent where it can be overheard")
        }
        NoToken::NoKey(why) => format!("token: {why} (algorithm {algorithm})"),
        NoToken::Unanswered { cause, status } => {
            let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
            format!("token: {endpoint}: {cause}{status}; {}", advice(cause))
        }
        NoToken::Refused { error: "invalid_scope", .. } => format!(
            "token: {endpoint} refuses the scopes (invalid_scope); have `{}` allowed for client {client} there, or \
             change auth.scopes",
            settings.scopes
        ),
        NoToken::Refused { status, error: error @ ("invalid_client" | "invalid_grant" | "unauthorized_client") } => {
            format!(
                "token: {endpoint} does not accept who we are ({status} {error}); register client {client} there with \
                 our key set {keys} (it has to be reachable from there) and {algorithm}, or correct auth.client_id"
            )
        }
        NoToken::Refused { status, error } => {
            format!("token: {endpoint} says {status}, {error}; is it the token endpoint of this server?")
        }
    }
}

/// Whether a list of granted scopes covers one that was asked for; version 1 and 2 in either place.
fn covers(granted: &str, wanted: &str) -> bool {
    let Some((context, kind, rights)) = scope(wanted) else {
        return granted.split_whitespace().any(|one| one == wanted);
    };
    let mut left: Vec<char> = rights.chars().collect();
    for one in granted.split_whitespace() {
        if let Some((of, what, allowed)) = scope(one)
            && of == context
            && (what == "*" || what == kind)
        {
            left.retain(|right| !allowed.contains(*right));
        }
    }
    left.is_empty()
}

/// Context, type and rights in the letters of version 2.
fn scope(text: &str) -> Option<(&str, &str, &str)> {
    let (context, rest) = text.split_once('/')?;
    let rest = rest.split('?').next().unwrap_or(rest);
    let (kind, rights) = rest.rsplit_once('.')?;
    let rights = match rights {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters => letters,
    };
    Some((context, kind, rights))
}

/// Whether the scopes that we ask for let us write what is to be written.
fn permission(ehr: &EhrClient, ladder: &Ladder) -> Option<ProbeResult> {
    let Credentials::BackendServices(source) = ehr.http().credentials() else { return None };
    let (asked, write) = (&source.settings().scopes, ehr.config().write);
    let mut wanted: Vec<String> = Vec::new();
    for kind in ChartResource::ALL {
        let Some(route) = ladder.route(write, ladder.rung(write, *kind), *kind) else { continue };
        let rights = if route.updates { "crus" } else { "crs" };
        wanted.push(format!("system/{}.{rights}", route.form.as_str()));
    }
    wanted.sort();
    wanted.dedup();
    wanted.retain(|one| !covers(asked, one));
    (!wanted.is_empty()).then(|| limited(format!("writing: auth.scopes does not ask for {}; add it", wanted.join(" "))))
}

async fn search(ehr: &EhrClient, kind: &str, query: &str) -> ProbeResult {
    match ehr.search_text(kind, query).await {
        Ok(_) => works(format!("{kind}: can be searched by _lastUpdated")),
        Err(Failure::Refused { status: status @ (401 | 403), .. }) => broken(format!(
            "{kind}: we may not search it ({status}); have the scope system/{kind}.rs (or system/{kind}.read) granted to \
             our client there, or take {kind} out of poll.types"
        )),
        Err(failure @ Failure::Refused { status: 400 | 404 | 405 | 422 | 501, .. }) => {
            let said = failure.in_full();
            limited(format!(
                "{kind}: a search by _lastUpdated in order of it is {said}; the sweep will try without \
                 the order, then everything, then patient by patient (poll.way.{kind} chooses, poll.search.{kind} adds \
                 parameters)"
            ))
        }
        Err(failure) => broken(format!("{kind}: the search failed: {}", failure.in_full())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("system/*.*", "system/Task.crus", true)]
    #[case("system/Patient.read system/Task.write system/Task.read", "system/Task.crus", true)]
    #[case("system/Patient.rs", "system/Patient.rs", true)]
    #[case("system/Patient.r", "system/Patient.rs", false)]
    #[case("user/Patient.rs", "system/Patient.rs", false)]
    #[case("system/Observation.rs?category=survey", "system/Observation.rs", true)]
    #[case("openid", "openid", true)]
    #[case("", "system/Patient.rs", false)]
    fn a_grant_covers_what_was_asked_for(#[case] granted: &str, #[case] wanted: &str, #[case] covered: bool) {
        assert_eq!(covers(granted, wanted), covered);
    }
}
