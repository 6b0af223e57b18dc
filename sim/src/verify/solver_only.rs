//! Answers whose models the simulator does not have.

use splitscale_spec::Invalid;

use super::Row;
use crate::exact::{Station, jackson, number_at, set_up};

/// A network with feedback, a server that is set up after each idle time, and a queue on its way from empty to
/// its steady state: by the solvers alone.
///
/// # Errors
/// None; the solvers check their fields.
pub fn solver_only() -> Result<Vec<Row>, Invalid> {
    let single = |rate_per_s, service_s| Station { rate_per_s, service_s, servers: 1 };
    let back = jackson(&[single(0.5, 1.0), single(0.0, 0.5)], &[vec![0.0, 1.0], vec![0.25, 0.0]])?;
    let answers = [
        ("two M/M/1, a quarter comes back: L", back.number),
        ("two M/M/1, a quarter comes back: W [s]", back.sojourn_s),
        ("M/M/1, set up after idle: W [s]", set_up(single(0.5, 1.0), 10.0)?.sojourn_s),
        ("M/M/1 from empty: L after 10 s", number_at(single(0.8, 1.0), 10.0)?),
        ("M/M/1 from empty: L after 50 s", number_at(single(0.8, 1.0), 50.0)?),
    ];
    let row = |(name, exact): (&str, f64)| Row {
        name: name.to_string(),
        exact,
        simulated: None,
        half_width: None,
        z: None,
    };
    Ok(answers.into_iter().map(row).collect())
}
