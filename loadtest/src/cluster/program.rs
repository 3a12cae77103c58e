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
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(beside).collect();
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
