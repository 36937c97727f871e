//! Plain HTTP/1.1, one thread a connection, one request a connection.

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

/// The longest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What is asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) form: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Debug)]
pub(super) enum Reply {
    /// A status, more header lines, a media type and a body.
    Full { status: u16, headers: Vec<(String, String)>, kind: &'static str, body: String },
    /// Nothing, for as long as the client stays.
    Hang,
    /// Nothing.
    Close,
}

/// Serves on `listener` until it is woken up and `ended` says so.
pub(super) fn serve(
    listener: &TcpListener,
    ended: impl Fn() -> bool,
    answer: impl Fn(Asked) -> Reply + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        if ended() {
            return;
        }
        let Ok(stream) = stream else { continue };
        let answer = Arc::clone(&answer);
        // A connection that breaks is the other side's business.
        thread::spawn(move || converse(stream, &*answer));
    }
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(Asked) -> Reply) -> io::Result<()> {
    let Some(asked) = read(&mut stream)? else { return Ok(()) };
    match answer(asked) {
        Reply::Full { status, headers, kind, body } => {
            let mut head = format!(
                "HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Type: {kind}\r\n\
                 Content-Length: {}\r\n",
                body.len()
            );
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(body.as_bytes())?;
            stream.shutdown(Shutdown::Write)
        }
        Reply::Hang => {
            // Ends when the client gives up.
            while stream.read(&mut [0; 64])? > 0 {}
            Ok(())
        }
        Reply::Close => Ok(()),
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if !read_more(stream, &mut bytes)? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + 4 + length {
        if !read_more(stream, &mut bytes)? {
            return Ok(None);
        }
    }
    let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    Ok(Some(Asked {
        method,
        path: path.to_owned(),
        query: fields(query),
        headers,
        form: fields(&body),
    }))
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 4096];
    let count = stream.read(&mut piece)?;
    bytes.extend_from_slice(&piece[..count]);
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(io::Error::other("a request that no test sends"));
    }
    Ok(count > 0)
}

/// The fields of a query or a form.
pub(super) fn fields(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
