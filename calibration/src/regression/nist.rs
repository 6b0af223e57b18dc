//! The nonlinear problems of NIST's Statistical Reference Datasets, certified to eleven digits.
//!
//! A file says where its starting values, certified values and data stand, in lines; nothing of it is copied
//! here but the laws, which it gives as text.

use std::f64::consts::PI;

use serde::Serialize;
use twofloat::TwoFloat;

use super::least_squares::{Law, Point, fit};
use super::number::Number;
use crate::CalibrationError;

/// Digits beyond which agreement says nothing: so many are certified.
const CERTIFIED_DIGITS: f64 = 11.0;

/// A problem of the collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    law: NistLaw,
    points: Vec<Point>,
    starts: [Vec<f64>; 2],
    parameters: Vec<f64>,
    standard_errors: Vec<f64>,
}

/// How near a fit comes to what is certified.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Name of the problem.
    pub problem: String,
    /// Which of its starting values, 1 or 2.
    pub start: u32,
    /// Digits to which the worst parameter agrees, 0 to 11: -log10 of its relative error.
    pub parameter_digits: f64,
    /// The same of the worst standard error.
    pub standard_error_digits: f64,
}

impl Problem {
    /// Reads a problem from the text of its file; `file` is its name in messages.
    ///
    /// # Errors
    /// A line that is not what the file's head says it is, or a problem whose law is not known.
    pub fn parse(file: &str, text: &str) -> Result<Problem, CalibrationError> {
        let text = Text { file, lines: text.lines().collect() };
        let name = text.after("Dataset Name:")?.1.split_whitespace().next().unwrap_or_default();
        let law = NistLaw::named(name).ok_or_else(|| text.bad(1, format!("no law is known for {name:?}")))?;
        let mut problem = Problem {
            law,
            points: vec![],
            starts: [vec![], vec![]],
            parameters: vec![],
            standard_errors: vec![],
        };
        for line in text.lines_of("Starting Values")? {
            let row = text.numbers(line, line.1.split_once('=').map_or("", |(_, numbers)| numbers))?;
            let &[first, second, parameter, standard_error] = &row[..] else {
                return Err(text.bad(line.0, "not b = START START PARAMETER DEVIATION"));
            };
            problem.starts[0].push(first);
            problem.starts[1].push(second);
            problem.parameters.push(parameter);
            problem.standard_errors.push(standard_error);
        }
        for line in text.lines_of("Data")? {
            let x = text.numbers(line, line.1)?.split_off(1);
            let y = long(line.1.split_whitespace().next().unwrap_or_default());
            let y = if name == "Nelson" { Number::ln(y) } else { y };
            problem.points.push(Point { x, y, weight: 1.0 });
        }
        let (found, due) = (problem.parameters.len(), problem.law.parameters());
        if found != due {
            return Err(text.bad(1, format!("{found} parameters, the law of {name} has {due}")));
        }
        Ok(problem)
    }

    /// Fits it from both starts.
    pub fn solve(&self) -> [Agreement; 2] {
        [0, 1].map(|start| {
            let fit = fit(&self.law, &self.points, &self.starts[start]);
            let parameters = fit.as_ref().map(|fit| &fit.parameters);
            let errors = fit.as_ref().and_then(|fit| fit.standard_errors.as_ref());
            Agreement {
                problem: self.law.name.into(),
                start: start as u32 + 1,
                parameter_digits: parameters.map_or(0.0, |found| digits(found, &self.parameters)),
                standard_error_digits: errors.map_or(0.0, |found| digits(found, &self.standard_errors)),
            }
        })
    }
}

/// A decimal number to all of its digits; it is known to be one.
fn long(text: &str) -> TwoFloat {
    let near = TwoFloat::from(text.parse().unwrap_or(f64::NAN));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (digits, exponent) = (format!("{whole}{part}").parse::<i64>(), exponent.parse::<i32>());
    match (digits, exponent) {
        (Ok(digits), Ok(exponent)) if digits.unsigned_abs() < 1 << f64::MANTISSA_DIGITS => {
            let tens = exponent - part.len() as i32;
            let power = TwoFloat::from(10.0).powi(tens.abs());
            let digits = TwoFloat::from(digits as f64);
            if tens < 0 { digits / power } else { digits * power }
        }
        _ => near,
    }
}

/// Digits of the worst of them (McCullough, *Assessing the reliability of statistical software*, The American
/// Statistician 52(4), 1998: the log relative error).
fn digits(found: &[f64], certified: &[f64]) -> f64 {
    let worst = found.iter().zip(certified).map(|(f, c)| ((f - c) / c).abs()).fold(0.0, f64::max);
    (-worst.log10()).clamp(0.0, CERTIFIED_DIGITS)
}

/// The lines of a file.
struct Text<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
}

impl<'a> Text<'a> {
    fn bad(&self, line: usize, why: impl Into<String>) -> CalibrationError {
        CalibrationError::Nist { file: self.file.into(), line, why: why.into() }
    }

    /// The first line that holds `words`, by its number from 1, and what follows them.
    fn after(&self, words: &str) -> Result<(usize, &'a str), CalibrationError> {
        let mut lines = self.lines.iter().enumerate();
        lines
            .find_map(|(i, line)| {
                let line =
                    line.to_ascii_lowercase().find(&words.to_ascii_lowercase()).map(|at| &line[at..])?;
                Some((i + 1, &line[words.len()..]))
            })
            .ok_or_else(|| self.bad(1, format!("no line says {words:?}; not one of NIST's problems?")))
    }

    /// The lines, numbered, that the head names as `(lines 41 to 43)` behind `words`.
    fn lines_of(&self, words: &str) -> Result<Vec<(usize, &'a str)>, CalibrationError> {
        let (line, range) = self.after(&format!("{words} "))?;
        let mut bounds = range.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
        let mut bound = || bounds.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(from), Some(to)) = (bound(), bound()) else {
            return Err(self.bad(line, format!("{words} stand in no range of lines")));
        };
        let taken = from.checked_sub(1).and_then(|from| self.lines.get(from..to));
        let taken = taken.ok_or_else(|| self.bad(line, format!("the file ends before line {to}")))?;
        Ok((from..).zip(taken.iter().copied()).collect())
    }

    fn numbers(&self, line: (usize, &str), text: &str) -> Result<Vec<f64>, CalibrationError> {
        let number =
            |word: &str| word.parse().map_err(|_| self.bad(line.0, format!("{word:?} is no number")));
        text.split_whitespace().map(number).collect()
    }
}

/// A law of the collection.
#[derive(Debug, Clone, Copy, PartialEq)]
struct NistLaw {
    name: &'static str,
    parameters: usize,
    /// Indices of the linear ones, from 0.
    linear: &'static [usize],
}

/// Name, parameters, the linear ones.
const LAWS: [(&str, usize, &[usize]); 27] = [
    ("Bennett5", 3, &[0]),
    ("BoxBOD", 2, &[0]),
    ("Chwirut1", 3, &[]),
    ("Chwirut2", 3, &[]),
    ("DanWood", 2, &[0]),
    ("ENSO", 9, &[0, 1, 2, 4, 5, 7, 8]),
    ("Eckerle4", 3, &[0]),
    ("Gauss1", 8, &[0, 2, 5]),
    ("Gauss2", 8, &[0, 2, 5]),
    ("Gauss3", 8, &[0, 2, 5]),
    ("Hahn1", 7, &[0, 1, 2, 3]),
    ("Kirby2", 5, &[0, 1, 2]),
    ("Lanczos1", 6, &[0, 2, 4]),
    ("Lanczos2", 6, &[0, 2, 4]),
    ("Lanczos3", 6, &[0, 2, 4]),
    ("MGH09", 4, &[0]),
    ("MGH10", 3, &[0]),
    ("MGH17", 5, &[0, 1, 2]),
    ("Misra1a", 2, &[0]),
    ("Misra1b", 2, &[0]),
    ("Misra1c", 2, &[0]),
    ("Misra1d", 2, &[0]),
    ("Nelson", 3, &[0, 1]),
    ("Rat42", 3, &[0]),
    ("Rat43", 4, &[0]),
    ("Roszman1", 4, &[0, 1]),
    ("Thurber", 7, &[0, 1, 2, 3]),
];

impl NistLaw {
    fn named(name: &str) -> Option<NistLaw> {
        let &(name, parameters, linear) = LAWS.iter().find(|law| law.0 == name)?;
        Some(NistLaw { name, parameters, linear })
    }
}

impl Law for NistLaw {
    fn parameters(&self) -> usize {
        self.parameters
    }

    fn linear(&self) -> &[usize] {
        self.linear
    }

    fn value<N: Number>(&self, b: &[N], x: &[f64]) -> N {
        let of = N::from;
        let (one, two, all) = (of(1.0), of(2.0), x);
        let x = of(x[0]);
        let b = |number: usize| b[number - 1];
        let wave = |cosine: N, sine: N, period: N| {
            let angle = of(2.0 * PI) * x / period;
            cosine * angle.cos() + sine * angle.sin()
        };
        match self.name {
            "Bennett5" => b(1) * (b(2) + x).pow(-one / b(3)),
            "BoxBOD" | "Misra1a" => b(1) * (one - (-b(2) * x).exp()),
            "Chwirut1" | "Chwirut2" => (-b(1) * x).exp() / (b(2) + b(3) * x),
            "DanWood" => b(1) * x.pow(b(2)),
            "ENSO" => {
                let year = wave(b(2), b(3), of(12.0));
                b(1) + year + wave(b(5), b(6), b(4)) + wave(b(8), b(9), b(7))
            }
            "Eckerle4" => b(1) / b(2) * (of(-0.5) * ((x - b(3)) / b(2)).squared()).exp(),
            "Gauss1" | "Gauss2" | "Gauss3" => {
                let peak = |height: N, at: N, width: N| height * (-((x - at) / width).squared()).exp();
                b(1) * (-b(2) * x).exp() + peak(b(3), b(4), b(5)) + peak(b(6), b(7), b(8))
            }
            "Hahn1" | "Thurber" => {
                (b(1) + x * (b(2) + x * (b(3) + x * b(4)))) / (one + x * (b(5) + x * (b(6) + x * b(7))))
            }
            "Kirby2" => (b(1) + x * (b(2) + x * b(3))) / (one + x * (b(4) + x * b(5))),
            "Lanczos1" | "Lanczos2" | "Lanczos3" => {
                b(1) * (-b(2) * x).exp() + b(3) * (-b(4) * x).exp() + b(5) * (-b(6) * x).exp()
            }
            "MGH09" => b(1) * x * (x + b(2)) / (x * (x + b(3)) + b(4)),
            "MGH10" => b(1) * (b(2) / (x + b(3))).exp(),
            "MGH17" => b(1) + b(2) * (-x * b(4)).exp() + b(3) * (-x * b(5)).exp(),
            "Misra1b" => b(1) * (one - one / (one + b(2) * x / two).squared()),
            "Misra1c" => b(1) * (one - (one + two * b(2) * x).pow(of(-0.5))),
            "Misra1d" => b(1) * b(2) * x / (one + b(2) * x),
            "Nelson" => b(1) - b(2) * x * (-b(3) * of(all[1])).exp(),
            "Rat42" => b(1) / (one + (b(2) - b(3) * x).exp()),
            "Rat43" => b(1) / (one + (b(2) - b(3) * x).exp()).pow(one / b(4)),
            "Roszman1" => b(1) - b(2) * x - (b(3) / (x - b(4))).atan() / of(PI),
            other => unreachable!("{other} is not in LAWS"),
        }
    }
}
