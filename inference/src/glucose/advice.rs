//! What a person is told beside a forecast: never a dose, always the finger prick and their own plan.

use super::forecaster::GlucoseForecast;

/// Low, level 1 (American Diabetes Association, Standards of Care in Diabetes 2025, section 6).
pub const BELOW_MG_DL: f32 = 70.0;
/// Low, level 2, the same source: needs action at once.
pub const VERY_LOW_MG_DL: f32 = 54.0;
/// High, level 2 (Battelino et al., Diabetes Care 2019, consensus on time in range).
pub const HIGH_MG_DL: f32 = 250.0;

/// What to do, the most urgent thing of a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Now or forecast below 54 mg/dL.
    VeryLow,
    /// Now or forecast below 70 mg/dL.
    Low,
    /// The interval reaches below 70 mg/dL.
    MayFall,
    /// Now or forecast above 250 mg/dL.
    High,
    /// Nothing of these.
    Usual,
}

impl Advice {
    /// Of a forecast and the reading it starts from.
    pub fn of(forecast: &GlucoseForecast) -> Advice {
        let told = || forecast.forecasts.iter().map(|it| it.mg_per_dl).chain([forecast.last_mg_per_dl]);
        let lowest = told().fold(f32::INFINITY, f32::min);
        let highest = told().fold(0.0, f32::max);
        if lowest < VERY_LOW_MG_DL {
            Advice::VeryLow
        } else if lowest < BELOW_MG_DL {
            Advice::Low
        } else if forecast.forecasts.iter().any(|it| it.low < BELOW_MG_DL) {
            Advice::MayFall
        } else if highest > HIGH_MG_DL {
            Advice::High
        } else {
            Advice::Usual
        }
    }

    /// A word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Advice::VeryLow => "very-low",
            Advice::Low => "low",
            Advice::MayFall => "may-fall",
            Advice::High => "high",
            Advice::Usual => "usual",
        }
    }

    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Advice::VeryLow => {
                "URGENT: below 54 mg/dL (3.0 mmol/L) now or soon. Check with a finger prick now and follow your plan for low \
                 glucose at once; do not drive, do not stay alone. Somebody who is confused, cannot swallow, has a seizure or \
                 does not wake up: call the local emergency number."
            }
            Advice::Low => {
                "Below 70 mg/dL (3.9 mmol/L) now or soon: check with a finger prick and follow your plan for low glucose. Do \
                 not drive before it is up again."
            }
            Advice::MayFall => {
                "It may fall below 70 mg/dL (3.9 mmol/L): look again in 15 minutes, and check with a finger prick if you feel \
                 anything."
            }
            Advice::High => {
                "Above 250 mg/dL (13.9 mmol/L) now or soon: check with a finger prick and follow your plan for high glucose, \
                 with ketones if it says so. With vomiting, deep breathing or drowsiness call for help."
            }
            Advice::Usual => {
                "Nothing here calls for more than usual care. If you feel otherwise than the figures say, check with a finger \
                 prick."
            }
        }
    }
}
