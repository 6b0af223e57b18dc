//! What pods buy: pods against latency, of every candidate of a plan.

use std::path::{Path, PathBuf};

use plotters::prelude::RGBColor;

use crate::axis::{Axis, Panel};
use crate::canvas::{
    BLUE, Font, GREEN, GREY, INK, Mark, ORANGE, PURPLE, Point, SKY, VERMILLION, legible, text_width,
};
use crate::figure::Figure;
use crate::page::{MARGIN, Page, Words, counted};
use crate::{Error, Frame};

/// Colours of cuts and encodings, in their order; of more, the last again.
const COLORS: [RGBColor; 6] = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION];
/// What is slower than so many times the promise is drawn at the upper edge: it would press the rest flat.
const MOST: f64 = 2.5;
/// Pods beyond those of the answer and the runner-up that are shown: a search tries far more, of which nobody asks.
const BEYOND: f64 = 4.0;

/// Draws `pareto`: the latency that the promised share of answers keeps against the pods of both stages, one mark a
/// candidate, filled where the promise is kept; the promise as a line; the front, of candidates that no other undercuts in
/// both; the answer and the runner-up by name.
///
/// # Errors
/// As [`crate::fit`].
pub fn pareto(candidates: &Frame, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let all = Candidate::all(candidates)?;
    let named = all.iter().filter(|of| !of.role.is_empty()).map(|of| of.pods + BEYOND).reduce(f64::max);
    let (candidates_of, far): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|of| named.is_none_or(|most| of.pods <= most));
    let [slo, target] = ["slo_s", "target"].map(|column| candidates.all_numbers(column));
    let (slo, target) = (slo?[0], 100.0 * target?[0]);
    let mut variants: Vec<&str> = candidates_of.iter().map(|of| of.variant.as_str()).collect();
    variants.sort_unstable();
    variants.dedup();
    let color = |of: &Candidate| {
        let at = variants.iter().position(|variant| *variant == of.variant).unwrap_or_default();
        COLORS[at.min(COLORS.len() - 1)]
    };
    let most = MOST * slo;
    let above = candidates_of.iter().filter(|of| of.kept > most).count();
    let caption = caption((&candidates_of, &far), (slo, target), above);
    let mut key: Vec<_> = variants
        .iter()
        .enumerate()
        .map(|(at, variant)| (Mark::Dot, COLORS[at.min(COLORS.len() - 1)], *variant))
        .collect();
    key.push((Mark::Ring, GREY, "promise not kept"));
    key.push((Mark::Line, GREY, "front"));
    let words = Words { title: "What pods buy", key: &key, caption: &caption };
    let mut page = Page::new(1000.0, 560.0, &words);
    let shown = candidates_of.iter().map(|of| of.high.min(most));
    let panel = Panel {
        edges: (MARGIN + 60.0, page.top + 44.0, page.width - MARGIN - 96.0, page.top + 500.0),
        x: Axis::whole("pods of both stages", candidates_of.iter().map(|of| of.pods), 12),
        y: Axis::from_zero(
            &format!("latency that {target} % of answers keep [s]"),
            shown.chain([1.15 * slo]),
            7,
        ),
    };
    panel.draw_axes(&mut page.canvas, true);
    let (left, top, right, _) = panel.edges;
    let promise = panel.at(panel.x.range.start, slo).1;
    page.canvas.dashes(vec![(left, promise), (right, promise)], VERMILLION, 1.5);
    page.canvas.text((right + 8.0, promise), "the promise", Font::left(13.0, legible(VERMILLION)));
    let place = |of: &Candidate| {
        let (x, y) = panel.at(of.pods, of.kept);
        (x, y.max(top))
    };
    let steps = front(&candidates_of, &place);
    // What a name is not to cover: the promise, the front, and another name.
    let mut taken = vec![(left, promise - 2.0, right, promise + 2.0)];
    taken.extend(steps.windows(2).map(|side| {
        let ((x0, y0), (x1, y1)) = (side[0], side[1]);
        (x0.min(x1) - 2.0, y0.min(y1) - 2.0, x0.max(x1) + 2.0, y0.max(y1) + 2.0)
    }));
    page.canvas.line(steps, GREY, 2.0);
    for of in &candidates_of {
        let (at, color) = (place(of), color(of));
        if of.kept <= most {
            let end = |value: f64| (at.0, panel.at(of.pods, value).1.max(top));
            page.canvas.line(vec![end(of.low), end(of.high)], color, 1.0);
        }
        page.canvas.mark(if of.holds { Mark::Dot } else { Mark::Ring }, at, color);
    }
    let marks: Vec<Point> = candidates_of.iter().map(&place).collect();
    for role in ["answer", "runner-up"] {
        if let Some(at) = candidates_of.iter().position(|of| of.role == role) {
            name(&mut page, &panel, (&candidates_of[at], marks[at]), (&marks, &mut taken));
        }
    }
    let plotted = candidates.data().columns().to_vec();
    Figure { name: "pareto", canvas: page.canvas, plotted, sources: &[candidates] }.write(out)
}

/// Left, top, right and bottom edge [pixels].
type Edges = (f64, f64, f64, f64);

struct Candidate {
    /// Cut and encoding.
    variant: String,
    pods_a: f64,
    pods_b: f64,
    pods: f64,
    kept: f64,
    low: f64,
    high: f64,
    holds: bool,
    front: bool,
    role: String,
}

impl Candidate {
    fn all(rows: &Frame) -> Result<Vec<Candidate>, Error> {
        let [name, encoding, verdict, role] =
            ["name", "encoding", "verdict", "role"].map(|column| rows.texts(column));
        let (name, encoding, verdict, role) = (name?, encoding?, verdict?, role?);
        let [pods_a, pods_b, kept, low, high] = ["pods_a", "pods_b", "kept_s", "kept_low_s", "kept_high_s"]
            .map(|column| rows.all_numbers(column));
        let (pods_a, pods_b, kept, low, high) = (pods_a?, pods_b?, kept?, low?, high?);
        let front = rows.flags("front")?;
        let of = |at: usize| Candidate {
            variant: format!("{} as {}", name[at], encoding[at]),
            pods_a: pods_a[at],
            pods_b: pods_b[at],
            pods: pods_a[at] + pods_b[at],
            kept: kept[at],
            low: low[at],
            high: high[at],
            holds: verdict[at] == "holds",
            front: front[at],
            role: role[at].clone(),
        };
        Ok((0..name.len()).map(of).collect())
    }
}

/// The steps of the front: a latency can be had from its candidate's pods on.
fn front(candidates: &[Candidate], place: &impl Fn(&Candidate) -> Point) -> Vec<Point> {
    let mut on: Vec<&Candidate> = candidates.iter().filter(|of| of.front).collect();
    on.sort_by(|one, other| one.pods.total_cmp(&other.pods));
    let mut points: Vec<Point> = Vec::new();
    for of in on {
        let at = place(of);
        if let Some(&(_, before)) = points.last() {
            points.push((at.0, before));
        }
        points.push(at);
    }
    points
}

/// Names a candidate where there is room: of several places around it, the one that covers the fewest marks, with a line
/// to it.
fn name(
    page: &mut Page,
    panel: &Panel,
    (of, (x, y)): (&Candidate, Point),
    (marks, taken): (&[Point], &mut Vec<Edges>),
) {
    const LINE: f64 = 18.0;
    let lines = [
        if of.role == "answer" { "answer".to_owned() } else { "runner-up".to_owned() },
        format!("{} of A, {} of B", counted(of.pods_a, "pod"), of.pods_b),
        of.variant.clone(),
    ];
    let width = lines.iter().map(|line| text_width(line, 14.0)).fold(0.0, f64::max);
    let height = LINE * lines.len() as f64;
    let (left, top, right, bottom) = panel.edges;
    let mut best: Option<(usize, (f64, f64))> = None;
    for (over, up) in [
        (34.0, -70.0),
        (34.0, 40.0),
        (-34.0, -70.0),
        (-34.0, 40.0),
        (70.0, -120.0),
        (70.0, 90.0),
        (-70.0, -120.0),
        (-70.0, 90.0),
    ] {
        let from_x = if over > 0.0 { x + over } else { x + over - width };
        let from_x = from_x.clamp(left + 8.0, (right - 8.0 - width).max(left + 8.0));
        let from_y = (y + up).clamp(top + 8.0, bottom - 8.0 - height);
        let inside = |&(at_x, at_y): &Point| {
            (from_x - 12.0..=from_x + width + 12.0).contains(&at_x)
                && (from_y - 12.0..=from_y + height + 12.0).contains(&at_y)
        };
        let clash = |&(x0, y0, x1, y1): &Edges| {
            from_x < x1 && x0 < from_x + width && from_y < y1 && y0 < from_y + height
        };
        let covers = marks.iter().filter(|mark| inside(mark)).count()
            + 10 * taken.iter().filter(|box_| clash(box_)).count();
        if best.is_none_or(|(fewest, _)| covers < fewest) {
            best = Some((covers, (from_x, from_y)));
        }
    }
    let Some((_, (from_x, from_y))) = best else { return };
    taken.push((from_x, from_y, from_x + width, from_y + height));
    let nearest = (x.clamp(from_x, from_x + width), y.clamp(from_y, from_y + height));
    let away = (nearest.0 - x).hypot(nearest.1 - y).max(1.0);
    let start = (x + 8.0 * (nearest.0 - x) / away, y + 8.0 * (nearest.1 - y) / away);
    page.canvas.line(vec![start, nearest], GREY, 1.0);
    for (at, text) in lines.into_iter().enumerate() {
        page.canvas.text((from_x, from_y + LINE * (at as f64 + 0.5)), text, Font::left(14.0, INK));
    }
}

fn caption((shown, far): (&[Candidate], &[Candidate]), (slo, target): (f64, f64), above: usize) -> String {
    let kept = shown.iter().chain(far).filter(|of| of.holds).count();
    let mut text = format!(
        "n = {}, {kept} of them keep the promise: {target} % of all requests answered within {slo} s. Bars: 95 % intervals over the seeds.",
        counted((shown.len() + far.len()) as f64, "candidate")
    );
    if !far.is_empty() {
        text +=
            &format!(" {} of more pods {} left out.", far.len(), if far.len() == 1 { "is" } else { "are" });
    }
    if above > 0 {
        text += &format!(
            " {} above {MOST} times the promise {} at the upper edge.",
            counted(above as f64, "candidate"),
            if above == 1 { "stands" } else { "stand" }
        );
    }
    text
}
