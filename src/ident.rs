//! Names of things: agents, connections, links. Rank 0: must not know any other module.
//!
//! Each name is a small `Copy` value, so that a table of a million sessions stays small.

use std::fmt;

/// Which of the two forms of an instance uid an agent uses on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UidForm {
    /// 16 raw bytes, the current form (OpAMP specification, `AgentToServer.instance_uid`).
    Binary,
    /// 26 characters of Crockford base 32, a ULID: what agents sent before the form was changed.
    Ulid,
}

/// An agent's instance uid: 128 bits, and the form in which the agent writes them.
///
/// The form is part of the identity: what Seawall itself sends in the agent's name must be
/// what the agent would have sent, or a server would see two agents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceUid {
    bytes: [u8; 16],
    form: UidForm,
}

/// What is wrong with the bytes of an instance uid. The fault of the agent or server that sent them;
/// retrying does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    /// The field is absent or empty.
    #[error("instance_uid is missing")]
    Missing,
    /// Another length than 16 bytes or 26 characters.
    #[error("instance_uid has {0} bytes; 16 bytes, or a ULID of 26 characters, are accepted")]
    Length(usize),
    /// 26 bytes, and another text than a ULID.
    #[error("instance_uid has 26 bytes but is not a ULID")]
    NotUlid,
}

/// The alphabet of Crockford's base 32, which leaves out I, L, O, U.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl InstanceUid {
    /// The longest wire form, in bytes.
    pub const WIRE_BYTES_MAX: usize = 26;

    /// A uid in the current, binary form.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self { bytes, form: UidForm::Binary }
    }

    /// Reads the bytes of an `instance_uid` field.
    ///
    /// # Errors
    /// Says what is wrong with the field; see [`UidError`].
    pub fn from_wire(field: &[u8]) -> Result<Self, UidError> {
        match field.len() {
            0 => Err(UidError::Missing),
            16 => {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(field);
                Ok(Self::from_bytes(bytes))
            }
            26 => Self::from_ulid(field).ok_or(UidError::NotUlid),
            other => Err(UidError::Length(other)),
        }
    }

    /// Accepts only the canonical spelling (upper case, the digits 0 and 1 themselves), so that the text
    /// comes out again as it came in.
    fn from_ulid(text: &[u8]) -> Option<Self> {
        let mut value: u128 = 0;
        for (position, character) in text.iter().enumerate() {
            let digit = CROCKFORD.iter().position(|c| c == character)?;
            // 26 digits hold 130 bits: the first may only use three of its five.
            if position == 0 && digit > 7 {
                return None;
            }
            value = (value << 5) | digit as u128;
        }
        Some(Self { bytes: value.to_be_bytes(), form: UidForm::Ulid })
    }

    /// The 128 bits, whatever the form.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The same bits in the form of a ULID.
    #[must_use]
    pub const fn as_ulid(self) -> Self {
        Self { bytes: self.bytes, form: UidForm::Ulid }
    }

    /// Whether the agent writes it as a ULID.
    pub const fn is_ulid(&self) -> bool {
        matches!(self.form, UidForm::Ulid)
    }

    /// The form used on the wire.
    pub const fn form(&self) -> UidForm {
        self.form
    }

    /// The bytes of the `instance_uid` field, in the agent's own form.
    pub fn to_wire(self) -> UidWire {
        let mut wire = UidWire { buffer: [0; Self::WIRE_BYTES_MAX], length: 16 };
        match self.form {
            UidForm::Binary => wire.buffer[..16].copy_from_slice(&self.bytes),
            UidForm::Ulid => {
                wire.length = 26;
                let mut value = u128::from_be_bytes(self.bytes);
                for slot in wire.buffer.iter_mut().rev() {
                    *slot = CROCKFORD[(value & 31) as usize];
                    value >>= 5;
                }
            }
        }
        wire
    }

    /// Reads what [`fmt::Display`] writes: a UUID, its hyphens optional, or a ULID.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() == 26 {
            return Self::from_ulid(text.as_bytes());
        }
        let hex: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
        if hex.len() != 32 || !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let value = u128::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?;
        Some(Self::from_bytes(value.to_be_bytes()))
    }
}

/// The wire bytes of an [`InstanceUid`]; dereferences to them.
#[derive(Clone, Copy)]
pub struct UidWire {
    buffer: [u8; InstanceUid::WIRE_BYTES_MAX],
    length: usize,
}

impl std::ops::Deref for UidWire {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl fmt::Display for InstanceUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.form == UidForm::Ulid {
            return f.write_str(&String::from_utf8_lossy(&self.to_wire()));
        }
        for (position, byte) in self.bytes.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for InstanceUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `AgentToServer.sequence_num`: the agent's on the edge, Seawall's own towards servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SequenceNum(pub u64);

impl SequenceNum {
    /// The number after this one. Wraps, as a counter on the wire does.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether it may be the first number of a process: 0 (opamp-go) and 1 (Java, New Relic) are in use.
    pub const fn may_be_first(self) -> bool {
        self.0 <= 1
    }
}

/// One connection of an agent, unique within the process: tells a new connection from the one it
/// replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A server, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u16);

/// One of a server's links, by number. In `per-agent` mode every agent has a link of its own and
/// the number is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    /// The server at the other end.
    pub server: ServerId,
    /// Which of that server's links, from 0.
    pub index: u16,
}

/// One life of a link, numbered from 0: what was sent in an earlier incarnation may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Incarnation(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_out_as_they_came_in() {
        let binary = [0x5a; 16];
        assert_eq!(&*InstanceUid::from_wire(&binary).unwrap().to_wire(), &binary);
        let ulid = b"01ARZ3NDEKTSV4RRFFQ69G5FAV";
        let uid = InstanceUid::from_wire(ulid).unwrap();
        assert_eq!(&*uid.to_wire(), ulid);
        assert_eq!(InstanceUid::parse(&uid.to_string()), Some(uid));
    }

    #[test]
    fn what_is_not_a_uid_says_why() {
        assert_eq!(InstanceUid::from_wire(b""), Err(UidError::Missing));
        assert_eq!(InstanceUid::from_wire(b"abc"), Err(UidError::Length(3)));
        // `8` in front would need 131 bits, `I` is outside the alphabet.
        assert_eq!(InstanceUid::from_wire(b"81ARZ3NDEKTSV4RRFFQ69G5FAV"), Err(UidError::NotUlid));
        assert_eq!(InstanceUid::from_wire(b"I1ARZ3NDEKTSV4RRFFQ69G5FAV"), Err(UidError::NotUlid));
    }

    #[test]
    fn text_reads_back() {
        let uid = InstanceUid::from_bytes(*b"0123456789abcdef");
        assert_eq!(uid.to_string(), "30313233-3435-3637-3839-616263646566");
        assert_eq!(InstanceUid::parse(&uid.to_string()), Some(uid));
        assert_eq!(InstanceUid::parse("nonsense"), None);
    }
}
