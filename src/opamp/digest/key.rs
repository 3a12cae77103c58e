//! The cluster's secret, and the hashes that it makes: XXH3 with a secret of 192 bytes.

use std::fmt;

use twox_hash::XxHash3_128;

/// XXH3's own size of a secret.
const SECRET_BYTES: usize = 192;

/// A secret that all nodes of a cluster share, so that they have the same digests.
///
/// XXH3 is weaker than a cryptographic hash: the secret keeps agents from preparing collisions. Use it for
/// digests alone.
#[derive(Clone)]
pub struct DigestKey(Box<[u8; SECRET_BYTES]>);

impl DigestKey {
    /// Derives the key from configured bytes, always the same from the same.
    pub fn derive(configured: &[u8]) -> Self {
        let mut secret = Box::new([0; SECRET_BYTES]);
        for (seed, block) in (0..).zip(secret.chunks_exact_mut(16)) {
            let hash = XxHash3_128::oneshot_with_seed(seed, configured);
            block.copy_from_slice(&hash.to_le_bytes());
        }
        Self(secret)
    }

    pub(super) fn digest(&self, bytes: &[u8]) -> Digest {
        Digest(self.hash(bytes).to_be_bytes())
    }

    /// Long bytes are hashed in the widest words that the processor has.
    fn hash(&self, bytes: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_secret(&self.0[..], bytes).expect("XXH3's own size of a secret")
    }
}

/// The key of a node that has no configured secret: digests are stable, but anyone can compute them.
impl Default for DigestKey {
    fn default() -> Self {
        Self::derive(b"")
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

/// The digest of a field's content, in XXH3's canonical (big-endian) form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A hash of bytes as they stand, for recognising the same bytes again on the same node. Lives in memory only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawHash(pub u128);

impl RawHash {
    /// Hashes bytes.
    pub fn of(key: &DigestKey, bytes: &[u8]) -> Self {
        Self(key.hash(bytes))
    }

    /// The hash of what has this hash, followed by what has the next.
    pub(super) fn then(self, key: &DigestKey, next: Self) -> Self {
        let mut both = [0; 32];
        both[..16].copy_from_slice(&self.0.to_le_bytes());
        both[16..].copy_from_slice(&next.0.to_le_bytes());
        Self::of(key, &both)
    }
}

impl fmt::Debug for RawHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawHash({:032x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_from_all_that_is_configured() {
        let digest = |key: &[u8]| DigestKey::derive(key).digest(b"content");
        assert_eq!(digest(b"a secret"), digest(b"a secret"));
        assert_ne!(digest(b"a secret"), digest(b"a secres"));
        assert_ne!(digest(b"a secret"), digest(b""));
        let long = [7; 1000];
        assert_ne!(digest(&long), digest(&long[1..]));
    }

    #[test]
    fn a_key_is_not_printed_and_a_digest_is() {
        assert_eq!(format!("{:?}", DigestKey::derive(b"x")), "DigestKey(..)");
        let digest = Digest([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(format!("{digest:?}"), "000102030405060708090a0b0c0d0eff");
    }
}
