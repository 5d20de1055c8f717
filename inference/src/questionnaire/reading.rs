//! Reading a Questionnaire resource. Everything is checked here, so that filling it cannot go wrong later.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::answer::{Answer, Text, extensions};
use super::expression::{Expression, ExpressionError, Variables};
use super::item::{AnswerOption, Comparison, Condition, Item, Kind, Limits};

/// Items inside each other.
pub const MAX_DEPTH: usize = 12;
/// Items of a questionnaire.
pub const MAX_ITEMS: usize = 2_000;
/// Options of an item.
pub const MAX_OPTIONS: usize = 1_000;
/// Conditions of an item, and variables of a questionnaire.
const MAX_CONDITIONS: usize = 100;
/// Bytes of a link id (FHIR recommends 255 characters).
const MAX_LINK_ID_BYTES: usize = 255;

const ORDINALS: [&str; 2] = [
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
];
const HIDDEN: &str = "http://hl7.org/fhir/StructureDefinition/questionnaire-hidden";
const MIN_VALUE: &str = "http://hl7.org/fhir/StructureDefinition/minValue";
const MAX_VALUE: &str = "http://hl7.org/fhir/StructureDefinition/maxValue";
const MAX_DECIMALS: &str = "http://hl7.org/fhir/StructureDefinition/maxDecimalPlaces";
const VARIABLE: &str = "http://hl7.org/fhir/StructureDefinition/variable";
const CALCULATED: &str =
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression";
/// Expressions that decide what is asked or allowed and are not read here.
const REFUSED: [&str; 4] = [
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression",
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-answerExpression",
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-initialExpression",
    "http://hl7.org/fhir/StructureDefinition/targetConstraint",
];

/// Why a questionnaire is refused. Items are named by their link id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionnaireError {
    /// It is no Questionnaire with items.
    #[error("this is no Questionnaire of FHIR R4 with items")]
    NotAQuestionnaire,
    /// Too many items.
    #[error("the questionnaire has more than {MAX_ITEMS} items")]
    TooManyItems,
    /// Items too deep inside each other.
    #[error("items lie deeper than {MAX_DEPTH} levels inside each other")]
    TooDeep,
    /// An item without a link id, or with one that is too long.
    #[error("an item below {0:?} has no usable linkId")]
    LinkId(String),
    /// Two items of one name.
    #[error("two items have the linkId {0:?}")]
    Duplicate(String),
    /// A part of an item is missing or of another form.
    #[error("item {item:?}: {part} is missing or malformed")]
    Malformed {
        /// The item.
        item: String,
        /// The part.
        part: &'static str,
    },
    /// A part of an item that is not read here and that would change what is asked.
    #[error("item {item:?}: {part} is not supported")]
    Unsupported {
        /// The item.
        item: String,
        /// The part.
        part: String,
    },
    /// A condition on an item that does not exist or has no answers.
    #[error("item {item:?} depends on {question:?}, which is no question")]
    NoQuestion {
        /// The item with the condition.
        item: String,
        /// What it names.
        question: String,
    },
    /// Items that are enabled by each other.
    #[error("the conditions of these items form a circle: {0:?}")]
    Circle(Vec<String>),
    /// An expression that cannot be read.
    #[error("item {item:?}: the expression cannot be read")]
    Expression {
        /// The item, or the name of the variable.
        item: String,
        /// Why.
        #[source]
        source: ExpressionError,
    },
}

/// A questionnaire that can be filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Questionnaire {
    /// Its canonical address; may be empty.
    pub url: String,
    /// Its version; may be empty.
    pub version: String,
    /// Its title.
    pub title: Text,
    items: Vec<Item>,
    /// The items at the top.
    pub(crate) roots: Vec<usize>,
    /// All items, each after those that decide whether it is asked.
    pub(crate) order: Vec<usize>,
    by_link_id: HashMap<String, usize>,
}

impl Questionnaire {
    /// Reads a Questionnaire resource.
    pub fn read(resource: &Value) -> Result<Questionnaire, QuestionnaireError> {
        let of =
            resource.as_object().filter(|of| of.get("resourceType").is_some_and(|it| it == "Questionnaire"));
        let of = of.ok_or(QuestionnaireError::NotAQuestionnaire)?;
        let mut reading = Reading::new(of)?;
        let items = of.get("item").and_then(Value::as_array).ok_or(QuestionnaireError::NotAQuestionnaire)?;
        let roots = reading.items(items, None, 0)?;
        reading.connect()?;
        let order = order(&reading.items)?;
        let text = |name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Questionnaire {
            url: text("url"),
            version: text("version"),
            title: Text::read(of, "title"),
            items: reading.items,
            roots,
            order,
            by_link_id: reading.by_link_id,
        })
    }

    /// All items, each before those inside it.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item of this name.
    pub fn item(&self, link_id: &str) -> Option<&Item> {
        self.place(link_id).map(|place| &self.items[place])
    }

    pub(crate) fn place(&self, link_id: &str) -> Option<usize> {
        self.by_link_id.get(link_id).copied()
    }
}

/// A condition as it is written, with the item it belongs to.
struct Written {
    item: usize,
    question: String,
    comparison: Comparison,
    answer: Answer,
}

struct Reading<'a> {
    contained: HashMap<&'a str, &'a Value>,
    variables: Variables,
    items: Vec<Item>,
    by_link_id: HashMap<String, usize>,
    conditions: Vec<Written>,
}

impl<'a> Reading<'a> {
    fn new(of: &'a Map<String, Value>) -> Result<Reading<'a>, QuestionnaireError> {
        modifiers(of, "the questionnaire")?;
        let resources = of.get("contained").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let contained = resources.iter().filter_map(|it| Some((it["id"].as_str()?, it))).collect();
        let mut variables = Variables::new();
        let found = of.get("extension").and_then(Value::as_array).into_iter().flatten();
        for extension in found.filter(|extension| extension["url"] == VARIABLE).take(MAX_CONDITIONS) {
            let name = extension["valueExpression"]["name"].as_str().unwrap_or_default();
            let expression = expression(extension, &variables)
                .map_err(|source| QuestionnaireError::Expression { item: format!("%{name}"), source })?;
            variables.insert(name.to_owned(), expression);
        }
        let (items, by_link_id, conditions) = Default::default();
        Ok(Reading { contained, variables, items, by_link_id, conditions })
    }

    /// Reads items and those inside them; their places.
    fn items(
        &mut self,
        items: &[Value],
        parent: Option<usize>,
        depth: usize,
    ) -> Result<Vec<usize>, QuestionnaireError> {
        if depth >= MAX_DEPTH {
            return Err(QuestionnaireError::TooDeep);
        }
        let mut places = Vec::with_capacity(items.len().min(MAX_ITEMS));
        for item in items {
            if self.items.len() >= MAX_ITEMS {
                return Err(QuestionnaireError::TooManyItems);
            }
            let place = self.items.len();
            let above = parent.map_or(String::new(), |parent| self.items[parent].link_id.clone());
            let of = item.as_object().ok_or_else(|| QuestionnaireError::LinkId(above.clone()))?;
            let link_id = of.get("linkId").and_then(Value::as_str).filter(|id| !id.is_empty());
            let link_id = link_id.filter(|id| id.len() <= MAX_LINK_ID_BYTES);
            let link_id = link_id.ok_or(QuestionnaireError::LinkId(above))?.to_owned();
            if self.by_link_id.insert(link_id.clone(), place).is_some() {
                return Err(QuestionnaireError::Duplicate(link_id));
            }
            let read = ItemReading { of, link_id: &link_id }.read(self, parent, depth)?;
            self.items.push(read);
            if let Some(inside) = of.get("item") {
                let inside =
                    inside.as_array().ok_or(QuestionnaireError::Malformed { item: link_id, part: "item" })?;
                self.items[place].children = self.items(inside, Some(place), depth + 1)?;
            }
            places.push(place);
        }
        Ok(places)
    }

    /// Gives conditions the place of their question, which may stand after them.
    fn connect(&mut self) -> Result<(), QuestionnaireError> {
        for Written { item, question, comparison, answer } in std::mem::take(&mut self.conditions) {
            let place = self.by_link_id.get(&question).copied();
            let Some(place) = place.filter(|place| self.items[*place].is_question()) else {
                return Err(QuestionnaireError::NoQuestion {
                    item: self.items[item].link_id.clone(),
                    question,
                });
            };
            self.items[item].conditions.push(Condition { question: place, comparison, answer });
        }
        Ok(())
    }
}

/// One item while it is read.
struct ItemReading<'a> {
    of: &'a Map<String, Value>,
    link_id: &'a str,
}

impl ItemReading<'_> {
    fn read(
        &self,
        reading: &mut Reading<'_>,
        parent: Option<usize>,
        depth: usize,
    ) -> Result<Item, QuestionnaireError> {
        modifiers(self.of, self.link_id)?;
        if let Some(refused) = self.extensions().find_map(|it| REFUSED.iter().find(|url| it["url"] == ***url))
        {
            return Err(self.unsupported(refused));
        }
        let kind_name = self.of.get("type").and_then(Value::as_str).ok_or_else(|| self.malformed("type"))?;
        let kind =
            Kind::of(kind_name).ok_or_else(|| self.unsupported(&format!("the type {kind_name:.40}")))?;
        let flag = |name: &'static str| match self.of.get(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.malformed(name)),
        };
        let (repeats, read_only) = (flag("repeats")?, flag("readOnly")?);
        if kind == Kind::Group && repeats {
            return Err(self.unsupported("a group that repeats"));
        }
        let calculated = self.extension(CALCULATED).map(|extension| {
            expression(extension, &reading.variables)
                .map_err(|source| QuestionnaireError::Expression { item: self.link_id.to_owned(), source })
        });
        let calculated = calculated.transpose()?;
        let hidden = self.extension(HIDDEN).is_some_and(|extension| extension["valueBoolean"] == true);
        self.conditions(reading)?;
        let (options, chosen) = self.options(kind, reading)?;
        let item = Item {
            link_id: self.link_id.to_owned(),
            text: Text::read(self.of, "text"),
            prefix: self.of.get("prefix").and_then(Value::as_str).unwrap_or_default().to_owned(),
            kind,
            required: flag("required")?,
            repeats,
            silent: hidden || read_only || calculated.is_some(),
            options,
            limits: self.limits()?,
            depth,
            initial: self.initial(chosen)?,
            conditions: Vec::new(),
            all_conditions: self.all_conditions()?,
            calculated,
            parent,
            children: Vec::new(),
        };
        let is_needed = kind == Kind::Choice && item.calculated.is_none();
        if is_needed && item.options.is_empty() {
            return Err(self.malformed("answerOption"));
        }
        if kind == Kind::Display && self.of.contains_key("item") {
            return Err(self.malformed("an item inside of words"));
        }
        if !item.is_question() && (item.calculated.is_some() || !item.initial.is_empty()) {
            return Err(self.malformed("an answer of what is no question"));
        }
        Ok(item)
    }

    fn malformed(&self, part: &'static str) -> QuestionnaireError {
        QuestionnaireError::Malformed { item: self.link_id.to_owned(), part }
    }

    fn unsupported(&self, part: &str) -> QuestionnaireError {
        QuestionnaireError::Unsupported { item: self.link_id.to_owned(), part: part.to_owned() }
    }

    fn extensions(&self) -> impl Iterator<Item = &Value> {
        self.of.get("extension").and_then(Value::as_array).into_iter().flatten()
    }

    fn extension(&self, url: &str) -> Option<&Value> {
        self.extensions().find(|extension| extension["url"] == url)
    }

    /// A list of objects; none is an empty one.
    fn list(&self, name: &'static str, most: usize) -> Result<Vec<&Map<String, Value>>, QuestionnaireError> {
        let Some(list) = self.of.get(name) else { return Ok(Vec::new()) };
        let list = list.as_array().filter(|list| list.len() <= most).ok_or_else(|| self.malformed(name))?;
        list.iter().map(|it| it.as_object().ok_or_else(|| self.malformed(name))).collect()
    }

    fn conditions(&self, reading: &mut Reading<'_>) -> Result<(), QuestionnaireError> {
        for condition in self.list("enableWhen", MAX_CONDITIONS)? {
            let text = |name: &str| condition.get(name).and_then(Value::as_str);
            let comparison = text("operator").and_then(Comparison::of);
            let (Some(question), Some(comparison)) = (text("question"), comparison) else {
                return Err(self.malformed("enableWhen"));
            };
            let answer = match Answer::read(condition, "answer") {
                Ok(answer) => answer.ok_or_else(|| self.malformed("enableWhen"))?,
                Err(()) => return Err(self.unsupported("a condition on this kind of answer")),
            };
            if comparison == Comparison::Exists && !matches!(answer, Answer::Boolean(_)) {
                return Err(self.malformed("enableWhen"));
            }
            let (item, question) = (reading.items.len(), question.to_owned());
            reading.conditions.push(Written { item, question, comparison, answer });
        }
        Ok(())
    }

    fn all_conditions(&self) -> Result<bool, QuestionnaireError> {
        let several = self.of.get("enableWhen").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        match self.of.get("enableBehavior").and_then(Value::as_str) {
            Some("all") => Ok(true),
            Some("any") => Ok(false),
            None if !several => Ok(true),
            // With several conditions FHIR demands it (que-12): guessing could hide a question.
            _ => Err(self.malformed("enableBehavior")),
        }
    }

    /// The options, and those that are chosen from the start.
    fn options(
        &self,
        kind: Kind,
        reading: &Reading<'_>,
    ) -> Result<(Vec<AnswerOption>, Vec<Answer>), QuestionnaireError> {
        let (mut options, mut chosen) = (Vec::new(), Vec::new());
        for written in self.list("answerOption", MAX_OPTIONS)? {
            let value = match Answer::read(written, "value") {
                Ok(value) => value.ok_or_else(|| self.malformed("answerOption"))?,
                Err(()) => return Err(self.unsupported("an option of this kind")),
            };
            if !kind.fits(&value) {
                return Err(self.malformed("answerOption"));
            }
            if written.get("initialSelected").is_some_and(|it| it == true) {
                chosen.push(value.clone());
            }
            let coding = written.get("valueCoding").unwrap_or(&Value::Null);
            let own = written.get("extension").and_then(Value::as_array).into_iter().flatten();
            let ordinal = ordinal(own.chain(extensions(coding)));
            options.push(AnswerOption { value, ordinal });
        }
        if let Some(set) = self.of.get("answerValueSet") {
            let set = set.as_str().and_then(|name| name.strip_prefix('#'));
            let set = set.ok_or_else(|| self.unsupported("a value set that is not contained"))?;
            let set = reading.contained.get(set).ok_or_else(|| self.malformed("answerValueSet"))?;
            options.extend(self.contained(set)?);
        }
        let is_distinct =
            |(at, option): (usize, &AnswerOption)| !options[..at].iter().any(|it| it.value.is(&option.value));
        if options.len() > MAX_OPTIONS || !options.iter().enumerate().all(is_distinct) {
            return Err(self.malformed("answerOption"));
        }
        Ok((options, chosen))
    }

    /// The codes of a value set that lists them.
    fn contained(&self, set: &Value) -> Result<Vec<AnswerOption>, QuestionnaireError> {
        let malformed = || self.malformed("answerValueSet");
        let mut options = Vec::new();
        let mut take = |code: &Value, system: &Value| {
            let coding = code.as_object().and_then(super::Coding::read).ok_or_else(malformed)?;
            let system = if coding.system.is_empty() {
                system.as_str().unwrap_or_default().to_owned()
            } else {
                coding.system
            };
            let value = Answer::Coding(super::Coding { system, code: coding.code, display: coding.display });
            options.push(AnswerOption { value, ordinal: ordinal(extensions(code).iter()) });
            if options.len() > MAX_OPTIONS { Err(malformed()) } else { Ok(()) }
        };
        if let Some(listed) = set["expansion"]["contains"].as_array() {
            listed.iter().try_for_each(|code| take(code, &Value::Null))?;
            return Ok(options);
        }
        let compose = &set["compose"];
        if !compose["exclude"].is_null() {
            return Err(self.unsupported("a value set that excludes codes"));
        }
        for include in compose["include"].as_array().ok_or_else(malformed)? {
            let listed = include["concept"].as_array();
            let listed =
                listed.ok_or_else(|| self.unsupported("a value set that does not list its codes"))?;
            listed.iter().try_for_each(|code| take(code, &include["system"]))?;
        }
        Ok(options)
    }

    fn limits(&self) -> Result<Limits, QuestionnaireError> {
        let value = |url: &str| {
            let found = self.extension(url).and_then(Value::as_object).map(|it| Answer::read(it, "value"));
            found.transpose().map(Option::flatten).map_err(|()| self.malformed("minValue or maxValue"))
        };
        let count = |value: Option<&Value>, part| match value {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|count| usize::try_from(count).ok()) {
                Some(count) => Ok(Some(count)),
                None => Err(self.malformed(part)),
            },
        };
        Ok(Limits {
            min: value(MIN_VALUE)?,
            max: value(MAX_VALUE)?,
            length: count(self.of.get("maxLength"), "maxLength")?,
            decimals: count(self.extension(MAX_DECIMALS).map(|it| &it["valueInteger"]), "maxDecimalPlaces")?,
        })
    }

    fn initial(&self, chosen: Vec<Answer>) -> Result<Vec<Answer>, QuestionnaireError> {
        let mut initial = chosen;
        for written in self.list("initial", super::MAX_ANSWERS)? {
            let value = Answer::read(written, "value").ok().flatten();
            initial.push(value.ok_or_else(|| self.malformed("initial"))?);
        }
        Ok(initial)
    }
}

/// A modifier extension may turn the meaning of what it stands in around (FHIR R4, 2.4.0.1): unknown ones are refused.
fn modifiers(of: &Map<String, Value>, item: &str) -> Result<(), QuestionnaireError> {
    match of.get("modifierExtension") {
        None => Ok(()),
        Some(_) => Err(QuestionnaireError::Unsupported {
            item: item.to_owned(),
            part: "a modifier extension".to_owned(),
        }),
    }
}

fn expression(extension: &Value, variables: &Variables) -> Result<Expression, ExpressionError> {
    let written = &extension["valueExpression"];
    if written["language"] != "text/fhirpath" {
        return Err(ExpressionError::Language);
    }
    Expression::read(written["expression"].as_str().unwrap_or_default(), variables)
}

fn ordinal<'a>(mut extensions: impl Iterator<Item = &'a Value>) -> Option<f64> {
    let is_ordinal = |extension: &&Value| ORDINALS.iter().any(|url| extension["url"] == *url);
    extensions.find(is_ordinal)?["valueDecimal"].as_f64().filter(|points| points.is_finite())
}

/// The items in an order in which each comes after its parent and the questions of its conditions.
fn order(items: &[Item]) -> Result<Vec<usize>, QuestionnaireError> {
    let before = |place: usize| {
        let item: &Item = &items[place];
        item.conditions.iter().map(|condition| condition.question).chain(item.parent)
    };
    let mut waits_for: Vec<usize> = (0..items.len()).map(|place| before(place).count()).collect();
    let mut followers = vec![Vec::new(); items.len()];
    for place in 0..items.len() {
        before(place).for_each(|first| followers[first].push(place));
    }
    let mut order: Vec<usize> = (0..items.len()).filter(|place| waits_for[*place] == 0).collect();
    let mut at = 0;
    while let Some(place) = order.get(at).copied() {
        for follower in &followers[place] {
            waits_for[*follower] -= 1;
            if waits_for[*follower] == 0 {
                order.push(*follower);
            }
        }
        at += 1;
    }
    if order.len() == items.len() {
        return Ok(order);
    }
    let stuck = (0..items.len()).filter(|place| waits_for[*place] > 0);
    Err(QuestionnaireError::Circle(stuck.take(8).map(|place| items[place].link_id.clone()).collect()))
}
