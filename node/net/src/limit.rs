//! Rates and slots: how often a peer may ask, and how much may be in progress at once.
//!
//! The bucket is the generic cell rate algorithm (ITU-T I.371): one instant for each key instead of a counter
//! and a clock. Time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keys::DeviceId;

/// A sustained rate and the burst above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Sustained events a minute; at least one.
    pub(crate) per_minute: u32,
    /// Events that may come at once; at least one.
    pub(crate) burst: u32,
}

impl Rate {
    fn interval(self) -> Duration {
        Duration::from_secs(60) / self.per_minute.max(1)
    }
}

/// A sustained flow and the burst above it, for things that have a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Sustained units a second; at least one.
    pub(crate) per_second: u32,
    /// Units that may come at once.
    pub(crate) burst: u32,
}

/// The token bucket of one flow: it does not refuse, it says how long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    flow: Flow,
    full_at: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(flow: Flow) -> Self {
        Self { flow, full_at: None }
    }

    /// Takes `units`, and gives the time until nothing is owed.
    pub(crate) fn take(&mut self, now: Instant, units: usize) -> Duration {
        let start = self.full_at.map_or(now, |full_at| full_at.max(now));
        let full_at = start + self.lasts(units as u64);
        self.full_at = Some(full_at);
        full_at.duration_since(now).saturating_sub(self.lasts(u64::from(self.flow.burst)))
    }

    /// How long the sustained flow takes for so many units.
    fn lasts(&self, units: u64) -> Duration {
        Duration::from_nanos(units.saturating_mul(1_000_000_000) / u64::from(self.flow.per_second.max(1)))
    }
}

/// Token buckets for many keys, never more than a fixed number of them.
pub(crate) struct Buckets<K> {
    /// For each key the instant at which its bucket is full again.
    full_at: HashMap<K, Instant>,
    capacity: usize,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { full_at: HashMap::new(), capacity }
    }

    /// Takes one token of the key; false when there is none, or when no further key can be watched.
    pub(crate) fn take(&mut self, now: Instant, key: K, rate: Rate) -> bool {
        if !self.full_at.contains_key(&key) && self.full_at.len() >= self.capacity {
            // A full bucket says nothing more than an absent one.
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= self.capacity {
                return false;
            }
        }
        let full_at = self.full_at.entry(key).or_insert(now);
        let start = (*full_at).max(now);
        if start.duration_since(now) > rate.interval() * rate.burst.saturating_sub(1) {
            return false;
        }
        *full_at = start + rate.interval();
        true
    }
}

/// Places for things in progress: some for each device, a fixed number in all.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    taken: Arc<Mutex<HashMap<DeviceId, usize>>>,
    each: usize,
    all: usize,
}

impl Slots {
    pub(crate) fn new(each: usize, all: usize) -> Self {
        Self { taken: Arc::default(), each, all }
    }

    /// Takes a place until the returned guard is dropped; none when the device or the whole is full.
    pub(crate) fn take(&self, device: DeviceId) -> Option<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= self.all {
            return None;
        }
        let count = taken.entry(device).or_insert(0);
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Slot { slots: self.clone(), device })
    }
}

/// One taken place of [`Slots`]; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    device: DeviceId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.device) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_minute: 30, burst: 30 };

    #[test]
    fn burst_is_allowed_and_the_next_is_not() {
        let (mut buckets, now) = (Buckets::new(4), Instant::now());
        assert!((0..30).all(|_| buckets.take(now, 'a', RATE)));
        assert!(!buckets.take(now, 'a', RATE));
        assert!(buckets.take(now, 'b', RATE));
    }

    #[test]
    fn tokens_return_at_the_sustained_rate() {
        let (mut buckets, now) = (Buckets::new(4), Instant::now());
        while buckets.take(now, 'a', RATE) {}
        assert!(!buckets.take(now + Duration::from_millis(1_999), 'a', RATE));
        assert!(buckets.take(now + Duration::from_secs(2), 'a', RATE));
        assert!(!buckets.take(now + Duration::from_secs(2), 'a', RATE));
        let later = now + Duration::from_secs(3_600);
        assert_eq!((0..100).filter(|_| buckets.take(later, 'a', RATE)).count(), 30);
    }

    #[test]
    fn keys_are_bounded_and_full_buckets_make_room() {
        let (mut buckets, now) = (Buckets::new(2), Instant::now());
        assert!(buckets.take(now, 1, RATE) && buckets.take(now, 2, RATE));
        assert!(!buckets.take(now, 3, RATE));
        assert!(buckets.take(now + Duration::from_secs(2), 3, RATE));
    }

    #[test]
    fn time_going_back_grants_nothing() {
        let (mut buckets, now) = (Buckets::new(2), Instant::now() + Duration::from_secs(60));
        while buckets.take(now, 1, RATE) {}
        assert!(!buckets.take(now - Duration::from_secs(30), 1, RATE));
    }

    #[test]
    fn pace_lets_the_burst_through_and_then_the_flow() {
        let (mut pace, now) = (Pace::new(Flow { per_second: 400, burst: 400 }), Instant::now());
        assert!((0..400).all(|_| pace.take(now, 1).is_zero()));
        assert_eq!(pace.take(now, 1), Duration::from_micros(2_500));
        assert_eq!(pace.take(now, 399), Duration::from_secs(1));
        assert!(pace.take(now + Duration::from_millis(1_100), 1).is_zero());
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.take(later, 800), Duration::from_secs(1));
    }

    #[test]
    fn slots_come_back_when_dropped() {
        let slots = Slots::new(2, 3);
        let (a, b) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
        let first = slots.take(a).unwrap();
        let _second = slots.take(a).unwrap();
        assert!(slots.take(a).is_none());
        let _third = slots.take(b).unwrap();
        assert!(slots.take(b).is_none(), "three in all");
        drop(first);
        assert!(slots.take(b).is_some());
    }
}
