//! Patients with the same few measurements each: groups and components.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ::records::columns::{self, TablePanel};
use ::records::measurement::{Measurement, measurements};
use inference::analytics::{ClusterError, Clusters, Components, Panel, clusters, components, panel_chart};

use super::super::Node;
use super::super::models::work::ModelWork;
use super::super::problem::{Problem, Tried};
use super::super::records::{parse_source, read_table};
use super::{ADVICE, MAX_FILE_BYTES, MOST_OBSERVATIONS};
use crate::api::types::{
    DroppedColumn, ImputedColumn, PanelAnswer, PanelClusters, PanelComponent, PanelGroup, PanelMember,
    PanelReport, PanelRequest, TriedCount,
};

/// Codes that are taken when none is named: those that most patients have.
const USUAL_CODES: usize = 12;
/// Below this groups change when some patients are left out (Hennig, Computational Statistics 2007, for Jaccard; used here in
/// the same sense).
const STEADY: f64 = 0.75;

/// Each patient's values of each code.
type Found = BTreeMap<String, BTreeMap<String, Vec<Measurement>>>;

impl Node {
    /// Groups and components of the patients here; audited as a search.
    ///
    /// # Errors
    /// [`Problem`] when there are too few patients or measurements.
    pub(crate) async fn analyze_panel(
        self: &Arc<Self>,
        request: PanelRequest,
    ) -> Result<PanelAnswer, Problem> {
        let source = request.source.as_deref().map(parse_source).transpose()?;
        let node = Arc::clone(self);
        ModelWork::shared()
            .run(move |_| {
                // All of them: a part of a blood pressure is found by no code of its own.
                let texts = node.texts("Observation", source, MOST_OBSERVATIONS)?;
                let mut notes = Vec::new();
                if texts.len() == MOST_OBSERVATIONS {
                    notes.push(format!("only {MOST_OBSERVATIONS} Observations were looked at"));
                }
                let table = of_records(&texts, &request.of, &mut notes)?;
                analyse(table, request.clusters, request.chart, notes)
            })
            .await
    }
}

/// A panel out of a table with a row for each patient.
///
/// # Errors
/// [`Problem`] with what is wrong with which line.
pub(crate) fn panel_of_file(
    path: &Path,
    of: &[String],
    clusters: Option<usize>,
    draw: bool,
) -> Result<PanelAnswer, Problem> {
    let bytes = read_table(path, MAX_FILE_BYTES)?;
    let table = columns::panel(bytes, of).map_err(|error| {
        Problem::failed(format!("cannot read {}", path.display())).because(error).next(
            "a panel is a table with a header and a row for each patient, e.g.: patient,weight_kg,pulse",
        )
    })?;
    let left_out = table.left_out.iter();
    let notes = left_out.map(|column| format!("column {column} holds no numbers and was left out")).collect();
    analyse(table, clusters, draw, notes)
}

/// A row for each patient: the median of what was measured, in the unit that most of it has.
fn of_records(texts: &[String], wanted: &[String], notes: &mut Vec<String>) -> Result<TablePanel, Problem> {
    let mut found: Found = BTreeMap::new();
    for text in texts {
        for (codes, measured) in measurements(text) {
            let code = if wanted.is_empty() {
                codes.into_iter().next()
            } else {
                codes.into_iter().find(|code| wanted.contains(code))
            };
            if let Some(code) = code.filter(|_| !measured.patient.is_empty()) {
                found.entry(measured.patient.clone()).or_default().entry(code).or_default().push(measured);
            }
        }
    }
    let codes = if wanted.is_empty() { usual(&found) } else { wanted.to_vec() };
    if codes.is_empty() {
        return Err(Problem::not_found("no measurement of a patient is stored here")
            .next("import or fetch Observations, or name a table"));
    }
    let mut columns = Vec::with_capacity(codes.len());
    let mut rows = vec![Vec::new(); found.len()];
    for code in &codes {
        let unit = unit(&found, code);
        let mut others = 0;
        for (row, of_patient) in rows.iter_mut().zip(found.values()) {
            let all = of_patient.get(code).map_or(&[][..], Vec::as_slice);
            let mut values: Vec<f64> =
                all.iter().filter(|measured| measured.unit == unit).map(|measured| measured.value).collect();
            others += all.len() - values.len();
            values.sort_by(f64::total_cmp);
            row.push(values.get(values.len().saturating_sub(1) / 2).copied());
        }
        if others > 0 {
            notes.push(format!("{others} measurements of {code} in another unit than {unit} were left out"));
        }
        columns.push(if unit.is_empty() { code.clone() } else { format!("{code} ({unit})") });
    }
    notes.push("of several measurements of a patient the middle one counts".to_owned());
    Ok(TablePanel { columns, who: found.into_keys().collect(), rows, left_out: Vec::new() })
}

/// The codes that at least half of the patients have, the most frequent first.
fn usual(found: &Found) -> Vec<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    found.values().flat_map(BTreeMap::keys).for_each(|code| *counts.entry(code).or_default() += 1);
    let mut codes: Vec<(&String, usize)> =
        counts.into_iter().filter(|(_, count)| 2 * count >= found.len()).collect();
    codes.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    codes.into_iter().take(USUAL_CODES).map(|(code, _)| code.clone()).collect()
}

/// The unit that most measurements of a code have.
fn unit(found: &Found, code: &str) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let all = found.values().filter_map(|of_patient| of_patient.get(code)).flatten();
    all.for_each(|measured| *counts.entry(&measured.unit).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map_or_else(String::new, |(unit, _)| unit.to_owned())
}

fn analyse(
    table: TablePanel,
    count: Option<usize>,
    draw: bool,
    mut notes: Vec<String>,
) -> Result<PanelAnswer, Problem> {
    let TablePanel { columns, who, rows, .. } = table;
    let panel = Panel::new(columns, &rows).tried("compare these patients")?;
    let groups = clusters(&panel, count).map_err(|error| {
        let problem = match error {
            ClusterError::Count { .. } => Problem::wrong_use("cannot make so many groups"),
            _ => Problem::failed("cannot make groups"),
        };
        problem.because(error).next("leave --clusters out, or ask for fewer")
    })?;
    let directions = components(&panel);
    if !groups.substantial() {
        notes.push(format!(
            "the silhouette of {:.2} is below 0.25: these are parts of one cloud rather than groups",
            groups.silhouette
        ));
    }
    if groups.stability < STEADY {
        notes.push(format!(
            "without a fifth of the patients the groups become others (likeness {:.2} of 1)",
            groups.stability
        ));
    }
    if directions.redundant > 0 {
        notes.push(format!(
            "{} of {} columns follow from the others: there are only {} directions",
            directions.redundant,
            panel.columns().len(),
            directions.components.len()
        ));
    }
    let svg =
        if draw { Some(panel_chart(&directions, &groups).svg().tried("draw the patients")?) } else { None };
    Ok(PanelAnswer { report: report(&panel, &groups, &directions, who, notes), svg })
}

fn report(
    panel: &Panel,
    groups: &Clusters,
    directions: &Components,
    who: Vec<String>,
    notes: Vec<String>,
) -> PanelReport {
    let dropped = panel.dropped().iter();
    let imputed = panel.imputed().iter();
    let members = who.into_iter().zip(&groups.group).zip(&directions.places);
    PanelReport {
        patients: panel.rows().len(),
        columns: panel.columns().to_vec(),
        dropped: dropped
            .map(|it| DroppedColumn { column: it.column.clone(), why: it.why.text().to_owned() })
            .collect(),
        imputed: imputed
            .map(|it| ImputedColumn { column: it.column.clone(), count: it.count, with: it.with })
            .collect(),
        clusters: PanelClusters {
            count: groups.sizes.len(),
            silhouette: groups.silhouette,
            substantial: groups.substantial(),
            stability: groups.stability,
            tried: groups
                .tried
                .iter()
                .map(|(count, silhouette)| TriedCount { count: *count, silhouette: *silhouette })
                .collect(),
            groups: groups
                .sizes
                .iter()
                .zip(&groups.centres)
                .map(|(size, centre)| PanelGroup { size: *size, centre: centre.clone() })
                .collect(),
        },
        components: directions
            .components
            .iter()
            .map(|it| PanelComponent { share: it.share, loadings: it.loadings.clone() })
            .collect(),
        redundant: directions.redundant,
        members: members
            .map(|((patient, group), place)| PanelMember { patient, group: group + 1, place: *place })
            .collect(),
        notes,
        advice: ADVICE.to_owned(),
    }
}
