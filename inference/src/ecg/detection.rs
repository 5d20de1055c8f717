//! Where the beats are.
//!
//! The family of Pan and Tompkins ("A real-time QRS detection algorithm", IEEE Trans Biomed Eng 1985): energy in
//! the band of the QRS complex, thresholds that follow signal and noise, a search back where a beat is overdue,
//! and a test of slope against T waves. Two things differ, as the whole recording is at hand: levels look
//! both ways in time, and the two clearest leads are joined, each weighted by how far its beats stand out.

use super::conditioning::{Conditioned, WORKING_RATE_HZ, samples};
use super::filter::{Section, median, moving_mean, quantile};
use super::signal::EcgSignal;

/// A heartbeat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat {
    /// Its largest deflection, as a sample number of the recording it was found in.
    pub sample: usize,
    /// How far it stands above the threshold of its surroundings, 0 to 1; not a probability.
    pub strength: f32,
}

/// The band of the QRS complex, in hertz (Elgendi, "Fast QRS detection with an optimized knowledge-based
/// method", PLoS ONE 2013). The 5 to 15 Hz of Pan and Tompkins leave more of the T wave in.
const BAND_HZ: (f64, f64) = (8.0, 20.0);
/// Energy is averaged over this, in seconds: about one QRS complex.
const INTEGRATION_S: f64 = 0.100;
/// No two beats are nearer, in seconds (Pan and Tompkins: 200 ms, the refractory period of the ventricles).
const REFRACTORY_S: f64 = 0.200;
/// A T wave may follow a beat this long, in seconds (Pan and Tompkins).
const T_WAVE_S: f64 = 0.360;
/// A T wave is less than this share as steep as the beat before it (Pan and Tompkins).
const T_WAVE_SLOPE: f32 = 0.5;
/// The threshold's place between noise and signal (Pan and Tompkins: 0.25).
const THRESHOLD_SHARE: f32 = 0.25;
/// A beat is overdue after this many usual intervals (Pan and Tompkins: 1.66).
const OVERDUE: f64 = 1.66;
/// Weight of a new peak in the running levels (Pan and Tompkins: 1/8).
const LEVEL_STEP: f32 = 0.125;
/// Levels of a lead are worked out for steps of this, in seconds.
const BLOCK_S: f64 = 1.0;
/// And look this many steps to both sides.
const BLOCKS_AROUND: usize = 8;
/// Envelopes below this, in millivolts, are no beats but the recorder's own noise.
const SMALLEST_MV: f32 = 0.01;

/// Finds the beats of a signal, in order. Silent stretches have none; whether a stretch can be read at all
/// is for [`assess`](super::assess) to say.
pub fn detect(signal: &EcgSignal) -> Vec<Beat> {
    let mut best: Vec<Energy> = Vec::with_capacity(3);
    for lead in signal.leads() {
        best.push(Energy::of(&Conditioned::of(lead, signal.sampling_rate_hz())));
        best.sort_by(|left, right| right.clarity.total_cmp(&left.clarity));
        best.truncate(2);
    }
    let joined = Joined::of(&best);
    let step = signal.sampling_rate_hz() / WORKING_RATE_HZ;
    let mut beats: Vec<Beat> = decide(&joined)
        .into_iter()
        .map(|candidate| Beat {
            sample: ((joined.peak(candidate.at) as f64 * step).round() as usize).min(signal.len() - 1),
            strength: candidate.strength,
        })
        .collect();
    beats.dedup_by_key(|beat| beat.sample);
    beats
}

/// One lead as detection sees it.
struct Energy {
    /// The QRS band, in millivolts.
    band: Vec<f32>,
    /// Its size, averaged over a complex.
    envelope: Vec<f32>,
    /// The usual height of beats around each block.
    height: Vec<f32>,
    /// How much the lead counts around each block.
    weight: Vec<f32>,
    /// The mean weight.
    clarity: f32,
}

impl Energy {
    fn of(lead: &Conditioned) -> Energy {
        let mut band = lead.samples_mv.clone();
        Section::high_pass(BAND_HZ.0, WORKING_RATE_HZ).run(&mut band);
        Section::low_pass(BAND_HZ.1, WORKING_RATE_HZ).run(&mut band);
        let sizes: Vec<f32> = band.iter().map(|sample| sample.abs()).collect();
        let envelope = moving_mean(&sizes, samples(INTEGRATION_S));
        let block = samples(BLOCK_S);
        let mut peaks = Vec::new();
        let mut floors = Vec::new();
        for from in (0..envelope.len()).step_by(block) {
            let around =
                &envelope[from.saturating_sub(block / 2)..(from + 3 * block / 2).min(envelope.len())];
            peaks.push(around.iter().copied().fold(0.0, f32::max));
            floors.push(median(&mut around.to_vec()));
        }
        // High enough that a slow heart, silent in most blocks, still sets the level.
        let usual = quantile(&mut peaks.clone(), 0.75);
        let smooth = |values: &[f32], index: usize| {
            let around = index.saturating_sub(BLOCKS_AROUND)..(index + BLOCKS_AROUND + 1).min(values.len());
            median(&mut values[around].to_vec())
        };
        let mut height = Vec::with_capacity(peaks.len());
        let mut weight = Vec::with_capacity(peaks.len());
        for index in 0..peaks.len() {
            let peak = smooth(&peaks, index).max(usual * 0.2).max(SMALLEST_MV);
            let contrast = peak / smooth(&floors, index).max(SMALLEST_MV / 10.0);
            let present = 1.0 - lead.missing((index * block + block / 2).min(envelope.len() - 1));
            height.push(peak);
            weight.push((contrast - 2.0).clamp(0.05, 10.0).powi(2) * present);
        }
        let clarity = weight.iter().sum::<f32>() / weight.len().max(1) as f32;
        Energy { band, envelope, height, weight, clarity }
    }
}

/// The leads joined: 1 is the usual height of a beat.
struct Joined {
    envelope: Vec<f32>,
    band: Vec<f32>,
}

impl Joined {
    fn of(leads: &[Energy]) -> Joined {
        let length = leads.first().map_or(0, |lead| lead.band.len());
        let block = samples(BLOCK_S);
        let mut joined = Joined { envelope: vec![0.0; length], band: vec![0.0; length] };
        for index in 0..length {
            let total: f32 = leads.iter().map(|lead| between(&lead.weight, index, block)).sum();
            if total <= 0.0 {
                continue;
            }
            for lead in leads {
                let factor =
                    between(&lead.weight, index, block) / total / between(&lead.height, index, block);
                joined.envelope[index] += lead.envelope[index] * factor;
                joined.band[index] += lead.band[index].abs() * factor;
            }
        }
        joined
    }

    /// The largest deflection near a peak of the envelope.
    fn peak(&self, at: usize) -> usize {
        let reach = samples(INTEGRATION_S * 0.75);
        let from = at.saturating_sub(reach);
        let around = &self.band[from..(at + reach + 1).min(self.band.len())];
        let peak = around.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1));
        from + peak.map_or(0, |(index, _)| index)
    }

    /// The steepest change of the band around a peak of the envelope.
    fn slope(&self, at: usize) -> f32 {
        let reach = samples(INTEGRATION_S * 0.75);
        let around = &self.band[at.saturating_sub(reach)..(at + reach + 1).min(self.band.len())];
        around.windows(3).map(|three| (three[2] - three[0]).abs()).fold(0.0, f32::max)
    }
}

/// A value given for the middle of each block, at a sample.
fn between(blocks: &[f32], index: usize, block: usize) -> f32 {
    let position = (index as f32 / block as f32 - 0.5).max(0.0);
    let whole = (position as usize).min(blocks.len() - 1);
    let next = (whole + 1).min(blocks.len() - 1);
    let share = (position - whole as f32).min(1.0);
    blocks[whole] * (1.0 - share) + blocks[next] * share
}

/// A peak of the joined envelope.
#[derive(Clone, Copy)]
struct Candidate {
    at: usize,
    height: f32,
    slope: f32,
    strength: f32,
}

/// The peaks of the envelope, none higher within the refractory period.
fn candidates(joined: &Joined) -> Vec<Candidate> {
    let envelope = &joined.envelope;
    let refractory = samples(REFRACTORY_S);
    let mut kept: Vec<Candidate> = Vec::new();
    for at in 0..envelope.len() {
        let height = envelope[at];
        let before = at.checked_sub(1).map_or(0.0, |index| envelope[index]);
        let after = envelope.get(at + 1).copied().unwrap_or(0.0);
        if height <= 0.05 || height < before || height <= after {
            continue;
        }
        match kept.last_mut() {
            Some(last) if at - last.at < refractory => {
                if height > last.height {
                    *last = Candidate { at, height, slope: joined.slope(at), strength: 0.0 };
                }
            }
            _ => kept.push(Candidate { at, height, slope: joined.slope(at), strength: 0.0 }),
        }
    }
    kept
}

/// What runs along while candidates are judged.
struct Levels {
    signal: f32,
    noise: f32,
    intervals: Vec<usize>,
}

impl Levels {
    fn threshold(&self) -> f32 {
        self.noise + THRESHOLD_SHARE * (self.signal - self.noise)
    }

    /// The usual interval: the mean of the last eight.
    fn interval(&self) -> f64 {
        let last = &self.intervals[self.intervals.len().saturating_sub(8)..];
        if last.is_empty() { WORKING_RATE_HZ } else { last.iter().sum::<usize>() as f64 / last.len() as f64 }
    }

    fn beat(&mut self, height: f32, step: f32) {
        self.signal += step * (height.min(2.0 * self.signal) - self.signal);
    }

    fn silence(&mut self, height: f32) {
        self.noise += LEVEL_STEP * (height - self.noise);
    }
}

/// Which candidates are beats.
fn decide(joined: &Joined) -> Vec<Candidate> {
    let candidates = candidates(joined);
    let mut levels = Levels { signal: 1.0, noise: 0.15, intervals: Vec::new() };
    let mut beats: Vec<(usize, Candidate)> = Vec::new();
    for (index, &candidate) in candidates.iter().enumerate() {
        search_back(&candidates, index, &mut levels, &mut beats);
        let threshold = levels.threshold();
        let is_t_wave = beats.last().is_some_and(|(_, last)| follows_as_t_wave(last, &candidate));
        if candidate.height > threshold && !is_t_wave {
            accept(index, candidate, threshold, &mut levels, &mut beats);
            levels.beat(candidate.height, LEVEL_STEP);
        } else {
            levels.silence(candidate.height);
        }
    }
    beats.into_iter().map(|(_, candidate)| candidate).collect()
}

fn accept(
    index: usize,
    mut candidate: Candidate,
    threshold: f32,
    levels: &mut Levels,
    beats: &mut Vec<(usize, Candidate)>,
) {
    candidate.strength = (1.0 - threshold / candidate.height.max(1e-6)).clamp(0.0, 1.0);
    if let Some((_, last)) = beats.last() {
        levels.intervals.push(candidate.at - last.at);
    }
    beats.push((index, candidate));
}

/// Looks again, with half the threshold, where a beat is overdue before candidate `next`.
fn search_back(
    candidates: &[Candidate],
    next: usize,
    levels: &mut Levels,
    beats: &mut Vec<(usize, Candidate)>,
) {
    while let Some(&(last_index, last)) = beats.last() {
        let overdue = (levels.interval() * OVERDUE) as usize;
        if candidates[next].at - last.at < overdue {
            return;
        }
        let threshold = levels.threshold() / 2.0;
        let found = (last_index + 1..next)
            .filter(|index| candidates[*index].height > threshold)
            .filter(|index| !follows_as_t_wave(&last, &candidates[*index]))
            .max_by(|left, right| candidates[*left].height.total_cmp(&candidates[*right].height));
        let Some(found) = found else { return };
        accept(found, candidates[found], threshold, levels, beats);
        levels.beat(candidates[found].height, LEVEL_STEP * 2.0);
    }
}

fn follows_as_t_wave(last: &Candidate, candidate: &Candidate) -> bool {
    candidate.at - last.at < samples(T_WAVE_S) && candidate.slope < T_WAVE_SLOPE * last.slope
}
