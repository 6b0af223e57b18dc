//! A picture as a list of shapes, painted once as SVG and once as PNG.
//!
//! plotters counts in whole pixels and paints thick lines without smoothing. So a picture is painted on a
//! grid of 4 units a pixel: the SVG maps them back by its viewBox, and the PNG averages 2 x 2 of them, which
//! leaves 2 dots a pixel with smooth edges. The font is embedded, so that both look the same everywhere.

use std::sync::OnceLock;

use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png, imageops};
use plotters::coord::Shift;
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon};
use plotters::prelude::{
    BitMapBackend, Color, ColorMap, DrawingArea, DrawingBackend, IntoDrawingArea, RGBAColor, RGBColor,
    SVGBackend, ViridisRGB, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, IntoFont, TextStyle, register_font};

/// A place on a picture [pixels from the top left].
pub(crate) type Point = (f64, f64);

pub(crate) const INK: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);
pub(crate) const GREY: RGBColor = RGBColor(0x5c, 0x5c, 0x5c);
pub(crate) const PALE: RGBColor = RGBColor(0xd0, 0xd0, 0xd0);
pub(crate) const GRID: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);
pub(crate) const SHADE: RGBColor = RGBColor(0xee, 0xee, 0xee);

// Categories: colours that most colour-blind readers tell apart (M. Okabe and K. Ito, 2008).
pub(crate) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub(crate) const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
pub(crate) const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
pub(crate) const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);
pub(crate) const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
pub(crate) const VERMILLION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

/// The sequential colour of the `at`-th of `count` ordered levels; the yellow end, too pale for lines on
/// white, is left out.
pub(crate) fn ordered(at: usize, count: usize) -> RGBColor {
    let share = at as f64 / count.saturating_sub(1).max(1) as f64;
    ViridisRGB.get_color(0.76 * share)
}

/// The colour, darkened so that small letters in it can be read on white.
pub(crate) fn legible(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let dark = |part: u8| (f64::from(part) * 0.72).round() as u8;
    RGBColor(dark(red), dark(green), dark(blue))
}

/// How a text stands: size of its em [pixels], colour, and which side of it is at its place.
#[derive(Clone, Copy)]
pub(crate) struct Font {
    pub(crate) size: f64,
    pub(crate) color: RGBColor,
    pub(crate) anchor: HPos,
}

impl Font {
    pub(crate) fn left(size: f64, color: RGBColor) -> Font {
        Font { size, color, anchor: HPos::Left }
    }

    pub(crate) fn right(size: f64, color: RGBColor) -> Font {
        Font { size, color, anchor: HPos::Right }
    }

    pub(crate) fn center(size: f64, color: RGBColor) -> Font {
        Font { size, color, anchor: HPos::Center }
    }
}

/// A symbol for one value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Dot,
    Ring,
    Square,
    Diamond,
    Line,
    Band,
}

/// A picture.
pub(crate) struct Canvas {
    size: (u32, u32),
    shapes: Vec<Shape>,
}

enum Shape {
    Line { points: Vec<Point>, color: RGBAColor, width: f64, dashed: bool },
    Area { points: Vec<Point>, color: RGBAColor },
    Circle { at: Point, radius: f64, color: RGBAColor },
    Text { at: Point, text: String, font: Font },
}

impl Canvas {
    /// An empty picture of `size` pixels.
    pub(crate) fn new(size: (u32, u32)) -> Canvas {
        Canvas { size, shapes: Vec::new() }
    }

    pub(crate) fn line(&mut self, points: Vec<Point>, color: impl Color, width: f64) {
        self.shapes.push(Shape::Line { points, color: color.to_rgba(), width, dashed: false });
    }

    /// A line, or a dot where there is but one point to show.
    pub(crate) fn run(&mut self, points: Vec<Point>, color: RGBColor, width: f64) {
        match points[..] {
            [at] => self.disc(at, width.max(3.0), color),
            _ => self.line(points, color, width),
        }
    }

    pub(crate) fn dashes(&mut self, points: Vec<Point>, color: impl Color, width: f64) {
        self.shapes.push(Shape::Line { points, color: color.to_rgba(), width, dashed: true });
    }

    pub(crate) fn area(&mut self, points: Vec<Point>, color: impl Color) {
        self.shapes.push(Shape::Area { points, color: color.to_rgba() });
    }

    /// A text whose capitals are centred on the height of `at`.
    pub(crate) fn text(&mut self, at: Point, text: impl Into<String>, font: Font) {
        self.shapes.push(Shape::Text { at, text: text.into(), font });
    }

    pub(crate) fn mark(&mut self, mark: Mark, (x, y): Point, color: RGBColor) {
        let at = |right: f64, down: f64| (x + right, y + down);
        match mark {
            Mark::Dot => self.disc((x, y), 4.0, color),
            // White inside: the marks and lines below a ring would make it look filled.
            Mark::Ring => {
                self.disc((x, y), 5.5, color);
                self.disc((x, y), 3.75, WHITE);
            }
            Mark::Square => self.outline([at(-5.0, -5.0), at(5.0, -5.0), at(5.0, 5.0), at(-5.0, 5.0)], color),
            Mark::Diamond => self.outline([at(0.0, -7.0), at(7.0, 0.0), at(0.0, 7.0), at(-7.0, 0.0)], color),
            Mark::Line => self.line(vec![at(-14.0, 0.0), at(14.0, 0.0)], color, 2.5),
            Mark::Band => {
                self.area(vec![at(-14.0, -7.0), at(14.0, -7.0), at(14.0, 7.0), at(-14.0, 7.0)], color);
            }
        }
    }

    fn disc(&mut self, at: Point, radius: f64, color: RGBColor) {
        self.shapes.push(Shape::Circle { at, radius, color: color.to_rgba() });
    }

    /// A hollow square, in four strokes: plotters does not close a thick path.
    fn outline(&mut self, corners: [Point; 4], color: RGBColor) {
        const WIDTH: f64 = 1.75;
        for side in 0..4 {
            let ((from_x, from_y), (to_x, to_y)) = (corners[side], corners[(side + 1) % 4]);
            let reach = WIDTH / 2.0 / (to_x - from_x).hypot(to_y - from_y);
            let (right, down) = (reach * (to_x - from_x), reach * (to_y - from_y));
            self.line(vec![(from_x - right, from_y - down), (to_x + right, to_y + down)], color, WIDTH);
        }
    }

    /// The picture as SVG.
    pub(crate) fn svg(&self) -> Result<String, String> {
        let (width, height) = self.size;
        let mut svg = String::new();
        // plotters writes size / 1.24 as the font size; `dy` is half an x-height, 0.27 em in this font.
        let ways = Ways { scale: 1.24, drop: CAPITAL / 2.0 - 0.27, joins: true };
        self.paint(SVGBackend::with_string(&mut svg, self.grid()), ways)?;
        let (grid_width, grid_height) = self.grid();
        let painted = format!("width=\"{grid_width}\" height=\"{grid_height}\"");
        let shown = format!("width=\"{width}\" height=\"{height}\" stroke-linejoin=\"round\"");
        Ok(svg.replacen(&painted, &shown, 1))
    }

    /// The picture as PNG, 2 dots a pixel.
    pub(crate) fn png(&self) -> Result<Vec<u8>, String> {
        let (width, height) = self.grid();
        let mut dots = vec![0; width as usize * height as usize * 3];
        // plotters scales the whole line, 1.164 em in this font, to its size, and sets the baseline half of
        // it below a place that is half of size / 1.24 higher. Its thick lines end in long spikes where they
        // turn sharply.
        let scale = LINE;
        let ways = Ways { scale, drop: CAPITAL / 2.0 - scale * (0.5 - 0.5 / 1.24), joins: false };
        self.paint(BitMapBackend::with_buffer(&mut dots, (width, height)), ways)?;
        let grid = RgbImage::from_raw(width, height, dots).ok_or("the picture does not fit its buffer")?;
        let half = imageops::thumbnail(&grid, width / 2, height / 2);
        let mut bytes = Vec::new();
        png::PngEncoder::new_with_quality(
            &mut bytes,
            png::CompressionType::Default,
            png::FilterType::Adaptive,
        )
        .write_image(&half, half.width(), half.height(), ExtendedColorType::Rgb8)
        .map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn grid(&self) -> (u32, u32) {
        (self.size.0 * GRID_UNITS as u32, self.size.1 * GRID_UNITS as u32)
    }

    fn paint<DB: DrawingBackend>(&self, backend: DB, ways: Ways) -> Result<(), String> {
        if !font_is_ready() {
            return Err("the embedded font cannot be read".to_owned());
        }
        let area = backend.into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        for shape in &self.shapes {
            shape.paint(&area, ways)?;
        }
        area.present().map_err(|error| error.to_string())
    }
}

/// Width of a text [pixels].
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    // Measured large, because plotters rounds to whole units.
    let wide = font_is_ready().then(|| (FAMILY, 100.0 * LINE).into_font().box_size(text).ok()).flatten();
    wide.map_or(0.6 * size * text.chars().count() as f64, |(width, _)| f64::from(width) * size / 100.0)
}

/// Units of the painting grid in a pixel.
const GRID_UNITS: f64 = 4.0;
/// Height of a line in the font [em]: ascender 0.928 and descender 0.236.
const LINE: f64 = 1.164;
/// Height of a capital in the font [em].
const CAPITAL: f64 = 0.729;
/// The family in an SVG: where DejaVu Sans is missing, Verdana is as wide.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// The ways of a backend, which make both set a text of the same size at the same height, and turn lines
/// alike.
#[derive(Clone, Copy)]
struct Ways {
    /// Size to ask for, in em.
    scale: f64,
    /// How far below the middle of the capitals to set it [em].
    drop: f64,
    /// Whether the corners of a line are joined well.
    joins: bool,
}

impl Shape {
    fn paint<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, ways: Ways) -> Result<(), String> {
        let units = |pixels: f64| (pixels * GRID_UNITS).round() as i32;
        let place = |&(x, y): &Point| (units(x), units(y));
        let places = |points: &[Point]| points.iter().map(place).collect::<Vec<_>>();
        let painted = match self {
            Shape::Line { points, color, width, dashed: false } if !ways.joins && points.len() > 2 => {
                let style = color.stroke_width(units(*width) as u32);
                let corner = |at: &Point| Circle::new(place(at), units(*width) / 2, color.filled());
                let corners = points[1..points.len() - 1].iter();
                points
                    .windows(2)
                    .try_for_each(|side| area.draw(&PathElement::new(places(side), style)))
                    .and_then(|()| corners.map(corner).try_for_each(|corner| area.draw(&corner)))
            }
            Shape::Line { points, color, width, dashed: false } => {
                area.draw(&PathElement::new(places(points), color.stroke_width(units(*width) as u32)))
            }
            Shape::Line { points, color, width, dashed: true } => {
                let style = color.stroke_width(units(*width) as u32);
                area.draw(&DashedPathElement::new(places(points), units(7.0), units(5.0), style))
            }
            Shape::Area { points, color } => area.draw(&Polygon::new(places(points), color.filled())),
            Shape::Circle { at, radius, color } => {
                area.draw(&Circle::new(place(at), units(*radius), color.filled()))
            }
            Shape::Text { at: (x, y), text, font } => {
                let em = font.size * GRID_UNITS;
                let style = TextStyle::from((FAMILY, em * ways.scale).into_font())
                    .color(&font.color)
                    .pos(Pos::new(font.anchor, VPos::Center));
                area.draw_text(text, &style, place(&(*x, y + ways.drop * font.size)))
            }
        };
        painted.map_err(|error| error.to_string())
    }
}

/// Gives plotters the embedded font, once; whether it can be read.
fn font_is_ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, include_bytes!("../fonts/DejaVuSans.ttf")).is_ok()
    })
}
