//! The error grid of Clarke et al. (Diabetes Care 1987): what an error would have led to.

/// A zone of the grid. A and B are clinically harmless; C would be overcorrected, D is a danger missed, E the opposite of what is
/// so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zone {
    /// Within 20 %, or both below 70 mg/dL.
    A,
    /// Further off, without consequence.
    B,
    /// Would lead to correcting what is right.
    C,
    /// Would leave a low or high value untreated.
    D,
    /// Would lead to treating the opposite.
    E,
}

/// The zone of a true and a told value, both in mg/dL, with the lines of the paper as Codina's implementation draws them:
/// C above from 70 to 290 mg/dL at 110 more than is so, C below from 130 to 180 mg/dL under 1.4 times less 182.
pub fn zone(truth: f32, told: f32) -> Zone {
    if (truth <= 70.0 && told <= 70.0) || (told >= 0.8 * truth && told <= 1.2 * truth) {
        return Zone::A;
    }
    if (truth >= 180.0 && told <= 70.0) || (truth <= 70.0 && told >= 180.0) {
        return Zone::E;
    }
    let above = (70.0..=290.0).contains(&truth) && told >= truth + 110.0;
    let below = (130.0..=180.0).contains(&truth) && told <= 1.4 * truth - 182.0;
    if above || below {
        return Zone::C;
    }
    let high_missed = truth >= 240.0 && (70.0..=180.0).contains(&told);
    let low_missed = truth <= 70.0 && (70.0..=180.0).contains(&told);
    if high_missed || low_missed { Zone::D } else { Zone::B }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_the_paper_draws_them() {
        for (truth, told, expected) in [
            (100.0, 100.0, Zone::A),
            (100.0, 120.0, Zone::A),
            (60.0, 45.0, Zone::A),
            (69.0, 82.0, Zone::A),
            (100.0, 121.0, Zone::B),
            (100.0, 79.0, Zone::B),
            (200.0, 150.0, Zone::B),
            (230.0, 150.0, Zone::B),
            (300.0, 399.0, Zone::B),
            (100.0, 210.0, Zone::C),
            (290.0, 400.0, Zone::C),
            (150.0, 28.0, Zone::C),
            (170.0, 50.0, Zone::C),
            (170.0, 60.0, Zone::B),
            (240.0, 180.0, Zone::D),
            (300.0, 100.0, Zone::D),
            (50.0, 100.0, Zone::D),
            (65.0, 90.0, Zone::D),
            (180.0, 70.0, Zone::E),
            (70.0, 180.0, Zone::E),
            (50.0, 200.0, Zone::E),
            (300.0, 60.0, Zone::E),
        ] {
            assert_eq!(zone(truth, told), expected, "{truth} told as {told}");
        }
    }
}
