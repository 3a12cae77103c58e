//! The streams of a link: the decider opens all of them and says in the first byte of each which it is; the
//! follower answers on the control stream once it has them all. From then on both may send.

use std::time::Duration;

use quinn::{Connection, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::time::timeout;

use super::error::NotLinked;
use super::transport::{BEGIN_TIMEOUT, DIAL_TIMEOUT};
use crate::core::peer_link::{STREAMS, StreamIndex};

/// Both directions of one stream.
pub(super) struct LinkStream {
    pub(super) index: StreamIndex,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
}

/// All of a link's streams, control first.
pub(super) type LinkStreams = Box<[LinkStream; STREAMS]>;

impl From<ReadExactError> for NotLinked {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => error.into(),
            ReadExactError::FinishedEarly(_) | ReadExactError::ReadError(_) => Self::Streams,
        }
    }
}

impl From<WriteError> for NotLinked {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            _ => Self::Streams,
        }
    }
}

/// The decider's part.
pub(super) async fn begin(connection: &Connection) -> Result<LinkStreams, NotLinked> {
    within(DIAL_TIMEOUT, async {
        let mut streams = Vec::with_capacity(STREAMS);
        for index in StreamIndex::all() {
            let (mut send, recv) = connection.open_bi().await?;
            send.write_all(&[index.byte()]).await?;
            streams.push(LinkStream { index, send, recv });
        }
        let mut streams = in_order(streams)?;
        let mut answer = [0];
        streams[StreamIndex::CONTROL.place()].recv.read_exact(&mut answer).await?;
        (answer == [StreamIndex::CONTROL.byte()]).then_some(streams).ok_or(NotLinked::Streams)
    })
    .await
}

/// The follower's part, which begins when the decider does.
pub(super) async fn follow(connection: &Connection) -> Result<LinkStreams, NotLinked> {
    within(BEGIN_TIMEOUT, async {
        let mut streams = Vec::with_capacity(STREAMS);
        while streams.len() < STREAMS {
            let (send, mut recv) = connection.accept_bi().await?;
            let mut first = [0];
            recv.read_exact(&mut first).await?;
            let index = StreamIndex::from_byte(first[0]).ok_or(NotLinked::Streams)?;
            streams.push(LinkStream { index, send, recv });
        }
        let mut streams = in_order(streams)?;
        let control = &mut streams[StreamIndex::CONTROL.place()];
        control.send.write_all(&[StreamIndex::CONTROL.byte()]).await?;
        Ok(streams)
    })
    .await
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, NotLinked>>,
) -> Result<T, NotLinked> {
    timeout(time, work).await.unwrap_or(Err(NotLinked::Timeout))
}

/// Each stream in its place; a stream that is there twice leaves another one out.
fn in_order(mut streams: Vec<LinkStream>) -> Result<LinkStreams, NotLinked> {
    streams.sort_by_key(|stream| stream.index);
    if !StreamIndex::all().eq(streams.iter().map(|stream| stream.index)) {
        return Err(NotLinked::Streams);
    }
    for stream in &streams {
        // What the peer needs in order to confirm a node is written before any agent's frame.
        let priority = i32::from(stream.index == StreamIndex::CONTROL);
        stream.send.set_priority(priority).map_err(|_| NotLinked::Streams)?;
    }
    streams.into_boxed_slice().try_into().map_err(|_| NotLinked::Streams)
}
