//! What is wrong with a document: the field, what it holds, what it should hold.

/// A document that was read but cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the field from the document's root, such as `link.slots`.
    pub field: String,
    /// What is wrong and what to do, lower case.
    pub problem: String,
}

impl Invalid {
    /// Names a field and its problem.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Invalid { field: field.into(), problem: problem.into() }
    }
}

/// What must hold of a field.
pub(crate) fn ensure(
    holds: bool,
    field: impl Into<String>,
    problem: impl Into<String>,
) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid::new(field, problem)) }
}

/// Refuses a document of a schema that this build does not read.
///
/// # Errors
/// Names both numbers and the remedy.
pub fn check_schema(document: &str, found: u32, known: u32) -> Result<(), Invalid> {
    let problem = format!(
        "this {document} has schema {found}, this splitscale reads schema {known}; write it again with this version"
    );
    ensure(found == known, "schema", problem)
}

/// Refuses what is not a finite number above zero.
///
/// # Errors
/// Names the field and the value.
pub fn positive(field: &str, value: f64) -> Result<(), Invalid> {
    ensure(value.is_finite() && value > 0.0, field, format!("{value} is not a finite number above zero"))
}

/// Refuses what is not a finite number of zero or more.
///
/// # Errors
/// Names the field and the value.
pub fn not_negative(field: &str, value: f64) -> Result<(), Invalid> {
    let problem = format!("{value} is not a finite number of zero or more");
    ensure(value.is_finite() && value >= 0.0, field, problem)
}

/// Refuses zero.
///
/// # Errors
/// Names the field and the value.
pub fn at_least_one(field: &str, value: u32) -> Result<(), Invalid> {
    ensure(value > 0, field, "zero; it takes at least 1")
}
