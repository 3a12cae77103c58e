//! A lease as bytes.
//!
//! The head, alike in every format: format, counter, incarnation, version read, name, run read. Then, in format 1:
//! version joined, address, fingerprint, software, settings, flags, highest format known, figures.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::core::ownership::ids::{CertificateFingerprint, Counter, MapVersion, NodeName, RunId};
use crate::core::ownership::lease::{Figures, Lease, LeaseHead, SoftwareVersion};

use super::FORMAT;
use super::reader::{ValueFault, ValueReader};

/// A bit of the flags: the node goes on speaking as the only member.
const LONE_SPEAKS: u8 = 1;
/// A bit of the flags: the node hands its shards over.
const LEAVING: u8 = 2;

/// The format of a head without the rest. No lease has it in the store: a node writes it when it passes on
/// a lease that it cannot read.
const HEAD_ALONE: u8 = u8::MAX;

/// A lease that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredLease {
    /// Of a format that this version knows.
    Known(Box<Lease>),
    /// Of a later format: its head.
    Unknown(LeaseHead),
}

/// The bytes of a lease, 300 at most.
pub fn encode_lease(lease: &Lease) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(FORMAT);
    put_head(&mut bytes, &lease.head());
    bytes.extend(lease.joined.0.to_be_bytes());
    put_address(&mut bytes, lease.address);
    bytes.extend(lease.fingerprint.0);
    put_text(&mut bytes, lease.software.as_str());
    bytes.extend(lease.settings.to_be_bytes());
    bytes.push(flags(lease));
    bytes.push(lease.format);
    let Figures { connected, absent, waiting, rate, need, told_until, overload } = lease.figures;
    let told_until_ms = u32::try_from(told_until.as_millis()).unwrap_or(u32::MAX);
    for number in [connected, absent, waiting, rate, need, told_until_ms] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.push(overload);
    bytes
}

/// The bytes of a head, for another node.
pub(super) fn encode_head(head: &LeaseHead) -> Vec<u8> {
    let mut bytes = vec![HEAD_ALONE];
    put_head(&mut bytes, head);
    bytes
}

fn put_head(bytes: &mut Vec<u8>, head: &LeaseHead) {
    bytes.extend(head.counter.0.to_be_bytes());
    bytes.extend(head.incarnation.get().to_be_bytes());
    bytes.extend(head.read.0.to_be_bytes());
    put_text(bytes, head.name.as_str());
    bytes.extend(head.run.0.to_be_bytes());
}

const fn flags(lease: &Lease) -> u8 {
    let lone = if lease.lone_speaks { LONE_SPEAKS } else { 0 };
    let leaving = if lease.leaving { LEAVING } else { 0 };
    lone | leaving
}

/// Names and versions are short: their types see to it.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).expect("a bounded text has fewer than 256 bytes");
    bytes.push(length);
    bytes.extend(text.as_bytes());
}

/// How many bytes the address has, the bytes, the port; zero alone for "no address".
fn put_address(bytes: &mut Vec<u8>, address: Option<SocketAddr>) {
    let Some(address) = address else {
        bytes.push(0);
        return;
    };
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(16);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(address.port().to_be_bytes());
}

/// Reads a lease, or the head of one whose format is of a later version.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn decode_lease(bytes: &[u8]) -> Result<StoredLease, ValueFault> {
    let mut reader = ValueReader::new(bytes)?;
    let format = reader.format()?;
    let counter = Counter(reader.u64()?);
    let incarnation = reader.incarnation()?;
    let read = version(&mut reader)?;
    let name = NodeName::try_new(reader.text("name")?).map_err(|_| ValueFault::Field("name"))?;
    let run = RunId(u128::from_be_bytes(reader.array()?));
    if format != FORMAT {
        return Ok(StoredLease::Unknown(LeaseHead { incarnation, counter, read, run, name }));
    }
    let joined = version(&mut reader)?;
    let address = address(&mut reader)?;
    let fingerprint = CertificateFingerprint(reader.array()?);
    let software = SoftwareVersion::new(reader.text("software version")?);
    let settings = reader.u64()?;
    let flags = reader.byte()?;
    Ok(StoredLease::Known(Box::new(Lease {
        name,
        incarnation,
        counter,
        read,
        run,
        joined,
        address,
        fingerprint,
        software,
        settings,
        lone_speaks: flags & LONE_SPEAKS != 0,
        leaving: flags & LEAVING != 0,
        format: reader.format()?,
        figures: figures(&mut reader)?,
    })))
}

fn version(reader: &mut ValueReader<'_>) -> Result<MapVersion, ValueFault> {
    let version = MapVersion(reader.u64()?);
    if version > MapVersion::MAX { Err(ValueFault::Field("version")) } else { Ok(version) }
}

fn address(reader: &mut ValueReader<'_>) -> Result<Option<SocketAddr>, ValueFault> {
    let ip: IpAddr = match reader.byte()? {
        0 => return Ok(None),
        4 => reader.array::<4>()?.into(),
        16 => reader.array::<16>()?.into(),
        _ => return Err(ValueFault::Field("address")),
    };
    Ok(Some(SocketAddr::new(ip, u16::from_be_bytes(reader.array()?))))
}

fn figures(reader: &mut ValueReader<'_>) -> Result<Figures, ValueFault> {
    Ok(Figures {
        connected: reader.u32()?,
        absent: reader.u32()?,
        waiting: reader.u32()?,
        rate: reader.u32()?,
        need: reader.u32()?,
        told_until: Duration::from_millis(reader.u32()?.into()),
        overload: reader.byte()?,
    })
}
