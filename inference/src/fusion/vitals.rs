//! Vital signs by the single scores of the National Early Warning Score 2: reproduced from Royal College of Physicians,
//! National Early Warning Score (NEWS) 2, London: RCP, 2017. No total is given: it would need consciousness and oxygen.

use super::source::{Kind, Level, NOTHING, OF_SCORE, Source};

/// The score is made for people from this age on who are not pregnant (the same source).
pub const NEWS2_LEAST_AGE_YEARS: f64 = 16.0;

/// What is measured, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VitalSign {
    /// Breaths a minute.
    BreathsPerMin,
    /// Oxygen saturation (scale 1).
    Spo2Percent,
    /// Systolic blood pressure.
    SystolicMmhg,
    /// Pulse.
    PulsePerMin,
    /// Body temperature.
    TemperatureC,
}

impl VitalSign {
    /// Every one.
    pub const ALL: [VitalSign; 5] = [
        VitalSign::BreathsPerMin,
        VitalSign::Spo2Percent,
        VitalSign::SystolicMmhg,
        VitalSign::PulsePerMin,
        VitalSign::TemperatureC,
    ];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            VitalSign::BreathsPerMin => "breaths",
            VitalSign::Spo2Percent => "oxygen saturation",
            VitalSign::SystolicMmhg => "systolic pressure",
            VitalSign::PulsePerMin => "pulse",
            VitalSign::TemperatureC => "temperature",
        }
    }

    /// The unit, for people.
    pub const fn unit(self) -> &'static str {
        match self {
            VitalSign::BreathsPerMin | VitalSign::PulsePerMin => "/min",
            VitalSign::Spo2Percent => " %",
            VitalSign::SystolicMmhg => " mmHg",
            VitalSign::TemperatureC => " °C",
        }
    }

    /// Values that a living patient can have.
    const fn range(self) -> [f64; 2] {
        match self {
            VitalSign::BreathsPerMin => [2.0, 120.0],
            VitalSign::Spo2Percent => [40.0, 100.0],
            VitalSign::SystolicMmhg => [30.0, 300.0],
            VitalSign::PulsePerMin => [10.0, 350.0],
            VitalSign::TemperatureC => [25.0, 45.0],
        }
    }

    /// Upper ends of the bands with their scores; above the last it is the score beside.
    const fn bands(self) -> (&'static [(f64, u8)], u8) {
        match self {
            VitalSign::BreathsPerMin => (&[(8.0, 3), (11.0, 1), (20.0, 0), (24.0, 2)], 3),
            VitalSign::Spo2Percent => (&[(91.0, 3), (93.0, 2), (95.0, 1)], 0),
            VitalSign::SystolicMmhg => (&[(90.0, 3), (100.0, 2), (110.0, 1), (219.0, 0)], 3),
            VitalSign::PulsePerMin => (&[(40.0, 3), (50.0, 1), (90.0, 0), (110.0, 1), (130.0, 2)], 3),
            VitalSign::TemperatureC => (&[(35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1)], 2),
        }
    }
}

/// The score of one value, 0 to 3; none for a value that no patient can have. Values are rounded as they are written
/// down: temperature to 0.1 °C, the rest to whole numbers.
pub fn score(sign: VitalSign, value: f64) -> Option<u8> {
    let [least, most] = sign.range();
    (least..=most).contains(&value).then_some(())?;
    let rounded = if sign == VitalSign::TemperatureC { (value * 10.0).round() / 10.0 } else { value.round() };
    let (bands, above) = sign.bands();
    Some(bands.iter().find(|(end, _)| rounded <= *end).map_or(above, |it| it.1))
}

/// One measured value with its age.
#[derive(Clone, Copy, PartialEq)]
pub struct Score {
    /// What.
    pub sign: VitalSign,
    /// The value, in its unit.
    pub value: f64,
    /// Hours since.
    pub age_h: f64,
}

impl std::fmt::Debug for Score {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Score({:?})", self.sign)
    }
}

/// Vital signs together: the highest single score counts, and is as old as the newest value that has it. Values that are
/// missing may be worse than those that are known.
pub fn vitals(measured: &[Score]) -> Option<Source> {
    let mut scored: Vec<(u8, &Score)> =
        measured.iter().filter_map(|it| Some((score(it.sign, it.value)?, it))).collect();
    scored.sort_by(|left, right| {
        right.0.cmp(&left.0).then(left.1.age_h.total_cmp(&right.1.age_h)).then(left.1.sign.cmp(&right.1.sign))
    });
    let (highest, worst) = *scored.first()?;
    let concern = OF_SCORE[usize::from(highest)];
    let known = VitalSign::ALL.iter().filter(|sign| scored.iter().any(|it| it.1.sign == **sign)).count();
    let unknown = 1.0 - known as f64 / VitalSign::ALL.len() as f64;
    let floor = match highest {
        3 => Level::Now,
        2 => Level::Soon,
        _ => Level::NothingStandsOut,
    };
    let told = |(score, it): &(u8, &Score)| {
        format!("{} {}{} scores {score}", it.sign.title(), shown(it), it.sign.unit())
    };
    let mut words: Vec<String> = scored.iter().map(told).collect();
    let missing = VitalSign::ALL.iter().filter(|sign| scored.iter().all(|it| it.1.sign != **sign));
    let missing: Vec<&str> = missing.map(|sign| sign.title()).collect();
    if !missing.is_empty() {
        words.push(format!("not known: {}", missing.join(", ")));
    }
    Some(Source {
        kind: Kind::Vitals,
        age_h: Some(worst.age_h),
        concern,
        interval: [concern.max(NOTHING), concern + (OF_SCORE[3] - concern).max(0.0) * unknown],
        reliability: 1.0,
        floor,
        words: format!("NEWS2 single scores: {}", words.join("; ")),
    })
}

fn shown(it: &Score) -> String {
    if it.sign == VitalSign::TemperatureC { format!("{:.1}", it.value) } else { format!("{:.0}", it.value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_band_of_the_published_table_has_its_score() {
        let table: [(VitalSign, &[(f64, u8)]); 5] = [
            (
                VitalSign::BreathsPerMin,
                &[(8.0, 3), (9.0, 1), (11.0, 1), (12.0, 0), (20.0, 0), (21.0, 2), (24.0, 2), (25.0, 3)],
            ),
            (
                VitalSign::Spo2Percent,
                &[(91.0, 3), (92.0, 2), (93.0, 2), (94.0, 1), (95.0, 1), (96.0, 0), (100.0, 0)],
            ),
            (
                VitalSign::SystolicMmhg,
                &[
                    (90.0, 3),
                    (91.0, 2),
                    (100.0, 2),
                    (101.0, 1),
                    (110.0, 1),
                    (111.0, 0),
                    (219.0, 0),
                    (220.0, 3),
                ],
            ),
            (
                VitalSign::PulsePerMin,
                &[
                    (40.0, 3),
                    (41.0, 1),
                    (50.0, 1),
                    (51.0, 0),
                    (90.0, 0),
                    (91.0, 1),
                    (110.0, 1),
                    (111.0, 2),
                    (130.0, 2),
                    (131.0, 3),
                ],
            ),
            (
                VitalSign::TemperatureC,
                &[
                    (35.0, 3),
                    (35.1, 1),
                    (36.0, 1),
                    (36.1, 0),
                    (38.0, 0),
                    (38.04, 0),
                    (38.1, 1),
                    (39.0, 1),
                    (39.1, 2),
                    (35.04, 3),
                ],
            ),
        ];
        for (sign, values) in table {
            for (value, expected) in values {
                assert_eq!(score(sign, *value), Some(*expected), "{sign:?} {value}");
            }
            for wrong in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e9] {
                assert_eq!(score(sign, wrong), None, "{sign:?} {wrong}");
            }
        }
    }

    #[test]
    fn missing_signs_widen_upwards_and_never_count_as_fine() {
        let usual = |sign, value| Score { sign, value, age_h: 1.0 };
        let one = vitals(&[usual(VitalSign::PulsePerMin, 70.0)]).unwrap();
        let two =
            vitals(&[usual(VitalSign::PulsePerMin, 70.0), usual(VitalSign::Spo2Percent, 98.0)]).unwrap();
        assert!(one.interval[1] > two.interval[1] && two.interval[1] > two.concern);
        assert!(one.words.contains("not known: breaths"), "{}", one.words);
        let urgent =
            vitals(&[usual(VitalSign::PulsePerMin, 70.0), usual(VitalSign::Spo2Percent, 85.0)]).unwrap();
        assert_eq!((urgent.concern, urgent.floor), (0.9, Level::Now));
        assert!(vitals(&[usual(VitalSign::PulsePerMin, 7000.0)]).is_none());
    }
}
