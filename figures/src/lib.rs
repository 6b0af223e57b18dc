//! The figures of a run, each drawn once and written as `NAME.svg` and `NAME.png`, with what it shows beside
//! it as `NAME.csv`.
//!
//! ```text
//!  table.csv, fit.csv [, cells.csv] ─▶ fit             makespan against pods, one panel a traffic level
//!  learning.csv                     ─▶ learning_curve  return and regret against episodes
//!  timeline.csv                     ─▶ timeline        slots, pods, throughput, latency against time
//!  cells.csv                        ─▶ comparison      measured against simulated makespan
//!  laws.csv                         ─▶ laws            durations and the laws they are drawn from
//!  fidelity.csv                     ─▶ fidelity        errors of the simulator against utilisation
//!  latency.csv                      ─▶ latency         latency of servers and simulator, one panel a cell
//!  contest-timeline.csv             ─▶ contest         slots, pods, throughput, latency of several policies
//!  candidates.csv                   ─▶ pareto          what pods buy: latency against pods, of a plan's candidates
//! ```
//!
//! # Guarantees
//! The same tables give the same bytes. What is missing in a table is a gap in the picture, never zero.
//! Neither a display nor an installed font is needed.

use std::path::{Path, PathBuf};

mod axis;
mod canvas;
mod comparison;
mod contest;
mod cumulative;
mod error;
mod fidelity;
mod figure;
mod fit;
mod frame;
mod learning_curve;
mod page;
mod pareto;
mod timeline;

pub use comparison::comparison;
pub use contest::contest;
pub use cumulative::{latency, laws};
pub use error::Error;
pub use fidelity::fidelity;
pub use fit::fit;
pub use frame::{Frame, Table};
pub use learning_curve::learning_curve;
pub use pareto::pareto;
pub use timeline::timeline;

/// From one table to the files of its figure.
type Drawing = fn(&Frame, &Path) -> Result<Vec<PathBuf>, Error>;

/// Draws every figure whose tables are in `folder_in`, and names the files it wrote.
///
/// # Errors
/// Where a table cannot be used, where there is none to draw from, and where `folder_out` is the folder of
/// the tables: the figures' own CSV files would overwrite them.
pub fn draw_all(folder_in: &Path, folder_out: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |table: Table| {
        let file = folder_in.join(table.file_name());
        file.exists().then(|| Frame::read(file, table)).transpose()
    };
    let cells = read(Table::Cells)?;
    let mut written = Vec::new();
    if let (Some(measured), Some(fitted)) = (read(Table::Measured)?, read(Table::Fit)?) {
        written.extend(fit(&measured, &fitted, cells.as_ref(), folder_out)?);
    }
    if let Some(learning) = read(Table::Learning)? {
        written.extend(learning_curve(&learning, folder_out)?);
    }
    if let Some(looks) = read(Table::Timeline)? {
        written.extend(timeline(&looks, folder_out)?);
    }
    if let Some(cells) = &cells {
        written.extend(comparison(cells, folder_out)?);
    }
    let others: [(Table, Drawing); 5] = [
        (Table::Contest, contest),
        (Table::Laws, laws),
        (Table::Fidelity, fidelity),
        (Table::Latency, latency),
        (Table::Candidates, pareto),
    ];
    for (table, draw) in others {
        if let Some(rows) = read(table)? {
            written.extend(draw(&rows, folder_out)?);
        }
    }
    if written.is_empty() {
        let problem = "holds none of table.csv with fit.csv, cells.csv, learning.csv, timeline.csv, contest-timeline.csv, laws.csv, fidelity.csv, latency.csv, candidates.csv";
        return Err(Error::Nothing { file: folder_in.to_owned(), problem: problem.to_owned() });
    }
    Ok(written)
}
