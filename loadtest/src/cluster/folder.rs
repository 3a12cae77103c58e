//! The folder of one run: configurations, data and logs. It is removed in the end, unless something
//! went wrong: then its logs are the evidence.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The folder.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    is_kept: AtomicBool,
}

impl RunFolder {
    /// Makes an empty one in the system's folder for temporary files.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn make() -> io::Result<Self> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("seawall-loadtest-{}-{run}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self { path, is_kept: AtomicBool::new(false) })
    }

    /// The log of a process with this name.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.log"))
    }

    /// Writes a file and says where it is.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Makes a folder in it, for a process's data.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn subfolder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Lets it outlive the run, or go with it.
    pub(crate) fn keep(&self, is_kept: bool) {
        self.is_kept.store(is_kept, Ordering::Relaxed);
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.is_kept.load(Ordering::Relaxed) {
            eprintln!("logs and configurations are in {}", self.path.display());
        } else {
            let _: io::Result<()> = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_the_run_unless_it_is_to_be_kept() {
        let folder = RunFolder::make().unwrap();
        let written = folder.write("a.cfg", "text").unwrap();
        folder.subfolder("data").unwrap();
        let path = folder.path.clone();
        assert!(written.starts_with(&path));
        drop(folder);
        assert!(!path.exists());
        let kept = RunFolder::make().unwrap();
        let path = kept.path.clone();
        kept.keep(true);
        drop(kept);
        assert!(path.exists());
        std::fs::remove_dir_all(path).unwrap();
    }
}
