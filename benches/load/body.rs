//! The bodies that are sent: a pure function of (instrument, seed, number, patient), so that two runs send the same.
//!
//! A form is put together from fragments that were rendered once: the client shares two cores with what it measures.

use std::io::Write as _;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// When the service's clock starts (`--clock`): after every form below.
pub const CLOCK: &str = "2026-03-02T09:00:00Z";

const PHQ9: [(&str, &str); 9] = [
    ("/44250-9", "Little interest or pleasure in doing things"),
    ("/44255-8", "Feeling down, depressed, or hopeless"),
    ("/44259-0", "Trouble falling or staying asleep, or sleeping too much"),
    ("/44254-1", "Feeling tired or having little energy"),
    ("/44251-7", "Poor appetite or overeating"),
    ("/44258-2", "Feeling bad about yourself-or that you are a failure or have let yourself or your family down"),
    ("/44252-5", "Trouble concentrating on things, such as reading the newspaper or watching television"),
    (
        "/44253-3",
        "Moving or speaking so slowly that other people could have noticed. Or the opposite-being so fidgety or \
         restless that you have been moving around a lot more than usual",
    ),
    ("/44260-8", "Thoughts that you would be better off dead, or of hurting yourself in some way"),
];
const GAD7: [(&str, &str); 7] = [
    ("/69725-0", "Feeling nervous, anxious, or on edge"),
    ("/68509-9", "Not being able to stop or control worrying"),
    ("/69733-4", "Worrying too much about different things"),
    ("/69734-2", "Trouble relaxing"),
    ("/69735-9", "Being so restless that it is hard to sit still"),
    ("/69689-8", "Becoming easily annoyed or irritable"),
    ("/69736-7", "Feeling afraid, as if something awful might happen"),
];
const ANSWERS: [(&str, &str); 4] = [
    ("LA6568-5", "Not at all"),
    ("LA6569-3", "Several days"),
    ("LA6570-1", "More than half the days"),
    ("LA6571-9", "Nearly every day"),
];
const DIFFICULTY: [(&str, &str); 4] = [
    ("LA6572-7", "Not difficult at all"),
    ("LA6573-5", "Somewhat difficult"),
    ("LA6574-3", "Very difficult"),
    ("LA6575-0", "Extremely difficult"),
];
const FAMILIES: [&str; 10] =
    ["Nguyen", "Garcia", "Okafor", "Smith", "Haddad", "Kowalski", "Larsen", "Ito", "Patel", "Silva"];
const GIVEN: [&str; 10] = ["Ana", "Ben", "Chi", "Dev", "Eve", "Fay", "Gus", "Hal", "Ivy", "Jon"];

/// Which form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Phq9,
    Gad7,
}

/// An item with each of its four answers, as JSON with a comma behind it.
type Item = [String; 4];

struct Fragments {
    phq9: Vec<Item>,
    gad7: Vec<Item>,
    difficulty: Item,
}

static FRAGMENTS: LazyLock<Fragments> = LazyLock::new(|| Fragments {
    phq9: PHQ9.iter().map(|(link, text)| item(link, text, &ANSWERS)).collect(),
    gad7: GAD7.iter().map(|(link, text)| item(link, text, &ANSWERS)).collect(),
    difficulty: item(
        "/69722-7",
        "How difficult have these problems made it for you to do your work, take care of things at home, or get along \
         with people?",
        &DIFFICULTY,
    ),
});

fn item(link: &str, text: &str, answers: &[(&str, &str); 4]) -> Item {
    answers.map(|(code, display)| {
        format!(
            r#"{{"linkId":"{link}","text":"{text}","answer":[{{"valueCoding":{{"system":"http://loinc.org","code":"{code}","display":"{display}"}}}}]}}"#
        )
    })
}

/// Park and Miller's minimal generator: good enough for answers, the same everywhere.
struct Dice(u64);

impl Dice {
    const MODULUS: u64 = 2_147_483_647;

    fn new(seed: u64, number: u64) -> Self {
        let start = (seed * 7919 + number * 104_729 + 1) % Self::MODULUS;
        let mut dice = Self(start.max(1));
        for _ in 0..4 {
            dice.turn();
        }
        dice
    }

    fn turn(&mut self) {
        self.0 = self.0 * 16_807 % Self::MODULUS;
    }

    fn of_four(&mut self) -> usize {
        self.turn();
        usize::try_from(self.0 / 65_536 % 4).unwrap_or(0)
    }
}

/// The first instant a single form may carry. 58 days of them follow, all before [`CLOCK`].
pub fn begin() -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default().and_time(NaiveTime::MIN).and_utc()
}

/// When single form `number` was filled in: a minute and a second after the one before.
pub fn authored(number: u64) -> DateTime<Utc> {
    let seconds = number * 61 % (58 * 86_400);
    begin() + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0))
}

/// Appends a filled-in form.
pub fn form(out: &mut Vec<u8>, form: Form, seed: u64, number: u64, patient: &str, authored: DateTime<Utc>) {
    let (initial, questionnaire, items, total_link, total_text) = match form {
        Form::Phq9 => ('b', "44249-1", &FRAGMENTS.phq9, "/44261-6", "Patient health questionnaire 9 item total score"),
        Form::Gad7 => ('g', "69737-5", &FRAGMENTS.gad7, "/70274-6", "Generalized anxiety disorder 7 item total score"),
    };
    put(
        out,
        format_args!(
            r#"{{"resourceType":"QuestionnaireResponse","identifier":{{"system":"urn:bench:qr","value":"{initial}-{seed}-{number}"}},"questionnaire":"http://loinc.org/q/{questionnaire}","status":"completed","subject":{{"reference":"Patient/{patient}"}},"authored":"{}","source":{{"reference":"Patient/{patient}"}},"item":["#,
            authored.format("%Y-%m-%dT%H:%M:%SZ")
        ),
    );
    let mut dice = Dice::new(seed, number);
    let mut total = 0;
    for item in items {
        let answer = dice.of_four();
        total += answer;
        out.extend_from_slice(item[answer].as_bytes());
        out.push(b',');
    }
    put(
        out,
        format_args!(r#"{{"linkId":"{total_link}","text":"{total_text}","answer":[{{"valueInteger":{total}}}]}}"#),
    );
    if form == Form::Phq9 {
        out.push(b',');
        out.extend_from_slice(FRAGMENTS.difficulty[dice.of_four()].as_bytes());
    }
    out.extend_from_slice(b"]}");
}

/// Appends a person.
pub fn patient(out: &mut Vec<u8>, number: usize) {
    put(
        out,
        format_args!(
            r#"{{"resourceType":"Patient","identifier":[{{"system":"urn:bench:mrn","value":"MRN{number:06}"}}],"active":true,"name":[{{"use":"official","family":"{}","given":["{}"]}}],"telecom":[{{"system":"phone","value":"555-{:04}","use":"home"}}],"gender":"{}","birthDate":"{}-{:02}-{:02}","address":[{{"line":["{number} Main St"],"city":"Springfield","state":"WA","postalCode":"{}"}}]}}"#,
            FAMILIES[number % 10],
            GIVEN[number / 10 % 10],
            number % 10_000,
            if number % 2 == 1 { "female" } else { "male" },
            1940 + number % 60,
            1 + number % 12,
            1 + number % 28,
            98_000 + number % 999
        ),
    );
}

/// Appends a transaction of `entries`, each of which `resource` appends by its place.
pub fn transaction(
    out: &mut Vec<u8>,
    kind: &str,
    entries: std::ops::Range<usize>,
    mut resource: impl FnMut(&mut Vec<u8>, usize),
) {
    out.extend_from_slice(br#"{"resourceType":"Bundle","type":"transaction","entry":["#);
    let first = entries.start;
    for i in entries {
        if i > first {
            out.push(b',');
        }
        if kind == "Patient" {
            put(out, format_args!(r#"{{"fullUrl":"urn:uuid:00000000-0000-4000-8000-{i:012}","resource":"#));
        } else {
            out.extend_from_slice(br#"{"resource":"#);
        }
        resource(out, i);
        put(out, format_args!(r#","request":{{"method":"POST","url":"{kind}"}}}}"#));
    }
    out.extend_from_slice(b"]}");
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _ = out.write_fmt(text);
}
