//! How the sandbox can misbehave, and the dice that decide when. The same seed misbehaves in the same way.

use serde::{Deserialize, Serialize};

/// Faults and their probabilities, between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Misbehavior {
    /// Where the dice start.
    pub seed: u64,
    /// Only POST, PUT and DELETE are affected.
    pub only_writes: bool,
    /// The connection is closed before anything is executed.
    pub drop_request: f64,
    /// The call is executed, and the connection is closed instead of an answer.
    pub drop_response: f64,
    /// No answer, and nothing is executed.
    pub hang: f64,
    pub throttle: f64,
    /// The Retry-After of a 429, as is: seconds or an HTTP-date.
    pub retry_after: String,
    /// 503 with an HTML body.
    pub unavailable: f64,
    /// How likely a create with `If-None-Exist` is refused.
    pub refuse_conditional_create: f64,
    /// The status of that refusal.
    pub refuse_with: u16,
    /// `If-None-Exist` is not looked at.
    pub ignore_conditional_create: f64,
    /// A new resource is found by a search, and by a condition, only after so many milliseconds.
    pub search_lag_ms: u64,
    /// The link to the next page of a search leads here instead.
    pub next_elsewhere: String,
    /// A search with one of these parameters is refused with 400.
    pub refuse_parameters: Vec<String>,
    /// A search with a larger `_count` is refused with 400; 0 means no limit.
    pub largest_page: usize,
    /// Answers every GET with an HTML 404, like a proxy whose server is down.
    pub proxy_not_found: bool,
    /// These parameters of a search are not looked at.
    pub ignore_parameters: Vec<String>,
    /// A search without this parameter is refused with 400.
    pub wants_parameter: String,
    /// The bearer tokens that are accepted; empty accepts every caller.
    pub wants_token: Vec<String>,
}

impl Default for Misbehavior {
    fn default() -> Self {
        Self {
            seed: 0,
            only_writes: false,
            drop_request: 0.0,
            drop_response: 0.0,
            hang: 0.0,
            throttle: 0.0,
            retry_after: "1".to_owned(),
            unavailable: 0.0,
            refuse_conditional_create: 0.0,
            refuse_with: 412,
            ignore_conditional_create: 0.0,
            search_lag_ms: 0,
            next_elsewhere: String::new(),
            refuse_parameters: Vec::new(),
            largest_page: 0,
            proxy_not_found: false,
            ignore_parameters: Vec::new(),
            wants_parameter: String::new(),
            wants_token: Vec::new(),
        }
    }
}

/// Fate of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallFate {
    /// Executed and answered.
    Answered,
    RequestDropped,
    /// Executed, but not answered.
    ResponseDropped,
    /// Never answered.
    Hung,
    Throttled,
    Unavailable,
}

impl Misbehavior {
    /// Rolls once for each kind, whatever comes out, so that one kind's probability does not shift the others' dice.
    pub(super) fn fate(&self, dice: &mut Dice, writes: bool) -> CallFate {
        let rolls = [
            (self.drop_request, CallFate::RequestDropped),
            (self.drop_response, CallFate::ResponseDropped),
            (self.hang, CallFate::Hung),
            (self.throttle, CallFate::Throttled),
            (self.unavailable, CallFate::Unavailable),
        ]
        .map(|(probability, fate)| dice.happens(probability).then_some(fate));
        if self.only_writes && !writes {
            return CallFate::Answered;
        }
        rolls.into_iter().flatten().next().unwrap_or(CallFate::Answered)
    }
}

/// A small generator with a seed (`SplitMix64`, Steele 2014): good enough to roll dice, and for nothing else.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed rolls the same.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next number in 0..1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    pub fn fraction(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens now.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same() {
        let rolls = |seed| {
            let mut dice = Dice::new(seed);
            [dice.roll(), dice.roll(), dice.roll()]
        };
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
    }

    #[test]
    fn a_probability_is_kept() {
        let mut dice = Dice::new(1);
        let hits = (0..10_000).filter(|_| dice.happens(0.2)).count();
        assert!((1_850..2_150).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| dice.happens(1.0) && !dice.happens(0.0)));
    }
}
