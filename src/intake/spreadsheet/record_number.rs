//! Record numbers as spreadsheets leave them: what a program did to one is undone where that is certain, and refused where
//! it is not. Two people must not become one, and none a third.

/// Reads a record number.
///
/// # Errors
/// What happened to it, and what to do about it.
pub fn read(cell: &str) -> Result<String, &'static str> {
    let plain = plain(cell);
    let text = unwrapped(plain.trim());
    if text.starts_with('#') || text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Err("a spreadsheet's error, or a yes or no, is no record number");
    }
    if is_scientific(text) {
        return Err(
            "the spreadsheet has shortened the number (as in 4.892E+09): format the column as text, type it again, save",
        );
    }
    if is_month(text) {
        return Err("the spreadsheet has made a date of the number: format the column as text and type it again");
    }
    let number = match whole(text) {
        Some(whole) => whole,
        None if text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            return Err("a number with a point is no record number: format the column as text and type it again");
        }
        None => text.replace('\u{a0}', " "),
    };
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    if is_number && !number.starts_with('0') && number.len() > PRECISE && number[PRECISE..].bytes().all(|b| b == b'0') {
        return Err("a spreadsheet keeps 15 digits of a number: format the column as text and type it again");
    }
    if number.is_empty() { Err("a record number is needed") } else { Ok(number) }
}

/// The digits that a spreadsheet keeps of a number.
const PRECISE: usize = 15;

/// In ordinary characters: full-width ones are what they look like, and what cannot be seen is not there.
fn plain(cell: &str) -> String {
    let plain = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => None,
        '\u{2010}' | '\u{2011}' => Some('-'),
        '\u{202f}' | '\u{2009}' => Some('\u{a0}'),
        c => Some(c),
    };
    cell.chars().filter_map(plain).collect()
}

/// Without what keeps a spreadsheet from taking it for a number: `="00123"`, `'00123`.
fn unwrapped(text: &str) -> &str {
    let formula = text.strip_prefix('=').map(str::trim);
    let quoted = formula.and_then(|inside| inside.strip_prefix('"')?.strip_suffix('"'));
    let text = quoted.or(formula).unwrap_or(text);
    text.strip_prefix(['\'', '\u{2019}', '\u{2018}']).unwrap_or(text).trim()
}

/// `4.892E+09`, `1,5E+7`, `1E+15`.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_shortened = digits.len() < exponent.len() || mantissa.contains(['.', ',']);
    let is_mantissa = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',');
    is_shortened
        && mantissa.starts_with(|c: char| c.is_ascii_digit())
        && mantissa.chars().all(is_mantissa)
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `1-Mar`, `Mar-01`: what becomes of `3-1`.
fn is_month(text: &str) -> bool {
    let Some((first, second)) = text.split_once('-') else { return false };
    let is_day = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_name = |part: &str| part.len() == 3 && super::date::month(part).is_some();
    (is_day(first) && is_name(second)) || (is_name(first) && is_day(second))
}

/// A whole number without its point and zeros, and without what separates its thousands.
fn whole(text: &str) -> Option<String> {
    let whole = match text.rsplit_once('.') {
        Some((whole, zeros)) if (1..=2).contains(&zeros.len()) && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) {
        return Some(whole.to_owned());
    }
    let is_separator = |c: char| matches!(c, ',' | '.' | '\'' | '\u{2019}' | '\u{a0}');
    let separator = whole.chars().find(|c| is_separator(*c))?;
    let mut groups = whole.split(separator);
    let first = groups.next()?;
    let groups: Vec<&str> = groups.collect();
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let is_grouped = (1..=3).contains(&first.len())
        && is_digits(first)
        && !first.starts_with('0')
        && groups.iter().all(|group| group.len() == 3 && is_digits(group));
    // One point could be that of a fraction.
    let is_certain = separator != '.' || groups.len() > 1;
    (is_grouped && is_certain).then(|| format!("{first}{}", groups.concat()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::read;

    #[rstest]
    #[case("00123", "00123")]
    #[case("=\"00123\"", "00123")]
    #[case("= \"00123\"", "00123")]
    #[case("=00123", "00123")]
    #[case("'00123", "00123")]
    #[case("\u{2019}00123", "00123")]
    #[case("=\"'00123\"", "00123")]
    #[case("123456.0", "123456")]
    #[case("123456.00", "123456")]
    #[case("1,234,567", "1234567")]
    #[case("1,234,567.00", "1234567")]
    #[case("12,345", "12345")]
    #[case("1.234.567", "1234567")]
    #[case("12\u{a0}345\u{202f}678", "12345678")]
    #[case("A\u{a0}12", "A 12")]
    #[case("12\u{a0}345\u{a0}678", "12345678")]
    #[case("12\u{202f}345", "12345")]
    #[case("\u{ff10}\u{ff10}\u{ff11}\u{ff12}\u{ff13}", "00123")]
    #[case("\u{a0}00123\u{a0}", "00123")]
    #[case("00\u{200b}123\u{feff}", "00123")]
    #[case("A-0012/7", "A-0012/7")]
    #[case("E123", "E123")]
    #[case("12E34", "12E34")]
    #[case("943 476 5919", "943 476 5919")]
    #[case("0,123", "0,123")]
    #[case("123456789012345678", "123456789012345678")]
    #[case("MRN.0", "MRN.0")]
    fn what_a_spreadsheet_did_to_a_number_is_undone_where_that_is_certain(#[case] cell: &str, #[case] number: &str) {
        assert_eq!(read(cell).as_deref(), Ok(number));
    }

    #[rstest]
    #[case("4.892E+09")]
    #[case("1.23457E+11")]
    #[case("1,23457E+11")]
    #[case("1E+15")]
    #[case("4.8e9")]
    #[case("123.5")]
    #[case("1.234")]
    #[case("1-Mar")]
    #[case("Mar-01")]
    #[case("#N/A")]
    #[case("#REF!")]
    #[case("####")]
    #[case("TRUE")]
    #[case("1234567890123450000")]
    #[case("=\"\"")]
    #[case("'")]
    fn what_cannot_be_undone_is_refused(#[case] cell: &str) {
        assert!(read(cell).is_err());
    }
}
