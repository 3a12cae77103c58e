//! The head of an answer as it comes in: interim answers are passed over, and all of them together are bounded.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::websocket::{HeadFault, ResponseHead};

/// Longest answer to an upgrade or to CONNECT, interim answers included.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What most answers fit into.
const HEAD_BYTES_USUAL: usize = 1024;

/// Why no head could be read.
pub(super) enum HeadError {
    Broken(io::Error),
    NotHttp(HeadFault),
    /// It is longer than this.
    TooLong(usize),
}

/// Reads the final answer. Returns what `judge` makes of it, and what came behind it.
pub(super) async fn read_head<T>(
    stream: &mut (impl AsyncRead + Unpin),
    judge: impl Fn(&ResponseHead<'_>) -> T,
) -> Result<(T, Vec<u8>), HeadError> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES_USUAL);
    let mut interim_bytes = 0;
    loop {
        while let Some(head) = ResponseHead::parse(&bytes).map_err(HeadError::NotHttp)? {
            let end = head.head_bytes;
            let judged = (!head.is_interim()).then(|| judge(&head));
            bytes.drain(..end);
            match judged {
                Some(judged) => return Ok((judged, bytes)),
                None => interim_bytes += end,
            }
        }
        if interim_bytes + bytes.len() >= HEAD_BYTES_MAX {
            return Err(HeadError::TooLong(HEAD_BYTES_MAX));
        }
        if stream.read_buf(&mut bytes).await.map_err(HeadError::Broken)? == 0 {
            return Err(HeadError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(mut answer: &[u8]) -> Result<(u16, Vec<u8>), HeadError> {
        read_head(&mut answer, |head| head.status).await
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over() {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
            HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nframes";
        let (status, rest) = status(answer).await.ok().unwrap();
        assert_eq!((status, rest.as_slice()), (101, &b"frames"[..]));
    }

    #[tokio::test]
    async fn an_answer_is_bounded_however_it_is_made() {
        let long = |bytes| format!("HTTP/1.1 101 x\r\nX: {}\r\n\r\n", "x".repeat(bytes));
        assert!(status(long(60 << 10).as_bytes()).await.is_ok());
        let endless = "HTTP/1.1 100 x\r\n\r\n".repeat(10_000);
        for answer in [long(70 << 10), endless] {
            let told = status(answer.as_bytes()).await;
            assert!(matches!(told, Err(HeadError::TooLong(_))));
        }
        assert!(matches!(status(b"HTTP/1.1 101 x").await, Err(HeadError::Broken(_))));
        assert!(matches!(status(b"SSH-2.0-x\r\n\r\n").await, Err(HeadError::NotHttp(_))));
    }
}
