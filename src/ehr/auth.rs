//! How we prove to an EHR who we are: a fixed token, or SMART Backend Services.

mod discovery;
pub mod keys;
mod token;

use std::sync::Arc;

use secrecy::SecretString;

use super::failure::Failure;
pub use keys::KeyRing;
pub use token::{Endpoint, NoToken, TokenGrant, TokenSource};

/// Source of the `Authorization: Bearer` header.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    #[default]
    None,
    Fixed(SecretString),
    /// Tokens from the EHR's token endpoint.
    BackendServices(Arc<TokenSource>),
}

impl Credentials {
    /// `none`, `fixed`, `held` or `wanted`: how things stand, for people.
    pub fn state(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fixed(_) => "fixed",
            Self::BackendServices(source) if source.good_for().is_some_and(|left| !left.is_zero()) => "held",
            Self::BackendServices(_) => "wanted",
        }
    }

    /// The token to send now.
    pub(super) async fn bearer(&self) -> Result<Option<SecretString>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(token) => Ok(Some(token.clone())),
            Self::BackendServices(source) => Ok(Some(source.token(None).await?)),
        }
    }

    /// Another token, after this one was refused; `None` where there is no other.
    pub(super) async fn instead_of(&self, refused: &SecretString) -> Result<Option<SecretString>, Failure> {
        match self {
            Self::None | Self::Fixed(_) => Ok(None),
            Self::BackendServices(source) => Ok(Some(source.token(Some(refused)).await?)),
        }
    }
}
