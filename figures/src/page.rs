//! What every figure has around its panels: title, key, caption, and labels beside lines.

use plotters::prelude::RGBColor;

use crate::axis::Panel;
use crate::canvas::{Canvas, Font, GREY, INK, Mark, Point, legible, text_width};

/// Room at the edges of a picture [pixels].
pub(crate) const MARGIN: f64 = 24.0;
const CAPTION_SIZE: f64 = 13.5;
const CAPTION_LINE: f64 = 19.0;
const KEY_SIZE: f64 = 14.0;

/// One entry of a key: a mark in its colour and what it stands for.
pub(crate) type KeyEntry<'a> = (Mark, RGBColor, &'a str);

/// The words around the panels.
pub(crate) struct Words<'a> {
    pub(crate) title: &'a str,
    pub(crate) key: &'a [KeyEntry<'a>],
    pub(crate) caption: &'a str,
}

/// A picture with its words; the panels go below `top`.
pub(crate) struct Page {
    pub(crate) canvas: Canvas,
    pub(crate) width: f64,
    pub(crate) top: f64,
}

impl Page {
    /// Sets the words around `body` pixels of height.
    pub(crate) fn new(width: f64, body: f64, words: &Words<'_>) -> Page {
        let caption = wrapped(words.caption, CAPTION_SIZE, width - 2.0 * MARGIN);
        let key_height = if words.key.is_empty() { 0.0 } else { 28.0 };
        let top = MARGIN + 30.0 + key_height;
        let bottom = top + body;
        let height = bottom + 14.0 + CAPTION_LINE * caption.len() as f64 + MARGIN - 8.0;
        let mut canvas = Canvas::new((width as u32, height.ceil() as u32));
        canvas.text((MARGIN, MARGIN + 10.0), words.title, Font::left(21.0, INK));
        let mut x = MARGIN;
        for (mark, color, text) in words.key {
            canvas.mark(*mark, (x + 14.0, MARGIN + 44.0), *color);
            canvas.text((x + 36.0, MARGIN + 44.0), *text, Font::left(KEY_SIZE, INK));
            x += 36.0 + text_width(text, KEY_SIZE) + 28.0;
        }
        for (at, line) in caption.iter().enumerate() {
            let y = bottom + 14.0 + CAPTION_LINE * (at as f64 + 0.5);
            canvas.text((MARGIN, y), line, Font::left(CAPTION_SIZE, GREY));
        }
        Page { canvas, width, top }
    }

    /// Writes labels right of a panel, at the height of what they name, moved apart by as little as keeps
    /// them legible, and none below the panel.
    pub(crate) fn labels_beside(&mut self, panel: &Panel, mut labels: Vec<(f64, RGBColor, &str)>) {
        const LINE: f64 = 1.25 * KEY_SIZE;
        let (_, _, right, bottom) = panel.edges;
        labels.sort_by(|one, other| one.0.total_cmp(&other.0));
        let lowest = |at: usize| bottom - LINE * (labels.len() - 1 - at) as f64;
        let mut heights: Vec<f64> =
            labels.iter().enumerate().map(|(at, label)| label.0.min(lowest(at))).collect();
        spread(&mut heights, LINE);
        for ((_, color, text), y) in labels.into_iter().zip(heights) {
            self.canvas.text((right + 12.0, y), text, Font::left(KEY_SIZE, legible(color)));
        }
    }
}

/// `1 slot`, `2 slots`.
pub(crate) fn counted(count: f64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1.0 { "" } else { "s" })
}

/// The stretches of rows without a missing value between them: what is drawn as one line.
pub(crate) fn runs(rows: &[(f64, Option<f64>)]) -> Vec<Vec<Point>> {
    let present = |run: &[(f64, Option<f64>)]| -> Vec<Point> {
        run.iter().filter_map(|&(x, y)| Some((x, y?))).collect()
    };
    rows.split(|row| row.1.is_none()).map(present).filter(|run| !run.is_empty()).collect()
}

/// Moves sorted places apart until neighbours are `gap` from each other; each group of places that touch
/// stays centred on where it wanted to be.
fn spread(places: &mut [f64], gap: f64) {
    let mut groups: Vec<(f64, usize)> = Vec::new(); // mean wanted place of the middle, members
    for &place in places.iter() {
        groups.push((place, 1));
        while let [.., (above, m), (below, n)] = groups[..] {
            let reach = gap * (m + n) as f64 / 2.0;
            if below - above >= reach {
                break;
            }
            groups.truncate(groups.len() - 2);
            groups.push(((above * m as f64 + below * n as f64) / (m + n) as f64, m + n));
        }
    }
    let spread = groups.into_iter().flat_map(|(middle, count)| {
        (0..count).map(move |at| middle + gap * (at as f64 - (count as f64 - 1.0) / 2.0))
    });
    for (place, moved) in places.iter_mut().zip(spread) {
        *place = moved;
    }
}

fn wrapped(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn labels_that_touch_move_apart_around_their_middle() {
        let mut places = [10.0, 12.0, 50.0];
        spread(&mut places, 10.0);
        assert_eq!(places, [6.0, 16.0, 50.0]);
    }
}
