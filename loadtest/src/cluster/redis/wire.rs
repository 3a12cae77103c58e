//! A few commands to a Redis or Valkey server: one line out, one answer back.
//!
//! The harness needs a handful of administrative commands, so this speaks the protocol's inline form
//! and flattens an answer into lines. What nodes say to Redis is theirs, over a client of their own.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::addresses::local;

/// How long an answer may take. A server that is paused gives none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest text in an answer.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Says one command, of words without blanks, to the server on this port of this machine.
///
/// # Errors
/// When the server is out of reach, is silent for five seconds, or answers with an error.
pub(super) async fn command(port: u16, line: &str) -> io::Result<String> {
    let context = |error: io::Error| {
        io::Error::new(error.kind(), format!("{line} at {}: {error}", local(port)))
    };
    tokio::time::timeout(ANSWER_TIMEOUT, ask(port, line))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(context)
}

async fn ask(port: u16, line: &str) -> io::Result<String> {
    let stream = TcpStream::connect(local(port)).await?;
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    read_answer(&mut stream).await
}

/// Reads one answer; the elements of arrays are lines, however deep they are.
async fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut texts = Vec::new();
    let mut to_come = 1usize;
    while to_come > 0 {
        to_come -= 1;
        let mut head = String::new();
        stream.read_line(&mut head).await?;
        let head = head.trim_end();
        let Some((kind, rest)) = head.split_at_checked(1) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match kind {
            "+" | ":" => texts.push(rest.to_owned()),
            "-" => return Err(io::Error::other(rest.to_owned())),
            "$" => texts.push(read_text(stream, rest).await?),
            // A missing array has the length -1.
            "*" => to_come += rest.parse::<usize>().unwrap_or(0).min(TEXT_BYTES_MAX),
            _ => return Err(io::Error::other(format!("`{head}` is no answer"))),
        }
    }
    Ok(texts.join("\n"))
}

/// A text of a length that is given; one that is missing has the length -1.
async fn read_text(stream: &mut BufReader<TcpStream>, length: &str) -> io::Result<String> {
    let Ok(length) = length.parse::<usize>() else { return Ok(String::new()) };
    if length > TEXT_BYTES_MAX {
        return Err(io::Error::other(format!("an answer of {length} bytes is too long")));
    }
    let mut text = vec![0; length + 2];
    stream.read_exact(&mut text).await?;
    text.truncate(length);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that gives this answer, and what it was asked.
    async fn answered(answer: &'static str) -> (io::Result<String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut asked = String::new();
            stream.read_line(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            asked
        });
        let said = command(port, "INFO commandstats").await;
        (said, server.await.unwrap())
    }

    #[tokio::test]
    async fn answers_of_each_kind_are_read() {
        for (answer, expected) in [
            ("+OK\r\n", "OK"),
            (":12\r\n", "12"),
            ("$5\r\na\r\nbc\r\n", "a\r\nbc"),
            ("$-1\r\n", ""),
            ("*2\r\n$1\r\na\r\n*2\r\n:1\r\n+b\r\n", "a\n1\nb"),
            ("*-1\r\n", ""),
        ] {
            let (said, asked) = answered(answer).await;
            assert_eq!(
                (said.unwrap().as_str(), asked.as_str()),
                (expected, "INFO commandstats\r\n")
            );
        }
    }

    #[tokio::test]
    async fn faults_name_the_command() {
        for (answer, expected) in [
            ("-READONLY no\r\n", "READONLY no"),
            ("x\r\n", "no answer"),
            ("", "INFO commandstats at"),
        ] {
            let fault = answered(answer).await.0.unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
