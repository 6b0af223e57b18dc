//! One axis of a sweep, and how a field is found by its path.

use serde::Deserialize;
use splitscale_spec::Invalid;
use toml::{Table, Value};

/// As written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sweep {
    name: Option<String>,
    fields: Option<Vec<String>>,
    values: Option<Vec<Value>>,
    cases: Option<Vec<Case>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    label: String,
    set: Table,
}

/// An axis: its cases, each of which sets fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) name: String,
    cases: Vec<Case>,
}

impl Axis {
    /// The sweep number `index` of the document.
    pub(super) fn of(index: usize, sweep: Sweep) -> Result<Self, Invalid> {
        let field = |name: &str| format!("sweep[{index}].{name}");
        let (name, cases) = match (sweep.fields, sweep.values, sweep.cases) {
            (Some(fields), Some(values), None) => {
                if fields.is_empty() {
                    return Err(Invalid::new(field("fields"), "empty; name a field, such as \"link.slots\""));
                }
                let set = |value: &Value| fields.iter().map(|path| (path.clone(), value.clone())).collect();
                let case = |value: &Value| Case { label: words(value), set: set(value) };
                (fields.join("+"), values.iter().map(case).collect::<Vec<_>>())
            }
            (None, None, Some(cases)) => match &sweep.name {
                Some(name) => (name.clone(), cases),
                None => return Err(Invalid::new(field("name"), "missing; name the axis of these cases")),
            },
            _ => {
                let problem = "an axis has either fields and values or a name and cases";
                return Err(Invalid::new(format!("sweep[{index}]"), problem));
            }
        };
        if cases.is_empty() {
            return Err(Invalid::new(format!("sweep[{index}]"), "empty; an axis has at least one value"));
        }
        Ok(Axis { name: sweep.name.unwrap_or(name), cases })
    }

    pub(super) fn len(&self) -> usize {
        self.cases.len()
    }

    /// What case `index` is called and what it sets.
    pub(super) fn case(&self, index: usize) -> (String, impl Iterator<Item = (&String, &Value)>) {
        let case = &self.cases[index];
        (case.label.clone(), case.set.iter())
    }

    /// Whether every case sets this field, or one that holds it.
    pub(super) fn sets(&self, path: &str) -> bool {
        let holds =
            |set: &str| path.strip_prefix(set).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.cases.iter().all(|case| case.set.keys().any(|set| holds(set)))
    }
}

/// Refuses axes of one name, and an axis that sets what one before it has set: the later would silently win.
pub(super) fn disjoint(axes: &[Axis]) -> Result<(), Invalid> {
    for (index, axis) in axes.iter().enumerate() {
        for before in &axes[..index] {
            if axis.name == before.name {
                let problem = format!("`{}` names two axes; give one another name", axis.name);
                return Err(Invalid::new(format!("sweep[{index}].name"), problem));
            }
            let paths = |axis: &Axis| -> Vec<String> {
                axis.cases.iter().flat_map(|case| case.set.keys().cloned()).collect()
            };
            let within = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let (ours, theirs) = (paths(axis), paths(before));
            let clash = ours.iter().find(|x| theirs.iter().any(|y| within(y, x)));
            if let Some(path) = clash {
                let problem = format!("`{path}` is set by axis `{}` too; sweep it on one", before.name);
                return Err(Invalid::new(format!("sweep[{index}]"), problem));
            }
        }
    }
    Ok(())
}

/// What stands at `path`, whose parts are keys, or numbers in lists.
pub(super) fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let first = table.get(first)?;
    rest.split('.').filter(|part| !part.is_empty()).try_fold(first, |value, part| match value {
        Value::Table(table) => table.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Puts `value` at `path`; tables on the way are made.
pub(super) fn put(table: &mut Table, path: &str, value: Value) -> Result<(), Invalid> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    if first.is_empty() {
        return Err(Invalid::new(path, "not a path of a field, such as link.slots"));
    }
    let Some(rest) = rest else {
        table.insert(first.to_owned(), value);
        return Ok(());
    };
    let next = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    let below = |invalid: Invalid| Invalid::new(format!("{first}.{}", invalid.field), invalid.problem);
    match next {
        Value::Table(table) => put(table, rest, value).map_err(below),
        Value::Array(list) => put_in_list(list, rest, value).map_err(below),
        other => Err(Invalid::new(first, format!("{other}, which has no field `{rest}`; mend the path"))),
    }
}

fn put_in_list(list: &mut [Value], path: &str, value: Value) -> Result<(), Invalid> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let length = list.len();
    let Some(entry) = first.parse::<usize>().ok().and_then(|index| list.get_mut(index)) else {
        return Err(Invalid::new(
            first,
            format!("not an entry of the list; it has 0 to {}", length as i64 - 1),
        ));
    };
    match (rest, entry) {
        (None, entry) => *entry = value,
        (Some(rest), Value::Table(table)) => put(table, rest, value)?,
        (Some(rest), Value::Array(list)) => put_in_list(list, rest, value)?,
        (Some(rest), other) => {
            return Err(Invalid::new(first, format!("{other}, which has no field `{rest}`; mend the path")));
        }
    }
    Ok(())
}

/// A value as a label.
fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
