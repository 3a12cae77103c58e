//! Masking of payloads (RFC 6455, section 5.3), eight bytes at a time. Frames are for its callers.

/// Masks or unmasks bytes in place. `offset` is how many bytes of the same payload were masked
/// before these.
pub fn apply_mask(bytes: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_at_any_offset_equals_byte_by_byte() {
        let mask = [0x11, 0x82, 0xf3, 0x04];
        let plain: Vec<u8> = (0..70).collect();
        let masked: Vec<u8> =
            plain.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]).collect();
        for start in 0..20 {
            for end in start..plain.len() {
                let mut piece = masked[start..end].to_vec();
                apply_mask(&mut piece, mask, start);
                assert_eq!(piece, plain[start..end]);
            }
        }
    }
}
