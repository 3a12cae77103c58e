//! Values of the store that nodes share, and calls to it: any bytes are read or refused, and what was read is
//! written so that it reads back. The first byte of the input chooses the value.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use seawall::core::ownership::encoding::{
    FORMAT, StoredLease, VALUE_BYTES_MAX, decode_answer, decode_call, decode_home, decode_lease,
    decode_peer_message, decode_secret, encode_answer, encode_call, encode_home, encode_lease,
    encode_peer_message, encode_secret,
};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((choice, bytes)) = data.split_first() else { return Corpus::Reject };
    match choice % 6 {
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
        2 => {
            if let Ok(call) = decode_call(bytes) {
                assert_eq!(decode_call(&encode_call(&call)), Ok(call));
            }
        }
        3 => {
            if let Ok(answer) = decode_answer(bytes) {
                assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
            }
        }
        4 => {
            if let Ok(message) = decode_peer_message(bytes) {
                let mut written = Vec::new();
                encode_peer_message(&message, &mut written);
                assert_eq!(decode_peer_message(&written), Ok(message));
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
