//! Heads of requests and responses. Parsing any bytes returns, within the limits on size and headers; and once
//! a verdict is there, further bytes leave it as it is.
#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use seawall::websocket::{RequestHead, ResponseHead, accept_response, check_response};

fuzz_target!(|data: &[u8]| {
    match RequestHead::parse(data) {
        Ok(Some(head)) => {
            assert!(head.head_bytes <= data.len());
            assert!(head.target.starts_with(head.path()));
            if let Ok(key) = head.upgrade() {
                let mut out = Vec::new();
                accept_response(&key, &mut out);
                ResponseHead::parse(&out).expect("well formed").expect("complete");
            }
            let whole = RequestHead::parse(&data[..head.head_bytes]);
            let whole = whole.expect("the head alone is a head").expect("and complete");
            assert_eq!(whole.upgrade(), head.upgrade());
            assert_eq!(whole.host(), head.host());
            assert_eq!(whole.expects_continue(), head.expects_continue());
            let headers = [whole.headers.iter().count(), head.headers.iter().count()];
            assert_eq!(headers[0], headers[1]);
        }
        Ok(None) => {}
        Err(fault) => assert!(matches!(fault.status(), 400 | 431)),
    }
    if let Ok(Some(head)) = ResponseHead::parse(data) {
        assert!(head.head_bytes <= data.len());
        head.retry_after(SystemTime::UNIX_EPOCH);
        let judged = check_response(&head, "dGhlIHNhbXBsZSBub25jZQ==", SystemTime::UNIX_EPOCH);
        assert!(judged.is_err() || head.status == 101);
    }
});
