//! What the stand-in writes into a custom push, so that the agent that gets it can tell how long it was
//! on its way, and whether it came twice.

use seawall::ident::InstanceUid;
use seawall::opamp::proto::CustomMessage;

/// The type of such a custom message.
pub(crate) const PUSH_TYPE: &str = "push";
/// Bytes of a uid, as the agents of a fleet have it.
const UID_BYTES: usize = 16;

/// The number of a push, from 1 on, and when it was sent, in microseconds of Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PushStamp {
    pub(crate) number: u64,
    pub(crate) sent_us: u64,
}

impl PushStamp {
    /// The content of a push for this agent, of this size at least: the uid first, by which a wrong
    /// agent shows.
    pub(crate) fn write(self, uid: InstanceUid, size: usize) -> Vec<u8> {
        let mut data = uid.as_bytes().to_vec();
        data.extend(self.number.to_be_bytes());
        data.extend(self.sent_us.to_be_bytes());
        data.resize(size.max(data.len()), b'x');
        data
    }

    /// Reads it back, if the message is such a push.
    pub(crate) fn read(message: &CustomMessage) -> Option<Self> {
        if message.r#type != PUSH_TYPE {
            return None;
        }
        let (numbers, _) = message.data.get(UID_BYTES..)?.as_chunks::<8>();
        let [number, sent_us, ..] = numbers else { return None };
        Some(Self { number: u64::from_be_bytes(*number), sent_us: u64::from_be_bytes(*sent_us) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = PushStamp { number: 7, sent_us: 1 << 50 };
        for size in [0, 100] {
            let data = stamp.write(InstanceUid::from_bytes([1; 16]), size);
            assert!(data.len() >= size && data.starts_with(&[1; 16]));
            let message =
                CustomMessage { r#type: PUSH_TYPE.to_owned(), data, ..Default::default() };
            assert_eq!(PushStamp::read(&message), Some(stamp));
        }
        let short = CustomMessage { r#type: PUSH_TYPE.to_owned(), ..Default::default() };
        assert_eq!(PushStamp::read(&short), None);
        assert_eq!(PushStamp::read(&CustomMessage::default()), None);
    }
}
