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

/// Refuses a document of a schema that this build does not read.
///
/// # Errors
/// Names both numbers and the remedy.
pub fn check_schema(document: &str, found: u32, known: u32) -> Result<(), Invalid> {
    if found == known {
        return Ok(());
    }
    Err(Invalid::new(
        "schema",
        format!(
            "this {document} has schema {found}, this splitscale reads schema {known}; write it again with this version"
        ),
    ))
}

/// Refuses what is not a finite number above zero.
///
/// # Errors
/// Names the field and the value.
pub fn positive(field: &str, value: f64) -> Result<(), Invalid> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{value} is not a finite number above zero")))
}

/// Refuses what is not a finite number of zero or more.
///
/// # Errors
/// Names the field and the value.
pub fn not_negative(field: &str, value: f64) -> Result<(), Invalid> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{value} is not a finite number of zero or more")))
}

/// Refuses zero.
///
/// # Errors
/// Names the field and the value.
pub fn at_least_one(field: &str, value: u32) -> Result<(), Invalid> {
    if value > 0 {
        return Ok(());
    }
    Err(Invalid::new(field, "zero; it takes at least 1"))
}
