//! The patients of the twenty weeks. The same seed gives the same patients with the same courses.

use chrono::{Days, NaiveDate};
use serde_json::Value;

use crate::sandbox::misbehavior::Dice;

/// Course of a patient's illness before any change of treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IllnessCourse {
    /// Halved by week 8, in remission in the end.
    Responds,
    /// Quickly well, and discharged.
    Graduates,
    /// Better, not by half.
    RespondsPartly,
    DoesNotRespond,
    Relapses,
    /// Does not come any more after some weeks.
    DropsOut,
    /// Comes, and is hardly ever measured.
    IsNotMeasured,
    /// Below the threshold at first; some get worse.
    IsSubthreshold,
}

/// In hundredths of the first score, every two weeks.
fn curve(fate: IllnessCourse) -> [u16; 11] {
    match fate {
        IllnessCourse::Responds | IllnessCourse::DropsOut | IllnessCourse::IsNotMeasured => {
            [100, 86, 72, 58, 47, 40, 34, 29, 25, 21, 18]
        }
        IllnessCourse::Graduates => [100, 74, 48, 30, 22, 16, 14, 12, 10, 10, 10],
        IllnessCourse::RespondsPartly => [100, 92, 84, 76, 72, 70, 68, 67, 66, 66, 65],
        IllnessCourse::DoesNotRespond => [100, 98, 97, 99, 96, 97, 95, 97, 96, 95, 97],
        IllnessCourse::Relapses => [100, 78, 56, 42, 34, 30, 62, 84, 88, 86, 84],
        IllnessCourse::IsSubthreshold => [100, 98, 104, 110, 128, 142, 150, 150, 152, 150, 150],
    }
}

/// A scheduled event of a patient.
#[derive(Clone, Debug)]
pub enum ScheduledEvent {
    /// A resource is sent.
    Send(Value),
    /// The scales are taken again.
    Measure,
    /// A safety answer is assessed.
    Assess,
    /// The doctor decides on a recommendation.
    Decide(String),
    /// An accepted recommendation is carried out.
    Do(String),
    /// The episode ends well.
    Graduate,
}

/// A person of the demo.
#[derive(Debug)]
pub struct DemoPatient {
    pub number: usize,
    pub id: String,
    /// Given and family name.
    pub name: (&'static str, &'static str),
    /// First day of care.
    pub starts: NaiveDate,
    pub fate: IllnessCourse,
    /// First PHQ-9 and GAD-7.
    pub first: (u16, u16),
    /// First answer to item 9.
    pub item9: u8,
    /// The care manager.
    pub care_manager: &'static str,
    /// Our id of the episode, once enrolled.
    pub episode: Option<String>,
    /// Our id of the person.
    pub patient: Option<String>,
    /// When a change was recommended last.
    pub changed: Option<NaiveDate>,
    /// When the treatment was changed and helped.
    pub helped: Option<NaiveDate>,
    pub later: Vec<(NaiveDate, ScheduledEvent)>,
    /// How many times the scales were taken.
    pub taken: usize,
    /// The person's own dice.
    pub dice: Dice,
    /// Discharged, or dead.
    pub gone: bool,
}

const GIVEN: [&str; 24] = [
    "Ada", "Ben", "Carmen", "Dmitri", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jamal", "Kira", "Luis", "Mei", "Noah",
    "Olga", "Priya", "Quinn", "Rosa", "Samir", "Tess", "Uma", "Viktor", "Wanda", "Yusuf",
];
const FAMILY: [&str; 20] = [
    "Abara",
    "Bergström",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fujimoto",
    "Gallagher",
    "Haddad",
    "Ivanova",
    "Jensen",
    "Kowalski",
    "Lindqvist",
    "Mbeki",
    "Novak",
    "Okafor",
    "Petrov",
    "Quispe",
    "Rahman",
    "Silva",
    "Tanaka",
];
/// The care managers of the demo.
pub const CARE_MANAGERS: [&str; 3] = ["R. Alvarez, LCSW", "J. Chen, RN", "M. Osei, LMHC"];

pub fn people(count: usize, first_day: NaiveDate) -> Vec<DemoPatient> {
    (0..count).map(|number| person(number, first_day)).collect()
}

/// Three more patients whom their doctors screened in the last days and who were not yet asked about the program.
pub fn screened(others: usize, today: NaiveDate) -> Vec<DemoPatient> {
    let ago = |number: usize| Days::new(u64::try_from(number - others).unwrap_or(0) * 2 + 1);
    (others..others + 3).map(|number| DemoPatient { starts: today - ago(number), ..person(number, today) }).collect()
}

fn person(number: usize, first_day: NaiveDate) -> DemoPatient {
    let seed = u64::try_from(number).unwrap_or_default();
    let mut dice = Dice::new(0xC0C3_0000 + seed);
    let fate = match number % 24 {
        0..=6 => IllnessCourse::Responds,
        7 | 8 => IllnessCourse::Graduates,
        9..=13 => IllnessCourse::RespondsPartly,
        14..=17 => IllnessCourse::DoesNotRespond,
        18 | 19 => IllnessCourse::Relapses,
        20 | 21 => IllnessCourse::DropsOut,
        22 => IllnessCourse::IsNotMeasured,
        _ => IllnessCourse::IsSubthreshold,
    };
    let between = |dice: &mut Dice, low: u16, high: u16| {
        low + u16::try_from(dice.roll() % u64::from(high - low + 1)).unwrap_or(0)
    };
    let phq9 =
        if fate == IllnessCourse::IsSubthreshold { between(&mut dice, 6, 9) } else { between(&mut dice, 12, 23) };
    let gad7 = if number.is_multiple_of(3) { between(&mut dice, 4, 9) } else { between(&mut dice, 10, 18) };
    let item9 = match dice.roll() % 100 {
        _ if phq9 < 10 => 0,
        0..=61 => 0,
        62..=88 => 1,
        89..=97 => 2,
        _ => 3,
    };
    // Most are in care from the start; the others come in one by one until week 12.
    let offset = if number % 5 < 3 { dice.roll() % 12 } else { dice.roll() % 84 };
    DemoPatient {
        number,
        id: format!("demo-{:03}", number + 1),
        name: (GIVEN[number % GIVEN.len()], FAMILY[(number * 7 + number / GIVEN.len()) % FAMILY.len()]),
        starts: first_day + Days::new(offset),
        fate,
        first: (phq9, gad7),
        item9,
        care_manager: CARE_MANAGERS[number % CARE_MANAGERS.len()],
        episode: None,
        patient: None,
        changed: None,
        helped: None,
        later: Vec::new(),
        taken: 0,
        dice,
        gone: false,
    }
}

impl DemoPatient {
    /// The scores of a day: where the curve is, a little up or down.
    pub fn scores(&mut self, today: NaiveDate) -> (u16, u16) {
        let step = usize::try_from((today - self.starts).num_days().max(0) / 14).unwrap_or(0).min(10);
        let mut hundredths = curve(self.fate)[step];
        if let Some(helped) = self.helped {
            let weeks = u16::try_from((today - helped).num_days().max(0) / 7).unwrap_or(0);
            hundredths = hundredths.saturating_sub(9 * weeks.min(7)).max(24);
        }
        let score = |first: u16, dice: &mut Dice, highest: u16| {
            let noise = if step == 0 { 1 } else { dice.roll() % 3 };
            let at = (u32::from(first) * u32::from(hundredths) + 50) / 100 + u32::try_from(noise).unwrap_or(0);
            u16::try_from(at.saturating_sub(1)).unwrap_or(0).min(highest)
        };
        let phq9 = score(self.first.0, &mut self.dice, 27);
        let gad7 = score(self.first.1, &mut self.dice, 21);
        (phq9, gad7)
    }

    /// The answer to item 9 that goes with a score: eases as the person gets better, returns with a relapse.
    pub fn item9_at(&self, phq9: u16) -> u8 {
        let first = u32::from(self.first.0.max(1));
        let now = u32::from(self.item9) * u32::from(phq9) / first;
        u8::try_from(now.min(3)).unwrap_or(0)
    }

    /// A treatment is given four weeks before it is changed again.
    pub fn may_change(&self, today: NaiveDate) -> bool {
        self.changed.is_none_or(|on| (today - on).num_days() >= 28)
    }

    /// Whether something of this probability happens to the person now.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.dice.happens(probability)
    }
}
