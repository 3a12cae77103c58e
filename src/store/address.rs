//! Under which address the store finds a content, and among which agents it shares it. Must not know slots
//! or bytes.

/// Among which agents contents are shared. Sixteen bytes of a cryptographic hash, so that the names of two
/// identities always fall into two scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(pub(super) [u8; 16]);

impl Scope {
    /// Among all agents. For contents, which are compared; components need an identity's scope.
    pub const SHARED: Self = Self([0; 16]);

    /// Among the agents of one authenticated identity.
    pub fn identity(name: &[u8]) -> Self {
        Self(sha256(&[name]))
    }
}

pub(super) fn sha256<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let digest = context.finish();
    let mut out = [0; N];
    out.copy_from_slice(&digest.as_ref()[..N]);
    out
}

/// Where an entry is: a key, and a hash that also says in which shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub(super) key: [u8; 16],
    pub(super) hash: u64,
    pub(super) sharing: Sharing,
}

/// When a second agent shares an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// If the bytes are equal.
    Equal,
    /// If the key is: it stands for a name that was given within a scope.
    Named,
}
