//! `splitscale figures`: redraws what a folder of results holds.

use std::path::PathBuf;

use anyhow::Result;

use crate::cli::Figures;

/// Draws and names every file.
pub fn run(args: &Figures) -> Result<Vec<PathBuf>> {
    let out = args.out.clone().unwrap_or_else(|| args.folder.join("figures"));
    let written = splitscale_figures::draw_all(&args.folder, &out)?;
    for path in &written {
        println!("{}", path.display());
    }
    Ok(written)
}
