//! What an expression gives for the answers so far: a collection, as everything in FHIRPath is one.

use super::{Expression, Function, Member, Operator};
use crate::questionnaire::{Answer, Questionnaire};

/// Steps that the expressions of a questionnaire may take together after one answer of a person.
pub(crate) const MAX_STEPS: usize = 500_000;

/// Why an expression gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalculationError {
    /// It takes too many steps.
    #[error("the calculation takes more than {MAX_STEPS} steps")]
    TooLong,
    /// An operator or function was given what it is not for.
    #[error("the calculation mixes kinds of values")]
    Kinds,
    /// Several values where one was expected.
    #[error("the calculation has several values where one is expected")]
    Several,
    /// The result is not of the kind of the item, or out of its range.
    #[error("the result of the calculation does not fit the question")]
    Result,
    /// Expressions depend on each other in a circle.
    #[error("the calculations change each other without end")]
    NotSettled,
}

/// The answers that count: those of enabled items, by place in the questionnaire.
pub(crate) struct Answers<'a> {
    pub(crate) questionnaire: &'a Questionnaire,
    pub(crate) of: &'a [Vec<Answer>],
    /// Whether an item is in the response: it or one below it is answered.
    pub(crate) present: &'a [bool],
}

/// A member of a collection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Resource,
    Item(usize),
    /// An answer of an item, by place.
    Answered(usize, usize),
    /// Its value.
    Value(usize, usize),
    Number(f64),
    Truth(bool),
    Text(String),
}

type Collection = Vec<Node>;
type Evaluated = Result<Collection, CalculationError>;

/// One run over the answers.
pub(crate) struct Evaluation<'a> {
    answers: &'a Answers<'a>,
    steps: &'a mut usize,
}

/// What `$this` and `$total` are.
#[derive(Clone, Copy)]
struct Scope<'a> {
    this: &'a Node,
    total: &'a [Node],
}

impl<'a> Evaluation<'a> {
    /// A run that may take the steps that are left.
    pub(crate) fn new(answers: &'a Answers<'a>, steps: &'a mut usize) -> Evaluation<'a> {
        Evaluation { answers, steps }
    }

    /// The one value that the expression gives, if it gives any.
    pub(crate) fn value(&mut self, expression: &Expression) -> Result<Option<Node>, CalculationError> {
        let collection = self.evaluate(expression, Scope { this: &Node::Resource, total: &[] })?;
        self.single(collection)
    }

    fn evaluate(&mut self, expression: &Expression, scope: Scope<'_>) -> Evaluated {
        self.spend(1)?;
        let one = |node| Ok(vec![node]);
        match expression {
            Expression::Resource => one(Node::Resource),
            Expression::This => one(scope.this.clone()),
            Expression::Total => Ok(scope.total.to_vec()),
            Expression::Empty => Ok(Vec::new()),
            Expression::Number(number) => one(Node::Number(*number)),
            Expression::Truth(truth) => one(Node::Truth(*truth)),
            Expression::Text(text) => one(Node::Text(text.clone())),
            Expression::Member(of, member) => {
                let of = self.evaluate(of, scope)?;
                self.members(&of, *member)
            }
            Expression::Call(of, function, arguments) => {
                let of = self.evaluate(of, scope)?;
                self.call(of, *function, arguments, scope)
            }
            Expression::Either(parts) => {
                let [condition, then, otherwise] = &**parts;
                let holds = self.holds(condition, scope)? == Some(true);
                self.evaluate(if holds { then } else { otherwise }, scope)
            }
            Expression::Negative(of) => Ok(some(self.number(of, scope)?.map(|number| Node::Number(-number)))),
            Expression::Binary(operator, parts) => self.binary(*operator, parts, scope),
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), CalculationError> {
        *self.steps = self.steps.checked_sub(steps).ok_or(CalculationError::TooLong)?;
        Ok(())
    }

    /// A member of each node; one that a node does not have is nothing.
    fn members(&mut self, of: &[Node], member: Member) -> Evaluated {
        let mut found = Vec::new();
        for node in of {
            match (node, member) {
                (_, Member::Item) => found.extend(self.items(node)),
                (Node::Item(item), Member::Answer) => {
                    found.extend((0..self.answers.of[*item].len()).map(|n| Node::Answered(*item, n)));
                }
                (Node::Answered(item, n), Member::Value) => found.push(Node::Value(*item, *n)),
                (Node::Item(item), Member::LinkId) => {
                    found.push(Node::Text(self.answers.questionnaire.items()[*item].link_id.clone()));
                }
                (Node::Value(item, n), Member::Code) => {
                    if let Answer::Coding(coding) = &self.answers.of[*item][*n] {
                        found.push(Node::Text(coding.code.clone()));
                    }
                }
                _ => {}
            }
        }
        self.spend(found.len())?;
        Ok(found)
    }

    /// Items of the response right below a node; those below a question stand below its first answer.
    fn items(&self, below: &Node) -> Collection {
        let questionnaire = self.answers.questionnaire;
        let children = match below {
            Node::Resource => &questionnaire.roots,
            Node::Item(item) if self.answers.of[*item].is_empty() => &questionnaire.items()[*item].children,
            Node::Answered(item, 0) => &questionnaire.items()[*item].children,
            _ => return Vec::new(),
        };
        children.iter().filter(|item| self.answers.present[**item]).map(|item| Node::Item(*item)).collect()
    }

    /// Items of the response at any depth below.
    fn descendants(&mut self, of: &[Node]) -> Evaluated {
        let mut found: Collection = of.iter().flat_map(|node| self.items(node)).collect();
        let mut at = 0;
        while let Some(node) = found.get(at).cloned() {
            self.spend(1)?;
            if let Node::Item(item) = node {
                found.extend(self.items(&node));
                found.extend(if self.answers.of[item].is_empty() {
                    Vec::new()
                } else {
                    self.items(&Node::Answered(item, 0))
                });
            }
            at += 1;
        }
        Ok(found)
    }

    fn call(
        &mut self,
        of: Collection,
        function: Function,
        arguments: &[Expression],
        scope: Scope<'_>,
    ) -> Evaluated {
        let truth = |truth| Ok(vec![Node::Truth(truth)]);
        match function {
            Function::Where => self.filter(of, &arguments[0], scope),
            Function::All => {
                let count = of.len();
                truth(self.filter(of, &arguments[0], scope)?.len() == count)
            }
            Function::Exists => match arguments.first() {
                Some(criterion) => truth(!self.filter(of, criterion, scope)?.is_empty()),
                None => truth(!of.is_empty()),
            },
            Function::Empty => truth(of.is_empty()),
            Function::Count => Ok(vec![Node::Number(of.len() as f64)]),
            Function::First => Ok(of.into_iter().take(1).collect()),
            Function::Not => Ok(some(self.truth(of)?.map(|truth| Node::Truth(!truth)))),
            Function::Sum => Ok(vec![Node::Number(self.numbers(&of)?.iter().sum())]),
            Function::Min => Ok(some(self.numbers(&of)?.into_iter().reduce(f64::min).map(Node::Number))),
            Function::Max => Ok(some(self.numbers(&of)?.into_iter().reduce(f64::max).map(Node::Number))),
            Function::Round => {
                let one = self.single(of)?;
                let number = one.map(|node| self.as_number(&node)).transpose()?;
                Ok(some(number.map(|number| Node::Number(number.round()))))
            }
            Function::Ordinal => {
                Ok(of.iter().filter_map(|node| self.ordinal(node)).map(Node::Number).collect())
            }
            Function::Descendants => self.descendants(&of),
            Function::Answers => {
                let mut items: Collection =
                    of.iter().filter(|it| matches!(it, Node::Item(_))).cloned().collect();
                items.extend(self.descendants(&of)?);
                self.members(&items, Member::Answer)
            }
            Function::StartsWith => {
                let start = self.evaluate(&arguments[0], scope)?;
                match (self.single(of)?, self.single(start)?) {
                    (Some(Node::Text(text)), Some(Node::Text(start))) => truth(text.starts_with(&start)),
                    (None, _) | (_, None) => Ok(Vec::new()),
                    _ => Err(CalculationError::Kinds),
                }
            }
            Function::Aggregate => {
                let start = arguments.get(1).map(|start| self.evaluate(start, scope)).transpose()?;
                let mut total = start.unwrap_or_default();
                for this in &of {
                    self.spend(total.len())?;
                    total = self.evaluate(&arguments[0], Scope { this, total: &total })?;
                }
                Ok(total)
            }
        }
    }

    fn filter(&mut self, of: Collection, criterion: &Expression, scope: Scope<'_>) -> Evaluated {
        let mut kept = Vec::new();
        for node in of {
            if self.holds(criterion, Scope { this: &node, total: scope.total })? == Some(true) {
                kept.push(node);
            }
        }
        Ok(kept)
    }

    fn binary(&mut self, operator: Operator, [left, right]: &[Expression; 2], scope: Scope<'_>) -> Evaluated {
        match operator {
            Operator::And | Operator::Or => {
                // Three-valued: what is unknown decides nothing that the other side does not settle.
                let decides = operator == Operator::Or;
                let (left, right) = (self.holds(left, scope)?, self.holds(right, scope)?);
                let settled = left == Some(decides) || right == Some(decides);
                let known = left.is_some() && right.is_some();
                let result = if settled { Some(decides) } else { known.then_some(!decides) };
                Ok(some(result.map(Node::Truth)))
            }
            Operator::Union => {
                let mut union = self.evaluate(left, scope)?;
                for node in self.evaluate(right, scope)? {
                    self.spend(union.len())?;
                    if !union.contains(&node) {
                        union.push(node);
                    }
                }
                Ok(union)
            }
            Operator::In => {
                let (left, right) = (self.evaluate(left, scope)?, self.evaluate(right, scope)?);
                self.spend(right.len())?;
                let left = self.single(left)?;
                let is_in = left.map(|left| right.into_iter().any(|node| self.simple(node) == left));
                Ok(some(is_in.map(Node::Truth)))
            }
            Operator::Equal | Operator::Unequal => {
                let (left, right) = (self.evaluate(left, scope)?, self.evaluate(right, scope)?);
                self.spend(left.len() + right.len())?;
                if left.is_empty() || right.is_empty() {
                    return Ok(Vec::new());
                }
                let simple =
                    |all: Collection| all.into_iter().map(|node| self.simple(node)).collect::<Vec<_>>();
                Ok(vec![Node::Truth((simple(left) == simple(right)) == (operator == Operator::Equal))])
            }
            _ => {
                let (left, right) = (self.number(left, scope)?, self.number(right, scope)?);
                let (Some(left), Some(right)) = (left, right) else { return Ok(Vec::new()) };
                Ok(some(arithmetic(operator, left, right)))
            }
        }
    }

    fn holds(&mut self, expression: &Expression, scope: Scope<'_>) -> Result<Option<bool>, CalculationError> {
        let collection = self.evaluate(expression, scope)?;
        self.truth(collection)
    }

    fn truth(&self, collection: Collection) -> Result<Option<bool>, CalculationError> {
        match self.single(collection)? {
            None => Ok(None),
            Some(Node::Truth(truth)) => Ok(Some(truth)),
            Some(_) => Err(CalculationError::Kinds),
        }
    }

    fn number(&mut self, expression: &Expression, scope: Scope<'_>) -> Result<Option<f64>, CalculationError> {
        let collection = self.evaluate(expression, scope)?;
        self.single(collection)?.map(|node| self.as_number(&node)).transpose()
    }

    fn numbers(&self, of: &[Node]) -> Result<Vec<f64>, CalculationError> {
        of.iter().map(|node| self.as_number(node)).collect()
    }

    fn as_number(&self, node: &Node) -> Result<f64, CalculationError> {
        match self.simple(node.clone()) {
            Node::Number(number) => Ok(number),
            _ => Err(CalculationError::Kinds),
        }
    }

    /// The ordinal of a chosen option.
    fn ordinal(&self, node: &Node) -> Option<f64> {
        let (Node::Value(item, n) | Node::Answered(item, n)) = node else { return None };
        let answer = &self.answers.of[*item][*n];
        let options = &self.answers.questionnaire.items()[*item].options;
        options.iter().find(|option| option.value.is(answer))?.ordinal
    }

    /// The only node of a collection, plain; `None` if there is none.
    fn single(&self, mut collection: Collection) -> Result<Option<Node>, CalculationError> {
        if collection.len() > 1 {
            return Err(CalculationError::Several);
        }
        Ok(collection.pop().map(|node| self.simple(node)))
    }

    /// The value of an answer as a plain number, truth or text; a code stays what it is.
    fn simple(&self, node: Node) -> Node {
        let Node::Value(item, n) = node else { return node };
        match &self.answers.of[item][n] {
            Answer::Boolean(truth) => Node::Truth(*truth),
            Answer::Integer(number) => Node::Number(f64::from(*number)),
            Answer::Decimal(number) => Node::Number(*number),
            Answer::Date(text) | Answer::Text(text) => Node::Text(text.clone()),
            Answer::Coding(_) => node,
        }
    }
}

fn some(node: Option<Node>) -> Collection {
    node.into_iter().collect()
}

/// `None` for a division by zero, which FHIRPath calls nothing.
fn arithmetic(operator: Operator, left: f64, right: f64) -> Option<Node> {
    let truth = |truth| Some(Node::Truth(truth));
    match operator {
        Operator::Add => Some(Node::Number(left + right)),
        Operator::Subtract => Some(Node::Number(left - right)),
        Operator::Multiply => Some(Node::Number(left * right)),
        Operator::Divide => Some(Node::Number(left / right)).filter(|_| right != 0.0),
        Operator::Less => truth(left < right),
        Operator::LessOrEqual => truth(left <= right),
        Operator::Greater => truth(left > right),
        Operator::GreaterOrEqual => truth(left >= right),
        Operator::Or
        | Operator::And
        | Operator::In
        | Operator::Equal
        | Operator::Unequal
        | Operator::Union => None,
    }
}
