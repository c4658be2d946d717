//! Words that speak of a score.

/// Names a total score, and not one of another time or kind.
pub(in crate::fhir) fn names_a_total(text: &str) -> bool {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    says(&["score", "total", "puntaje", "puntuacion", "summe", "gesamt"])
        && !says(&[
            "deviation",
            "percent",
            "t score",
            "z score",
            "previous",
            "last score",
            "baseline",
            "prior",
            "item score",
        ])
}

/// A unit of what is measured against others or against the maximum: a percentage, a percentile, a T score.
pub(in crate::fhir) fn names_a_share(unit: &str) -> bool {
    let unit = unit.to_ascii_lowercase();
    unit == "%" || ["percent", "t score", "t-score", "tscore", "z-score"].iter().any(|name| unit.contains(name))
}
