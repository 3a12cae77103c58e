//! A server stand-in and a gateway on free ports of this machine, gone with their owner.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::child::stop;

/// How long each of them may take until it is ready.
const READY: Duration = Duration::from_secs(20);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(50);

/// The two processes. They are stopped when this is dropped, whatever became of the measurement.
pub(crate) struct Stage {
    server: Child,
    gateway: Child,
    edge: SocketAddr,
    admin: SocketAddr,
}

impl Stage {
    /// Starts both and waits until the gateway reaches the server. `log` gets what they say.
    ///
    /// # Errors
    /// When a program is missing, or takes more than [`READY`].
    pub(crate) fn start(loadtest: &Path, seawall: &Path, log: &Path) -> io::Result<Self> {
        let [listen, report, edge, admin] = free_addresses()?;
        let log = File::create(log)?;
        let start = |program: &Path, command: &mut Command| {
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
            let named = |error| io::Error::other(format!("{}: {error}", program.display()));
            command.spawn().map_err(named)
        };
        let mut server = start(
            loadtest,
            Command::new(loadtest)
                .args(["server", "--listen", &listen.to_string()])
                .args(["--report-listen", &report.to_string()]),
        )?;
        let gateway = start(
            seawall,
            Command::new(seawall)
                .arg("run")
                .env("SEAWALL_EDGE__LISTEN", edge.to_string())
                .env("SEAWALL_ADMIN__LISTEN", admin.to_string())
                .env("SEAWALL_UPSTREAM__SERVERS__0__URL", format!("ws://{listen}/v1/opamp"))
                .env("SEAWALL_DRAIN__NOTICE", "0s"),
        );
        let gateway = match gateway {
            Ok(gateway) => gateway,
            Err(error) => {
                stop(&mut server)?;
                return Err(error);
            }
        };
        let stage = Self { server, gateway, edge, admin };
        stage.wait_until_ready()?;
        Ok(stage)
    }

    /// Where agents dial.
    pub(crate) fn target(&self) -> String {
        format!("ws://{}/v1/opamp", self.edge)
    }

    /// Where the gateway's metrics are.
    pub(crate) fn metrics(&self) -> String {
        format!("http://{}/metrics", self.admin)
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        for _ in 0..READY.as_millis() / ASK.as_millis() {
            if is_ready(self.admin).unwrap_or(false) {
                return Ok(());
            }
            sleep(ASK);
        }
        Err(io::Error::other("the gateway did not become ready"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The gateway first: it would dial a server that is gone.
        for process in [&mut self.gateway, &mut self.server] {
            if let Err(error) = stop(process) {
                eprintln!("a process could not be stopped: {error}");
            }
        }
    }
}

fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&admin, ASK)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}

/// Addresses of the loopback that are free now, all at the same time.
fn free_addresses<const COUNT: usize>() -> io::Result<[SocketAddr; COUNT]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); COUNT];
    let mut held = Vec::new();
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}
