//! Runs the steps of a proof one after the other. What a step prints goes into a file of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::wait;
use crate::figure::Judged;
use crate::stage::Stage;
use crate::step::{Ended, Program, Step};

/// Where the binaries are, and where the files go.
pub(crate) struct Runner {
    bin: PathBuf,
    logs: PathBuf,
}

impl Runner {
    /// # Errors
    /// When the folder for the files cannot be made.
    pub(crate) fn new(bin: &Path, logs: &Path) -> io::Result<Self> {
        fs::create_dir_all(logs)?;
        Ok(Self { bin: bin.to_owned(), logs: logs.to_owned() })
    }

    /// Runs all steps. One that fails is a missed goal, and the others run all the same.
    ///
    /// # Errors
    /// When a program is missing, or a file cannot be written.
    pub(crate) fn run_all(&self, steps: Vec<Step>) -> io::Result<Vec<Judged>> {
        let mut figures = Vec::new();
        let count = steps.len();
        for (place, step) in steps.into_iter().enumerate() {
            println!("{}/{count} {}: {}", place + 1, step.name, self.shown(&step));
            let judged = step.judge(&self.run(&step)?);
            if judged.iter().any(|figure| !figure.is_met()) {
                println!("    MISSED; see {}", self.file(&step, "log").display());
            }
            figures.extend(judged);
        }
        Ok(figures)
    }

    fn run(&self, step: &Step) -> io::Result<Ended> {
        let (log, json) = (self.file(step, "log"), self.file(step, "json"));
        // A step that fails early must miss its figures: it would find those of an earlier run here.
        let _ = fs::remove_file(&json);
        let output = File::create(&log)?;
        let mut command = Command::new(self.program(step.program));
        command.args(&step.arguments);
        if matches!(step.program, Program::Loadtest | Program::Staged) {
            command.arg("--json").arg(&json);
        }
        let stage = self.stage(step)?;
        if let Some(stage) = &stage {
            command.args(["--target", &stage.target(), "--gateway-metrics", &stage.metrics()]);
        }
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let shown = self.shown(step);
        let mut child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{shown}: {error}")))?;
        let exit_code = wait(&mut child, step.patience)?;
        let json = fs::read_to_string(&json).ok();
        Ok(Ended {
            exit_code,
            text: String::from_utf8_lossy(&fs::read(&log)?).into_owned(),
            json: json.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }

    fn stage(&self, step: &Step) -> io::Result<Option<Stage>> {
        if step.program != Program::Staged {
            return Ok(None);
        }
        let (loadtest, seawall) = (self.bin.join("loadtest"), self.bin.join("seawall"));
        Stage::start(&loadtest, &seawall, &self.file(step, "stage.log")).map(Some)
    }

    fn program(&self, program: Program) -> PathBuf {
        match program {
            Program::Loadtest | Program::Staged => self.bin.join("loadtest"),
            Program::Make => "make".into(),
            Program::Cargo => {
                std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
            }
        }
    }

    fn shown(&self, step: &Step) -> String {
        let program = self.program(step.program);
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        format!("{name} {}", step.arguments.join(" "))
    }

    fn file(&self, step: &Step, extension: &str) -> PathBuf {
        let part = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = step.name.chars().map(part).collect();
        self.logs.join(format!("{name}.{extension}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Goal;
    use crate::step::Place;

    fn runner(folder: &str) -> Runner {
        let folder = std::env::temp_dir().join(format!("proof-{folder}-{}", std::process::id()));
        Runner::new(Path::new("/nowhere"), &folder).unwrap()
    }

    #[test]
    fn what_a_command_prints_is_read_and_one_that_fails_is_missed() {
        let runner = runner("prints");
        let step = Step::new("version of make", Program::Make, &["--version"]).wants(
            "lines with its name",
            Place::Text(|text| Some(crate::step::occurrences(text, "GNU Make"))),
            Goal::AtLeast(1.0),
        );
        let wrong = Step::new("wrong", Program::Make, &["--no-such-option"]);
        let figures = runner.run_all(vec![step, wrong]).unwrap();
        let met: Vec<bool> = figures.iter().map(Judged::is_met).collect();
        assert_eq!(met, [true, true, false], "{figures:?}");
        fs::remove_dir_all(&runner.logs).unwrap();
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let runner = runner("missing");
        let error = runner.run_all(vec![Step::new("storm", Program::Loadtest, &["storm"])]);
        assert!(error.unwrap_err().to_string().starts_with("loadtest storm:"));
        fs::remove_dir_all(&runner.logs).unwrap();
    }
}
