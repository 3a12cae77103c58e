//! Values of the store that nodes share: any bytes are read or refused, and what was read is written so
//! that it reads back. The first byte of the input chooses the value.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use seawall::core::ownership::encoding::{
    FORMAT, StoredLease, VALUE_BYTES_MAX, decode_home, decode_lease, decode_secret, encode_home,
    encode_lease, encode_secret,
};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, bytes)) = data.split_first() else { return Corpus::Reject };
    match choice % 3 {
        0 => match decode_lease(bytes) {
            Ok(StoredLease::Known(lease)) => {
                let written = encode_lease(&lease);
                assert!(written.len() <= 300 && written.len() <= VALUE_BYTES_MAX);
                assert_eq!(decode_lease(&written), Ok(StoredLease::Known(lease)));
            }
            Ok(StoredLease::Unknown(_)) => assert_ne!(bytes[0], FORMAT),
            Err(_) => {}
        },
        1 => {
            if let Ok(home) = decode_home(bytes) {
                assert_eq!(encode_home(home)[1..], bytes[1..25]);
            }
        }
        _ => {
            if let Ok(Some(secret)) = decode_secret(bytes) {
                assert_eq!(encode_secret(&secret)[..], bytes[..41]);
            }
        }
    }
    Corpus::Keep
});
