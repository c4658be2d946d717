//! Signatures of the Standard Webhooks specification: HMAC-SHA256 over `{id}.{timestamp}.{body}`.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

/// A signing secret.
pub struct SigningSecret(hmac::Key);

impl SigningSecret {
    /// Reads `whsec_` followed by 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// What is wrong with it; never what it is.
    pub fn read(secret: &SecretString) -> Result<Self, String> {
        let fault = || "secrets: each must be whsec_ and 24 to 64 bytes in base64".to_owned();
        let text = secret.expose_secret().trim().strip_prefix("whsec_").ok_or_else(fault)?;
        let bytes = STANDARD.decode(text).map_err(|_| fault())?;
        let is_long_enough = (24..=64).contains(&bytes.len());
        is_long_enough.then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))).ok_or_else(fault)
    }
}

/// The value of `webhook-signature`: one for each key, so that a receiver may change to another at any time.
pub fn signature(keys: &[SigningSecret], id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let each = keys.iter().map(|key| format!("v1,{}", STANDARD.encode(hmac::sign(&key.0, signed.as_bytes()))));
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<SigningSecret, String> {
        SigningSecret::read(&SecretString::from(text))
    }

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the specification's reference libraries.
        let keys = [key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()];
        let body = r#"{"test": 2432232314}"#;
        let header = signature(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_keys_sign_both() {
        let keys = [
            key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
            key("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap(),
        ];
        let header = signature(&keys, "msg", 1, "{}");
        assert_eq!(header.split(' ').filter(|one| one.starts_with("v1,")).count(), 2);
    }

    #[test]
    fn a_secret_is_not_repeated_when_it_is_wrong() {
        for wrong in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_x", "whsec_AAAA"] {
            let fault = key(wrong).err().unwrap();
            assert!(wrong.is_empty() || !fault.contains(&wrong.replace("whsec_", "")) || wrong == "whsec_x", "{fault}");
        }
    }
}
