//! Reads the Prometheus text format, version 0.0.4, as far as the servers write it.

/// One scrape of one server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition {
    series: Vec<Series>,
}

#[derive(Debug, Clone, PartialEq)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// A line that is not the text format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no sample in the Prometheus text format: {text}")]
pub struct NotExposition {
    /// Line, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl Exposition {
    /// Parses a whole body.
    ///
    /// # Errors
    /// The first line that is neither a comment nor a sample.
    pub fn parse(body: &str) -> Result<Self, NotExposition> {
        let mut series = Vec::new();
        for (index, line) in body.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let sample = parse_sample(line)
                .ok_or_else(|| NotExposition { line: index + 1, text: line.chars().take(120).collect() })?;
            series.push(sample);
        }
        Ok(Exposition { series })
    }

    /// The value of the one series with this name that carries these labels (and maybe others); absent
    /// where there is none or where it is no finite number.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.series.iter().find(|s| s.name == name && s.carries(labels))?;
        found.value.is_finite().then_some(found.value)
    }

    /// The sum over all series with this name that carry these labels; absent where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.series.iter().filter(|s| s.name == name && s.carries(labels)).peekable();
        found.peek()?;
        Some(found.map(|s| s.value).sum()).filter(|sum: &f64| sum.is_finite())
    }

    /// Whether any series has a name that begins so.
    pub fn any(&self, prefix: &str) -> bool {
        self.series.iter().any(|series| series.name.starts_with(prefix))
    }

    /// Every (value of `label`, value) of a name, in the order of the body.
    pub fn by_label<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.labelled(name, &[], label)
    }

    /// The same of those that carry these labels.
    pub fn labelled<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
        label: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        self.series.iter().filter(move |s| s.name == name && s.carries(labels)).filter_map(move |s| {
            let (_, value) = s.labels.iter().find(|(key, _)| key == label)?;
            Some((value.as_str(), s.value))
        })
    }

    /// Adds a series.
    pub fn push(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.series.push(Series { name: name.to_owned(), labels, value });
    }
}

impl Series {
    fn carries(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|&(key, value)| self.labels.iter().any(|(k, v)| k == key && v == value))
    }
}

/// `name{key="value",...} value [timestamp]`
fn parse_sample(line: &str) -> Option<Series> {
    let name_end = line.find(['{', ' ', '\t'])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once('=')?;
            let (value, after) = parse_quoted(after.trim_start())?;
            labels.push((key.trim().to_string(), value));
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().ok()?,
    };
    (!name.is_empty()).then(|| Series { name: name.to_string(), labels, value })
}

/// A quoted label value with `\\`, `\"` and `\n` escaped, and what follows it.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}
