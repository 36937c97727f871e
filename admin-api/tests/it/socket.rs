use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::support::*;

#[tokio::test]
async fn it_serves_on_a_unix_socket_and_stops_when_told_to() {
    let house = House::with_ann().await;
    let path = house.place.dir().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let api = house.api.clone();
    let server = tokio::spawn(api.serve(listener, async {
        let _ = stopped.await;
    }));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"GET /monitoring/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    // A connection that is kept open and idle does not hold the server up.
    let _idle = UnixStream::connect(&path).await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap();
}

/// What comes until an answer is whole, or the connection ends.
async fn answered(stream: &mut UnixStream) -> String {
    let mut answer = Vec::new();
    let is_whole = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        length.and_then(|length| length.parse().ok()) == Some(body.len())
    };
    while !is_whole(&answer) {
        if stream.read_buf(&mut answer).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_refusal_that_needs_no_body_waits_for_it_and_the_connection_goes_on() {
    let house = House::with_ann().await;
    let path = house.place.dir().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(house.api.clone().serve(listener, std::future::pending()));
    let post = |length: usize| {
        format!(
            "POST /auth/email/verify/confirm HTTP/1.1\r\nHost: x\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let body = r#"{"token": "t"}"#;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    for _ in 0..3 {
        stream.write_all(post(body.len()).as_bytes()).await.unwrap();
        // Whoever serves has all the time to answer before the body comes.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        stream.write_all(body.as_bytes()).await.unwrap();
        let answer = answered(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    // One that is too long for anybody is answered before its end, and says that nothing follows.
    stream.write_all(post(1_000_000).as_bytes()).await.unwrap();
    stream.write_all(&[b' '; 70_000]).await.unwrap();
    let answer = answered(&mut stream).await;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}
