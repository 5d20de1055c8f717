//! Items: what is asked, of what kind the answer is, and when it is asked.

use super::answer::{Answer, Text};
use super::expression::Expression;

/// The type of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Holds other items.
    Group,
    /// Words to read.
    Display,
    /// Yes or no.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Decimal,
    /// A date.
    Date,
    /// A line of text, or more.
    Text,
    /// One of the options.
    Choice,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Option<Kind> {
        Some(match name {
            "group" => Kind::Group,
            "display" => Kind::Display,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "decimal" => Kind::Decimal,
            "date" => Kind::Date,
            "string" | "text" => Kind::Text,
            "choice" => Kind::Choice,
            _ => return None,
        })
    }

    /// What an answer must be, in words.
    pub fn expected(self) -> &'static str {
        match self {
            Kind::Group | Kind::Display => "no answer",
            Kind::Boolean => "yes or no",
            Kind::Integer => "a whole number",
            Kind::Decimal => "a number",
            Kind::Date => "a date as 2024-05-31, 2024-05 or 2024",
            Kind::Text => "text",
            Kind::Choice => "one of the options",
        }
    }

    /// Whether an answer is of this kind; options may be words or numbers too.
    pub(crate) fn fits(self, answer: &Answer) -> bool {
        match self {
            Kind::Group | Kind::Display => false,
            Kind::Boolean => matches!(answer, Answer::Boolean(_)),
            Kind::Integer => matches!(answer, Answer::Integer(_)),
            Kind::Decimal => matches!(answer, Answer::Decimal(_)),
            Kind::Date => matches!(answer, Answer::Date(_)),
            Kind::Text => matches!(answer, Answer::Text(_)),
            Kind::Choice => {
                matches!(answer, Answer::Coding(_) | Answer::Text(_) | Answer::Integer(_) | Answer::Date(_))
            }
        }
    }
}

/// An option.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerOption {
    /// The answer.
    pub value: Answer,
    /// What it counts in a score (`ordinalValue` or `itemWeight`).
    pub ordinal: Option<f64>,
}

/// The range of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Least value.
    pub min: Option<Answer>,
    /// Greatest value.
    pub max: Option<Answer>,
    /// Most characters of a text.
    pub length: Option<usize>,
    /// Most digits after the point.
    pub decimals: Option<usize>,
}

/// How an answer is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Exists,
    Equal,
    Unequal,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

impl Comparison {
    pub(crate) fn of(sign: &str) -> Option<Comparison> {
        Some(match sign {
            "exists" => Comparison::Exists,
            "=" => Comparison::Equal,
            "!=" => Comparison::Unequal,
            ">" => Comparison::Greater,
            "<" => Comparison::Less,
            ">=" => Comparison::GreaterOrEqual,
            "<=" => Comparison::LessOrEqual,
            _ => return None,
        })
    }
}

/// One condition of `enableWhen`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    /// Place of the question in the questionnaire.
    pub(crate) question: usize,
    pub(crate) comparison: Comparison,
    pub(crate) answer: Answer,
}

impl Condition {
    /// Whether it holds for the answers of its question: with any of them. A question without an answer meets only
    /// `exists = false` (FHIR R4, `questionnaire-enable-operator`).
    pub(crate) fn holds(&self, answers: &[Answer]) -> bool {
        let ordered = |accepts: fn(std::cmp::Ordering) -> bool| {
            answers.iter().any(|given| given.compare(&self.answer).is_some_and(accepts))
        };
        match self.comparison {
            Comparison::Exists => self.answer == Answer::Boolean(!answers.is_empty()),
            Comparison::Equal => answers.iter().any(|given| given.is(&self.answer)),
            Comparison::Unequal => answers.iter().any(|given| !given.is(&self.answer)),
            Comparison::Greater => ordered(std::cmp::Ordering::is_gt),
            Comparison::Less => ordered(std::cmp::Ordering::is_lt),
            Comparison::GreaterOrEqual => ordered(std::cmp::Ordering::is_ge),
            Comparison::LessOrEqual => ordered(std::cmp::Ordering::is_le),
        }
    }
}

/// An item of a questionnaire.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name in the questionnaire and in responses.
    pub link_id: String,
    /// What is asked or said.
    pub text: Text,
    /// What stands before it, as "1."; may be empty.
    pub prefix: String,
    /// Its type.
    pub kind: Kind,
    /// Whether a response without its answer is incomplete.
    pub required: bool,
    /// Whether there may be several answers.
    pub repeats: bool,
    /// Whether nobody is asked: it is hidden, to be read only, or calculated.
    pub silent: bool,
    /// The options of a choice.
    pub options: Vec<AnswerOption>,
    /// The range of the answer.
    pub limits: Limits,
    /// How many items it lies inside of.
    pub depth: usize,
    pub(crate) initial: Vec<Answer>,
    pub(crate) conditions: Vec<Condition>,
    /// Whether all conditions must hold, or one of them.
    pub(crate) all_conditions: bool,
    pub(crate) calculated: Option<Expression>,
    pub(crate) parent: Option<usize>,
    pub(crate) children: Vec<usize>,
}

impl Item {
    /// Whether it can have an answer.
    pub fn is_question(&self) -> bool {
        !matches!(self.kind, Kind::Group | Kind::Display)
    }

    /// Whether its answer is calculated.
    pub fn is_calculated(&self) -> bool {
        self.calculated.is_some()
    }

    /// The number that each option is chosen by: its points if every option has whole ones of its own, as they are
    /// printed on the forms of scores; else its place, counted from 1.
    pub fn option_numbers(&self) -> Vec<i64> {
        let whole = |points: f64| (points.fract() == 0.0 && points.abs() < 1e6).then_some(points as i64);
        let points: Option<Vec<i64>> =
            self.options.iter().map(|option| option.ordinal.and_then(whole)).collect();
        let distinct =
            points.filter(|points| points.iter().enumerate().all(|(at, it)| !points[..at].contains(it)));
        distinct.unwrap_or_else(|| (1..).take(self.options.len()).collect())
    }

    /// The answer that a person means by these words: for a choice the code of an option, its name in any language
    /// or its number ([`Item::option_numbers`]); yes, no, 是, 否; a number; a date.
    pub fn parse(&self, words: &str) -> Option<Answer> {
        let words = words.trim();
        if !self.options.is_empty() {
            let number = words.parse::<i64>().ok();
            let place = self.option_numbers().iter().position(|known| Some(*known) == number);
            let numbered = place.map(|place| &self.options[place]);
            let named = self.options.iter().find(|option| match &option.value {
                Answer::Coding(coding) => coding.code == words || coding.display.is(words),
                Answer::Text(text) | Answer::Date(text) => text == words,
                Answer::Integer(number) => words.parse() == Ok(*number),
                Answer::Boolean(_) | Answer::Decimal(_) => false,
            });
            return named.or(numbered).map(|option| option.value.clone());
        }
        match self.kind {
            Kind::Boolean => match words.to_lowercase().as_str() {
                "yes" | "y" | "true" | "是" | "有" => Some(Answer::Boolean(true)),
                "no" | "n" | "false" | "否" | "没有" | "不" => Some(Answer::Boolean(false)),
                _ => None,
            },
            Kind::Integer => words.parse().ok().map(Answer::Integer),
            Kind::Decimal => {
                words.parse().ok().filter(|number: &f64| number.is_finite()).map(Answer::Decimal)
            }
            Kind::Date => Some(Answer::Date(words.to_owned())).filter(|_| super::answer::is_date(words)),
            Kind::Text => Some(Answer::Text(words.to_owned())).filter(|_| !words.is_empty()),
            Kind::Choice | Kind::Group | Kind::Display => None,
        }
    }
}
