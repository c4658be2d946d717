//! `.well-known/smart-configuration` of our own door: how a program gets in, and what its scopes may say.

use serde_json::{Value, json};

use super::arrival::ResourceType;
use crate::config::Config;

/// The SMART configuration of the FHIR API.
///
/// The organization issues the tokens. We have no token endpoint, so we name the issuer's if there is exactly one
/// issuer, and claim no launch.
pub fn configuration(config: &Config) -> Value {
    let scopes: Vec<String> = ["system", "user"]
        .iter()
        .flat_map(|context| ResourceType::ALL.iter().map(move |kind| format!("{context}/{}.cruds", kind.name())))
        .chain(
            ["read", "write"]
                .iter()
                .flat_map(|rights| ResourceType::ALL.map(|kind| format!("system/{}.{rights}", kind.name()))),
        )
        .collect();
    let mut said = json!({
        "capabilities": ["permission-v1", "permission-v2"],
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": scopes,
    });
    let [issuer] = config.auth.issuers.as_slice() else { return said };
    if issuer.issuer.starts_with("https://") {
        said["issuer"] = json!(issuer.issuer);
    }
    if let Some(url) = &issuer.jwks_url {
        said["jwks_uri"] = json!(url);
    }
    if let Some(url) = &issuer.token_url {
        said["token_endpoint"] = json!(url);
        said["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]);
        said["token_endpoint_auth_signing_alg_values_supported"] = json!(["RS384", "ES384"]);
    }
    said
}
