//! A drawn figure and the files it becomes.

use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataFrame};

use crate::canvas::Canvas;
use crate::frame::{Frame, to_csv};
use crate::{Error, error};

/// A picture and the numbers it shows.
pub(crate) struct Figure<'a> {
    pub(crate) name: &'a str,
    pub(crate) canvas: Canvas,
    /// What is plotted, column by column.
    pub(crate) plotted: Vec<Column>,
    /// The tables it is drawn from.
    pub(crate) sources: &'a [&'a Frame],
}

impl Figure<'_> {
    /// Writes `NAME.svg`, `NAME.png` and `NAME.csv` into the folder, which is made where it is missing.
    pub(crate) fn write(self, out: &Path) -> Result<Vec<PathBuf>, Error> {
        let csv_path = out.join(format!("{}.csv", self.name));
        if let Some(source) = self.sources.iter().find(|source| same_file(source.file(), &csv_path)) {
            return Err(Error::Overwrites { file: source.file().to_owned() });
        }
        let refused = |problem| Error::Draw { figure: self.name.to_owned(), problem };
        let plotted = self.sources[0].fault(DataFrame::new_infer_height(self.plotted))?;
        let contents = [
            (out.join(format!("{}.svg", self.name)), self.canvas.svg().map_err(refused)?.into_bytes()),
            (out.join(format!("{}.png", self.name)), self.canvas.png().map_err(refused)?),
            (csv_path, to_csv(&plotted).map_err(|error| refused(error.to_string()))?),
        ];
        std::fs::create_dir_all(out).map_err(error::write(out))?;
        contents
            .into_iter()
            .map(|(path, bytes)| {
                std::fs::write(&path, bytes).map_err(error::write(&path))?;
                Ok(path)
            })
            .collect()
    }
}

/// Whether both are there and are the same.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
