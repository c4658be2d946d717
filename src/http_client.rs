//! The one place that makes HTTP clients. They follow no redirect, repeat nothing, and every call ends.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Certificate, Client, Url};

use crate::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = concat!("cocm-registry/", env!("CARGO_PKG_VERSION"));

/// A client that trusts the machine's certificate authorities.
pub fn client(deadline: Duration, uses_proxy: bool) -> Result<Client, Problem> {
    client_trusting(deadline, uses_proxy, None)
}

/// A client for one server. It trusts `authorities` (PEM) beside the machine's own, and uses the proxy of the
/// environment unless the server runs on this machine.
pub fn client_for(base: &Url, deadline: Duration, authorities: Option<&[u8]>) -> Result<Client, Problem> {
    client_trusting(deadline, !is_this_machine(base), authorities)
}

fn client_trusting(deadline: Duration, uses_proxy: bool, authorities: Option<&[u8]>) -> Result<Client, Problem> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(deadline)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT);
    let builder = if uses_proxy { builder } else { builder.no_proxy() };
    let builder = match authorities {
        None => builder,
        Some(pem) => {
            let unread = |_| Problem::unprocessable("the certificate authorities cannot be read as PEM").at("ca_file");
            builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(unread)?)
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
