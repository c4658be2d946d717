//! Whether a webhook was signed by who shares our secret: HMAC-SHA256 over its body, or over a moment and its body.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::config::NotifyConfig;

const SIGNATURE: &str = "X-Signature";
/// Tolerated clock difference between the sender and us.
const LEEWAY: TimeDelta = TimeDelta::minutes(5);

/// Whether a request carries the header of a signature that is configured.
pub fn is_there(notify: &NotifyConfig, headers: &HeaderMap) -> bool {
    notify.hmac_secret.is_some() && headers.contains_key(header(notify))
}

/// Holds if the body was signed with the secret, and, where a moment is signed as well, not long ago.
///
/// # Errors
/// Which rule failed.
pub fn holds(notify: &NotifyConfig, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let secret = notify.hmac_secret.as_ref().ok_or("no signature is configured")?;
    let signature = text(header(notify)).and_then(bytes).ok_or("the signature is neither hexadecimal nor base64")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut signed = Vec::with_capacity(body.len() + 32);
    if let Some(name) = &notify.timestamp_header {
        let sent = text(name).ok_or("the header with the moment of sending is missing")?;
        let at = moment(sent).ok_or("the moment of sending is neither seconds nor RFC 3339")?;
        if (now - at).abs() > LEEWAY {
            return Err("the moment of sending is more than five minutes away");
        }
        signed.extend_from_slice(sent.as_bytes());
        signed.push(b'.');
    }
    signed.extend_from_slice(body);
    hmac::verify(&key, &signed, &signature).map_err(|_| "the signature is not valid")
}

/// Whether a text is the secret, in a time that does not tell how much of it is right.
pub fn is_same(secret: &SecretString, text: &str) -> bool {
    // Hash to a fixed length first, so that the length reveals nothing either.
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"compare");
    let digest = |text: &str| hmac::sign(&key, text.as_bytes());
    verify_slices_are_equal(digest(secret.expose_secret()).as_ref(), digest(text).as_ref()).is_ok()
}

fn header(notify: &NotifyConfig) -> &str {
    notify.signature_header.as_deref().unwrap_or(SIGNATURE)
}

/// `sha256=…` and `v1,…` are what some senders write in front.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let text = text.strip_prefix("sha256=").or_else(|| text.strip_prefix("v1,")).unwrap_or(text);
    let is_hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex {
        return (0..64).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect();
    }
    STANDARD.decode(text).ok().filter(|bytes| bytes.len() == 32)
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    match text.parse::<i64>() {
        // Thirteen digits are milliseconds.
        Ok(number) if number.abs() >= 100_000_000_000 => DateTime::from_timestamp_millis(number),
        Ok(number) => DateTime::from_timestamp(number, 0),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // echo -n '{"changed":["Patient/1"]}' | openssl dgst -sha256 -hmac key
    const BODY: &[u8] = br#"{"changed":["Patient/1"]}"#;

    fn notify(timestamp: bool) -> NotifyConfig {
        NotifyConfig {
            hmac_secret: Some("key".into()),
            timestamp_header: timestamp.then(|| "X-Timestamp".to_owned()),
            ..NotifyConfig::default()
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|n| char::from_digit(n.into(), 16)).collect()
    }

    fn sign(text: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"key"), text).as_ref().to_vec()
    }

    fn headers(signature: &str, timestamp: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-signature", signature.parse().unwrap());
        if let Some(timestamp) = timestamp {
            headers.insert("x-timestamp", timestamp.parse().unwrap());
        }
        headers
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_460_000, 0).unwrap()
    }

    #[test]
    fn a_signature_is_read_in_every_usual_form() {
        let raw = sign(BODY);
        for form in [hex(&raw), hex(&raw).to_uppercase(), format!("sha256={}", hex(&raw)), STANDARD.encode(&raw)] {
            assert_eq!(holds(&notify(false), &headers(&form, None), BODY, now()), Ok(()), "{form}");
        }
        // RFC 4231, test case 2.
        let jefe = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"), b"what do ya want for nothing?");
        assert_eq!(hex(jefe.as_ref()), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[rstest]
    #[case("1772460000", true)]
    #[case("1772459701000", true)]
    #[case("2026-03-02T14:04:59Z", true)]
    #[case("1772459699", false)]
    #[case("2026-03-02T14:05:01Z", false)]
    #[case("soon", false)]
    fn a_moment_is_signed_with_the_body_and_must_be_near(#[case] timestamp: &str, #[case] good: bool) {
        let signed = [timestamp.as_bytes(), b".", BODY].concat();
        let sent = headers(&hex(&sign(&signed)), Some(timestamp));
        assert_eq!(holds(&notify(true), &sent, BODY, now()).is_ok(), good);
        // The body alone, signed, is not enough.
        assert!(holds(&notify(true), &headers(&hex(&sign(BODY)), Some(timestamp)), BODY, now()).is_err());
    }

    #[rstest]
    fn another_signature_does_not_hold(#[values("", "00", "zz", "sha256=")] signature: &str) {
        assert!(holds(&notify(false), &headers(signature, None), BODY, now()).is_err());
        assert!(holds(&notify(false), &headers(&hex(&sign(b"other")), None), BODY, now()).is_err());
        assert!(!is_there(&NotifyConfig::default(), &headers(signature, None)));
    }

    #[test]
    fn a_secret_is_the_same_or_not() {
        let secret = SecretString::from("s3cret");
        assert!(is_same(&secret, "s3cret"));
        assert!(!is_same(&secret, "s3cre") && !is_same(&secret, ""));
    }
}
