//! Why a beat is no ordinary one, in the measures that a clinician would look at.

use super::features::{FAST_RUN, PAUSE, PREMATURE, column};
use super::rhythm::BeatClass;

/// One thing that sets a beat apart.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The interval before it is this share of the usual one, below 1.
    Early {
        /// Interval before, over the usual interval.
        interval_share: f32,
    },
    /// It belongs to a run that begins at once and whose intervals are this share of those before, below 1.
    FastRun {
        /// Interval of the run, over that before it.
        interval_share: f32,
    },
    /// The next beat comes late, after this many usual intervals, above 1.
    PauseAfter {
        /// Interval after, over the usual interval.
        interval_share: f32,
    },
    /// Its complex is unlike the patient's usual one.
    UnlikeUsual {
        /// Pearson's correlation with the usual complex, on the lead where it is lowest.
        correlation: f32,
    },
    /// Its complex is this many times as wide as the usual one, above 1.
    Wide {
        /// Width over the usual width.
        width_ratio: f32,
    },
    /// The P wave is missing or unlike the usual one.
    OtherPWave {
        /// Pearson's correlation with the usual P wave, on the lead where it is lowest.
        correlation: f32,
    },
    /// A pacemaker's pulse stands before it.
    PacingPulse,
}

/// Below this share of the usual interval a beat is said to be early.
const EARLY: f32 = 0.88;
/// Above this share of the usual interval the next beat is said to be late.
const LATE: f32 = 1.15;
/// Below this correlation a complex is said to be unlike the usual one.
const UNLIKE: f32 = 0.85;
/// Above this ratio a complex is said to be wide.
const WIDE: f32 = 1.2;
/// Below this correlation a P wave is said to be another one.
const OTHER_P: f32 = 0.5;

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |share: f32| (share * 100.0).round();
        match self {
            Reason::Early { interval_share } => {
                write!(f, "early: {} % of the usual interval", percent(*interval_share))
            }
            Reason::FastRun { interval_share } => {
                write!(
                    f,
                    "in a run that begins at once: {} % of the interval before",
                    percent(*interval_share)
                )
            }
            Reason::PauseAfter { interval_share } => {
                write!(f, "followed by a pause: {} % of the usual interval", percent(*interval_share))
            }
            Reason::UnlikeUsual { correlation } => {
                write!(f, "complex unlike the patient's usual one (correlation {correlation:.2})")
            }
            Reason::Wide { width_ratio } => write!(f, "complex {width_ratio:.1} times as wide as usual"),
            Reason::OtherPWave { correlation } => {
                write!(f, "P wave missing or unlike the usual one (correlation {correlation:.2})")
            }
            Reason::PacingPulse => f.write_str("a pacemaker's pulse stands before it"),
        }
    }
}

/// What sets a beat apart, from its row of features; nothing for a normal one.
pub(crate) fn reasons(class: BeatClass, row: &[f32]) -> Vec<Reason> {
    let of = |name: &str| row[column(name)];
    let lowest = |name: &str| {
        let leads = (1..=2).filter(|lead| of(&format!("lead{lead}_present")) > 0.0);
        leads.map(|lead| of(&format!("lead{lead}_{name}"))).fold(1.0, f32::min)
    };
    let widest =
        (1..=2).map(|lead| of(&format!("lead{lead}_ln_qrs_width_to_usual")).exp()).fold(1.0, f32::max);
    let early = Reason::Early { interval_share: of("ln_rr_previous_to_ordinary").exp() };
    let unlike = Reason::UnlikeUsual { correlation: lowest("qrs_correlation_with_usual") };
    let p_wave = Reason::OtherPWave { correlation: lowest("p_correlation_with_usual") };
    let pause = Reason::PauseAfter { interval_share: of("ln_rr_next_to_ordinary").exp() };
    let candidates = match class {
        BeatClass::Normal => Vec::new(),
        BeatClass::Unknown => vec![Reason::PacingPulse],
        BeatClass::Supraventricular => {
            let run = Reason::FastRun { interval_share: (-of(FAST_RUN)).exp() };
            let shown = [(of(PREMATURE) < 0.0, early), (true, run), (of(PAUSE) > 0.0, pause), (true, p_wave)];
            shown.into_iter().filter(|(shown, _)| *shown).map(|(_, reason)| reason).collect()
        }
        BeatClass::Ventricular | BeatClass::Fusion => {
            vec![unlike, Reason::Wide { width_ratio: widest }, early, pause, p_wave]
        }
    };
    candidates.into_iter().filter(Reason::stands_out).collect()
}

impl Reason {
    fn stands_out(&self) -> bool {
        match self {
            Reason::Early { interval_share } | Reason::FastRun { interval_share } => *interval_share < EARLY,
            Reason::PauseAfter { interval_share } => *interval_share > LATE,
            Reason::UnlikeUsual { correlation } => *correlation < UNLIKE,
            Reason::Wide { width_ratio } => *width_ratio > WIDE,
            Reason::OtherPWave { correlation } => *correlation < OTHER_P,
            Reason::PacingPulse => true,
        }
    }
}
