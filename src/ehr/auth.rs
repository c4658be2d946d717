//! How we prove to an EHR who we are: a fixed token, a name and a password, or a token of its own token endpoint.

mod discovery;
pub mod keys;
mod token;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::failure::Failure;
pub use keys::KeyRing;
pub use token::{Endpoint, NoToken, TokenGrant, TokenSource};

/// What is sent as `Authorization`, and where it comes from.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    #[default]
    None,
    /// Always the same token.
    Fixed(SecretString),
    /// A name and a password, as they are sent.
    Basic(SecretString),
    /// What the EHR's token endpoint grants.
    BackendServices(Arc<TokenSource>),
}

/// What is sent once.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    scheme: &'static str,
    secret: SecretString,
}

impl Authorization {
    /// As a header, which nothing prints.
    pub(super) fn header(&self) -> Result<HeaderValue, Failure> {
        let mut value = HeaderValue::try_from(format!("{} {}", self.scheme, self.secret.expose_secret()))
            .map_err(|_| Failure::NotAllowed { cause: "the token is no header value" })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Credentials {
    /// A name and a password.
    pub fn basic(username: &str, password: &SecretString) -> Self {
        Self::Basic(SecretString::from(STANDARD.encode(format!("{username}:{}", password.expose_secret()))))
    }

    /// `none`, `fixed`, `held` or `wanted`: how things stand, for people.
    pub fn state(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fixed(_) | Self::Basic(_) => "fixed",
            Self::BackendServices(source) if source.good_for().is_some_and(|left| !left.is_zero()) => "held",
            Self::BackendServices(_) => "wanted",
        }
    }

    /// What to send now.
    pub(super) async fn authorization(&self) -> Result<Option<Authorization>, Failure> {
        Ok(match self {
            Self::None => None,
            Self::Fixed(token) => Some(Authorization { scheme: "Bearer", secret: token.clone() }),
            Self::Basic(pair) => Some(Authorization { scheme: "Basic", secret: pair.clone() }),
            Self::BackendServices(source) => {
                Some(Authorization { scheme: "Bearer", secret: source.token(None).await? })
            }
        })
    }

    /// Another token, after this one was refused; `None` where there is no other.
    pub(super) async fn instead_of(&self, refused: &Authorization) -> Result<Option<Authorization>, Failure> {
        match self {
            Self::None | Self::Fixed(_) | Self::Basic(_) => Ok(None),
            Self::BackendServices(source) => {
                let secret = source.token(Some(&refused.secret)).await?;
                Ok(Some(Authorization { scheme: "Bearer", secret }))
            }
        }
    }
}
