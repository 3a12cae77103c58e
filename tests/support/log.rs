//! What a process has said: every line stored, JSON events among them parsed, and a way to wait for
//! the next.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message as _;
use seawall::opamp::proto::{AgentToServer, ServerToAgent};
use serde_json::Value;
use tokio::sync::watch;

/// One JSON line of a process.
#[derive(Debug, Clone)]
pub(crate) struct Event(Arc<Value>);

impl Event {
    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        value.is_object().then(|| Self(Arc::new(value)))
    }

    /// The kind of event; empty for JSON that a peer wrote otherwise.
    pub(crate) fn name(&self) -> &str {
        self.text("event")
    }

    /// A member that is text; empty if it is absent.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    /// A member that is a number.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.0[key].as_u64()
    }

    /// A member that is true or false; false if it is absent.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or_default()
    }

    /// A member that is a list of texts; empty if it is absent.
    pub(crate) fn texts(&self, key: &str) -> Vec<&str> {
        self.0[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether the message of this event has the field set.
    pub(crate) fn has_field(&self, field: &str) -> bool {
        self.texts("fields").contains(&field)
    }

    /// The wire bytes of this event's message.
    pub(crate) fn raw(&self) -> Vec<u8> {
        unhex(self.text("raw"))
    }

    /// This event's message, sent by an agent.
    pub(crate) fn agent_to_server(&self) -> AgentToServer {
        AgentToServer::decode(&*self.raw()).expect("opamp-go encodes what our schema reads")
    }

    /// This event's message, sent by a server.
    pub(crate) fn server_to_agent(&self) -> ServerToAgent {
        ServerToAgent::decode(&*self.raw()).expect("opamp-go encodes what our schema reads")
    }
}

/// A place in a log: a search begins there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark(usize);

/// All lines of one process, standard output and error together.
#[derive(Debug)]
pub(crate) struct Log {
    name: String,
    lines: Mutex<Vec<(String, Option<Event>)>>,
    length: watch::Sender<usize>,
}

impl Log {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), lines: Mutex::default(), length: watch::Sender::new(0) }
    }

    pub(crate) fn push(&self, line: String) {
        let event = Event::parse(&line);
        let count = {
            let mut lines = self.lines.lock();
            lines.push((line, event));
            lines.len()
        };
        self.length.send_replace(count);
    }

    /// Here and now.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.lines.lock().len())
    }

    /// Wakes whenever a line has come.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.length.subscribe()
    }

    /// The events of one name since a mark.
    pub(crate) fn events(&self, since: Mark, name: &str) -> Vec<Event> {
        let lines = self.lines.lock();
        let events = lines[since.0..].iter().filter_map(|(_, event)| event.as_ref());
        events.filter(|event| event.name() == name).cloned().collect()
    }

    /// Waits until the log is as wanted, which is checked again after each new line; `false` when
    /// the time is over first.
    pub(crate) async fn until(&self, timeout: Duration, wanted: impl Fn(&Self) -> bool) -> bool {
        let mut count = self.watch();
        let reached = async {
            loop {
                count.borrow_and_update();
                if wanted(self) {
                    return;
                }
                // The sender lives in `self`.
                count.changed().await.expect("the log is alive");
            }
        };
        tokio::time::timeout(timeout, reached).await.is_ok()
    }

    /// The first event of this name since the mark that is as wanted, or `None` in time.
    pub(crate) async fn wait(
        &self,
        since: Mark,
        name: &str,
        timeout: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Option<Event> {
        let found = || self.events(since, name).into_iter().find(&wanted);
        self.until(timeout, |_| found().is_some()).await;
        found()
    }

    /// How many lines contain this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines.lock().iter().filter(|(line, _)| line.contains(text)).count()
    }

    /// Shows the whole log; long lines are cut.
    pub(crate) fn print(&self) {
        eprintln!("---- {} ----", self.name);
        for (line, _) in self.lines.lock().iter() {
            let end = line.char_indices().nth(400).map_or(line.len(), |(at, _)| at);
            eprintln!("{}", &line[..end]);
        }
    }
}

/// Hexadecimal text of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of hexadecimal text.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("peers write hexadecimal");
    (0..text.len()).step_by(2).map(pair).collect()
}
