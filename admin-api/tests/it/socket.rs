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
