//! The part of FHIRPath (HL7, v2.0.0) that scores need, and nothing else: what is not listed is refused by name when
//! a questionnaire is read, not when a patient answers.
//!
//! ```text
//! %resource  %name  $this  $total  'text'  12.5  true  {}
//! a | b   a + b   a - b   a * b   a / b   -a   a in b   = != < <= > >=   and or
//! .item .answer .value .linkId .code
//! .where(c) .all(c) .exists() .exists(c) .empty() .not() .first() .count() .sum() .min() .max() .round()
//! .ordinal() .weight() .descendants() .repeat(item) .answers() .startsWith('x') .aggregate(e, start)
//! iif(c, a, b)
//! ```
//!
//! `%name` is a `variable` of the questionnaire. A sum of which a part is missing is missing.

pub(crate) mod evaluation;

use std::collections::HashMap;

/// An expression has at most this many bytes, and nests at most this deep.
const MAX_BYTES: usize = 8 * 1024;
const MAX_DEPTH: usize = 128;
/// Parentheses and arguments inside each other.
const MAX_NESTING: usize = 32;
/// Parts of an expression once its variables are put in.
const MAX_PARTS: usize = 8 * 1024;

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// It is too long.
    #[error("the expression has more than {MAX_BYTES} bytes")]
    TooLong,
    /// It nests too deep.
    #[error("the expression nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It is of another language than FHIRPath.
    #[error("the expression is not in text/fhirpath")]
    Language,
    /// Something else was expected.
    #[error("the expression is not understood at character {0}")]
    Syntax(usize),
    /// A function, member or operator that is not among those read here.
    #[error("{0} is not among the parts of FHIRPath that are read here")]
    Unsupported(String),
    /// A variable that the questionnaire does not define before it is used.
    #[error("there is no variable %{0} before this expression")]
    UnknownVariable(String),
}

/// What an expression is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Resource,
    This,
    Total,
    Empty,
    Number(f64),
    Truth(bool),
    Text(String),
    Member(Box<Expression>, Member),
    Call(Box<Expression>, Function, Vec<Expression>),
    Either(Box<[Expression; 3]>),
    Negative(Box<Expression>),
    Binary(Operator, Box<[Expression; 2]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Item,
    Answer,
    Value,
    LinkId,
    Code,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Where,
    All,
    Exists,
    Empty,
    Not,
    First,
    Count,
    Sum,
    Min,
    Max,
    Round,
    Ordinal,
    Descendants,
    Answers,
    StartsWith,
    Aggregate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    In,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Union,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    /// How tightly it binds, the loosest first (the order of the grammar of FHIRPath).
    fn level(self) -> usize {
        match self {
            Operator::Or => 0,
            Operator::And => 1,
            Operator::In => 2,
            Operator::Equal | Operator::Unequal => 3,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => 4,
            Operator::Union => 5,
            Operator::Add | Operator::Subtract => 6,
            Operator::Multiply | Operator::Divide => 7,
        }
    }
}

/// The tightest level of a binary operator.
const TIGHTEST: usize = 7;

/// Functions by name, with the fewest and the most arguments.
const FUNCTIONS: [(&str, Function, usize, usize); 17] = [
    ("where", Function::Where, 1, 1),
    ("all", Function::All, 1, 1),
    ("exists", Function::Exists, 0, 1),
    ("empty", Function::Empty, 0, 0),
    ("not", Function::Not, 0, 0),
    ("first", Function::First, 0, 0),
    ("count", Function::Count, 0, 0),
    ("sum", Function::Sum, 0, 0),
    ("min", Function::Min, 0, 0),
    ("max", Function::Max, 0, 0),
    ("round", Function::Round, 0, 0),
    ("ordinal", Function::Ordinal, 0, 0),
    ("weight", Function::Ordinal, 0, 0),
    ("descendants", Function::Descendants, 0, 0),
    ("answers", Function::Answers, 0, 0),
    ("startsWith", Function::StartsWith, 1, 1),
    ("aggregate", Function::Aggregate, 1, 2),
];

const MEMBERS: [(&str, Member); 5] = [
    ("item", Member::Item),
    ("answer", Member::Answer),
    ("value", Member::Value),
    ("linkId", Member::LinkId),
    ("code", Member::Code),
];

/// Variables that were read before, by name.
pub(crate) type Variables = HashMap<String, Expression>;

impl Expression {
    /// Reads an expression; variables are put in where they stand.
    pub(crate) fn read(text: &str, variables: &Variables) -> Result<Expression, ExpressionError> {
        if text.len() > MAX_BYTES {
            return Err(ExpressionError::TooLong);
        }
        let mut parser =
            Parser { tokens: tokens(text)?, at: 0, nesting: 0, put_in: 0, variables, end: text.len() };
        let expression = parser.whole()?;
        match parser.tokens.get(parser.at) {
            Some((at, _)) => Err(ExpressionError::Syntax(*at)),
            None if expression.depth() > MAX_DEPTH => Err(ExpressionError::TooDeep),
            None => Ok(expression),
        }
    }

    /// How many parts it has.
    fn size(&self) -> usize {
        1 + match self {
            Expression::Member(of, _) | Expression::Negative(of) => of.size(),
            Expression::Call(of, _, arguments) => {
                of.size() + arguments.iter().map(Expression::size).sum::<usize>()
            }
            Expression::Either(parts) => parts.iter().map(Expression::size).sum(),
            Expression::Binary(_, parts) => parts.iter().map(Expression::size).sum(),
            _ => 0,
        }
    }

    /// How deep it nests.
    fn depth(&self) -> usize {
        let deepest = |parts: &[Expression]| parts.iter().map(Expression::depth).max().unwrap_or(0);
        1 + match self {
            Expression::Member(of, _) | Expression::Negative(of) => of.depth(),
            Expression::Call(of, _, arguments) => of.depth().max(deepest(arguments)),
            Expression::Either(parts) => deepest(&parts[..]),
            Expression::Binary(_, parts) => deepest(&parts[..]),
            _ => 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Percent(String),
    Dollar(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

const SIGNS: [&str; 18] =
    ["!=", "<=", ">=", "=", "<", ">", "(", ")", "{", "}", ",", ".", "|", "+", "-", "*", "/", "~"];

/// Tokens with where they start.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let name = |from: usize| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (from > 0 && c == '-');
            rest[from..].find(|c| !is_part(c)).map_or(rest.len(), |length| from + length)
        };
        let (token, length) = match first {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '%' => (Token::Percent(rest[1..name(1)].to_owned()), name(1)),
            '$' => (Token::Dollar(rest[1..name(1)].to_owned()), name(1)),
            '\'' => quoted(rest).ok_or(ExpressionError::Syntax(at))?,
            c if c.is_ascii_digit() => {
                let length = number(rest);
                (Token::Number(rest[..length].parse().map_err(|_| ExpressionError::Syntax(at))?), length)
            }
            c if c.is_ascii_alphabetic() || c == '_' => (Token::Name(rest[..name(0)].to_owned()), name(0)),
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or(ExpressionError::Syntax(at))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

/// How long a number is: digits, and a dot only if digits follow it.
fn number(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(0);
    let fraction = if text[whole..].starts_with('.') { digits(whole + 1) } else { 0 };
    if fraction > 0 { whole + 1 + fraction } else { whole }
}

/// A text in single quotes, with its length.
fn quoted(text: &str) -> Option<(Token, usize)> {
    let mut words = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((Token::Text(words), at + 1)),
            '\\' => match chars.next()?.1 {
                escaped @ ('\'' | '\\' | '"' | '/') => words.push(escaped),
                _ => return None,
            },
            _ => words.push(c),
        }
    }
    None
}

struct Parser<'a> {
    tokens: Vec<(usize, Token)>,
    at: usize,
    nesting: usize,
    /// Parts of the variables that were put in.
    put_in: usize,
    variables: &'a Variables,
    end: usize,
}

type Parsed = Result<Expression, ExpressionError>;

impl Parser<'_> {
    /// An expression at any place where a whole one may stand.
    fn whole(&mut self) -> Parsed {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(ExpressionError::TooDeep);
        }
        let expression = self.binary(0)?;
        self.nesting -= 1;
        Ok(expression)
    }

    /// Operators of this level and tighter, from left to right.
    fn binary(&mut self, level: usize) -> Parsed {
        if level > TIGHTEST {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator()?.filter(|operator| operator.level() == level) {
            self.at += 1;
            let right = self.binary(level + 1)?;
            left = Expression::Binary(operator, Box::new([left, right]));
        }
        Ok(left)
    }

    /// The operator that stands next.
    fn operator(&self) -> Result<Option<Operator>, ExpressionError> {
        let operator = match self.tokens.get(self.at).map(|(_, token)| token) {
            Some(Token::Name(name)) => match name.as_str() {
                "or" => Operator::Or,
                "and" => Operator::And,
                "in" => Operator::In,
                other => return Err(ExpressionError::Unsupported(format!("the operator {other}"))),
            },
            Some(Token::Sign(sign)) => match *sign {
                "=" => Operator::Equal,
                "!=" => Operator::Unequal,
                "<" => Operator::Less,
                "<=" => Operator::LessOrEqual,
                ">" => Operator::Greater,
                ">=" => Operator::GreaterOrEqual,
                "|" => Operator::Union,
                "+" => Operator::Add,
                "-" => Operator::Subtract,
                "*" => Operator::Multiply,
                "/" => Operator::Divide,
                "~" => return Err(ExpressionError::Unsupported("the operator ~".to_owned())),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(operator))
    }

    fn unary(&mut self) -> Parsed {
        let mut negative = false;
        while self.takes("-") {
            negative = !negative;
        }
        let expression = self.path()?;
        Ok(if negative { Expression::Negative(Box::new(expression)) } else { expression })
    }

    /// A term with members and functions after dots.
    fn path(&mut self) -> Parsed {
        let mut expression = self.term()?;
        while self.takes(".") {
            let at = self.place();
            let Some(Token::Name(name)) = self.next() else { return Err(ExpressionError::Syntax(at)) };
            expression = self.step(expression, &name)?;
        }
        Ok(expression)
    }

    /// A member or a function of `of`.
    fn step(&mut self, of: Expression, name: &str) -> Parsed {
        let at = self.place();
        if !self.takes("(") {
            let member = MEMBERS.iter().find(|(known, _)| *known == name);
            let (_, member) = member.ok_or_else(|| ExpressionError::Unsupported(name.to_owned()))?;
            return Ok(Expression::Member(Box::new(of), *member));
        }
        let arguments = self.arguments()?;
        if name == "repeat" {
            let item = Expression::Member(Box::new(Expression::This), Member::Item);
            // Of all that could be repeated only the items below are read; with them it is `descendants`.
            return match arguments.as_slice() {
                [only] if *only == item => {
                    Ok(Expression::Call(Box::new(of), Function::Descendants, Vec::new()))
                }
                _ => Err(ExpressionError::Unsupported("repeat of anything but item".to_owned())),
            };
        }
        let function = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        let (_, function, fewest, most) =
            function.ok_or_else(|| ExpressionError::Unsupported(format!("{name}()")))?;
        if !(*fewest..=*most).contains(&arguments.len()) {
            return Err(ExpressionError::Syntax(at));
        }
        Ok(Expression::Call(Box::new(of), *function, arguments))
    }

    /// Arguments up to the closing parenthesis; the opening one is read.
    fn arguments(&mut self) -> Result<Vec<Expression>, ExpressionError> {
        let mut arguments = Vec::new();
        if self.takes(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.whole()?);
            if self.takes(")") {
                return Ok(arguments);
            }
            self.expect(",")?;
        }
    }

    fn term(&mut self) -> Parsed {
        let at = self.place();
        match self.next() {
            Some(Token::Number(number)) => Ok(Expression::Number(number)),
            Some(Token::Text(text)) => Ok(Expression::Text(text)),
            Some(Token::Percent(name)) if name == "resource" => Ok(Expression::Resource),
            Some(Token::Percent(name)) => {
                let variable = self.variables.get(&name).ok_or(ExpressionError::UnknownVariable(name))?;
                self.put_in += variable.size();
                if self.put_in > MAX_PARTS { Err(ExpressionError::TooDeep) } else { Ok(variable.clone()) }
            }
            Some(Token::Dollar(name)) if name == "this" => Ok(Expression::This),
            Some(Token::Dollar(name)) if name == "total" => Ok(Expression::Total),
            Some(Token::Sign("(")) => {
                let inner = self.whole()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Sign("{")) => {
                self.expect("}")?;
                Ok(Expression::Empty)
            }
            Some(Token::Name(name)) => match name.as_str() {
                "true" => Ok(Expression::Truth(true)),
                "false" => Ok(Expression::Truth(false)),
                "iif" => self.either(at),
                // A bare name is a member of what is looked at.
                name => self.step(Expression::This, name),
            },
            _ => Err(ExpressionError::Syntax(at)),
        }
    }

    /// `iif(c, a, b)`; without `b` it is nothing.
    fn either(&mut self, at: usize) -> Parsed {
        self.expect("(")?;
        let mut arguments = self.arguments()?;
        if arguments.len() == 2 {
            arguments.push(Expression::Empty);
        }
        let parts: [Expression; 3] = arguments.try_into().map_err(|_| ExpressionError::Syntax(at))?;
        Ok(Expression::Either(Box::new(parts)))
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at)?.1.clone();
        self.at += 1;
        Some(token)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.tokens.get(self.at), Some((_, Token::Sign(next))) if *next == sign);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExpressionError> {
        let at = self.place();
        if self.takes(sign) { Ok(()) } else { Err(ExpressionError::Syntax(at)) }
    }

    /// The character that the next token starts at.
    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(at, _)| *at)
    }
}
