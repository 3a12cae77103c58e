//! Real OpAMP clients and a real OpAMP server (opamp-go), with Seawall between them.
//!
//! Each scenario runs in every topology where it means something. `direct` is the self-check: the
//! same scenario without Seawall, so that a fault of the peers or of the test is told from one of
//! the gateway. `v022` and `latest` are releases of the client (see `support::interop::Version`).

#![forbid(unsafe_code)]

mod support;

#[path = "interop/admission.rs"]
mod admission;
#[path = "interop/http.rs"]
mod http;
#[path = "interop/lifecycle.rs"]
mod lifecycle;
#[path = "interop/offers.rs"]
mod offers;
#[path = "interop/outages.rs"]
mod outages;
#[path = "interop/reports.rs"]
mod reports;
#[path = "interop/routing.rs"]
mod routing;
#[path = "interop/unordered.rs"]
mod unordered;

use std::future::Future;
use std::time::Duration;

use support::interop::peers;
use support::interop::world::{Setup, Topology};

use support::interop::Version;

/// The longest that a scenario may take. The longest one takes about 25 s on a quiet machine; each wait
/// in it has a bound of its own.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(240);

/// Runs one scenario, where Go is installed to build its peers with.
async fn run<F: Future<Output = ()>>(
    topology: Topology,
    version: Version,
    scenario: impl FnOnce(Setup) -> F,
) {
    let Some(peers) = peers() else { return };
    let setup = Setup { peers, topology, version };
    let ran = tokio::time::timeout(SCENARIO_TIMEOUT, scenario(setup)).await;
    assert!(ran.is_ok(), "not done after {SCENARIO_TIMEOUT:?}");
}

/// Makes tests of scenarios: `module::scenario in [topologies] with [versions]`.
macro_rules! scenarios {
    ($($module:ident :: $scenario:ident in [$($topology:ident),*] with $versions:tt;)*) => {
        $(mod $scenario { $(scenarios!(@topology $module $scenario $topology $versions);)* })*
    };
    (@topology $module:ident $scenario:ident $topology:ident [$($version:ident),*]) => {
        #[allow(non_snake_case)]
        mod $topology {
            $(#[tokio::test]
            #[allow(non_snake_case)]
            async fn $version() {
                use crate::support::interop::{Version, world::Topology};
                crate::run(Topology::$topology, Version::$version, crate::$module::$scenario).await;
            })*
        }
    };
}

scenarios! {
    reports::first_report in [Direct, Multiplexed, InARow, PerAgent, Http] with [V022, Latest];
    reports::changes in [Direct, Multiplexed, InARow, PerAgent, Http] with [Latest];
    reports::unknown_fields in [Direct, Multiplexed, PerAgent, Http] with [Latest];
    reports::one_reply_each in [Direct, Multiplexed, InARow, PerAgent, Http] with [Latest];
    reports::silent_server in [Multiplexed, PerAgent] with [Latest];
    reports::heartbeats_held in [Multiplexed, PerAgent] with [Latest];

    unordered::repeated_on_reconnect in [Direct, Multiplexed, PerAgent, Http] with [V022];
    unordered::repeated_when_asked in [Direct, Multiplexed, Http] with [V022, Latest];

    offers::remote_config in [Direct, Multiplexed, InARow, PerAgent, Http] with [V022, Latest];
    offers::offer_in_reply in [Direct, Multiplexed, InARow, PerAgent, Http] with [Latest];
    offers::custom_messages in [Direct, Multiplexed, InARow, PerAgent, Http] with [Latest];
    offers::heartbeat_interval in [Direct, Multiplexed, PerAgent, Http] with [Latest];
    offers::restart_command in [Direct, Multiplexed, InARow, PerAgent, Http] with [Latest];
    offers::packages in [Direct, Multiplexed, PerAgent, Http] with [Latest];
    offers::new_instance_uid in [Direct, Multiplexed, InARow, PerAgent, Http] with [V022, Latest];

    lifecycle::clean_disconnect in [Direct, Multiplexed, InARow, PerAgent, Http] with [V022, Latest];
    lifecycle::agent_cut_and_back in [Multiplexed, PerAgent, Http] with [V022, Latest];
    lifecycle::agent_killed in [Multiplexed, PerAgent, Http] with [Latest];
    lifecycle::agent_reborn in [Direct, Multiplexed, PerAgent, Http] with [Latest];

    outages::server_restart in [Direct, Multiplexed, PerAgent, Http] with [V022, Latest];
    outages::links_cut in [Direct, Multiplexed, PerAgent] with [V022, Latest];
    outages::late_server in [Multiplexed, PerAgent, Http] with [Latest];

    routing::two_agents in [Direct, Multiplexed, InARow, PerAgent, Http] with [Latest];
    routing::all_learn_custom_capabilities in [Direct, Multiplexed, InARow, PerAgent, Http] with [Latest];
    routing::push_without_uid in [Direct, PerAgent] with [Latest];
    routing::push_without_uid_is_not_guessed in [Multiplexed] with [Latest];

    http::polling in [Direct, Multiplexed, InARow, PerAgent, Http] with [V022, Latest];
    http::gzip in [Direct, Multiplexed, PerAgent, Http] with [V022, Latest];
    http::agent_gone in [Multiplexed, PerAgent, Http] with [Latest];

    admission::entry_from_the_line in [Multiplexed] with [V022, Latest];
    admission::entry_at_the_moment_told in [Multiplexed] with [V022, Latest];
}
