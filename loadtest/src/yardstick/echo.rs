//! The echo: a tokio server with hand-written frames that answers each message with one of about
//! the same size. The yardstick for heartbeats that a gateway answers itself.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::skip::{Skipper, upgrade_answer, upgrade_key};

/// Accepts for ever.
pub(super) async fn accept(listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut scratch = vec![0; 4096];
    let mut head = Vec::new();
    while upgrade_key(&head).is_none() && head.len() < 4096 {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let Some(key) = upgrade_key(&head) else { return Ok(()) };
    stream.write_all(upgrade_answer(key).as_bytes()).await?;
    let mut skipper = Skipper::default();
    let mut out = Vec::new();
    loop {
        let count = stream.read(&mut scratch).await?;
        if count == 0 {
            return Ok(());
        }
        out.clear();
        skipper.feed(&scratch[..count], |start| {
            // The uid comes back, with `capabilities: 1`, in one frame.
            let length = u8::try_from(start.len() + 2).unwrap_or(2);
            out.extend_from_slice(&[0x82, length]);
            out.extend_from_slice(start);
            out.extend_from_slice(&[0x38, 1]);
        });
        stream.write_all(&out).await?;
    }
}
