//! Lines of the log on their way to the thread that writes them. Who logs never waits: lines that find no room, or that
//! cannot be written, are lost and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use super::events::log::LineLost;

/// Lines that wait while the log is read slowly: all of a storm's first second.
const LINES_MAX: usize = 8_192;
/// Bytes of them.
const BYTES_MAX: usize = 8 << 20;
/// How long the end waits for lines to be written.
const END_PATIENCE: Duration = Duration::from_secs(1);

enum LogWord {
    Line(Vec<u8>),
    /// Asks to be answered once all before it is written.
    Ask(SyncSender<()>),
}

/// Takes lines. [`Write::write`] takes one whole line.
#[derive(Debug, Clone)]
pub(super) struct LogLines {
    queue: SyncSender<LogWord>,
    bytes: Arc<AtomicUsize>,
}

/// The thread that writes them. When this is dropped, lines that wait are written, for at most a second.
#[derive(Debug)]
pub(super) struct LogThread(SyncSender<LogWord>);

impl LogLines {
    /// Has lines written to `log`.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(super) fn to(log: impl Write + Send + 'static) -> io::Result<(Self, LogThread)> {
        let (queue, words) = sync_channel(LINES_MAX);
        let bytes = Arc::<AtomicUsize>::default();
        let waiting = Arc::clone(&bytes);
        Builder::new()
            .name("seawall-log".to_owned())
            .spawn(move || write(&words, &waiting, log))?;
        Ok((Self { queue: queue.clone(), bytes }, LogThread(queue)))
    }

    fn take(&self, line: &[u8]) -> bool {
        let waiting = self.bytes.fetch_add(line.len(), Ordering::Relaxed);
        let taken =
            waiting < BYTES_MAX && self.queue.try_send(LogWord::Line(line.to_vec())).is_ok();
        if !taken {
            self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        }
        taken
    }
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.take(line) {
            LineLost.emit();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(words: &Receiver<LogWord>, bytes: &AtomicUsize, mut log: impl Write) {
    for word in words {
        match word {
            LogWord::Line(line) => {
                bytes.fetch_sub(line.len(), Ordering::Relaxed);
                if log.write_all(&line).is_err() {
                    LineLost.emit();
                }
            }
            // Who asked may have given up.
            LogWord::Ask(written) => drop(written.try_send(())),
        }
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        let (written, answer) = sync_channel(1);
        // A full queue is one that is not written.
        if self.0.try_send(LogWord::Ask(written)).is_ok() {
            let _ = answer.recv_timeout(END_PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    /// A log that takes a line for each word that it is given, and fails when the words end.
    struct Slow {
        words: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.words.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.taken.lock().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (SyncSender<()>, Arc<Mutex<Vec<u8>>>, LogLines, LogThread) {
        let (reader, words) = sync_channel(8);
        let taken = Arc::default();
        let log = Slow { words, taken: Arc::clone(&taken) };
        let (lines, thread) = LogLines::to(log).unwrap();
        (reader, taken, lines, thread)
    }

    #[test]
    fn lines_that_wait_are_written_in_order_before_the_end() {
        let (reader, taken, mut lines, thread) = slow();
        for line in ["one\n", "two\n", "three\n"] {
            lines.write_all(line.as_bytes()).unwrap();
            reader.send(()).unwrap();
        }
        drop(thread);
        assert_eq!(*taken.lock(), b"one\ntwo\nthree\n");
        assert_eq!(lines.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_log_that_is_not_read_loses_lines_and_holds_nothing_up() {
        let (reader, taken, lines, thread) = slow();
        let taken_on = (0..LINES_MAX + 100).filter(|_| lines.take(b"line\n")).count();
        // The thread has one more in hand, or not yet.
        assert!((LINES_MAX..=LINES_MAX + 1).contains(&taken_on), "{taken_on}");
        drop(reader);
        drop(thread);
        assert_eq!(*taken.lock(), b"", "the log failed, and the thread went on");
    }

    #[test]
    fn long_lines_wait_up_to_a_total_of_bytes() {
        let (_reader, _, lines, thread) = slow();
        let line = vec![b'x'; BYTES_MAX / 4];
        let taken_on = (0..20).filter(|_| lines.take(&line)).count();
        assert!((4..=5).contains(&taken_on), "{taken_on}");
        assert!(!lines.take(b"x"));
        drop(thread);
    }
}
