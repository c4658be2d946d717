//! A sign-in on its way: what the browser keeps while somebody is at their identity provider.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Within whose pages ours are shown: a configured way to sign in that says which origins may, where somebody was launched
/// in a frame of theirs. `None` is a tab of one's own.
///
/// Browsers send `SameSite=Lax` cookies to no frame of another site; those of a frame are kept apart for each site around
/// it (`Partitioned`) and have a name of their own, so that neither gets in the other's way.
pub type FramingProvider = Option<usize>;

/// A sign-in in progress, kept in a cookie that scripts cannot read.
#[derive(Serialize, Deserialize)]
pub struct PendingSignIn {
    pub way: usize,
    pub state: String,
    pub nonce: String,
    pub verifier: String,
    pub to: String,
    /// Whether it began in a frame of an allowed origin.
    pub framed: bool,
}

impl PendingSignIn {
    pub fn frame(&self) -> FramingProvider {
        self.framed.then_some(self.way)
    }
}

/// By which way somebody left, as the cookie says.
pub fn way_of(cookie: &str) -> Option<usize> {
    kept(cookie).map(|leaving| leaving.way)
}

pub fn kept(cookie: &str) -> Option<PendingSignIn> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cookie).ok()?).ok()
}
