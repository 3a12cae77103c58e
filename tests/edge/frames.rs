//! WebSocket frames, good and bad (RFC 6455), and the messages in them.

use seawall::opamp::proto::{ServerErrorResponseType, ServerToAgent};

use crate::support::message::{full_report, heartbeat, uid, with_header};
use crate::support::socket::{BINARY, CLOSE, Got, PING, Socket, TEXT, announce, frame};
use crate::{CLOSED, REJECTED, World};

/// The text of a reply that says BAD_REQUEST.
fn fault(reply: &ServerToAgent) -> &str {
    let error = reply.error_response.as_ref().expect("an error");
    assert_eq!(error.r#type, i32::from(ServerErrorResponseType::BadRequest));
    &error.error_message
}

#[tokio::test]
async fn a_bad_message_is_named_and_the_connection_stays() {
    let world = World::start().await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    agent.frame(BINARY, b"\0\x0a\xff").await;
    assert!(fault(&agent.reply().await).contains("not an AgentToServer"));
    world.counts(REJECTED, ("fault", "scan"), 1).await;

    let reply = agent.ask(&heartbeat(&[], 0)).await;
    assert_eq!(fault(&reply), "instance_uid is missing");
    let reply = agent.ask(&heartbeat(&[1; 7], 0)).await;
    assert!(fault(&reply).contains("7 bytes"));
    world.counts(REJECTED, ("fault", "uid"), 2).await;

    let report = full_report(&uid(1), 0);
    let reply = agent.ask(&report).await;
    assert_eq!((&reply.instance_uid, &reply.error_response), (&report.instance_uid, &None));
    world.server.wait("the report", |state| state.knows(&report)).await;
    // Later on as well.
    agent.frame(BINARY, b"\0\x0a\xff").await;
    fault(&agent.reply().await);
    assert_eq!(agent.ask(&heartbeat(&uid(1), 1)).await.error_response, None);
    world.counts("seawall_edge_sent_messages_total", ("kind", "error"), 4).await;
}

#[tokio::test]
async fn sixteen_bad_messages_in_a_row_end_the_connection() {
    let world = World::start().await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    for _ in 0..15 {
        fault(&agent.ask(&heartbeat(&[], 0)).await);
    }
    assert_eq!(agent.ask(&full_report(&uid(1), 0)).await.error_response, None);
    for _ in 0..16 {
        fault(&agent.ask(&heartbeat(&[], 0)).await);
    }
    assert_eq!(agent.closed().await, Some(1002));
    world.counts(CLOSED, ("reason", "protocol_fault"), 1).await;
}

/// A message whose length takes eight bytes, though one would do (RFC 6455, section 5.2).
fn long_length(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![BINARY, 0x80 | 127];
    bytes.extend_from_slice(&(message.len() as u64).to_be_bytes());
    // A mask of zeros changes nothing.
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(message);
    bytes
}

#[tokio::test]
async fn broken_frames_end_the_connection_with_the_right_code() {
    let world = World::start().await;
    let report = with_header(&full_report(&uid(1), 0));
    let cases = [
        ("not masked", frame(BINARY, false, &report), 1002),
        ("a reserved bit", frame(BINARY | 0x40, true, &report), 1002),
        ("an unknown opcode", frame(0x83, true, &report), 1002),
        ("a fragmented ping", frame(PING & 0x7f, true, b""), 1002),
        ("a long ping", frame(PING, true, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, true, b"x"), 1002),
        ("a close code of one byte", frame(CLOSE, true, b"x"), 1002),
        ("a length in more bytes than it needs", long_length(&report), 1002),
        ("a close reason that is not UTF-8", frame(CLOSE, true, b"\x03\xe8\xff\xfe"), 1007),
        ("text", frame(TEXT, true, b"{}"), 1003),
    ];
    for (what, bytes, code) in &cases {
        let mut agent = Socket::open(world.gateway.edge()).await;
        agent.raw(bytes).await.unwrap();
        assert_eq!(agent.closed().await, Some(*code), "{what}");
        assert_eq!(agent.next().await, Got::End, "{what}");
    }
    world.counts(CLOSED, ("reason", "protocol_fault"), 9).await;
    world.counts(REJECTED, ("fault", "frame"), 9).await;
    world.counts(CLOSED, ("reason", "unsupported_data"), 1).await;
    world.counts(REJECTED, ("fault", "text"), 1).await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_when_it_is_announced() {
    let world = World::with(|gateway| gateway.set("edge", "message_bytes_max", "4096")).await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    agent.raw(&announce(BINARY, true, 1 << 40)).await.unwrap();
    // The mask belongs to the header; the message itself stays unsent.
    agent.raw(&[1, 2, 3, 4]).await.unwrap();
    assert_eq!(agent.closed().await, Some(1009));

    // Fragments that add up to too much; the agent goes on and still learns why.
    let mut agent = Socket::open(world.gateway.edge()).await;
    agent.frame(0x02, &[0; 3000]).await;
    agent.frame(0x80, &[0; 3000]).await;
    for _ in 0..50 {
        if agent.raw(&frame(0x00, true, &[0; 3000])).await.is_err() {
            break;
        }
    }
    assert_eq!(agent.closed().await, Some(1009));
    world.counts(CLOSED, ("reason", "too_big"), 2).await;
    world.counts(REJECTED, ("fault", "too_big"), 2).await;

    // The largest that is allowed.
    let mut agent = Socket::open(world.gateway.edge()).await;
    let mut largest = full_report(&uid(1), 0);
    let room = 4096 - prost::Message::encoded_len(&largest);
    largest.health.as_mut().unwrap().last_error = "x".repeat(room - 6);
    assert!((4090..=4096).contains(&prost::Message::encoded_len(&largest)));
    assert_eq!(agent.ask(&largest).await.error_response, None);
}

#[tokio::test]
async fn fragments_with_pings_between_make_one_message() {
    let world = World::start().await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    let report = full_report(&uid(1), 0);
    let bytes = with_header(&report);
    let pieces: Vec<&[u8]> = bytes.chunks(bytes.len().div_ceil(5)).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 { 0x02 } else { 0x00 };
        let last = if index + 1 == pieces.len() { 0x80 } else { 0 };
        // Bytes of a frame may come apart as well.
        let frame = frame(opcode | last, true, piece);
        let (front, back) = frame.split_at(3);
        agent.raw(front).await.unwrap();
        agent.raw(back).await.unwrap();
        let payload = [u8::try_from(index).unwrap(); 9];
        agent.frame(PING, &payload).await;
        if last == 0 {
            assert_eq!(agent.next().await, Got::Pong(payload.to_vec()));
        }
    }
    agent.reply().await;
    world.server.wait("the report", |state| state.knows(&report)).await;
}

#[tokio::test]
async fn the_header_byte_may_be_missing_and_is_always_written() {
    let world = World::start().await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    let report = full_report(&uid(1), 0);
    agent.frame(BINARY, &with_header(&report)[1..]).await;
    // `reply` insists on the header.
    assert_eq!(agent.reply().await.instance_uid, report.instance_uid);
    world.server.wait("the report", |state| state.knows(&report)).await;
}

/// What protobuf's decoders take, Go's as well, is passed on.
#[tokio::test]
async fn a_header_of_two_bytes_and_an_unknown_group_are_taken() {
    let world = World::start().await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    let report = full_report(&uid(1), 0);
    // Field 100: a group that holds field 1.
    let group = [0xa3, 0x06, 0x08, 5, 0xa4, 0x06];
    let message = [&[0x80][..], &with_header(&report), &group].concat();
    agent.frame(BINARY, &message).await;
    let reply = agent.reply().await;
    assert_eq!((&reply.instance_uid, &reply.error_response), (&report.instance_uid, &None));
    world.server.wait("the report", |state| state.knows(&report)).await;
    // A group that no tag ends is malformed.
    agent.frame(BINARY, &message[..message.len() - 2]).await;
    assert!(fault(&agent.reply().await).contains("not an AgentToServer"));
}

#[tokio::test]
async fn an_agents_close_is_answered() {
    let world = World::start().await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    agent.ask(&full_report(&uid(1), 0)).await;
    agent.frame(CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(agent.next().await, Got::Close(Some(1000)));
    assert_eq!(agent.next().await, Got::End);
    world.counts(CLOSED, ("reason", "agent_closed"), 1).await;
}
