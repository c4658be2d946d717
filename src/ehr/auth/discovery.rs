//! Where a server's token endpoint is, as the server says.

use reqwest::Url;
use serde_json::Value;

/// R4's way to name the endpoints in the CapabilityStatement.
const OAUTH_URIS: &str = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris";

/// The token endpoint that a `.well-known/smart-configuration` names.
pub fn in_smart_configuration(document: &Value) -> Option<Url> {
    Url::parse(document["token_endpoint"].as_str()?).ok()
}

/// The token endpoint that a CapabilityStatement names.
pub fn in_statement(statement: &Value) -> Option<Url> {
    let servers = statement["rest"].as_array()?.iter();
    let uris = servers.flat_map(|rest| extensions(&rest["security"])).filter(|one| one["url"] == OAUTH_URIS);
    let token = uris.flat_map(extensions).find(|one| one["url"] == "token")?;
    Url::parse(token["valueUri"].as_str().or_else(|| token["valueUrl"].as_str())?).ok()
}

fn extensions(element: &Value) -> impl Iterator<Item = &Value> {
    element["extension"].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_endpoint_is_found_in_both_places() {
        let url = "https://auth.example/token";
        assert_eq!(in_smart_configuration(&json!({"token_endpoint": url})).unwrap().as_str(), url);
        assert!(in_smart_configuration(&json!({"token_endpoint": "nowhere"})).is_none());
        let oauth = json!({"url": OAUTH_URIS, "extension": [
            {"url": "authorize", "valueUri": "https://auth.example/authorize"}, {"url": "token", "valueUri": url}]});
        let statement = json!({"rest": [{"security": {"extension": [{"url": "urn:other"}, oauth]}}]});
        assert_eq!(in_statement(&statement).unwrap().as_str(), url);
        assert!(in_statement(&json!({"rest": [{}]})).is_none());
    }
}
