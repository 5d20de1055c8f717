//! What every training shares: a seed, steps that can be taken up again after a break, and curves to look at.

/// How a training is run, and who hears of it. All of it is called from several threads.
pub struct Training<'a> {
    /// Where chance begins: the same seed and data give the same weights on the same machine.
    pub seed: u64,
    /// Hears how many steps of how many are done.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
    /// What was saved under a name by a training that was broken off; its own data and seed are the caller's care.
    pub load: &'a (dyn Fn(&str) -> Option<Vec<u8>> + Sync),
    /// Saves under a name, replacing what is there.
    pub save: &'a (dyn Fn(&str, &[u8]) + Sync),
}

impl std::fmt::Debug for Training<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Training(seed {})", self.seed)
    }
}

impl Training<'_> {
    /// Without progress and without anything to go on from.
    pub fn quiet(seed: u64) -> Training<'static> {
        Training { seed, progress: &|_, _| {}, load: &|_| None, save: &|_, _| {} }
    }
}

/// What was learned.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The weights, in burn's own format.
    pub weights: Vec<u8>,
    /// How answers become classes.
    pub decision: toml::Table,
    /// How the loss fell.
    pub curves: Vec<LearningCurve>,
}

/// The mean loss after each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearningCurve {
    /// What was learned.
    pub name: String,
    /// On what was learned from.
    pub learned: Vec<f64>,
    /// On patients or pictures held back.
    pub held: Vec<f64>,
}

/// The rate of learning after a share of all steps, 0 to 1: up over the first 30 %, down to nothing at the end (Smith and
/// Topin, "Super-convergence", 2019).
pub(crate) fn one_cycle(share: f64, peak: f64) -> f64 {
    const RISE: f64 = 0.3;
    const FIRST: f64 = 1.0 / 25.0;
    let wave =
        |from: f64, to: f64, at: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * at).cos()) / 2.0;
    if share < RISE {
        wave(peak * FIRST, peak, share / RISE)
    } else {
        wave(peak, peak * FIRST / 1e4, (share - RISE) / (1.0 - RISE))
    }
}
