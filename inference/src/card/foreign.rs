//! Models that others made: their cards are bounded, hold nothing that a terminal would act on, and their weights give
//! numbers before anybody is asked whether to use them. A package brings weights and a card, never code, so it can
//! only take the place of a model that the program has.

use std::borrow::Cow;

use super::{About, Model, ModelError};
use crate::Backend;
use crate::ecg::{ECG_MODEL, EcgModel};
use crate::glucose::{GLUCOSE_MODEL, GlucoseModel};
use crate::risk::{RISK_MODELS, RiskModel};
use crate::xray::{XRAY_MODEL, XrayModel};

/// The most bytes of what people wrote on a card.
pub const MAX_ABOUT_BYTES: usize = 32 * 1024;
/// The most bytes of what training wrote on a card.
pub const MAX_FIGURES_BYTES: usize = 96 * 1024;
/// The most bytes of one text of a card.
const MAX_TEXT_BYTES: usize = 4 * 1024;
/// The most entries of one list or table of a card.
const MAX_ENTRIES: usize = 512;

/// Why a model of somebody else is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignError {
    /// A text, a list or the whole card is longer than a card is.
    #[error("the card of the model is too large")]
    Large,
    /// Control characters, or such that change the direction of writing.
    #[error("the card of the model holds characters that could deceive who reads it")]
    Deceptive,
    /// The card cannot be read, or says nothing where a card must.
    #[error("the card of the model lacks what a card must tell: {0}")]
    Lacking(&'static str),
    /// The card is that of another model.
    #[error("the card is that of another model")]
    OtherModel,
    /// The version is not numbers with dots.
    #[error("the version of the model is not numbers with dots, such as 2 or 2.1")]
    Version,
    /// The weights are not those of the card, or do not work.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A version: up to four numbers with dots. `2` and `2.0` are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelVersion([u32; 4]);

impl ModelVersion {
    /// Reads one; `None` for anything else.
    pub fn parse(text: &str) -> Option<ModelVersion> {
        let mut numbers = [0; 4];
        for (index, part) in text.split('.').enumerate() {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            *numbers.get_mut(index)? = digits.then(|| part.parse().ok())??;
        }
        Some(ModelVersion(numbers))
    }
}

impl Model {
    /// A model that somebody else made: checked as far as can be without running it.
    ///
    /// # Errors
    /// [`ForeignError`] names the first check that fails.
    pub fn foreign(
        name: &str,
        about: &str,
        figures: &str,
        weights: Cow<'static, [u8]>,
    ) -> Result<Model, ForeignError> {
        if about.len() > MAX_ABOUT_BYTES || figures.len() > MAX_FIGURES_BYTES {
            return Err(ForeignError::Large);
        }
        for text in [about, figures] {
            let table: toml::Table =
                text.parse().map_err(|_| ForeignError::Lacking("both parts are TOML"))?;
            check(&toml::Value::Table(table))?;
        }
        let model = Model::of(about, figures, weights)?;
        let (told, known) = (&model.card.about, About::named(name)?);
        if told.name != known.name || told.short_name != known.short_name || known.name != name {
            return Err(ForeignError::OtherModel);
        }
        ModelVersion::parse(&told.version).ok_or(ForeignError::Version)?;
        if told.limits.is_empty() {
            return Err(ForeignError::Lacking("where it fails"));
        }
        // Every answer carries this advice: a new author may word it anew, not leave it out.
        if !told.safety.contains("emergency") {
            return Err(ForeignError::Lacking("when to call the emergency number"));
        }
        model.verify()?;
        Ok(model)
    }

    /// Whether the network takes the weights and gives numbers, whatever it is asked. Not whether it is right: that is
    /// measured.
    ///
    /// # Errors
    /// [`ModelError`] when the weights do not fit, or an answer is no number.
    pub fn self_test(&self, backend: Backend) -> Result<(), ModelError> {
        match self.card.about.name.as_str() {
            ECG_MODEL => EcgModel::load(self, backend)?.self_test(),
            XRAY_MODEL => XrayModel::of(self, backend)?.self_test(),
            GLUCOSE_MODEL => GlucoseModel::load(self, backend)?.self_test(),
            name if RISK_MODELS.contains(&name) => RiskModel::of(self, backend)?.self_test(),
            _ => Err(ModelError::Unknown),
        }
    }
}

/// Texts and lists of a card within their limits. The parser bounds how deep they lie.
fn check(value: &toml::Value) -> Result<(), ForeignError> {
    match value {
        toml::Value::String(text) => check_text(text),
        toml::Value::Array(list) => {
            if list.len() > MAX_ENTRIES {
                return Err(ForeignError::Large);
            }
            list.iter().try_for_each(check)
        }
        toml::Value::Table(table) => {
            if table.len() > MAX_ENTRIES {
                return Err(ForeignError::Large);
            }
            table.iter().try_for_each(|(key, value)| check_text(key).and_then(|()| check(value)))
        }
        toml::Value::Float(number) if !number.is_finite() => Err(ForeignError::Lacking("finite figures")),
        _ => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), ForeignError> {
    /// Marks and overrides of the writing direction, separators of lines, what is not seen (Unicode TR 36, 2.2).
    fn hidden(c: char) -> bool {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(ForeignError::Large);
    }
    if text.contains(hidden) { Err(ForeignError::Deceptive) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of the ECG model's card and its weights.
    fn texts() -> (String, String, Vec<u8>) {
        let model = Model::named(ECG_MODEL).unwrap();
        let about = toml::to_string(&model.card.about).unwrap();
        let figures = toml::to_string(&model.card.figures).unwrap();
        (about, figures, model.weights.into_owned())
    }

    /// More members than any model has.
    const MANY: usize = 400;

    /// The self-test of a model with other weights, under their right hash.
    fn with_weights(mut model: Model, weights: Vec<u8>) -> Result<(), ModelError> {
        model.card.figures.weights_sha256 = super::super::sha256(&weights);
        model.card.figures.weights_bytes = weights.len();
        model.weights = weights.into();
        model.self_test(Backend::default())
    }

    fn taken(about: &str) -> Result<Model, ForeignError> {
        let (_, figures, weights) = texts();
        Model::foreign(ECG_MODEL, about, &figures, weights.into())
    }

    #[test]
    fn a_whole_card_is_taken_and_its_network_works() {
        let (about, ..) = texts();
        taken(&about).unwrap().self_test(Backend::default()).unwrap();
    }

    #[test]
    fn every_built_in_model_passes_the_self_test_and_no_other_ones_weights_do() {
        let all = Model::all().unwrap();
        for model in &all {
            assert_eq!(model.self_test(Backend::default()), Ok(()), "{model:?}");
            for other in all.iter().filter(|other| other.card.about.name != model.card.about.name) {
                let refused = with_weights(model.clone(), other.weights.to_vec());
                assert_eq!(refused, Err(ModelError::Weights), "{model:?} with those of {other:?}");
            }
        }
    }

    #[test]
    fn decisions_that_give_no_probabilities_or_no_glucose_are_refused() {
        let refused = |name: &str, change: &dyn Fn(&mut toml::Table)| {
            let mut model = Model::named(name).unwrap();
            change(&mut model.card.figures.decision);
            model.self_test(Backend::default()).unwrap_err()
        };
        for name in RISK_MODELS {
            let sloping = |value: f64| {
                refused(name, &|decision| {
                    let calibration = decision["calibration"].as_table_mut().unwrap();
                    calibration.insert("slope".to_owned(), value.into());
                })
            };
            assert_eq!(sloping(1e308), ModelError::Answers, "{name}: sums without end");
            assert_eq!(sloping(-1.0), ModelError::Card, "{name}");
        }
        for (what, value) in [("stretch", -1.0), ("stretch", 1e30), ("damping", 1e30), ("damping", -0.1)] {
            let changed = refused(GLUCOSE_MODEL, &|decision| {
                let member = decision["members"].as_array_mut().unwrap()[0].as_table_mut().unwrap();
                member.insert(what.to_owned(), vec![value; 2].into());
            });
            assert_eq!(changed, ModelError::Card, "{what} {value}");
        }
        for members in [0, MANY] {
            let changed = refused(GLUCOSE_MODEL, &|decision| {
                let all = decision["members"].as_array_mut().unwrap();
                *all = vec![all[0].clone(); members];
            });
            assert_eq!(changed, ModelError::Card, "{members} members");
        }
    }

    #[test]
    fn what_could_deceive_a_reader_is_refused() {
        let (about, ..) = texts();
        for hidden in ["\\u001b[2J", "\\u202e", "\\u0007", "\\r", "\\u200b"] {
            let changed = about.replacen("summary = \"", &format!("summary = \"{hidden}"), 1);
            assert_eq!(taken(&changed).unwrap_err(), ForeignError::Deceptive, "{hidden}");
        }
        let long = about.replacen("summary = \"", &format!("summary = \"{}", "x".repeat(5_000)), 1);
        assert_eq!(taken(&long).unwrap_err(), ForeignError::Large);
        assert_eq!(taken(&"#".repeat(40_000)).unwrap_err(), ForeignError::Large);
        let deep = format!("{about}\nx = {}{}", "[".repeat(9_000), "]".repeat(9_000));
        assert!(taken(&deep).is_err());
    }

    #[test]
    fn a_card_that_lacks_safety_or_is_another_models_is_refused() {
        let (about, figures, weights) = texts();
        assert!(matches!(
            taken(&about.replace("emergency number", "doctor")),
            Err(ForeignError::Lacking(what)) if what.contains("emergency")
        ));
        assert_eq!(
            Model::foreign(XRAY_MODEL, &about, &figures, weights.into()).unwrap_err(),
            ForeignError::OtherModel
        );
        let renamed = about.replacen("short_name = \"ecg\"", "short_name = \"image\"", 1);
        assert_eq!(taken(&renamed).unwrap_err(), ForeignError::OtherModel);
        let version = about.replacen("\nversion = \"", "\nversion = \"next", 1);
        assert_eq!(taken(&version).unwrap_err(), ForeignError::Version);
    }

    #[test]
    fn weights_that_give_no_numbers_and_too_many_members_fail_the_self_test() {
        // The end of the file holds values: all bits set are no number.
        for model in Model::all().unwrap() {
            let mut wrong = model.weights.to_vec();
            let end = wrong.len();
            wrong[end - 500..].fill(0xff);
            assert!(with_weights(model.clone(), wrong).is_err(), "{model:?}");
        }
        let mut many = Model::named(ECG_MODEL).unwrap();
        let patients = many.card.figures.decision["patients"].as_array_mut().unwrap();
        *patients = vec!["p".into(); MANY];
        assert_eq!(many.self_test(Backend::default()), Err(ModelError::Card));
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let of = |text| ModelVersion::parse(text).unwrap();
        assert!(of("2") > of("1") && of("10") > of("9") && of("2.1") > of("2") && of("2") == of("2.0"));
        for wrong in ["", "v2", "2.", "1.2.3.4.5", "-1", "+1", "4294967296", "１"] {
            assert_eq!(ModelVersion::parse(wrong), None, "{wrong}");
        }
    }
}
