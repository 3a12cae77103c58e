//! The configuration in a few words, for `seawall check` and the log's first lines.

use std::fmt;

use super::Config;
use super::entry;
use super::units::{show_bytes, show_duration};
use crate::upstream::params::Mode;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<String> = self.edge.listen.iter().map(ToString::to_string).collect();
        let (path, size) = (&self.edge.path, show_bytes(self.edge.message_bytes_max as u64));
        writeln!(f, "agents:   {}{path}, messages up to {size}", listen.join(", "))?;
        writeln!(f, "entry:    {}", entry::describe(&self.edge.entry))?;
        let linger = show_duration(self.sessions.linger);
        let most = self.sessions.sessions_max;
        writeln!(f, "sessions: up to {most}, each kept {linger} after its connection is lost")?;
        for server in &self.upstream.servers {
            let mode = match server.mode {
                Mode::Multiplexed { links } => format!("all agents over {links} links"),
                Mode::PerAgent => "one connection an agent".to_owned(),
                Mode::Http { connections, poll_interval } => format!(
                    "POSTs over {connections} connections, each agent polled for every {}",
                    show_duration(poll_interval)
                ),
            };
            write!(f, "server:   {} at {}, {mode}", server.name, server.url)?;
            if !server.headers.is_empty() {
                let names: Vec<&str> =
                    server.headers.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, ", with {}", names.join(", "))?;
            }
            writeln!(f)?;
        }
        write!(f, "metrics:  http://{}/metrics", self.admin.listen)
    }
}
