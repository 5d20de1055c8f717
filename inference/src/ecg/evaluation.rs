//! How well beats are found: matched one to one with those a cardiologist marked, as ANSI/AAMI EC57:2012
//! asks (gross and per record).

use std::fmt;

/// How far a found beat may lie from the marked one, in seconds (ANSI/AAMI EC57:2012).
pub const TOLERANCE_S: f64 = 0.150;

/// Which found beat belongs to which marked one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchedBeats {
    /// Pairs of indices (marked, found), in order of time.
    pub pairs: Vec<(usize, usize)>,
    /// Indices of marked beats that were not found.
    pub missed: Vec<usize>,
    /// Indices of found beats that nobody marked.
    pub extra: Vec<usize>,
}

impl MatchedBeats {
    /// The share of marked beats that were found, 0 to 1; 1 when none was marked.
    pub fn sensitivity(&self) -> f64 {
        share(self.pairs.len(), self.missed.len())
    }

    /// The share of found beats that were marked (positive predictive value, "+P"), 0 to 1; 1 when none was found.
    pub fn precision(&self) -> f64 {
        share(self.pairs.len(), self.extra.len())
    }
}

/// Matches marked with found beats, both ascending in samples; `tolerance` in samples too. A beat is used
/// once; where two could be matched to one, the nearer is.
pub fn match_beats(reference: &[usize], detected: &[usize], tolerance: usize) -> MatchedBeats {
    let mut matched = MatchedBeats::default();
    let (mut marked, mut found) = (0, 0);
    while let (Some(&truth), Some(&beat)) = (reference.get(marked), detected.get(found)) {
        let distance = truth.abs_diff(beat);
        let next_beat = detected.get(found + 1).map_or(usize::MAX, |next| truth.abs_diff(*next));
        let next_truth = reference.get(marked + 1).map_or(usize::MAX, |next| next.abs_diff(beat));
        if distance <= tolerance && distance <= next_beat && distance <= next_truth {
            matched.pairs.push((marked, found));
            marked += 1;
            found += 1;
        } else if beat < truth {
            // Behind the marked beat, and either too far or the next found one is nearer.
            matched.extra.push(found);
            found += 1;
        } else {
            matched.missed.push(marked);
            marked += 1;
        }
    }
    matched.missed.extend(marked..reference.len());
    matched.extra.extend(found..detected.len());
    matched
}

/// The figures of one recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// The recording's name in its data set.
    pub record: String,
    /// Marked beats that were found.
    pub found: usize,
    /// Marked beats that were not found.
    pub missed: usize,
    /// Found beats that nobody marked.
    pub extra: usize,
}

impl RecordRow {
    /// The figures of one recording, from its matched beats.
    pub fn new(record: &str, matched: &MatchedBeats) -> RecordRow {
        RecordRow {
            record: record.to_owned(),
            found: matched.pairs.len(),
            missed: matched.missed.len(),
            extra: matched.extra.len(),
        }
    }

    /// The share of marked beats that were found, 0 to 1.
    pub fn sensitivity(&self) -> f64 {
        share(self.found, self.missed)
    }

    /// The share of found beats that were marked, 0 to 1.
    pub fn precision(&self) -> f64 {
        share(self.found, self.extra)
    }
}

/// The figures of a data set, a row a recording; `Display` is a plain table with the gross figures last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordTable {
    /// A row for each recording.
    pub rows: Vec<RecordRow>,
}

impl RecordTable {
    /// All recordings as if they were one: the gross statistics of EC57.
    pub fn gross(&self) -> RecordRow {
        let sum = |pick: fn(&RecordRow) -> usize| self.rows.iter().map(pick).sum();
        RecordRow {
            record: "gross".to_owned(),
            found: sum(|row| row.found),
            missed: sum(|row| row.missed),
            extra: sum(|row| row.extra),
        }
    }
}

impl fmt::Display for RecordTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "record   beats  missed  extra  sensitivity  precision")?;
        for row in self.rows.iter().chain([&self.gross()]) {
            let RecordRow { record, found, missed, extra } = row;
            let (sensitivity, precision) = (row.sensitivity(), row.precision());
            let beats = found + missed;
            writeln!(
                formatter,
                "{record:<7}{beats:>7}{missed:>8}{extra:>7}{sensitivity:>13.4}{precision:>11.4}"
            )?;
        }
        Ok(())
    }
}

fn share(hits: usize, others: usize) -> f64 {
    if hits + others == 0 { 1.0 } else { hits as f64 / (hits + others) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_beat_is_matched_and_each_once() {
        let matched = match_beats(&[100, 400, 700], &[90, 105, 500, 690, 705], 54);
        assert_eq!(matched.pairs, [(0, 1), (2, 4)]);
        assert_eq!(matched.missed, [1]);
        assert_eq!(matched.extra, [0, 2, 3]);
    }

    #[test]
    fn tolerance_is_inclusive() {
        assert_eq!(match_beats(&[100], &[154], 54).pairs.len(), 1);
        assert_eq!(match_beats(&[100], &[155], 54).pairs.len(), 0);
    }

    #[test]
    fn nothing_is_matched_with_nothing() {
        let matched = match_beats(&[], &[], 54);
        assert_eq!((matched.sensitivity(), matched.precision()), (1.0, 1.0));
        assert_eq!(match_beats(&[5], &[], 54).sensitivity(), 0.0);
        assert_eq!(match_beats(&[], &[5], 54).precision(), 0.0);
    }

    #[test]
    fn gross_figures_add_the_records_up() {
        let row = |found, missed, extra| RecordRow { record: "a".into(), found, missed, extra };
        let table = RecordTable { rows: vec![row(90, 10, 0), row(10, 0, 10)] };
        assert_eq!(table.gross().sensitivity(), 100.0 / 110.0);
        assert!(table.to_string().contains("gross"));
    }
}
