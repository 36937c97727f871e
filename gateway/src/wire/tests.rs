//! What is gathered, and where a request ends.

use tokio::net::TcpListener;

use super::*;

async fn pair() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await;
    let (socket, peer) = listener.accept().await.expect("connected");
    (Wire::new(socket, peer), client.expect("connected"))
}

#[tokio::test]
async fn whatever_is_written_in_whatever_pieces_arrives_in_order() {
    let (mut wire, mut client) = pair().await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let sent = bytes.clone();
    let writing = tokio::spawn(async move {
        let mut rest = &sent[..];
        for size in
            [1, 100, 5000, GATHERED_BYTES_MAX - 1, GATHERED_BYTES_MAX, 60_000].iter().cycle()
        {
            let (piece, more) = rest.split_at((*size).min(rest.len()));
            wire.write_all(piece).await.expect("written");
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        AsyncWriteExt::shutdown(&mut wire).await.expect("shut down");
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.expect("read");
    writing.await.expect("written");
    assert!(received == bytes);
}

fn head(bytes: usize, body: Body) -> Head {
    Head { bytes, body }
}

#[tokio::test]
async fn a_request_ends_where_its_head_says_and_the_next_one_waits() {
    let (mut wire, mut client) = pair().await;
    client.write_all(b"HEAD1bodyHEAD2").await.expect("sent");
    while wire.ahead().len() < 6 {
        wire.read_ahead().await.expect("read");
    }
    let first = wire.hand_over(head(5, Body::Exactly(4)));
    let mut body = first[5..].to_vec();
    while body.len() < 4 {
        wire.read_buf(&mut body).await.expect("read");
    }
    assert_eq!(body, b"body");
    while wire.ahead().len() < 5 {
        wire.read_ahead().await.expect("read");
    }
    assert_eq!(wire.ahead(), b"HEAD2");
}

#[tokio::test]
async fn a_body_is_read_to_its_last_byte_whatever_the_room_for_it() {
    for room in [1, 7, 64, 4096] {
        let (mut wire, mut client) = pair().await;
        client.write_all(b"HEAD").await.expect("sent");
        while wire.ahead().len() < 4 {
            wire.read_ahead().await.expect("read");
        }
        wire.hand_over(head(4, Body::Exactly(1000)));
        client.write_all(&[b'x'; 1500]).await.expect("sent");
        let mut read = 0;
        while read < 1000 {
            let mut piece = vec![0; room];
            read += wire.read(&mut piece).await.expect("read");
        }
        assert_eq!(read, 1000);
        assert_eq!(wire.read_ahead().await.expect("read"), 500);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_a_little_is_not() {
    let (mut wire, mut client) = pair().await;
    let answer = vec![b'x'; 32 << 20];
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    // More than the system holds for somebody who does not read.
    let (written, ()) = tokio::join!(wire.write_all(&answer), async {
        sleep(STALL_MAX / 2).await;
        let mut some = vec![0; 4 << 20];
        client.read_exact(&mut some).await.expect("read");
    });
    assert_eq!(written.expect_err("given up").kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() > STALL_MAX, "what was taken in between counts");
}

#[test]
fn a_body_may_be_slow_for_a_while_and_then_has_a_least_pace() {
    let at = |seconds: u64, bytes: u64| {
        let began = Instant::now().checked_sub(Duration::from_secs(seconds));
        let mut pace = BodyPace { began, bytes: bytes - 1 };
        pace.more(1).is_ok()
    };
    assert!(at(BODY_GRACE.as_secs() - 1, 1));
    let least = (BODY_GRACE.as_secs() + 1) * BODY_BYTES_PER_SECOND_MIN;
    assert!(at(BODY_GRACE.as_secs() + 1, least));
    assert!(!at(BODY_GRACE.as_secs() + 1, least - 1));
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_noticed() {
    let (mut wire, mut client) = pair().await;
    client.write_all(b"HEAD").await.expect("sent");
    while wire.ahead().len() < 4 {
        wire.read_ahead().await.expect("read");
    }
    wire.hand_over(head(4, Body::Exactly(0)));
    drop(client);
    assert_eq!(wire.read(&mut [0; 8]).await.expect("the end"), 0);
}

#[tokio::test]
async fn the_peer_is_known_without_asking_the_system() {
    let (wire, client) = pair().await;
    let digest = wire.get_socket_digest().expect("digest");
    let peer = digest.peer_addr.get().and_then(Option::as_ref).and_then(|a| a.as_inet());
    assert_eq!(peer.copied(), client.local_addr().ok());
}
