//! Masking of payloads (RFC 6455, section 5.3), in the widest words that the processor has. Frames are for
//! its callers.

use fearless_simd::{Level, dispatch};

/// Shorter payloads are masked sooner than the processor's level is looked up: 1 ns.
const WIDE_BYTES_MIN: usize = 512;

/// Masks or unmasks bytes in place. `offset` is how many bytes of the same payload were masked
/// before these.
pub fn apply_mask(bytes: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    if bytes.len() < WIDE_BYTES_MIN {
        apply_words(bytes, mask);
    } else {
        dispatch!(Level::new(), _level => apply_words(bytes, mask));
    }
}

/// Compiled once for each level: so it must be inlined.
#[inline(always)]
fn apply_words(bytes: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let word = [a, b, c, d, a, b, c, d];
    let (chunks, rest) = bytes.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ u64::from_ne_bytes(word)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(word) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_at_any_offset_equals_byte_by_byte() {
        let mask = [0x11, 0x82, 0xf3, 0x04];
        let plain: Vec<u8> = (0..=255).cycle().take(WIDE_BYTES_MIN + 70).collect();
        let masked: Vec<u8> =
            plain.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]).collect();
        for start in 0..20 {
            let ends = (start..start + 70).chain(WIDE_BYTES_MIN - 20..plain.len());
            for end in ends {
                let mut piece = masked[start..end].to_vec();
                apply_mask(&mut piece, mask, start);
                assert_eq!(piece, plain[start..end]);
            }
        }
    }
}
