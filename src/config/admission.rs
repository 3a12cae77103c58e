//! `[admission]`: which agents are admitted, which wait, which must come again. Must not know how that is
//! decided.

use std::num::NonZeroU32;
use std::time::Duration;

use super::clients::clients;
use super::params::{ANY_TIME, set};
use super::section::Section;
use super::units::show_duration;
use crate::core::admission::RATE_MAX;
use crate::core::admission::time_for;
use crate::edge::params::{AdmissionSettings, SourceFrom};
use crate::telemetry::thousands;

/// From a second on, which is the least that `Retry-After` can say.
const WAIT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);
/// opamp-go gives up on a handshake after 45 s; the network needs a little of it.
const PARK_TTL_MAX: Duration = Duration::from_secs(44);
/// .NET's client gives up after 100 s.
const PATIENT_TTL_MAX: Duration = Duration::from_secs(95);
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
    params.clients = clients(&mut section);
    let admission = &mut params.admission;
    set!(admission, section,
        burst: duration(Duration::from_millis(10)..=Duration::from_secs(60)),
        park_horizon: duration(ANY_TIME),
        park_ttl: duration(Duration::from_secs(1)..=PARK_TTL_MAX),
        patient_ttl: duration(Duration::from_secs(1)..=PATIENT_TTL_MAX),
        overbook_percent: number(0..=1_000),
        retry_min: duration(WAIT),
        hold_max: duration(Duration::ZERO..=PARK_TTL_MAX),
        held_max: number(0..=1 << 20),
        reserve_percent: number(0..=100),
        retry_max: duration(WAIT),
        reservations_max: number(0..=1 << 24),
    );
    if let Some(wait) = section.duration("retry_fixed", Duration::ZERO..=*WAIT.end()) {
        if wait.subsec_nanos() > 0 {
            section.report("retry_fixed", "must be whole seconds, as the header Retry-After is");
        }
        params.admission.retry_fixed = wait;
    }
    let sound = section.are_sound(&["retry_min", "retry_max"]);
    if params.admission.retry_min > params.admission.retry_max && sound {
        section.report(
            "retry_max",
            format!("is less than retry_min ({})", show_duration(params.admission.retry_min)),
        );
    }
    let sound = section.are_sound(&["park_horizon", "park_ttl"]);
    if params.admission.park_horizon > params.admission.park_ttl && sound {
        section.report(
            "park_horizon",
            format!(
                "must be at most park_ttl ({}): the last in the park would be refused",
                show_duration(params.admission.park_ttl)
            ),
        );
    }
    params
}

/// What the settings come to: the rate, the waiting room, and the answer beyond it.
pub(super) fn describe(params: &AdmissionSettings) -> String {
    let admission = &params.admission;
    let rate = match params.rate {
        None => "automatic".to_owned(),
        Some(rate) => {
            let times = FLEETS.map(|agents| {
                let seconds = time_for(agents, rate).as_secs_f64().ceil();
                format!("{} agents back in about {seconds} s", thousands(agents.into()))
            });
            format!("{} connections/s ({})", thousands(rate.get().into()), times.join(", "))
        }
    };
    let refused = if admission.retry_fixed.is_zero() {
        "503 with Retry-After".to_owned()
    } else {
        format!("503 with Retry-After: {}", admission.retry_fixed.as_secs())
    };
    if admission.park_horizon.is_zero() {
        return format!("{rate}; no waiting room; {refused} when the rate is used up");
    }
    let places = match params.rate {
        Some(rate) => {
            let millis = admission.park_horizon.as_millis();
            format!("{} agents", thousands(u128::from(rate.get()) * millis / 1_000))
        }
        None => format!("{} of admissions", show_duration(admission.park_horizon)),
    };
    let longest = show_duration(admission.park_ttl);
    format!("{rate}; waiting room for {places}, each at most {longest}; beyond that {refused}")
}
