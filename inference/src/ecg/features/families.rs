//! Families of beats with like complexes: an ectopic focus fires many beats of one shape, and what is
//! true of most of them (early, wide, followed by a pause) tells of each.

use super::super::conditioning::Conditioned;
use super::super::filter::median;
use super::intervals::{NEXT_TO_MEDIAN, PREVIOUS_TO_MEDIAN};
use super::shape::{correlation, qrs};

pub(super) const NAMES: [&str; 7] = [
    "ln_family_share",
    "family_rank",
    "family_ln_rr_previous",
    "family_ln_rr_next",
    "family_correlation_with_largest",
    "fit_to_own_family",
    "family_early_share",
];
/// A beat belongs to a family when it correlates with its founder by this, over all leads.
const LIKE: f32 = 0.88;
/// An interval this much shorter than the median around it, as a logarithm, is early.
const EARLY: f32 = -0.12;
/// The most families; a beat like none of them joins the nearest.
const MOST: usize = 24;

struct Family {
    centre: Vec<Vec<f32>>,
    members: Vec<usize>,
}

/// A row for each beat.
pub(super) fn rows(leads: &[Option<Conditioned>], at: &[usize], rhythm: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let shapes: Vec<Vec<Vec<f32>>> =
        at.iter().map(|at| leads.iter().flatten().map(|lead| qrs(lead, *at)).collect()).collect();
    let mut families = grow(&shapes);
    families.sort_by_key(|family| std::cmp::Reverse(family.members.len()));
    let mut rows = vec![Vec::new(); at.len()];
    for (rank, family) in families.iter().enumerate() {
        let of =
            |column: usize| -> Vec<f32> { family.members.iter().map(|beat| rhythm[*beat][column]).collect() };
        let share = family.members.len() as f32 / at.len() as f32;
        let likeness = fit(&family.centre, &families[0].centre);
        let (previous, next) = (median(&mut of(PREVIOUS_TO_MEDIAN)), median(&mut of(NEXT_TO_MEDIAN)));
        let early = of(PREVIOUS_TO_MEDIAN).iter().filter(|ln| **ln < EARLY).count() as f32;
        for beat in &family.members {
            rows[*beat] = vec![
                share.max(1e-4).ln() / 2.0,
                (rank as f32).min(4.0) / 2.0,
                previous * 2.0,
                next * 2.0,
                likeness,
                fit(&shapes[*beat], &family.centre),
                early / family.members.len() as f32,
            ];
        }
    }
    rows
}

/// One pass: a beat joins the family it is most like, or founds one; centres follow their members.
fn grow(shapes: &[Vec<Vec<f32>>]) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for (beat, shape) in shapes.iter().enumerate() {
        let nearest = families
            .iter()
            .enumerate()
            .map(|(index, family)| (fit(shape, &family.centre), index))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((likeness, index)) if likeness >= LIKE || families.len() >= MOST => {
                let family = &mut families[index];
                family.members.push(beat);
                if likeness >= LIKE {
                    let step = 1.0 / (family.members.len() as f32).min(40.0);
                    for (centre, values) in family.centre.iter_mut().zip(shape) {
                        centre.iter_mut().zip(values).for_each(|(c, v)| *c += step * (v - *c));
                    }
                }
            }
            _ => families.push(Family { centre: shape.clone(), members: vec![beat] }),
        }
    }
    families
}

/// The mean correlation over the leads.
fn fit(left: &[Vec<f32>], right: &[Vec<f32>]) -> f32 {
    let sum: f32 = left.iter().zip(right).map(|(l, r)| correlation(l, r)).sum();
    sum / left.len().max(1) as f32
}
