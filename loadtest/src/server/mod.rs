//! `loadtest server`: a stand-in for an OpAMP server. It applies reports correctly, counts what it
//! gets, tells the oracle what it believes, and misbehaves when told to.

mod counts;
mod front;
mod inbox;
pub(crate) mod links;
mod misbehave;
mod peaks;
mod push;
mod reply;
mod report;
mod socket;
mod store;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpSocket;

use misbehave::Misbehaviour;
use reply::StandIn;
pub(crate) use store::Keying;

/// Options of `loadtest server`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Where agents, or the gateway, connect: WebSocket and plain HTTP on /v1/opamp
    #[arg(long, default_value = "127.0.0.1:4321", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the JSON report is served: /report, /agents, /links, /homes, /reset, /push, /misbehave
    #[arg(long, default_value = "127.0.0.1:4322", value_name = "ADDRESS")]
    report_listen: SocketAddr,
    /// Threads, each with a listener of its own
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// By what it knows an agent again
    #[arg(long, value_enum, default_value = "uid")]
    keyed_by: Keying,
    #[command(flatten)]
    misbehaviour: Misbehaviour,
}

/// Serves until the process is told to stop.
///
/// # Errors
/// When an address is taken.
pub(crate) fn run(args: ServerArgs) -> io::Result<()> {
    let threads = usize::from(args.threads);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let server = Arc::new(StandIn::new(args.misbehaviour, args.keyed_by));
        // First the port that this process has alone: a failure tells of another stand-in still
        // running.
        let report = TcpSocket::new_v4()?;
        report.set_reuseaddr(true)?;
        report.bind(args.report_listen).map_err(|error| at(args.report_listen, &error))?;
        for _ in 0..threads {
            let listener = front::listen(args.listen).map_err(|error| at(args.listen, &error))?;
            tokio::spawn(front::accept(server.clone(), listener));
        }
        tokio::spawn(report::accept(server.clone(), report.listen(128)?));
        eprintln!(
            "OpAMP server stand-in: ws://{}/v1/opamp, report on http://{}/report",
            args.listen, args.report_listen
        );
        stop_signal().await
    })
}

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// When the kernel refuses the signal handler.
pub(crate) async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn at(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}
