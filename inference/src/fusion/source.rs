//! The readings that are combined, and how each becomes a concern: tables of constants with their sources.

use std::fmt;

use super::vitals::{VitalSign, score};
use crate::card::ModelCard;
use crate::triage::Urgency;

/// What a reading is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An ECG read by the model.
    Ecg,
    /// A chest radiograph read by the model.
    Image,
    /// The risk of heart disease by the model.
    Risk,
    /// The forecast of glucose.
    Glucose,
    /// A self-check in the patient's words.
    SelfCheck,
    /// Vital signs.
    Vitals,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] =
        [Kind::Ecg, Kind::Image, Kind::Risk, Kind::Glucose, Kind::SelfCheck, Kind::Vitals];

    /// A word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Ecg => "ecg",
            Kind::Image => "image",
            Kind::Risk => "risk",
            Kind::Glucose => "glucose",
            Kind::SelfCheck => "self_check",
            Kind::Vitals => "vitals",
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Kind::Ecg => "ECG",
            Kind::Image => "Chest picture",
            Kind::Risk => "Risk of heart disease",
            Kind::Glucose => "Glucose",
            Kind::SelfCheck => "Self-check",
            Kind::Vitals => "Vital signs",
        }
    }

    /// After how many hours a reading of this kind says half as much. Chosen by hand: about the time after which a
    /// clinician would want a new one.
    pub const fn half_life_h(self) -> f64 {
        match self {
            Kind::Ecg => 7.0 * 24.0,
            Kind::Image => 3.0 * 24.0,
            Kind::Risk => 180.0 * 24.0,
            Kind::Glucose => 1.0,
            Kind::SelfCheck => 24.0,
            Kind::Vitals => 6.0,
        }
    }

    /// What would bring such a reading.
    pub const fn bring(self) -> &'static str {
        match self {
            Kind::Ecg => "record an ECG and import it: metaclinic records import FILE.hea --patient ID",
            Kind::Image => "import a chest picture as a DocumentReference, Media or Binary",
            Kind::Risk => {
                "say what the chest pain is like, e.g. --set chest-pain=\"no chest pain\", and import or give the rest: metaclinic models show heart"
            }
            Kind::Glucose => "import readings of a glucose monitor, LOINC 99504-3 or 105272-9",
            Kind::SelfCheck => "give the patient's words with --text TEXT",
            Kind::Vitals => {
                "measure and import pulse (8867-4), breaths (9279-1), SpO2 (59408-5), systolic pressure (8480-6), temperature (8310-5)"
            }
        }
    }
}

/// How soon somebody should look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Of what is known nothing stands out.
    #[default]
    NothingStandsOut,
    /// Today or as the single readings say.
    Soon,
    /// Now.
    Now,
}

impl Level {
    /// A word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Level::NothingStandsOut => "nothing_stands_out",
            Level::Soon => "soon",
            Level::Now => "now",
        }
    }
}

/// One reading.
#[derive(Clone, PartialEq)]
pub struct Source {
    /// What it is of.
    pub kind: Kind,
    /// Hours since; not known for some records.
    pub age_h: Option<f64>,
    /// From 0 (nothing of concern) to 1.
    pub concern: f64,
    /// Between which values the concern lies.
    pub interval: [f64; 2],
    /// From 0 to 1.
    pub reliability: f64,
    /// The least level that it asks for while it is fresh.
    pub floor: Level,
    /// What it says, for people.
    pub words: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Source({})", self.kind.name())
    }
}

/// Concern when a reading shows nothing: small, since no reading excludes much.
pub(super) const NOTHING: f64 = 0.1;
/// Concern of a single NEWS2 score of 0, 1, 2 and 3 (Royal College of Physicians, NEWS2, 2017: a single 3 asks for urgent
/// review). Their distances are chosen by hand.
pub(super) const OF_SCORE: [f64; 4] = [NOTHING, 0.3, 0.6, 0.9];

/// A pause this long asks for evaluation (ACC/AHA/HRS guideline on bradycardia, Circulation 2019, section 6.3).
const PAUSE_S: f64 = 3.0;
const PAUSE: f64 = 0.8;
/// A mean rate outside of this is urgent: NEWS2 2017 scores pulses from 41 and up to 130 below 3.
const RATE_LOW_PER_MIN: f64 = 40.0;
const RATE_HIGH_PER_MIN: f64 = 130.0;
/// From this share of ventricular beats on a cause is looked for (ESC guideline on ventricular arrhythmias, 2022).
const VENTRICULAR_BURDEN_PERCENT: f64 = 10.0;
const VENTRICULAR: f64 = 0.6;
/// Above this the rhythm is irregular, as `diagnose ecg` says; atrial fibrillation is to be looked for by eye.
const IRREGULARITY: f64 = 0.1;
const IRREGULAR: f64 = 0.4;

/// Concerns of the urgencies of a self-check: chosen by hand.
const SELF_CARE: f64 = NOTHING;
const CLINICIAN: f64 = 0.5;
const EMERGENCY: f64 = 0.95;
/// Where too little was told, it may be anything from nothing to an emergency.
const TOLD_TOO_LITTLE: [f64; 2] = [SELF_CARE, EMERGENCY];

/// Concerns of the words of a glucose forecast (limits: American Diabetes Association 2025, Battelino 2019).
const GLUCOSE: [(&str, f64, Level); 5] = [
    ("very-low", 0.95, Level::Now),
    ("low", 0.75, Level::Soon),
    ("may-fall", 0.4, Level::NothingStandsOut),
    ("high", 0.6, Level::Soon),
    ("usual", NOTHING, Level::NothingStandsOut),
];

/// What an ECG says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EcgFacts {
    /// Beats a minute over the recording.
    pub mean_rate_per_min: f64,
    /// The longest pause.
    pub longest_pause_s: f64,
    /// Share of ventricular beats.
    pub ventricular_burden_percent: Option<f64>,
    /// How irregular.
    pub irregularity: Option<f64>,
    /// Share of the recording that cannot be read, 0 to 1.
    pub unreadable: f64,
}

/// What a forecast of glucose says.
#[derive(Clone, Debug, PartialEq)]
pub struct GlucoseFacts<'a> {
    /// The word of its advice.
    pub urgency: &'a str,
    /// The last reading.
    pub last_mg_per_dl: f64,
    /// Lowest and highest value that the intervals hold.
    pub range_mg_per_dl: [f64; 2],
}

/// What a self-check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfCheckFacts {
    /// How urgent.
    pub urgency: Urgency,
    /// Whether a rule decided, and everything that was told was understood.
    pub sure: bool,
}

/// How far a model can be trusted: 2·AUROC − 1 of the first table of its card that has it (ventricular beats for the ECG),
/// 0 for a coin. The card of glucose has no AUROC: the share of its forecasts within 20 % of what came (zone A of Clarke)
/// is taken instead. None when the card tells neither; rules need no card.
pub fn reliability(kind: Kind, card: Option<&ModelCard>) -> Option<f64> {
    let measure = match kind {
        Kind::SelfCheck | Kind::Vitals => return Some(1.0),
        Kind::Glucose => "Clarke A",
        Kind::Ecg | Kind::Image | Kind::Risk => "AUROC",
    };
    let tables = &card?.figures.measured.tables;
    let table = tables.iter().find(|table| table.measures.iter().any(|name| name == measure))?;
    let row = if kind == Kind::Ecg { "V" } else { &table.rows.first()?.name };
    let told = table.value(row, measure)?;
    told.is_finite().then(|| (2.0 * told - 1.0).clamp(0.0, 1.0))
}

/// A model's concern with the error of its calibration to either side.
fn calibrated(concern: f64, card: &ModelCard) -> [f64; 2] {
    let error = card.figures.measured.calibration.error;
    [(concern - error).max(0.0), (concern + error).min(1.0)]
}

/// An ECG; what could not be read may be worse than what could.
pub fn ecg(facts: &EcgFacts, age_h: Option<f64>, card: &ModelCard) -> Option<Source> {
    let rate = facts.mean_rate_per_min;
    if !(rate.is_finite() && facts.longest_pause_s.is_finite()) {
        return None;
    }
    let by_rate = score(VitalSign::PulsePerMin, rate.round()).map_or(NOTHING, |it| OF_SCORE[usize::from(it)]);
    let mut found = vec![(by_rate, format!("mean rate {rate:.0}/min"))];
    let mut floor = Level::NothingStandsOut;
    if !(RATE_LOW_PER_MIN..=RATE_HIGH_PER_MIN).contains(&rate) {
        floor = Level::Now;
        found[0].0 = OF_SCORE[3];
    }
    if facts.longest_pause_s >= PAUSE_S {
        floor = floor.max(Level::Soon);
        found.push((PAUSE, format!("a pause of {:.1} s", facts.longest_pause_s)));
    }
    if let Some(share) = facts.ventricular_burden_percent.filter(|share| *share >= VENTRICULAR_BURDEN_PERCENT)
    {
        floor = floor.max(Level::Soon);
        found.push((VENTRICULAR, format!("{share:.0} % ventricular beats")));
    }
    if facts.irregularity.is_some_and(|it| it > IRREGULARITY) {
        found.push((IRREGULAR, "an irregular rhythm".to_owned()));
    }
    let concern = found.iter().map(|it| it.0).fold(NOTHING, f64::max);
    let [low, high] = calibrated(concern, card);
    let words: Vec<String> = found.into_iter().map(|it| it.1).collect();
    Some(Source {
        kind: Kind::Ecg,
        age_h,
        concern,
        interval: [low, high + (1.0 - high) * facts.unreadable.clamp(0.0, 1.0)],
        reliability: reliability(Kind::Ecg, Some(card))?,
        floor,
        words: words.join(", "),
    })
}

/// A picture: the model's probability of pneumonia.
pub fn image(probability: f64, age_h: Option<f64>, card: &ModelCard) -> Option<Source> {
    (0.0..=1.0).contains(&probability).then_some(())?;
    Some(Source {
        kind: Kind::Image,
        age_h,
        concern: probability,
        interval: calibrated(probability, card),
        reliability: reliability(Kind::Image, Some(card))?,
        floor: Level::NothingStandsOut,
        words: format!("looks like pneumonia with {:.0} %", probability * 100.0),
    })
}

/// A risk with its interval.
pub fn risk(probability: f64, interval: [f64; 2], age_h: Option<f64>, card: &ModelCard) -> Option<Source> {
    (0.0..=1.0).contains(&probability).then_some(())?;
    Some(Source {
        kind: Kind::Risk,
        age_h,
        concern: probability,
        interval: [interval[0].min(probability), interval[1].max(probability)],
        reliability: reliability(Kind::Risk, Some(card))?,
        floor: Level::NothingStandsOut,
        words: format!(
            "coronary disease with {:.0} %, in somebody referred for angiography",
            probability * 100.0
        ),
    })
}

/// A forecast of glucose; its interval is that of the concerns of all values that the forecast holds possible.
pub fn glucose(facts: &GlucoseFacts<'_>, age_h: Option<f64>, card: &ModelCard) -> Option<Source> {
    let of_word = |word: &str| GLUCOSE.iter().find(|it| it.0 == word);
    let (_, concern, floor) = *of_word(facts.urgency)?;
    let limits = [
        (f64::from(crate::glucose::VERY_LOW_MG_DL), "very-low"),
        (f64::from(crate::glucose::BELOW_MG_DL), "low"),
        (f64::from(crate::glucose::HIGH_MG_DL) + f64::EPSILON, "usual"),
    ];
    let word = |value: f64| limits.iter().find(|it| value < it.0).map_or("high", |it| it.1);
    let of_value = |value: f64| of_word(word(value)).map_or(concern, |it| it.1);
    let [low, high] = facts.range_mg_per_dl;
    let mut possible: Vec<f64> = [facts.last_mg_per_dl, low, high].into_iter().map(of_value).collect();
    possible.push(concern);
    Some(Source {
        kind: Kind::Glucose,
        age_h,
        concern,
        interval: [
            possible.iter().copied().fold(1.0, f64::min),
            possible.iter().copied().fold(0.0, f64::max),
        ],
        reliability: reliability(Kind::Glucose, Some(card))?,
        floor,
        words: format!(
            "{:.0} mg/dL, {} now or within the hour",
            facts.last_mg_per_dl,
            facts.urgency.replace('-', " ")
        ),
    })
}

/// A self-check, made now.
pub fn self_check(facts: SelfCheckFacts) -> Source {
    let (concern, floor, words) = match facts.urgency {
        Urgency::SelfCare => (SELF_CARE, Level::NothingStandsOut, "can be looked after at home"),
        Urgency::Clinician => (CLINICIAN, Level::Soon, "a clinician should look"),
        Urgency::Emergency => (EMERGENCY, Level::Now, "help at once"),
    };
    let interval = if facts.sure {
        [concern, concern]
    } else {
        [TOLD_TOO_LITTLE[0].min(concern), TOLD_TOO_LITTLE[1].max(concern)]
    };
    Source {
        kind: Kind::SelfCheck,
        age_h: Some(0.0),
        concern,
        interval,
        reliability: 1.0,
        floor,
        words: words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    fn card(name: &str) -> ModelCard {
        Model::named(name).unwrap().card
    }

    #[test]
    fn reliability_is_read_from_the_card() {
        for (kind, name) in
            [(Kind::Ecg, "ecg"), (Kind::Image, "image"), (Kind::Risk, "heart"), (Kind::Glucose, "glucose")]
        {
            let mut card = card(name);
            let told = reliability(kind, Some(&card)).unwrap();
            assert!(told > 0.5 && told < 1.0, "{name} {told}");
            card.figures.measured.tables.clear();
            assert_eq!(reliability(kind, Some(&card)), None, "{name}");
        }
        assert_eq!(reliability(Kind::Vitals, None), Some(1.0));
        assert_eq!(reliability(Kind::Ecg, None), None);
    }

    #[test]
    fn an_ecg_is_judged_by_its_worst_fact() {
        let card = card("ecg");
        let usual = EcgFacts {
            mean_rate_per_min: 70.0,
            longest_pause_s: 1.0,
            ventricular_burden_percent: Some(0.0),
            irregularity: None,
            unreadable: 0.0,
        };
        let of = |facts: EcgFacts| ecg(&facts, Some(1.0), &card).unwrap();
        assert_eq!((of(usual).concern, of(usual).floor), (NOTHING, Level::NothingStandsOut));
        let pause = of(EcgFacts { longest_pause_s: 3.0, ..usual });
        assert_eq!((pause.concern, pause.floor), (PAUSE, Level::Soon));
        let burden = of(EcgFacts { ventricular_burden_percent: Some(10.0), ..usual });
        assert_eq!(burden.concern, VENTRICULAR);
        for rate in [39.0, 131.0] {
            assert_eq!(of(EcgFacts { mean_rate_per_min: rate, ..usual }).floor, Level::Now);
        }
        let half = of(EcgFacts { unreadable: 0.5, ..usual });
        assert!(half.interval[1] > of(usual).interval[1] + 0.3);
        assert!(ecg(&EcgFacts { mean_rate_per_min: f64::NAN, ..usual }, None, &card).is_none());
    }

    #[test]
    fn glucose_holds_what_its_interval_holds() {
        let card = card("glucose");
        let facts =
            GlucoseFacts { urgency: "may-fall", last_mg_per_dl: 90.0, range_mg_per_dl: [50.0, 130.0] };
        let source = glucose(&facts, Some(0.1), &card).unwrap();
        assert_eq!((source.concern, source.interval), (0.4, [NOTHING, 0.95]));
        assert!(glucose(&GlucoseFacts { urgency: "odd", ..facts }, None, &card).is_none());
    }

    #[test]
    fn a_self_check_that_knows_little_says_how_little() {
        let unsure = self_check(SelfCheckFacts { urgency: Urgency::Clinician, sure: false });
        assert_eq!((unsure.interval, unsure.floor), ([SELF_CARE, EMERGENCY], Level::Soon));
        assert!(image(f64::NAN, None, &card("ecg")).is_none());
    }
}
