//! What travels when numbers are analysed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which panel to analyse.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PanelRequest {
    /// Codes of Observations; empty for those that most patients have.
    pub of: Vec<String>,
    /// How many groups; null to find out.
    pub clusters: Option<usize>,
    /// `own` or the identity of a peer; without it the own ones first.
    pub source: Option<String>,
    /// Whether to draw it.
    pub chart: bool,
}

/// What a panel says.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PanelAnswer {
    /// What was found.
    pub report: PanelReport,
    /// Patients by component, as SVG.
    pub svg: Option<String>,
}

/// What a panel says.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PanelReport {
    /// How many patients.
    pub patients: usize,
    /// What they are compared by.
    pub columns: Vec<String>,
    /// What was left out.
    pub dropped: Vec<DroppedColumn>,
    /// What was filled in.
    pub imputed: Vec<ImputedColumn>,
    /// Groups of patients.
    pub clusters: PanelClusters,
    /// Directions in which patients differ, the largest first.
    pub components: Vec<PanelComponent>,
    /// Columns that follow from others.
    pub redundant: usize,
    /// Each patient.
    pub members: Vec<PanelMember>,
    /// What to know of this answer.
    pub notes: Vec<String>,
    /// What to do with this.
    pub advice: String,
}

/// A column that was left out.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DroppedColumn {
    /// Its name.
    pub column: String,
    /// Why.
    pub why: String,
}

/// A column in which something was missing.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImputedColumn {
    /// Its name.
    pub column: String,
    /// For how many patients.
    pub count: usize,
    /// The median of the others, which was put there.
    pub with: f64,
}

/// Groups of patients.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PanelClusters {
    /// How many.
    pub count: usize,
    /// −1 to 1.
    pub silhouette: f64,
    /// Whether that is enough to speak of groups.
    pub substantial: bool,
    /// How alike groups are without a fifth of the patients: 1 the same, 0 chance.
    pub stability: f64,
    /// Silhouettes of all numbers of groups that were tried.
    pub tried: Vec<TriedCount>,
    /// The groups, the largest first.
    pub groups: Vec<PanelGroup>,
}

/// A number of groups that was tried.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
pub(crate) struct TriedCount {
    /// How many.
    pub count: usize,
    /// −1 to 1.
    pub silhouette: f64,
}

/// A group.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PanelGroup {
    /// How many patients.
    pub size: usize,
    /// Their mean, in the order of the columns.
    pub centre: Vec<f64>,
}

/// A direction in which patients differ.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PanelComponent {
    /// The share of all variance, 0 to 1.
    pub share: f64,
    /// How much each column says of it.
    pub loadings: Vec<f64>,
}

/// A patient.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct PanelMember {
    /// The local id.
    pub patient: String,
    /// The group, from 1.
    pub group: usize,
    /// The place along the first two components.
    pub place: [f64; 2],
}

/// What is asked of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SeriesQuestion {
    /// Whether it rises or falls.
    Trend,
    /// Where its level changes.
    Changes,
    /// What comes in so many steps.
    Forecast(usize),
}

/// Which series to analyse.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesRequest {
    /// Id of the Patient.
    pub patient: String,
    /// Code of the Observations.
    pub of: String,
    /// `own` or the identity of a peer; without it the own ones first.
    pub source: Option<String>,
    /// What is asked.
    pub question: SeriesQuestion,
    /// Whether to draw it.
    pub chart: bool,
}

/// What a series says.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesAnswer {
    /// What was found.
    pub report: SeriesReport,
    /// As SVG.
    pub svg: Option<String>,
}

/// What a series says.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesReport {
    /// Code or column.
    pub of: String,
    /// Its unit; empty when nobody says.
    pub unit: String,
    /// How many measurements.
    pub measurements: usize,
    /// The first.
    pub from: String,
    /// The last.
    pub to: String,
    /// The answer about a trend.
    pub trend: Option<SeriesTrend>,
    /// The answer about changes.
    pub changes: Option<Vec<SeriesChange>>,
    /// How the level drifts between changes, for each day; null when it does not.
    pub drift_per_day: Option<f64>,
    /// The answer about what comes.
    pub forecast: Option<SeriesForecast>,
    /// What to know of this answer.
    pub notes: Vec<String>,
    /// What to do with this.
    pub advice: String,
}

/// A trend.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesTrend {
    /// Theil and Sen's slope.
    pub per_day: f64,
    /// Low end of its 95 % interval.
    pub low: f64,
    /// High end.
    pub high: f64,
    /// Mann and Kendall's test, two-sided.
    pub p: f64,
    /// Kendall's τ, −1 to 1.
    pub tau: f64,
    /// How alike what is left is to what was before, −1 to 1.
    pub autocorrelation: f64,
}

/// A change of level.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesChange {
    /// The first measurement after it.
    pub at: String,
    /// The level right before.
    pub before: f64,
    /// The level right after.
    pub after: f64,
    /// The share of orders with as good a split.
    pub p: f64,
}

/// What comes.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesForecast {
    /// Seconds from step to step.
    pub step_s: i64,
    /// Each step.
    pub steps: Vec<SeriesStep>,
    /// The share that intervals are to hold.
    pub level: f64,
    /// Forecasts of the last third that were judged.
    pub judged: usize,
    /// Mean absolute error to that of the last value there; below 1 is better.
    pub error_to_last_value: Option<f64>,
    /// The share that intervals held there.
    pub held: Option<f64>,
}

/// What comes at one step.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeriesStep {
    /// When.
    pub at: String,
    /// As often less as more.
    pub value: f64,
    /// Low end of the interval.
    pub low: f64,
    /// High end of the interval.
    pub high: f64,
}
