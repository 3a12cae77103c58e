//! A log that cannot be written: its reader has gone, or reads no more. Lines are lost, and nothing else.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway that logs all it can, and its only server, which ends every connection.
struct Stage {
    process: Child,
    log: Option<BufReader<ChildStderr>>,
    admin: String,
    edge: String,
    server: TcpListener,
}

impl Stage {
    fn set() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", server.local_addr().unwrap());
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .arg("run")
            .env_clear()
            .env("SEAWALL_EDGE__LISTEN", "127.0.0.1:0")
            .env("SEAWALL_ADMIN__LISTEN", "127.0.0.1:0")
            .env("SEAWALL_DRAIN__NOTICE", "0s")
            .env("SEAWALL_LOG__LEVEL", "debug")
            .env("SEAWALL_UPSTREAM__SERVERS__0__URL", url)
            .env("SEAWALL_UPSTREAM__BACKOFF_INITIAL", "100ms")
            .env("SEAWALL_UPSTREAM__BACKOFF_MAX", "100ms")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let admin = address(&mut log, "listening for operators");
        let edge = address(&mut log, "listening for agents");
        Self { process, log: Some(log), admin, edge, server }
    }

    /// Links are dialled again and again.
    fn dials(&self, count: usize) {
        let until = seawall::clock::now() + PATIENCE;
        self.server.set_nonblocking(true).unwrap();
        let mut dialled = 0;
        while dialled < count {
            assert!(seawall::clock::now() < until, "{dialled} dials in {PATIENCE:?}");
            match self.server.accept() {
                Ok(_) => dialled += 1,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// What the gateway answers to `GET path` at its administration.
    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn lost_lines(&self) -> u64 {
        let metrics = self.get("/metrics");
        let line = metrics.lines().find(|line| line.starts_with("seawall_lost_log_lines_total "));
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    fn assert_alive(&mut self) {
        assert!(self.get("/healthz").starts_with("HTTP/1.1 200"));
        assert!(self.get("/metrics").contains("seawall_panics_total 0"));
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in the next line that says this.
fn address(log: &mut impl BufRead, message: &str) -> String {
    let events = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()));
    let mut events = events.map(Result::unwrap);
    let event = events.find(|event| event["message"] == message).unwrap();
    event["address"].as_str().unwrap().to_owned()
}

#[test]
fn a_reader_that_has_gone_costs_lines_alone() {
    let mut stage = Stage::set();
    stage.log = None;
    stage.dials(20);
    assert!(stage.lost_lines() > 0);
    stage.assert_alive();
}

#[test]
fn a_reader_that_reads_no_more_costs_lines_alone() {
    let mut stage = Stage::set();
    let until = seawall::clock::now() + PATIENCE * 3;
    // A line for each: the pipe fills, then the lines that may wait.
    while stage.lost_lines() == 0 {
        assert!(seawall::clock::now() < until, "no line was lost");
        for _ in 0..500 {
            let mut agent = TcpStream::connect(&stage.edge).unwrap();
            let _ = agent.write_all(b"nonsense\r\n\r\n");
        }
    }
    stage.dials(8);
    stage.assert_alive();
}
