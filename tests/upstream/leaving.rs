//! Agents that stay away: their servers hear of all of them soon, while other agents go on as before.

use std::time::Duration;

use crate::agents;
use crate::support::gateway::{Gateway, Mode, polling};
use crate::support::mock::Mock;
use crate::support::mock::state::Reply;

/// Far more than the window lets go at once. At the floor of the pace, ten a second, they would take 40 s.
const AGENTS: u16 = 400;
const IN_FLIGHT_MAX: &str = "32";
/// Three quarters of what the floor would take, and many times what a quiet machine needs.
const SOON: Duration = Duration::from_secs(30);

/// All agents are cut off and stay away; returns after what time the server knows.
async fn time_to_tell(server: &Mock, mode: Mode) -> Duration {
    let gateway = Gateway::builder()
        .server(&server.url(), mode)
        .set("sessions", "grace_period", "\"200ms\"")
        .set("upstream", "in_flight_max", IN_FLIGHT_MAX)
        .start()
        .await;
    let agents = agents(&gateway, AGENTS).await;
    server.converged(&agents.iter().collect::<Vec<_>>()).await;
    drop(agents);
    let cut = seawall::clock::now();
    let told = polling(async || {
        server.with(|state| (state.left.len() == usize::from(AGENTS)).then_some(()))
    });
    let left = || server.with(|state| state.left.len());
    told.await.unwrap_or_else(|| panic!("the server has been told of {} agents", left()));
    let took = cut.elapsed();
    let none = |sessions: f64| sessions == 0.0;
    gateway.wait_metric("seawall_sessions", &[], none).await;
    took
}

#[tokio::test]
async fn servers_hear_soon_of_all_who_stay_away() {
    let took = time_to_tell(&Mock::start().await, Mode::Multiplexed(2)).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn so_do_those_over_plain_http() {
    let took = time_to_tell(&Mock::start_http().await, Mode::Http(2)).await;
    assert!(took < SOON, "{took:?}");
}

/// The agent's own connection is closed with its goodbye.
#[tokio::test]
async fn so_do_those_with_a_connection_for_each_agent() {
    let took = time_to_tell(&Mock::start().await, Mode::PerAgent).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn so_do_those_that_do_not_answer_it() {
    let server = Mock::start().await;
    server.behave(|behaviour| behaviour.reply = Reply::NoneToLastWords);
    let took = time_to_tell(&server, Mode::Multiplexed(2)).await;
    assert!(took < SOON, "{took:?}");
}
