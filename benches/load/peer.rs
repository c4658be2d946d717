//! Another FHIR server, driven with the same bodies.

use std::net::ToSocketAddrs;

use crate::Failed;
use crate::drive::Target;
use crate::meter::Watched;

/// Which server, and how it is reached.
#[derive(clap::Args)]
pub struct PeerOptions {
    /// The base of another FHIR server, for instance `http://127.0.0.1:8080/fhir`. It gets the same patients, single forms and
    /// Bundles, and stands in the table beside ours. Its database should be empty.
    #[arg(long = "peer", id = "peer")]
    url: Option<String>,
    /// A bearer token for it.
    #[arg(id = "peer-token", long = "peer-token", requires = "peer")]
    token: Option<String>,
    /// Its process, for its processor time and memory.
    #[arg(id = "peer-pid", long = "peer-pid", requires = "peer")]
    pid: Option<u32>,
    /// The first process of its PostgreSQL.
    #[arg(id = "peer-postmaster", long = "peer-postmaster", requires = "peer")]
    postmaster: Option<u32>,
}

/// A server that is running.
pub struct Peer {
    pub url: String,
    pub target: Target<'static>,
}

impl PeerOptions {
    pub fn find(&self) -> Result<Option<Peer>, Failed> {
        let Some(url) = &self.url else { return Ok(None) };
        let rest = url.strip_prefix("http://").ok_or("--peer: only http:// is spoken here")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address = host.to_socket_addrs()?.next().ok_or("--peer: the host has no address")?;
        let target = Target {
            address,
            fhir: format!("/{}", path.trim_end_matches('/')),
            service: None,
            watched: Watched { service: self.pid, postmaster: self.postmaster },
            chart: self.token.clone().unwrap_or_default(),
            team: String::new(),
        };
        Ok(Some(Peer { url: url.clone(), target }))
    }
}
