//! `[admission]`: who comes in, who waits, who is to come again.

use std::num::NonZeroU32;
use std::time::Duration;

use super::params::{ANY_TIME, set};
use super::section::Section;
use super::units::show_duration;
use crate::core::admission::RATE_MAX;
use crate::core::admission::time_for;
use crate::edge::params::{AdmissionSettings, SourceFrom};

/// A second: what `Retry-After` can say at least.
const WAIT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);
/// opamp-go gives up on a handshake after 45 s; a little of it is the network's.
const PARK_TTL_MAX: Duration = Duration::from_secs(44);
/// Agents of which the summary says how long they take.
const FLEETS: [u64; 2] = [10_000, 100_000];

/// `[admission]`.
pub(super) fn admission(mut section: Section<'_>) -> AdmissionSettings {
    let mut params = AdmissionSettings::default();
    if let Some(rate) = section.number("rate", 0..=RATE_MAX) {
        params.rate = NonZeroU32::new(rate);
    }
    if let Some(percent) = section.number("source_share_percent", 1..=100) {
        params.source_share_percent = percent;
    }
    if let Some(count) = section.number("source_burst_min", 1..=1 << 30) {
        params.source_burst_min = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    }
    if let Some(source) = section.choice(
        "source",
        &[
            ("peer", SourceFrom::Peer),
            ("x-forwarded-for", SourceFrom::Forwarded),
            ("none", SourceFrom::Nothing),
        ],
    ) {
        params.source = source;
    }
    set!(params, section, fleet_size: number(0..=1_000_000_000));
    let admission = &mut params.admission;
    set!(admission, section,
        burst: duration(Duration::from_millis(10)..=Duration::from_secs(60)),
        park_horizon: duration(ANY_TIME),
        park_ttl: duration(Duration::from_secs(1)..=PARK_TTL_MAX),
        overbook_percent: number(0..=1_000),
        retry_min: duration(WAIT),
        hold_max: duration(Duration::ZERO..=PARK_TTL_MAX),
        held_max: number(0..=1 << 20),
        reserve_percent: number(0..=100),
    );
    if let Some(wait) = section.duration("retry_max", WAIT) {
        params.admission.wait_max = wait;
    }
    if let Some(count) = section.number("reservations_max", 0..=1 << 24) {
        params.admission.kept_max = count;
    }
    if let Some(wait) = section.duration("retry_fixed", Duration::ZERO..=*WAIT.end()) {
        if wait.subsec_nanos() > 0 {
            section.report("retry_fixed", "must be whole seconds: a header can say no less");
        }
        params.admission.retry_fixed = wait;
    }
    if params.admission.park_horizon > params.admission.park_ttl {
        section.report(
            "park_horizon",
            format!(
                "must not be longer than park_ttl ({}): who stands at the end would not be let in",
                show_duration(params.admission.park_ttl)
            ),
        );
    }
    params
}

/// What the settings mean, in words.
pub(super) fn describe(params: &AdmissionSettings) -> String {
    let admission = &params.admission;
    let rate = match params.rate {
        None => "as many agents a second as this machine bears".to_owned(),
        Some(rate) => {
            let times = FLEETS.map(|agents| {
                let seconds = time_for(agents, rate).as_secs_f64().ceil();
                format!("{agents} agents back in about {seconds} s")
            });
            format!("{rate} agents a second ({})", times.join(", "))
        }
    };
    let park = if admission.park_horizon.is_zero() {
        "nobody waits unanswered".to_owned()
    } else {
        let places = match params.rate {
            Some(rate) => {
                let seconds = admission.park_horizon.as_secs_f64();
                format!("up to {:.0} agents", f64::from(rate.get()) * seconds)
            }
            None => format!("{} worth of agents", show_duration(admission.park_horizon)),
        };
        format!("{places} wait unanswered, {} at most", show_duration(admission.park_ttl))
    };
    let refused = if admission.retry_fixed.is_zero() {
        "others are told when there is room for them".to_owned()
    } else {
        format!("others are told to come again after {}", show_duration(admission.retry_fixed))
    };
    format!("{rate}; {park}; {refused}")
}
