//! Bytes as hexadecimal text, and back.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two lowercase digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The bytes of a text of digits in either case; `None` for anything else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!(encode(&[0, 171]), "00ab");
        assert_eq!(decode("00AB"), Some(vec![0, 171]));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["0", "0x", "+1", " 1", "ü"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
