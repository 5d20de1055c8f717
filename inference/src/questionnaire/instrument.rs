//! PHQ-9 and GAD-7: two questionnaires that are scored, with what a score means and what must be done at once.
//!
//! Both instruments were developed by Robert L. Spitzer, Janet B. W. Williams, Kurt Kroenke and colleagues with an
//! educational grant from Pfizer Inc.; no permission is required to reproduce, translate, display or distribute
//! them. A score is a screening result: it tells how much somebody is troubled, not what they have.

use super::filling::Filling;
use super::reading::{Questionnaire, QuestionnaireError};

const PHQ9: &str = include_str!("../../questionnaires/phq-9.json");
const GAD7: &str = include_str!("../../questionnaires/gad-7.json");

/// The scored items, by their codes in LOINC.
const PHQ9_ITEMS: [&str; 9] = [
    "/44250-9", "/44255-8", "/44259-0", "/44254-1", "/44251-7", "/44258-2", "/44252-5", "/44253-3",
    "/44260-8",
];
const GAD7_ITEMS: [&str; 7] =
    ["/69725-0", "/68509-9", "/69733-4", "/69734-2", "/69735-9", "/69689-8", "/69736-7"];
/// "Thoughts that you would be better off dead, or of hurting yourself in some way": item 9 of the PHQ-9.
const SELF_HARM: usize = 8;
/// The most that an item counts: "nearly every day".
const MOST: u8 = 3;

/// An instrument that is bundled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// Patient Health Questionnaire, nine items on depression.
    Phq9,
    /// Generalized Anxiety Disorder, seven items.
    Gad7,
}

/// How severe the symptoms are, by the published cut-offs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Lowest total.
    pub from: u8,
    /// In English.
    pub name: &'static str,
    /// In Chinese.
    pub name_zh: &'static str,
}

/// Kroenke, Spitzer and Williams, "The PHQ-9", J Gen Intern Med 2001;16:606–613.
const PHQ9_BANDS: [Band; 5] = [
    Band { from: 0, name: "none-minimal", name_zh: "无或极轻" },
    Band { from: 5, name: "mild", name_zh: "轻度" },
    Band { from: 10, name: "moderate", name_zh: "中度" },
    Band { from: 15, name: "moderately severe", name_zh: "中重度" },
    Band { from: 20, name: "severe", name_zh: "重度" },
];

/// Spitzer, Kroenke, Williams and Löwe, "A brief measure for assessing generalized anxiety disorder", Arch Intern Med
/// 2006;166:1092–1097.
const GAD7_BANDS: [Band; 4] = [
    Band { from: 0, name: "minimal", name_zh: "极轻" },
    Band { from: 5, name: "mild", name_zh: "轻度" },
    Band { from: 10, name: "moderate", name_zh: "中度" },
    Band { from: 15, name: "severe", name_zh: "重度" },
];

/// What is shown at once, and what a clinician has to do, when somebody tells of thoughts of death or self-harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crisis {
    /// For the person, in English.
    pub text: &'static str,
    /// For the person, in Chinese.
    pub text_zh: &'static str,
    /// The task for a clinician, in English.
    pub task: &'static str,
    /// The task for a clinician, in Chinese.
    pub task_zh: &'static str,
}

/// Numbers: 112 is the emergency number of the European Union and works from any GSM phone; 988 is the Suicide & Crisis
/// Lifeline of the United States and of Canada; 116 123 is Samaritans in the United Kingdom and Ireland; 12356 is the
/// national psychological help line of China (National Health Commission, since 2025), 120 and 110 its ambulance and
/// police.
const CRISIS: Crisis = Crisis {
    text: "You told us about thoughts of being better off dead or of hurting yourself. You do not have to be alone with \
           them, and help works. If you might act on such thoughts, or have already hurt yourself, call your local \
           emergency number now (112 in Europe, 911 in the United States and Canada, 999 in the United Kingdom, 120 or \
           110 in China) or go to the nearest emergency department. To talk to somebody at any hour: 988 in the United \
           States and Canada, 116 123 in the United Kingdom and Ireland, 12356 in China. Tell a person close to you, \
           stay with them, and put out of reach what you could hurt yourself with. Your answers do not replace a \
           conversation with a clinician.",
    text_zh: "您提到有不如死掉或伤害自己的念头。您不必独自承受，而且帮助是有效的。如果您可能会这样做，或者已经伤害了自己，\
              请立即拨打当地急救电话（中国大陆120或110，欧洲112，美国和加拿大911，英国999），或前往最近的急诊科。\
              任何时候想找人倾诉：中国大陆12356，美国和加拿大988，英国和爱尔兰116 123。请告诉身边的人，和他们待在一起，\
              并把可能用来伤害自己的东西放到拿不到的地方。您的回答不能代替与医生的谈话。",
    task: "Speak with this person today: PHQ-9 item 9 was answered above \"not at all\". Assess the risk of suicide in \
           person (thoughts, plan, means, earlier attempts, protection); the answer alone tells neither that there is \
           a risk nor how large it is.",
    task_zh: "请于今日与本人面谈：PHQ-9第9题的回答高于“完全不会”。请当面评估自杀风险（念头、计划、手段、既往尝试、保护因素）；\
              仅凭该回答既不能确定有无风险，也不能判断风险大小。",
};

/// What the answers to an instrument add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// The instrument.
    pub instrument: Instrument,
    /// The sum: 0 to 27 (PHQ-9) or 21 (GAD-7). None while an item is missing.
    pub total: Option<u8>,
    /// What it means. None while an item is missing.
    pub band: Option<&'static Band>,
    /// The link ids of the items without an answer.
    pub missing: Vec<&'static str>,
    /// Set by any answer to PHQ-9 item 9 but "not at all", whatever else is missing.
    pub crisis: Option<&'static Crisis>,
}

/// Why responses are no responses to an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstrumentError {
    /// Another number of items.
    #[error("{instrument} has {items} items")]
    Items {
        /// The instrument.
        instrument: &'static str,
        /// Its number of items.
        items: usize,
    },
    /// A response beyond the scale.
    #[error("item {0} is answered beyond 0 to 3")]
    Range(usize),
}

impl Instrument {
    /// Those that are bundled.
    pub const ALL: [Instrument; 2] = [Instrument::Phq9, Instrument::Gad7];

    /// Its name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Instrument::Phq9 => "phq9",
            Instrument::Gad7 => "gad7",
        }
    }

    /// Its questionnaire, in English and Chinese.
    pub fn questionnaire(self) -> Result<Questionnaire, QuestionnaireError> {
        let text = match self {
            Instrument::Phq9 => PHQ9,
            Instrument::Gad7 => GAD7,
        };
        let resource = serde_json::from_str(text).map_err(|_| QuestionnaireError::NotAQuestionnaire)?;
        Questionnaire::read(&resource)
    }

    /// The link ids of the items that count, in order.
    pub const fn items(self) -> &'static [&'static str] {
        match self {
            Instrument::Phq9 => &PHQ9_ITEMS,
            Instrument::Gad7 => &GAD7_ITEMS,
        }
    }

    /// Its bands of severity, the lowest first.
    pub const fn bands(self) -> &'static [Band] {
        match self {
            Instrument::Phq9 => &PHQ9_BANDS,
            Instrument::Gad7 => &GAD7_BANDS,
        }
    }

    /// Where its cut-offs were published.
    pub const fn citation(self) -> &'static str {
        match self {
            Instrument::Phq9 => "Kroenke K, Spitzer RL, Williams JBW. J Gen Intern Med 2001;16:606-613",
            Instrument::Gad7 => {
                "Spitzer RL, Kroenke K, Williams JBW, Löwe B. Arch Intern Med 2006;166:1092-1097"
            }
        }
    }

    /// The score of a filled questionnaire of this instrument.
    pub fn score(self, filling: &Filling<'_>) -> Score {
        let whole = |points: f64| (0.0..=f64::from(MOST)).contains(&points).then_some(points as u8);
        let responses: Vec<Option<u8>> =
            self.items().iter().map(|item| filling.ordinal(item).and_then(whole)).collect();
        self.sum(&responses)
    }

    /// The score of responses in the order of the items, each 0 to 3 or missing.
    pub fn score_responses(self, responses: &[Option<u8>]) -> Result<Score, InstrumentError> {
        if responses.len() != self.items().len() {
            return Err(InstrumentError::Items { instrument: self.name(), items: self.items().len() });
        }
        match responses.iter().position(|response| response.is_some_and(|points| points > MOST)) {
            Some(item) => Err(InstrumentError::Range(item + 1)),
            None => Ok(self.sum(responses)),
        }
    }

    /// As many responses as there are items, each within the scale.
    fn sum(self, responses: &[Option<u8>]) -> Score {
        let total: Option<u8> = responses.iter().copied().sum();
        let band = total.and_then(|total| self.bands().iter().rev().find(|band| total >= band.from));
        let missing = self.items().iter().zip(responses).filter(|(_, points)| points.is_none());
        let told = self == Instrument::Phq9 && responses[SELF_HARM].is_some_and(|points| points > 0);
        Score {
            instrument: self,
            total,
            band,
            missing: missing.map(|(item, _)| *item).collect(),
            crisis: told.then_some(&CRISIS),
        }
    }
}
