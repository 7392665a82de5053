use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::settings::Budget;

/// Most sites that have a bucket of their own; those beyond share the last.
const MOST_SITES: usize = 100_000;

/// Packets a second, with room for what a tenth of a second allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: NonZeroU32, now: Instant) -> Bucket {
        let rate = f64::from(rate.get());
        Bucket { rate, tokens: Bucket::most(rate), at: now }
    }

    fn most(rate: f64) -> f64 {
        (rate / 10.0).max(1.0)
    }

    /// How long to wait for the next packet; nothing: it may go now.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(Bucket::most(self.rate));
        self.at = now;
        (self.tokens < 1.0).then(|| Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }
}

/// The buckets of sites.
#[derive(Debug)]
pub(crate) struct Sites {
    settings: Budget,
    by_name: HashMap<String, usize>,
    buckets: Vec<Bucket>,
}

impl Sites {
    pub(crate) fn new(settings: Budget) -> Sites {
        Sites { settings, by_name: HashMap::new(), buckets: Vec::new() }
    }

    /// The place of the site that these labels name.
    pub(crate) fn of(&mut self, labels: &std::collections::BTreeMap<String, String>) -> Option<usize> {
        let rate = self.settings.per_site?;
        let name = labels.get(&self.settings.site)?;
        if let Some(at) = self.by_name.get(name) {
            return Some(*at);
        }
        if self.buckets.len() < MOST_SITES {
            self.buckets.push(Bucket::new(rate, Instant::now()));
        }
        self.by_name.insert(name.clone(), self.buckets.len() - 1);
        Some(self.buckets.len() - 1)
    }

    /// A device's own bucket.
    pub(crate) fn device(&self) -> Option<Bucket> {
        self.settings.per_device.map(|rate| Bucket::new(rate, Instant::now()))
    }

    /// Takes one packet from both buckets, or from none and says how long to wait.
    pub(crate) fn take(
        &mut self,
        site: Option<usize>,
        device: Option<&mut Bucket>,
        now: Instant,
    ) -> Option<Duration> {
        let mut site = site.and_then(|s| self.buckets.get_mut(s));
        let mut device = device;
        let wait = site.as_mut().and_then(|b| b.wait(now)).max(device.as_mut().and_then(|b| b.wait(now)));
        if wait.is_none() {
            for bucket in site.into_iter().chain(device) {
                bucket.tokens -= 1.0;
            }
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_and_a_device_send_no_more_than_their_packets_a_second() {
        let settings = Budget {
            per_device: NonZeroU32::new(10),
            per_site: NonZeroU32::new(15),
            site: "site".to_owned(),
        };
        let mut sites = Sites::new(settings);
        let labels = [("site".to_owned(), "a".to_owned())].into();
        let site = sites.of(&labels);
        let none = sites.of(&Default::default());
        assert_eq!((site, none), (Some(0), None));
        let begun = Instant::now();
        let (mut one, mut two) = (sites.device(), sites.device());
        let (mut of_one, mut of_two) = (0, 0);
        for turn in 0..2000 {
            let now = begun + Duration::from_millis(turn);
            of_one += u32::from(sites.take(site, one.as_mut(), now).is_none());
            of_two += u32::from(sites.take(site, two.as_mut(), now).is_none());
        }
        assert!((29..=32).contains(&(of_one + of_two)), "{of_one} and {of_two}");
        assert!(of_one <= 21 && of_two <= 21, "{of_one} and {of_two}");
    }
}
