//! The images that are sent: a folder's, a list's, or a few that are drawn here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::{ImageFormat, Rgb, RgbImage};
use splitscale_serving::image::Photo;

/// A name and the bytes of an image file.
pub type Image = (String, Vec<u8>);

/// The JPEG and PNG files of a folder in the order of their names, or those that a file lists, each decoded once
/// to see that it is an image; without either, four JPEGs drawn by formula.
pub fn load(from: Option<&Path>) -> Result<Vec<Image>> {
    let Some(from) = from else { return (0..4).map(draw).collect() };
    let mut images = Vec::new();
    for path in if from.is_file() { listed(from)? } else { inside(from)? } {
        let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        Photo::decode(&bytes).with_context(|| format!("{} cannot be sent", path.display()))?;
        images.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes));
    }
    Ok(images)
}

/// The files that a text names, one a line, relative to its folder.
fn listed(list: &Path) -> Result<Vec<PathBuf>> {
    let bytes = fs::read(list).with_context(|| format!("could not read {}", list.display()))?;
    let Ok(text) = String::from_utf8(bytes) else {
        bail!(
            "{} is no text; give a folder of images, or a file that lists some, one a line",
            list.display()
        );
    };
    let folder = list.parent().unwrap_or(Path::new(""));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let paths: Vec<PathBuf> = lines.map(|line| folder.join(line)).collect();
    if paths.is_empty() {
        bail!("{} lists no file; write one a line", list.display());
    }
    Ok(paths)
}

fn inside(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        if path.is_file() && ["jpg", "jpeg", "png"].contains(&extension.as_str()) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        bail!("{} holds no .jpg, .jpeg or .png file", folder.display());
    }
    paths.sort();
    Ok(paths)
}

/// A 500 x 375 JPEG: a colour gradient with rings, different for each number.
fn draw(number: u32) -> Result<Image> {
    let (centre_x, centre_y) = (120.0 + 80.0 * f64::from(number), 180.0);
    let picture = RgbImage::from_fn(500, 375, |x, y| {
        let (dx, dy) = (f64::from(x) - centre_x, f64::from(y) - centre_y);
        let ring = ((dx * dx + dy * dy).sqrt() / (6.0 + f64::from(number))).sin();
        Rgb([(x / 2) as u8, (y * 2 / 3) as u8, (128.0 + 127.0 * ring) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).context("could not draw an image")?;
    Ok((format!("drawn-{number}.jpg"), bytes.into_inner()))
}
