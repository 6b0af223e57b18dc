//! The formula of `scalingModifiers`: the part of the language expr that folds triggers into one number.
//!
//! Numbers, names of triggers, `+ - * / %`, `< <= > >= == !=`, `! && ||` (also `not and or`), `c ? x : y`, `x ?? y`,
//! parentheses, `min max abs floor ceil round int float` and `count([x, y], {# > 1})`. Everything binds as it does in expr:
//! `??` before all others, and not beside another operator without parentheses; `%` takes whole numbers, as a trigger is
//! none before `int(x)`. A trigger that is missing is nil: what `??` passes over, equal to nothing but nil, and an error
//! everywhere else. What is not finite is no value of a metric; where expr leaves open until it runs whether something is a
//! number or a truth, or whole, the formula is refused here.
//!
//! Source: expr-lang/expr as of August 2026, `parser/operator/operator.go`, `parser/parser.go`, `checker/checker.go`.

mod parser;

/// A formula that was read, over triggers that are numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    root: Expr,
    triggers: Vec<String>,
    /// Whether there is a `??` in it.
    coalesces: bool,
}

/// A node. What is true is 1 and what is false is 0: the parser keeps them from numbers.
#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Number(f64),
    Trigger(usize),
    /// `#` in the condition of `count`.
    Item,
    Not(Box<Expr>),
    Binary(Binary, Box<(Expr, Expr)>),
    Choice(Box<(Expr, Expr, Expr)>),
    Call(Function, Vec<Expr>),
    Count(Vec<Expr>, Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Coalesce,
    Or,
    And,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Plus,
    Minus,
    Times,
    Over,
    Modulo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Min,
    Max,
    Abs,
    Floor,
    Ceil,
    Round,
    Int,
    Float,
}

/// What a node can see.
#[derive(Clone, Copy)]
struct Scope<'a> {
    triggers: &'a [String],
    values: &'a [Option<f64>],
    item: Option<f64>,
}

impl Formula {
    /// Reads a formula over these triggers.
    ///
    /// # Errors
    /// Names the column, from 1, and what is wrong there.
    pub fn parse(text: &str, triggers: &[&str]) -> Result<Formula, String> {
        let root =
            parser::parse(text, triggers).map_err(|wrong| format!("column {}: {}", wrong.0, wrong.1))?;
        let triggers = triggers.iter().map(|name| (*name).to_owned()).collect();
        Ok(Formula { root, triggers, coalesces: text.contains("??") })
    }

    /// What the formula comes to for the values of its triggers; absent where that is nil, which only one with a `??` may
    /// be: KEDA puts any other into float(..).
    ///
    /// # Errors
    /// In words: a trigger that is missing where it is needed, or a remainder by zero.
    pub fn value(&self, values: &[Option<f64>]) -> Result<Option<f64>, String> {
        let scope = Scope { triggers: &self.triggers, values, item: None };
        if self.coalesces { self.root.value(scope) } else { self.root.known(scope).map(Some) }
    }
}

impl Expr {
    fn value(&self, scope: Scope) -> Result<Option<f64>, String> {
        Ok(Some(match self {
            Expr::Number(number) => *number,
            Expr::Trigger(at) => return Ok(scope.values.get(*at).copied().flatten()),
            Expr::Item => return Ok(scope.item),
            Expr::Not(of) => truth(!of.holds(scope)?),
            Expr::Binary(binary, sides) => return binary.value(&sides.0, &sides.1, scope),
            Expr::Choice(parts) => {
                let (condition, yes, no) = &**parts;
                return if condition.holds(scope)? { yes.value(scope) } else { no.value(scope) };
            }
            Expr::Call(function, of) => {
                let values = of.iter().map(|of| of.known(scope)).collect::<Result<Vec<f64>, String>>()?;
                function.of(&values)
            }
            Expr::Count(items, condition) => {
                let mut count = 0.0;
                for item in items {
                    let item = item.value(scope)?;
                    count += truth(condition.holds(Scope { item, ..scope })?);
                }
                count
            }
        }))
    }

    /// A value that is needed.
    fn known(&self, scope: Scope) -> Result<f64, String> {
        self.value(scope)?.ok_or_else(|| match self {
            Expr::Trigger(at) => format!("`{}` is missing outside of `??`", scope.triggers[*at]),
            _ => "nil where a number is needed".to_owned(),
        })
    }

    fn holds(&self, scope: Scope) -> Result<bool, String> {
        Ok(self.known(scope)? != 0.0)
    }
}

impl Binary {
    fn value(self, left: &Expr, right: &Expr, scope: Scope) -> Result<Option<f64>, String> {
        match self {
            Binary::Coalesce => {
                return left.value(scope)?.map_or_else(|| right.value(scope), |value| Ok(Some(value)));
            }
            Binary::Or => return Ok(Some(truth(left.holds(scope)? || right.holds(scope)?))),
            Binary::And => return Ok(Some(truth(left.holds(scope)? && right.holds(scope)?))),
            Binary::Equal => return Ok(Some(truth(left.value(scope)? == right.value(scope)?))),
            Binary::Unequal => return Ok(Some(truth(left.value(scope)? != right.value(scope)?))),
            _ => {}
        }
        let (x, y) = (left.known(scope)?, right.known(scope)?);
        Ok(Some(match self {
            Binary::Less => truth(x < y),
            Binary::AtMost => truth(x <= y),
            Binary::Greater => truth(x > y),
            Binary::AtLeast => truth(x >= y),
            Binary::Plus => x + y,
            Binary::Minus => x - y,
            Binary::Times => x * y,
            Binary::Modulo if y == 0.0 => return Err("a remainder by zero".to_owned()),
            // A whole number has no zero below zero.
            Binary::Modulo => x % y + 0.0,
            _ => x / y,
        }))
    }
}

impl Function {
    fn of(self, values: &[f64]) -> f64 {
        let first = values.first().copied().unwrap_or(f64::NAN);
        match self {
            // 0 / 0 must come out of them: it is an error in the end.
            Function::Min | Function::Max if values.iter().any(|value| value.is_nan()) => f64::NAN,
            Function::Min => values.iter().copied().fold(first, f64::min),
            Function::Max => values.iter().copied().fold(first, f64::max),
            Function::Abs => first.abs(),
            Function::Floor => first.floor(),
            Function::Ceil => first.ceil(),
            Function::Round => first.round(),
            Function::Int => first.trunc() + 0.0,
            Function::Float => first,
        }
    }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
