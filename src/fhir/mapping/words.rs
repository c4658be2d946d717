//! Words that speak of a total score.

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
