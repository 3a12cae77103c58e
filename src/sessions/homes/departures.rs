//! Sessions that go to a shard's new home: each as a record, with the contents that have yet to go in this attempt.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::ShardMoves;
use super::shards::ShardStage;
use crate::clock;
use crate::core::node_link::{ContentName, ContentNames, MovingContent, MovingSession, ToNewHome};
use crate::core::ownership::{MoveNumber, NodeIncarnation, ShardId, shard_of};
use crate::ident::InstanceUid;
use crate::opamp::digest::RawHash;
use crate::opamp::field_set::FieldSet;
use crate::telemetry::events::homes::{ContentSent, SessionSent};

/// Which contents went in the latest attempt of each shard. Bounded by the contents of the sessions that go.
#[derive(Debug, Default)]
pub(in crate::sessions) struct Departures(Mutex<HashMap<ShardId, SentContents>>);

#[derive(Debug)]
struct SentContents {
    attempt: MoveNumber,
    sent: HashSet<ContentName>,
}

impl Departures {
    /// Whether a content has yet to go.
    fn is_new(&self, shard: ShardId, attempt: MoveNumber, name: ContentName) -> bool {
        let mut all = self.0.lock();
        let departure =
            all.entry(shard).or_insert_with(|| SentContents { attempt, sent: HashSet::new() });
        if departure.attempt != attempt {
            *departure = SentContents { attempt, sent: HashSet::new() };
        }
        departure.sent.insert(name)
    }

    /// The attempt is over.
    pub(super) fn end(&self, shard: ShardId) {
        self.0.lock().remove(&shard);
    }
}

/// A session as bytes, with the contents that it names.
struct PackedSession {
    session: Vec<u8>,
    attachment: Vec<u8>,
    tell_again: FieldSet,
    parts: FieldSet,
    names: Vec<u8>,
}

impl ShardMoves<'_> {
    /// The agents whose sessions a frozen shard has. From here on nothing changes them.
    pub(in crate::sessions) fn agents_of(self, shard: ShardId) -> Vec<InstanceUid> {
        let shards = &self.joined.homes.shards;
        if let ShardStage::Frozen(epoch) = shards.stage(shard) {
            shards.enter(shard, ShardStage::Told(epoch));
        }
        shards.members(shard)
    }

    /// Sends the session of an agent of a frozen shard to the shard's new home. Returns how many bytes that were.
    pub(in crate::sessions) fn send_session(
        self,
        uid: InstanceUid,
        to: NodeIncarnation,
        attempt: MoveNumber,
    ) -> usize {
        let mut bytes = 0;
        let packed = pack(self, uid, |name, content| {
            if self.joined.homes.departures.is_new(shard_of(uid), attempt, name) {
                let content = MovingContent { name, bytes: content };
                let frame = ToNewHome::Content(attempt, shard_of(uid), content);
                bytes += send_frame(self, uid, to, &frame);
                ContentSent { bytes: content.bytes.len() }.emit();
            }
        });
        let moving = packed.as_ref().and_then(|packed| {
            Some(MovingSession {
                session: &packed.session,
                attachment: &packed.attachment,
                tell_again: packed.tell_again,
                contents: ContentNames::new(packed.parts, &packed.names)?,
            })
        });
        bytes += send_frame(self, uid, to, &ToNewHome::Session(attempt, uid, moving));
        SessionSent.emit();
        bytes
    }

    /// Says to the shard's new home that all its sessions were sent.
    pub(in crate::sessions) fn end_sessions(
        self,
        shard: ShardId,
        to: NodeIncarnation,
        (attempt, count): (MoveNumber, usize),
    ) {
        self.joined.homes.departures.end(shard);
        // Of no agent's: any stream does.
        let uid = InstanceUid::from_bytes([0; 16]);
        send_frame(self, uid, to, &ToNewHome::End(attempt, shard, count as u64));
    }
}

fn send_frame(
    home: ShardMoves<'_>,
    uid: InstanceUid,
    to: NodeIncarnation,
    frame: &ToNewHome<'_>,
) -> usize {
    let mut length = 0;
    // Without a link the attempt ends, and the shard stays.
    home.joined.ways.send(to, uid, &mut |out| {
        let before = out.len();
        frame.encode(out);
        length = out.len() - before;
    });
    length
}

/// Writes a session down. `None`: it has ended.
fn pack(
    home: ShardMoves<'_>,
    uid: InstanceUid,
    mut content: impl FnMut(ContentName, &[u8]),
) -> Option<PackedSession> {
    let entry = home.sessions.find(uid)?;
    let state = entry.peek();
    let far = state.far.as_ref().filter(|_| !state.is_over())?;
    let now = clock::now();
    let (mut session, mut attachment) = (Vec::new(), Vec::new());
    state.session.to_record().encode(now, &mut session);
    far.home.to_record(now).encode(&mut attachment);
    let (mut parts, mut names) = (FieldSet::EMPTY, Vec::new());
    let key = home.joined.homes.key.read();
    state.contents.for_each(|part, bytes| {
        let name = ContentName(RawHash::of(&key.digester.key, bytes).0.to_le_bytes());
        parts.insert(part);
        names.extend_from_slice(&name.0);
        content(name, bytes);
    });
    let tell_again = far.tell_again.map_or(FieldSet::EMPTY, |(_, parts)| parts);
    Some(PackedSession { session, attachment, tell_again, parts, names })
}
