//! The one place that makes HTTP clients. They follow no redirect, repeat nothing, and every call ends.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Url};
use secrecy::{ExposeSecret, SecretSlice};

use crate::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = concat!("cocm-registry/", env!("CARGO_PKG_VERSION"));

/// Whom we trust in TLS beside the machine's own authorities, and who we are; all PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificate authorities.
    pub authorities: Option<Vec<u8>>,
    /// A certificate and its key.
    pub identity: Option<SecretSlice<u8>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// A client that trusts the machine's certificate authorities.
pub fn client(deadline: Duration, uses_proxy: bool) -> Result<Client, Problem> {
    client_with(deadline, uses_proxy, &Tls::default())
}

/// A client for one server. It uses the proxy of the environment unless the server runs on this machine.
pub fn client_for(base: &Url, deadline: Duration, tls: &Tls) -> Result<Client, Problem> {
    client_with(deadline, !is_this_machine(base), tls)
}

fn client_with(deadline: Duration, uses_proxy: bool, tls: &Tls) -> Result<Client, Problem> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(deadline)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT);
    let builder = if uses_proxy { builder } else { builder.no_proxy() };
    let builder = match &tls.authorities {
        None => builder,
        Some(pem) => {
            let unread = |_| Problem::unprocessable("the certificate authorities cannot be read as PEM").at("ca_file");
            builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(unread)?)
        }
    };
    let builder = match &tls.identity {
        None => builder,
        Some(pem) => {
            let unread = |_| {
                Problem::unprocessable("no certificate with its private key can be read as PEM")
                    .at("client_certificate")
            };
            builder.identity(Identity::from_pem(pem.expose_secret()).map_err(unread)?)
        }
    };
    builder
        .build()
        .map_err(|_| Problem::internal("the HTTP client cannot be set up (no certificates on this machine?)"))
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
