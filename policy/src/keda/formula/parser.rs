//! From text to a tree: precedence climbing, as expr does it, with the kind of every node beside it.

use super::{Binary, Expr, Function};

/// The column of what is wrong, from 1, and what.
pub(super) struct Wrong(pub(super) usize, pub(super) String);

type Parsed = Result<(Expr, Kind), Wrong>;

/// What a node comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Number,
    Truth,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64, Kind),
    Name(String),
    Symbol(&'static str),
    End,
}

/// Deepest nesting: far more than a formula has, and far less than a stack holds.
const DEEPEST: usize = 64;

/// Longest formula \[characters\].
const LONGEST: usize = 1_000;

/// The longer of two with the same beginning first.
const SYMBOLS: [&str; 25] = [
    "??", "<=", ">=", "==", "!=", "&&", "||", "?", ":", "(", ")", "[", "]", "{", "}", ",", "#", "+", "-",
    "*", "/", "%", "<", ">", "!",
];

const BINARIES: [(&str, u32, Binary); 14] = [
    ("||", 10, Binary::Or),
    ("&&", 15, Binary::And),
    ("==", 20, Binary::Equal),
    ("!=", 20, Binary::Unequal),
    ("<", 20, Binary::Less),
    ("<=", 20, Binary::AtMost),
    (">", 20, Binary::Greater),
    (">=", 20, Binary::AtLeast),
    ("+", 30, Binary::Plus),
    ("-", 30, Binary::Minus),
    ("*", 60, Binary::Times),
    ("/", 60, Binary::Over),
    ("%", 60, Binary::Modulo),
    ("??", 500, Binary::Coalesce),
];

const FUNCTIONS: [(&str, Function); 8] = [
    ("min", Function::Min),
    ("max", Function::Max),
    ("abs", Function::Abs),
    ("floor", Function::Floor),
    ("ceil", Function::Ceil),
    ("round", Function::Round),
    ("int", Function::Int),
    ("float", Function::Float),
];

struct Parser<'a> {
    tokens: Vec<(Token, usize)>,
    at: usize,
    triggers: &'a [&'a str],
    depth: usize,
    /// Within the condition of a `count`.
    counts: bool,
}

/// Reads a formula that comes to a number.
pub(super) fn parse(text: &str, triggers: &[&str]) -> Result<Expr, Wrong> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, triggers, depth: 0, counts: false };
    let (root, kind) = parser.expression(0)?;
    match parser.tokens[parser.at].0 {
        Token::End if kind == Kind::Truth => {
            Err(Wrong(1, "the formula is true or false, and no number".to_owned()))
        }
        Token::End => Ok(root),
        _ => Err(parser.unexpected()),
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Wrong> {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() > LONGEST {
        return Err(Wrong(LONGEST, format!("longer than {LONGEST} characters")));
    }
    let run =
        |from: usize, of: fn(&char) -> bool| from + letters[from..].iter().take_while(|c| of(c)).count();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let from = at;
        let rest = &letters[at..];
        let token = if letter.is_ascii_whitespace() {
            at += 1;
            continue;
        } else if letter.is_ascii_digit() || (letter == '.' && rest.get(1).is_some_and(char::is_ascii_digit))
        {
            at = run(at, |c| c.is_ascii_alphanumeric() || *c == '.');
            if letters[at - 1].eq_ignore_ascii_case(&'e') && matches!(letters.get(at), Some('+' | '-')) {
                at = run(at + 1, char::is_ascii_digit);
            }
            let word: String = letters[from..at].iter().collect();
            let kind = if word.contains(['.', 'e', 'E']) { Kind::Number } else { Kind::Whole };
            let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
            Token::Number(number.ok_or_else(|| Wrong(from + 1, format!("`{word}` is no number")))?, kind)
        } else if letter.is_ascii_alphabetic() || letter == '_' {
            at = run(at, |c| c.is_ascii_alphanumeric() || *c == '_');
            match letters[from..at].iter().collect::<String>().as_str() {
                "and" => Token::Symbol("&&"),
                "or" => Token::Symbol("||"),
                "not" => Token::Symbol("!"),
                word => Token::Name(word.to_owned()),
            }
        } else {
            let begins = |symbol: &str| symbol.chars().zip(rest.iter().chain([&' '])).all(|(s, c)| s == *c);
            let symbol = SYMBOLS.iter().find(|symbol| begins(symbol)).copied();
            let symbol = symbol.ok_or_else(|| Wrong(from + 1, format!("`{letter}` has no meaning here")))?;
            at += symbol.len();
            Token::Symbol(symbol)
        };
        tokens.push((token, from + 1));
    }
    tokens.push((Token::End, letters.len() + 1));
    Ok(tokens)
}

impl Parser<'_> {
    fn column(&self) -> usize {
        self.tokens[self.at].1
    }

    fn unexpected(&self) -> Wrong {
        let what = match &self.tokens[self.at].0 {
            Token::Number(number, _) => format!("`{number}`"),
            Token::Name(name) => format!("`{name}`"),
            Token::Symbol(symbol) => format!("`{symbol}`"),
            Token::End => return Wrong(self.column(), "the formula ends too early".to_owned()),
        };
        Wrong(self.column(), format!("{what} was not expected here"))
    }

    /// Goes on if the symbol is next.
    fn has(&mut self, symbol: &str) -> bool {
        let is = matches!(&self.tokens[self.at].0, Token::Symbol(next) if *next == symbol);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Wrong> {
        match self.has(symbol) {
            true => Ok(()),
            false => Err(Wrong(self.column(), format!("`{symbol}` is missing"))),
        }
    }

    /// Whatever binds at least as tight as `least`.
    fn expression(&mut self, least: u32) -> Parsed {
        if self.depth == DEEPEST {
            return Err(Wrong(self.column(), format!("nested deeper than {DEEPEST}")));
        }
        self.depth += 1;
        let mut left = self.primary()?;
        let mut before = None;
        while let Some((symbol, binds, binary)) = self.binary().filter(|(_, binds, _)| *binds >= least) {
            let column = self.column();
            if before == Some(Binary::Coalesce) && binary != Binary::Coalesce {
                let problem = format!("`??` and `{symbol}` side by side; put one of them in parentheses");
                return Err(Wrong(column, problem));
            }
            self.at += 1;
            let right = self.expression(binds + 1)?;
            let kind = kind_of(symbol, binary, left.1, right.1).map_err(|problem| Wrong(column, problem))?;
            left = (Expr::Binary(binary, Box::new((left.0, right.0))), kind);
            before = Some(binary);
        }
        while least == 0 && self.has("?") {
            let column = self.tokens[self.at - 1].1;
            if left.1 != Kind::Truth {
                return Err(Wrong(
                    column,
                    "what stands before `?` is a number, and not true or false".to_owned(),
                ));
            }
            let yes = self.expression(0)?;
            self.expect(":")?;
            let no = self.expression(0)?;
            let kind = same("`? :`", yes.1, no.1).map_err(|problem| Wrong(column, problem))?;
            left = (Expr::Choice(Box::new((left.0, yes.0, no.0))), kind);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn binary(&self) -> Option<(&'static str, u32, Binary)> {
        let Token::Symbol(symbol) = self.tokens[self.at].0 else { return None };
        BINARIES.into_iter().find(|(known, ..)| *known == symbol)
    }

    fn primary(&mut self) -> Parsed {
        let column = self.column();
        let number = |parsed: (Expr, Kind)| match parsed.1 {
            Kind::Truth => Err(Wrong(column, "a sign before what is true or false".to_owned())),
            Kind::Whole | Kind::Number => Ok(parsed),
        };
        if self.has("!") {
            return match self.expression(50)? {
                (of, Kind::Truth) => Ok((Expr::Not(Box::new(of)), Kind::Truth)),
                _ => Err(Wrong(column, "`!` takes what is true or false".to_owned())),
            };
        }
        if self.has("-") {
            let (of, kind) = number(self.expression(90)?)?;
            // A whole number has no zero below zero.
            let zero = Expr::Number(if kind == Kind::Whole { 0.0 } else { -0.0 });
            return Ok((Expr::Binary(Binary::Minus, Box::new((zero, of))), kind));
        }
        if self.has("+") {
            return number(self.expression(90)?);
        }
        if self.has("(") {
            let within = self.expression(0)?;
            self.expect(")")?;
            return Ok(within);
        }
        if self.counts && self.has("#") {
            return Ok((Expr::Item, Kind::Number));
        }
        match self.tokens[self.at].0.clone() {
            Token::Number(number, kind) => {
                self.at += 1;
                Ok((Expr::Number(number), kind))
            }
            Token::Name(name) => self.named(&name),
            Token::Symbol(_) | Token::End => Err(self.unexpected()),
        }
    }

    /// A trigger or a call.
    fn named(&mut self, name: &str) -> Parsed {
        let column = self.column();
        self.at += 1;
        if !self.has("(") {
            let at = self.triggers.iter().position(|trigger| *trigger == name);
            let at = at.ok_or_else(|| Wrong(column, format!("`{name}` is no trigger of this stage")))?;
            return Ok((Expr::Trigger(at), Kind::Number));
        }
        if name == "count" {
            return self.count();
        }
        let function = FUNCTIONS.iter().find(|(known, _)| *known == name);
        let (_, function) =
            function.ok_or_else(|| Wrong(column, format!("`{name}` is no function that is known here")))?;
        let (of, kind) = self.numbers(")")?;
        let several = matches!(function, Function::Min | Function::Max);
        if of.is_empty() || (of.len() > 1 && !several) {
            return Err(Wrong(column, format!("`{name}` does not take {} numbers", of.len())));
        }
        let kind = match function {
            Function::Min | Function::Max | Function::Abs => kind,
            Function::Int => Kind::Whole,
            Function::Floor | Function::Ceil | Function::Round | Function::Float => Kind::Number,
        };
        Ok((Expr::Call(*function, of), kind))
    }

    /// `count([x, y], {# > 1})`, after its parenthesis.
    fn count(&mut self) -> Parsed {
        self.expect("[")?;
        let (items, _) = self.numbers("]")?;
        self.expect(",")?;
        let column = self.column();
        let braced = self.has("{");
        let outer = std::mem::replace(&mut self.counts, true);
        let (condition, kind) = self.expression(0)?;
        self.counts = outer;
        if kind != Kind::Truth {
            return Err(Wrong(column, "`count` takes a condition, such as {# > 1}".to_owned()));
        }
        if braced {
            self.expect("}")?;
        }
        self.expect(")")?;
        Ok((Expr::Count(items, Box::new(condition)), Kind::Whole))
    }

    /// Numbers with commas between them, to the closing symbol; whole ones if all are.
    fn numbers(&mut self, closing: &str) -> Result<(Vec<Expr>, Kind), Wrong> {
        let (mut numbers, mut kind) = (Vec::new(), Kind::Whole);
        while !self.has(closing) {
            if !numbers.is_empty() {
                self.expect(",")?;
            }
            let column = self.column();
            let (number, of) = self.expression(0)?;
            match of {
                Kind::Truth => {
                    return Err(Wrong(column, "true or false where a number is needed".to_owned()));
                }
                Kind::Number => kind = Kind::Number,
                Kind::Whole => {}
            }
            numbers.push(number);
        }
        Ok((numbers, kind))
    }
}

/// What an operator makes of two kinds.
fn kind_of(symbol: &str, binary: Binary, left: Kind, right: Kind) -> Result<Kind, String> {
    let truths = [left, right].map(|kind| kind == Kind::Truth);
    let both = same(&format!("`{symbol}`"), left, right);
    match binary {
        Binary::Coalesce => both,
        Binary::Equal | Binary::Unequal => both.map(|_| Kind::Truth),
        Binary::Or | Binary::And if truths == [true, true] => Ok(Kind::Truth),
        Binary::Or | Binary::And => Err(format!("`{symbol}` takes what is true or false on both sides")),
        _ if truths != [false, false] => Err(format!("`{symbol}` takes numbers on both sides")),
        Binary::Less | Binary::AtMost | Binary::Greater | Binary::AtLeast => Ok(Kind::Truth),
        Binary::Modulo if both != Ok(Kind::Whole) => {
            Err("`%` takes whole numbers; make one of a trigger by int(..)".to_owned())
        }
        Binary::Over => Ok(Kind::Number),
        Binary::Plus | Binary::Minus | Binary::Times | Binary::Modulo => both,
    }
}

/// What two kinds have in common.
fn same(what: &str, left: Kind, right: Kind) -> Result<Kind, String> {
    match (left, right) {
        (left, right) if left == right => Ok(left),
        (Kind::Truth, _) | (_, Kind::Truth) => {
            Err(format!("{what} takes numbers or truths, and not one of each"))
        }
        _ => Ok(Kind::Number),
    }
}
