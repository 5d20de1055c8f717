//! Filling a questionnaire: what was answered, what that enables and what follows from it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::answer::Answer;
use super::expression::evaluation::{Answers, CalculationError, Evaluation, MAX_STEPS, Node};
use super::item::{Item, Kind};
use super::reading::Questionnaire;

/// Answers to one question that repeats.
pub const MAX_ANSWERS: usize = 100;
/// Bytes of a text that somebody writes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;
/// How often calculations may feed each other.
const MAX_ROUNDS: usize = 8;

/// Why an answer is refused. No answer is repeated here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The questionnaire has no such item.
    #[error("the questionnaire has no item {0:.80?}")]
    Unknown(String),
    /// The item takes no answers of people.
    #[error("item {0:?} takes no answer")]
    NotAsked(String),
    /// The answer is of another kind.
    #[error("the answer to {item:?} must be {expected}")]
    Kind {
        /// The item.
        item: String,
        /// What the answer must be.
        expected: &'static str,
    },
    /// The answer is below or above what is possible.
    #[error("the answer to {0:?} is out of range")]
    Range(String),
    /// The text is too long, or a number has too many decimals.
    #[error("the answer to {0:?} is too long")]
    Length(String),
    /// Several answers to a question that takes one, or too many.
    #[error("there are too many answers to {0:?}")]
    TooMany(String),
}

/// A questionnaire with the answers so far.
#[derive(Clone)]
pub struct Filling<'q> {
    pub(crate) questionnaire: &'q Questionnaire,
    /// What was answered, also of items that are not enabled now: another answer may enable them again.
    given: BTreeMap<usize, Vec<Answer>>,
    pub(crate) state: State,
}

/// What follows from the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) enabled: Vec<bool>,
    /// The answers that count: given or calculated, of enabled items.
    pub(crate) answers: Vec<Vec<Answer>>,
    pub(crate) present: Vec<bool>,
    faults: BTreeMap<usize, CalculationError>,
}

impl std::fmt::Debug for Filling<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Filling({} answered)", self.given.len())
    }
}

impl<'q> Filling<'q> {
    /// An empty one, with what the questionnaire answers from the start; what does not fit its own question is left
    /// out.
    pub fn new(questionnaire: &'q Questionnaire) -> Filling<'q> {
        let mut filling = Filling { questionnaire, given: BTreeMap::new(), state: State::default() };
        for (place, item) in questionnaire.items().iter().enumerate() {
            if !item.initial.is_empty() && check(item, &item.initial).is_ok() {
                filling.given.insert(place, item.initial.clone());
            }
        }
        filling.follow();
        filling
    }

    /// Answers a question, in place of earlier answers; no answers take them back.
    pub fn answer(&mut self, link_id: &str, answers: Vec<Answer>) -> Result<(), AnswerError> {
        self.take(link_id, answers)?;
        self.follow();
        Ok(())
    }

    /// As [`Filling::answer`], without looking at what follows.
    pub(crate) fn take(&mut self, link_id: &str, answers: Vec<Answer>) -> Result<(), AnswerError> {
        let place =
            self.questionnaire.place(link_id).ok_or_else(|| AnswerError::Unknown(link_id.to_owned()))?;
        let item = &self.questionnaire.items()[place];
        if !item.is_question() || item.is_calculated() {
            return Err(AnswerError::NotAsked(link_id.to_owned()));
        }
        check(item, &answers)?;
        if answers.is_empty() {
            self.given.remove(&place);
        } else {
            self.given.insert(place, answers);
        }
        Ok(())
    }

    /// The questions that are to be asked now and have no answer yet, in the order of the questionnaire.
    pub fn open_questions(&self) -> Vec<&'q Item> {
        self.items(|place, item| {
            item.is_question()
                && !item.silent
                && self.state.enabled[place]
                && self.state.answers[place].is_empty()
        })
    }

    /// The questions without whose answer the response is not complete; with them required groups that hold no
    /// answer.
    pub fn missing(&self) -> Vec<&'q Item> {
        self.items(|place, item| {
            item.required
                && self.state.enabled[place]
                && !self.state.present[place]
                && item.kind != Kind::Display
        })
    }

    /// The items that are shown now: groups, words and questions.
    pub fn enabled(&self) -> Vec<&'q Item> {
        self.items(|place, _| self.state.enabled[place])
    }

    /// The answers that count: given or calculated; none while the item is not enabled.
    pub fn answers(&self, link_id: &str) -> &[Answer] {
        self.questionnaire.place(link_id).map_or(&[], |place| &self.state.answers[place])
    }

    /// What a chosen option counts; `None` without an answer, or if it counts nothing.
    pub fn ordinal(&self, link_id: &str) -> Option<f64> {
        let answer = self.answers(link_id).first()?;
        let options = &self.questionnaire.item(link_id)?.options;
        options.iter().find(|option| option.value.is(answer))?.ordinal
    }

    /// Calculations that gave nothing because something is wrong with them, by link id.
    pub fn faults(&self) -> Vec<(&'q str, CalculationError)> {
        let items = self.questionnaire.items();
        self.state.faults.iter().map(|(place, fault)| (items[*place].link_id.as_str(), *fault)).collect()
    }

    fn items(&self, wanted: impl Fn(usize, &Item) -> bool) -> Vec<&'q Item> {
        let items = self.questionnaire.items().iter().enumerate();
        items.filter(|(place, item)| wanted(*place, item)).map(|(_, item)| item).collect()
    }

    /// Works out what is enabled and what is calculated, until nothing changes.
    pub(crate) fn follow(&mut self) {
        let items = self.questionnaire.items();
        let mut calculated: BTreeMap<usize, Vec<Answer>> = BTreeMap::new();
        let mut steps = MAX_STEPS;
        for _ in 0..MAX_ROUNDS {
            let mut state = self.settle(&calculated);
            let mut next = BTreeMap::new();
            let answers =
                Answers { questionnaire: self.questionnaire, of: &state.answers, present: &state.present };
            let mut faults = BTreeMap::new();
            for (place, item) in items.iter().enumerate().filter(|(place, _)| state.enabled[*place]) {
                let Some(expression) = &item.calculated else { continue };
                let value = Evaluation::new(&answers, &mut steps).value(expression);
                match value.and_then(|value| value.map(|value| result(item, &value)).transpose()) {
                    Ok(Some(answer)) => drop(next.insert(place, vec![answer])),
                    Ok(None) => {}
                    Err(fault) => drop(faults.insert(place, fault)),
                }
            }
            let is_settled = next == calculated;
            state.faults = faults;
            self.state = state;
            if is_settled {
                return;
            }
            calculated = next;
        }
        // Better no result than one that depends on where the circle was left.
        self.state = self.settle(&BTreeMap::new());
        let places = (0..items.len()).filter(|place| items[*place].is_calculated());
        self.state.faults = places.map(|place| (place, CalculationError::NotSettled)).collect();
    }

    /// What is enabled with these calculated answers, and which answers count.
    fn settle(&self, calculated: &BTreeMap<usize, Vec<Answer>>) -> State {
        let items = self.questionnaire.items();
        let mut enabled = vec![false; items.len()];
        let mut answers = vec![Vec::new(); items.len()];
        for place in self.questionnaire.order.iter().copied() {
            let item = &items[place];
            let mut holds =
                item.conditions.iter().map(|condition| condition.holds(&answers[condition.question]));
            let wanted = match item.conditions.is_empty() {
                true => true,
                false if item.all_conditions => holds.all(|holds| holds),
                false => holds.any(|holds| holds),
            };
            // What stands below a question belongs to its answer; words about it are shown with it.
            let belongs = |parent: usize| {
                enabled[parent]
                    && (items[parent].kind == Kind::Group
                        || item.kind == Kind::Display
                        || !answers[parent].is_empty())
            };
            enabled[place] = wanted && item.parent.is_none_or(belongs);
            if enabled[place] {
                let source = if item.is_calculated() { calculated } else { &self.given };
                answers[place] = source.get(&place).cloned().unwrap_or_default();
            }
        }
        // Children come after their parents: from the end, each tells its parent.
        let mut present: Vec<bool> = answers.iter().map(|answers| !answers.is_empty()).collect();
        for (place, item) in items.iter().enumerate().rev() {
            if let Some(parent) = item.parent.filter(|_| present[place]) {
                present[parent] |= items[parent].kind == Kind::Group;
            }
        }
        State { enabled, answers, present, faults: BTreeMap::new() }
    }
}

/// Whether these can be the answers to a question.
fn check(item: &Item, answers: &[Answer]) -> Result<(), AnswerError> {
    let name = || item.link_id.clone();
    if answers.len() > if item.repeats { MAX_ANSWERS } else { 1 } {
        return Err(AnswerError::TooMany(name()));
    }
    for answer in answers {
        let is_option = item.options.is_empty() || item.options.iter().any(|option| option.value.is(answer));
        if !item.kind.fits(answer) || !is_option {
            let expected = if item.options.is_empty() { item.kind } else { Kind::Choice }.expected();
            return Err(AnswerError::Kind { item: name(), expected });
        }
        let below = item.limits.min.as_ref().and_then(|min| answer.compare(min)).is_some_and(Ordering::is_lt);
        let above = item.limits.max.as_ref().and_then(|max| answer.compare(max)).is_some_and(Ordering::is_gt);
        if below || above {
            return Err(AnswerError::Range(name()));
        }
        let is_long = match answer {
            Answer::Text(text) => {
                text.len() > MAX_TEXT_BYTES
                    || item.limits.length.is_some_and(|most| text.chars().count() > most)
            }
            Answer::Decimal(number) => item.limits.decimals.is_some_and(|most| decimals(*number) > most),
            _ => false,
        };
        if is_long {
            return Err(AnswerError::Length(name()));
        }
    }
    Ok(())
}

/// Digits after the point, in the shortest spelling of a number.
fn decimals(number: f64) -> usize {
    let text = number.to_string();
    text.split_once('.').map_or(0, |(_, digits)| digits.len())
}

/// A calculated value as an answer to its question.
fn result(item: &Item, value: &Node) -> Result<Answer, CalculationError> {
    let answer = match (item.kind, value) {
        (Kind::Integer, Node::Number(number)) if number.fract() == 0.0 => {
            let is_in_range = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(number);
            is_in_range.then_some(Answer::Integer(*number as i32))
        }
        (Kind::Decimal, Node::Number(number)) => {
            Some(Answer::Decimal(*number)).filter(|_| number.is_finite())
        }
        (Kind::Boolean, Node::Truth(truth)) => Some(Answer::Boolean(*truth)),
        (Kind::Text, Node::Text(text)) => Some(Answer::Text(text.clone())),
        (Kind::Date, Node::Text(text)) => {
            Some(Answer::Date(text.clone())).filter(|_| super::answer::is_date(text))
        }
        _ => None,
    };
    let answer = answer.ok_or(CalculationError::Result)?;
    check(item, std::slice::from_ref(&answer)).map_err(|_| CalculationError::Result)?;
    Ok(answer)
}
