//! Axes with round ticks, and the panel that two of them span.

use std::ops::Range;

use plotters::prelude::RGBAColor;

use crate::canvas::{Canvas, Font, GREY, GRID, INK, Point};

const TICK_SIZE: f64 = 14.0;

/// One axis: what it shows, its range and its ticks with their labels.
pub(crate) struct Axis {
    pub(crate) title: String,
    pub(crate) range: Range<f64>,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Round ticks, about `count` of them, that enclose the values.
    pub(crate) fn enclosing(title: &str, values: impl IntoIterator<Item = f64>, count: usize) -> Axis {
        let (low, high) = padded_extent(values);
        let step = round_step((high - low) / count as f64);
        let range = (low / step).floor() * step..(high / step).ceil() * step;
        Axis { title: title.to_owned(), ticks: ticks(&range, step), range }
    }

    /// As [`Axis::enclosing`], and zero is on the axis: for quantities whose ratios are compared.
    pub(crate) fn from_zero(title: &str, values: impl IntoIterator<Item = f64>, count: usize) -> Axis {
        Axis::enclosing(title, values.into_iter().chain([0.0]), count)
    }

    /// Round ticks inside a range that ends with the values: for time.
    pub(crate) fn tight(title: &str, values: impl IntoIterator<Item = f64>, count: usize) -> Axis {
        let (low, high) = padded_extent(values);
        Axis {
            title: title.to_owned(),
            range: low..high,
            ticks: ticks(&(low..high), round_step((high - low) / count as f64)),
        }
    }

    /// As [`Axis::from_zero`], in whole numbers.
    pub(crate) fn whole_from_zero(title: &str, values: impl IntoIterator<Item = f64>, count: usize) -> Axis {
        let (_, high) = extent(values.into_iter().chain([0.0, 1.0]));
        let step = round_step(high / count as f64).max(1.0);
        // A line at the top tick is seen best with a little room above it.
        let range = 0.0..(high / step).ceil() * step * 1.08;
        Axis { title: title.to_owned(), ticks: ticks(&range, step), range }
    }

    /// Whole numbers only, with room at both ends.
    pub(crate) fn whole(title: &str, values: impl IntoIterator<Item = f64>, count: usize) -> Axis {
        let (low, high) = extent(values.into_iter().map(f64::round));
        let step = round_step((high - low) / count as f64).max(1.0);
        let room = if high > low { 0.06 * (high - low) } else { 0.5 };
        Axis { title: title.to_owned(), ticks: ticks(&(low..high), step), range: low - room..high + room }
    }

    /// The given ticks.
    pub(crate) fn with_ticks(title: &str, range: Range<f64>, ticks: Vec<(f64, String)>) -> Axis {
        Axis { title: title.to_owned(), range, ticks }
    }
}

/// A rectangle of a picture with a pair of axes.
pub(crate) struct Panel {
    /// Left, top, right and bottom edge [pixels].
    pub(crate) edges: (f64, f64, f64, f64),
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Panel {
    /// Where a pair of values is.
    pub(crate) fn at(&self, x: f64, y: f64) -> Point {
        let (left, top, right, bottom) = self.edges;
        let share = |value: f64, range: &Range<f64>| (value - range.start) / (range.end - range.start);
        (left + share(x, &self.x.range) * (right - left), bottom - share(y, &self.y.range) * (bottom - top))
    }

    /// Tints the panel over a range of the horizontal axis.
    pub(crate) fn shade(&self, canvas: &mut Canvas, x: Range<f64>, color: RGBAColor) {
        let (from, to) = (self.at(x.start, 0.0).0, self.at(x.end, 0.0).0);
        let (_, top, _, bottom) = self.edges;
        canvas.area(vec![(from, top), (to, top), (to, bottom), (from, bottom)], color);
    }

    /// Says that there is nothing to draw.
    pub(crate) fn say_empty(&self, canvas: &mut Canvas) {
        let (left, top, right, bottom) = self.edges;
        canvas.text(((left + right) / 2.0, (top + bottom) / 2.0), "no data", Font::center(15.0, GREY));
    }

    /// Draws grid, axes, tick labels and titles; `x_labels` off in a panel that shares the axis below it.
    pub(crate) fn draw_axes(&self, canvas: &mut Canvas, x_labels: bool) {
        let (left, top, right, bottom) = self.edges;
        let (label, title) = (GREY, INK);
        for (value, text) in &self.x.ticks {
            let (x, _) = self.at(*value, self.y.range.start);
            canvas.line(vec![(x, top), (x, bottom)], GRID, 1.0);
            if x_labels {
                canvas.line(vec![(x, bottom), (x, bottom + 5.0)], GREY, 1.0);
                canvas.text((x, bottom + 16.0), text, Font::center(TICK_SIZE, label));
            }
        }
        for (value, text) in &self.y.ticks {
            let (_, y) = self.at(self.x.range.start, *value);
            canvas.line(vec![(left, y), (right, y)], GRID, 1.0);
            canvas.line(vec![(left - 5.0, y), (left, y)], GREY, 1.0);
            canvas.text((left - 9.0, y), text, Font::right(TICK_SIZE, label));
        }
        canvas.line(vec![(left, top), (left, bottom), (right, bottom)], GREY, 1.0);
        // The title of the vertical axis stands above it, horizontally: it is read without turning the head.
        canvas.text((left, top - 14.0), &self.y.title, Font::left(TICK_SIZE + 1.0, title));
        if x_labels {
            let middle = (left + right) / 2.0;
            canvas.text((middle, bottom + 40.0), &self.x.title, Font::center(TICK_SIZE + 1.0, title));
        }
    }
}

/// A number to the place of `step`, as the ticks of an axis show it whose largest number is `largest`: with
/// the power of ten of that one where it would take too many digits.
pub(crate) fn label(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < 0.5 * step {
        return "0".to_owned();
    }
    let place = step.log10().floor();
    let text = if largest >= 1e6 || place < -4.0 {
        let power = largest.log10().floor();
        format!("{:.*}e{power}", (power - place).clamp(0.0, 12.0) as usize, value / 10f64.powf(power))
    } else {
        format!("{value:.*}", (-place).max(0.0) as usize)
    };
    text.replace('-', "−")
}

/// Smallest and largest value; 0 and 1 where there is none.
fn extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let ends = values.into_iter().fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    });
    ends.unwrap_or((0.0, 1.0))
}

/// The extent, widened where it is too narrow to be divided.
fn padded_extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let (low, high) = extent(values);
    let size = low.abs().max(high.abs());
    match size {
        0.0 => (0.0, 1.0),
        _ if high - low > 1e-9 * size => (low, high),
        _ => (low - 0.1 * size, high + 0.1 * size),
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&round| round >= 0.999 * step)
        .unwrap_or(10.0 * power)
}

fn ticks(range: &Range<f64>, step: f64) -> Vec<(f64, String)> {
    let (first, last) = ((range.start / step - 1e-6).ceil(), (range.end / step + 1e-6).floor());
    let largest = first.abs().max(last.abs()) * step;
    (0..=(last - first).max(0.0) as usize)
        .map(|at| (first + at as f64) * step)
        .map(|value| (value, label(value, step, largest)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Axis, label};

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let axis = Axis::enclosing("", [-0.31, 0.22], 5);
        assert_eq!(labels(&axis), ["−0.4", "−0.2", "0", "0.2", "0.4"]);
        assert!(axis.range.start <= -0.31 && axis.range.end >= 0.22);
    }

    #[test]
    fn one_value_and_none_still_make_an_axis() {
        for axis in [Axis::enclosing("", [7.0], 4), Axis::tight("", [], 4), Axis::whole("", [3.0], 8)] {
            assert!(axis.range.end > axis.range.start);
            assert!(!axis.ticks.is_empty());
        }
        assert_eq!(labels(&Axis::whole("", [3.0], 8)), ["3"]);
    }

    #[test]
    fn pods_and_slots_never_have_a_fraction() {
        assert_eq!(labels(&Axis::whole_from_zero("", [1.0], 4)), ["0", "1"]);
        assert_eq!(labels(&Axis::whole("", [2.0, 4.0], 8)), ["2", "3", "4"]);
    }

    #[test]
    fn very_large_and_very_small_numbers_share_a_power_of_ten() {
        assert_eq!(label(5e8, 5e8, 3.5e9), "0.5e9");
        assert_eq!(label(-2e-6, 1e-6, 7e-6), "−2e−6");
    }
}
