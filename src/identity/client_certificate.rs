//! Callers whom a proxy before us knows by their TLS certificate. The proxy ends the TLS connection, checks the certificate
//! and writes into a header whose it is; from anybody else that header says nothing.

use std::collections::HashMap;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};

use super::{Caller, ClinicId, Role, TokenError};
use crate::config::{ClientCertificates, ConfigError};

/// Where a connection comes from: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(pub IpAddr);

/// The certificates of which a proxy may speak, and whose they are.
pub(super) struct CertificateHolders {
    proxies: Vec<IpAddr>,
    header: HeaderName,
    holders: HashMap<String, Caller>,
}

impl CertificateHolders {
    /// As configured.
    ///
    /// # Errors
    /// A header or a role that is none.
    pub(super) fn new(config: &ClientCertificates) -> Result<Self, ConfigError> {
        let fault = |why: String| ConfigError::one(format!("auth.client_certificates: {why}"));
        let header = HeaderName::try_from(&config.header).map_err(|_| fault("header: is no header of HTTP".into()))?;
        let mut holders = HashMap::new();
        for client in &config.clients {
            let role: Role = client.role.parse().map_err(|why| fault(format!("role: {:?} {why}", client.role)))?;
            let (clinic, subject): (ClinicId, _) = (client.clinic.clone(), format!("certificate:{}", client.name));
            let caller = Caller { clinic, subject, role, scopes: client.scopes.clone() };
            holders.insert(client.certificate.clone(), caller);
        }
        Ok(Self { proxies: config.proxies.clone(), header, holders })
    }

    /// Who calls; `None` where no proxy of ours says anything.
    pub(super) fn holder(&self, peer: Option<PeerAddress>, headers: &HeaderMap) -> Option<Result<Caller, TokenError>> {
        let PeerAddress(address) = peer?;
        if !self.proxies.contains(&address.to_canonical()) {
            return None;
        }
        let mut values = headers.get_all(&self.header).iter();
        let value = values.next()?;
        // Two might be the proxy's and the caller's own.
        let said = value.to_str().ok().map(str::trim).filter(|_| values.next().is_none());
        // A proxy without a certificate to speak of may send the header empty.
        if said == Some("") {
            return None;
        }
        Some(said.and_then(|said| self.holders.get(said)).cloned().ok_or(TokenError::Certificate))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn holders() -> CertificateHolders {
        let client = json!({"name": "engine", "certificate": "CN=engine,O=North", "clinic": "north", "role": "ehr"});
        let config = json!({"proxies": ["10.0.0.5"], "header": "X-Client-Subject", "clients": [client]});
        CertificateHolders::new(&serde_json::from_value(config).unwrap()).unwrap()
    }

    fn asked(from: &str, values: &[&str]) -> Option<Result<String, TokenError>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-client-subject", HeaderValue::from_str(value).unwrap());
        }
        let caller = holders().holder(Some(PeerAddress(from.parse().unwrap())), &headers);
        caller.map(|caller| caller.map(|caller| caller.subject))
    }

    #[test]
    fn only_a_named_proxy_says_whose_a_certificate_is() {
        let engine = "CN=engine,O=North";
        assert_eq!(asked("10.0.0.5", &[engine]), Some(Ok("certificate:engine".into())));
        assert_eq!(asked("::ffff:10.0.0.5", &[engine]), Some(Ok("certificate:engine".into())));
        assert_eq!(asked("10.0.0.6", &[engine]), None);
        assert_eq!(asked("10.0.0.5", &[]), None);
        assert_eq!(asked("10.0.0.5", &[""]), None);
        assert_eq!(asked("10.0.0.5", &["CN=other"]), Some(Err(TokenError::Certificate)));
        assert_eq!(asked("10.0.0.5", &[engine, engine]), Some(Err(TokenError::Certificate)));
        assert_eq!(holders().holder(None, &HeaderMap::new()).map(|_| ()), None);
    }
}
