//! Each OperationOutcome: what went wrong, or what should be known, for programs and for people. Never patient data.

use serde_json::{Value, json};

use crate::problem::{Category, Problem};

/// A problem as an OperationOutcome.
pub fn of(problem: &Problem) -> Value {
    let severity = match problem.category {
        Category::Internal => "fatal",
        _ => "error",
    };
    let mut issue = json!({
        "severity": severity, "code": problem.category.issue_code(), "diagnostics": problem.detail,
    });
    if let Some(expression) = &problem.expression {
        issue["expression"] = json!([expression]);
    }
    json!({ "resourceType": "OperationOutcome", "issue": [issue] })
}

/// Nothing went wrong, but this should be known.
pub fn informational(notes: &[String]) -> Value {
    let issue = |note: &String| json!({ "severity": "information", "code": "informational", "diagnostics": note });
    json!({ "resourceType": "OperationOutcome", "issue": notes.iter().map(issue).collect::<Vec<_>>() })
}

/// An OperationOutcome that lists ignored parts of a request.
pub fn left_out(notes: &[String]) -> Value {
    let issue = |note: &String| json!({ "severity": "warning", "code": "not-supported", "diagnostics": note });
    json!({ "resourceType": "OperationOutcome", "issue": notes.iter().map(issue).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;
    use crate::problem::Problem;

    #[test]
    fn a_problem_names_its_kind_and_place() {
        let outcome = of(&Problem::malformed("not a logical id").at("Patient.id"));
        let expected = json!({ "resourceType": "OperationOutcome", "issue": [{
            "severity": "error", "code": "structure", "diagnostics": "not a logical id", "expression": ["Patient.id"],
        }] });
        assert_eq!(outcome, expected);
    }
}
