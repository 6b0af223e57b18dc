//! `splitscale merge`: the parts of an experiment become the whole, byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use csv::StringRecord;

use crate::cli::Merge;
use crate::files;

/// What all parts must agree on.
struct Whole {
    header: StringRecord,
    /// Values of [`SAME`], and the part they were first read in.
    same: Option<([String; 4], String)>,
    rows: BTreeMap<usize, (StringRecord, String)>,
}

/// Columns that are the same in every row of an experiment.
const SAME: [&str; 4] = ["experiment", "points", "commit", "hash"];

/// Reads every part and writes the whole.
pub fn merge(args: &Merge) -> Result<()> {
    let mut whole: Option<Whole> = None;
    for path in &args.parts {
        let name = path.display().to_string();
        add(&mut whole, path, &name).with_context(|| format!("{name} cannot be merged"))?;
    }
    let whole = whole.context("no part was given")?;
    let Some(([_, points, ..], _)) = &whole.same else { bail!("the parts have no rows") };
    let points: usize = points.parse().context("the column points holds no number")?;
    let missing: Vec<String> =
        (0..points).filter(|point| !whole.rows.contains_key(point)).map(|point| point.to_string()).collect();
    if !missing.is_empty() {
        bail!(
            "points {} of 0 to {} are missing; name the parts that have them",
            missing.join(", "),
            points - 1
        );
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&whole.header)?;
    for (row, _) in whole.rows.values() {
        writer.write_record(row)?;
    }
    files::write(&args.out, &writer.into_inner().context("could not write the rows")?)?;
    println!("{}: {points} points", args.out.display());
    Ok(())
}

fn add(whole: &mut Option<Whole>, path: &Path, name: &str) -> Result<()> {
    let text = files::read(path)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        // The columns of the axes stand between, and may have any name.
        let mut columns = header.iter().collect::<Vec<_>>().into_iter();
        let found = match name {
            "commit" | "hash" => columns.rposition(|column| column == name),
            _ => columns.position(|column| column == name),
        };
        found.with_context(|| format!("it has no column {name}; it is not the output of an experiment"))
    };
    let point = column("point")?;
    let same = [column(SAME[0])?, column(SAME[1])?, column(SAME[2])?, column(SAME[3])?];
    let whole =
        whole.get_or_insert_with(|| Whole { header: header.clone(), same: None, rows: BTreeMap::new() });
    if whole.header != header {
        bail!("its columns are not those of the part before; run all parts with one version");
    }
    for row in reader.records() {
        let row = row?;
        let values = same.map(|column| row[column].to_string());
        let (first, from) = whole.same.get_or_insert_with(|| (values.clone(), name.to_string()));
        for ((column, value), expected) in SAME.into_iter().zip(&values).zip(first.iter()) {
            if value != expected {
                bail!(
                    "{column} is {value}, but {expected} in {from}; run all parts of one file with one version"
                );
            }
        }
        let index: usize =
            row[point].parse().with_context(|| format!("point {} is no number", &row[point]))?;
        if let Some((_, from)) = whole.rows.insert(index, (row, name.to_string())) {
            bail!("point {index} is in {from} too; name each part once");
        }
    }
    Ok(())
}
