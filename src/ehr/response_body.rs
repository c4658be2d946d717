//! Reading the body of an answer, and naming in our words why it did not come.

use serde_json::Value;

/// A body, counted while it arrives and after decompression.
pub(super) async fn read_body(response: &mut reqwest::Response, most: usize) -> Result<Vec<u8>, &'static str> {
    let too_large = "the answer is too large";
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        if bytes.len() + chunk.len() > most {
            return Err(too_large);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A body as JSON; `None` where there is none.
pub(super) async fn read_json(response: &mut reqwest::Response, most: usize) -> Result<Option<Value>, &'static str> {
    json(&read_body(response, most).await?)
}

pub(super) fn json(bytes: &[u8]) -> Result<Option<Value>, &'static str> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(Some).map_err(|_| "the answer is not JSON")
}

/// In our words: the library's text carries the URL.
pub(super) fn cause(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        return connection(error);
    }
    if error.is_timeout() { "no answer in time" } else { "the connection broke" }
}

/// Why no connection came about. The reasons are in the errors behind the error, whose types are not all in reach: what
/// they are called is.
pub(super) fn connection(error: &reqwest::Error) -> &'static str {
    const KNOWN: [(&str, &str); 7] = [
        ("Expired", "its certificate has expired"),
        ("NotValidYet", "its certificate is not valid yet"),
        ("NotValidForName", "its certificate is for another name"),
        ("UnknownIssuer", "its certificate is from an authority that is not known here"),
        ("InvalidCertificate", "its certificate is not valid"),
        ("dns error", "its name is not known (DNS)"),
        ("ConnectionRefused", "it refuses the connection"),
    ];
    if error.is_timeout() {
        return "no connection in time";
    }
    let told = format!("{error:?}");
    KNOWN.into_iter().find(|(word, _)| told.contains(word)).map_or("no connection", |(_, why)| why)
}
