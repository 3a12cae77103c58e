//! The configuration file of a gateway on the stage.

use std::io::{self, Write};
use std::path::PathBuf;

use super::args::UpstreamMode;
use crate::addresses::local;

/// A file that is removed when this goes.
pub(super) struct GatewayConfig {
    pub(super) path: PathBuf,
}

impl GatewayConfig {
    /// For a gateway between these ports: the server's, the agents', the admin port.
    ///
    /// # Errors
    /// When the file system refuses the file.
    pub(super) fn write([server, edge, admin]: [u16; 3], mode: UpstreamMode) -> io::Result<Self> {
        // This gateway alone has this port, so the name is free.
        let name = format!("seawall-loadtest-{}-{edge}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::File::create_new(&path)?;
        let written = Self { path };
        file.write_all(text([server, edge, admin], mode).as_bytes())?;
        Ok(written)
    }
}

impl Drop for GatewayConfig {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn text(ports: [u16; 3], mode: UpstreamMode) -> String {
    let (scheme, mode) = mode.in_configuration();
    let [server, edge, admin] = ports.map(local);
    format!(
        "[edge]\nlisten = [\"{edge}\"]\n\n[admin]\nlisten = \"{admin}\"\n\n\
         [[upstream.servers]]\nname = \"main\"\nurl = \"{scheme}://{server}/v1/opamp\"\n\
         mode = \"{mode}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_takes_it() {
        for mode in [UpstreamMode::Multiplexed, UpstreamMode::PerAgent, UpstreamMode::Http] {
            let text = text([1, 2, 3], mode);
            if let Err(mistakes) = seawall::config::parse(&text, &[]) {
                panic!("{text}\n{mistakes}");
            }
        }
    }
}
