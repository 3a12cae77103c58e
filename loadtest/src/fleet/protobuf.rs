//! Protobuf written by hand, because the order of map entries must be the agent's own choice.

/// A varint.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A scalar field; 0 is left out, as in proto3.
pub(crate) fn uint(field: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        varint(u64::from(field << 3), out);
        varint(value, out);
    }
}

/// A `fixed64` field.
pub(crate) fn fixed(field: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | 1), out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of bytes or text.
pub(crate) fn bytes(field: u32, value: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    let value = value.as_ref();
    varint(u64::from(field << 3 | 2), out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A field that is a message, written by `content`. The length is put in afterwards.
pub(crate) fn message(field: u32, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    varint(u64::from(field << 3 | 2), out);
    let length_at = out.len();
    out.push(0);
    content(out);
    let mut length = out.len() - length_at - 1;
    let mut prefix = [0; 10];
    let mut used = 0;
    loop {
        let low = length.to_le_bytes()[0] & 0x7f;
        length >>= 7;
        prefix[used] = if length > 0 { low | 0x80 } else { low };
        used += 1;
        if length == 0 {
            break;
        }
    }
    out[length_at] = prefix[0];
    if used > 1 {
        let body = length_at + 1;
        let end = out.len();
        out.resize(end + used - 1, 0);
        out.copy_within(body..end, body + used - 1);
        out[body..body + used - 1].copy_from_slice(&prefix[1..used]);
    }
}

/// An entry of a map from text to messages.
pub(crate) fn entry(field: u32, key: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    message(field, out, |out| {
        bytes(1, key, out);
        message(2, out, value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use seawall::opamp::proto::{AgentConfigFile, AgentConfigMap};

    #[test]
    fn prost_reads_it() {
        for size in [0, 1, 100, 127, 128, 20_000, 3_000_000] {
            let mut out = Vec::new();
            entry(1, "name", &mut out, |out| {
                bytes(1, vec![b'x'; size], out);
                bytes(2, "text/yaml", out);
            });
            let read = AgentConfigMap::decode(&out[..]).unwrap();
            let content_type = "text/yaml".to_owned();
            let file = AgentConfigFile { body: vec![b'x'; size], content_type };
            assert_eq!(read.config_map["name"], file);
        }
    }
}
