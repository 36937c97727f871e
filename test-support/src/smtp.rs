//! A mail server: takes what it is sent and keeps it (RFC 5321), without TLS.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a test waits for mail.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    Polite,
    /// Has no time for its first caller (451), and takes everything afterwards.
    BusyAtFirst,
    /// Takes nothing, ever (550).
    Refusing,
    /// Lets callers in and says nothing to them.
    Silent,
}

/// A letter that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The sender of the envelope.
    pub from: String,
    /// The receivers of the envelope.
    pub to: Vec<String>,
    /// Headers and text, lines ended by `\n`, stuffed dots taken out.
    pub data: String,
}

impl Taken {
    /// The header `name`; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let (head, _) = self.data.split_once("\n\n").unwrap_or((&self.data, ""));
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// What follows the headers, as its reader sees it.
    pub fn text(&self) -> String {
        let text = self.data.split_once("\n\n").map_or("", |(_, text)| text);
        match self.header("Content-Transfer-Encoding") {
            "quoted-printable" => unquoted(text),
            _ => text.to_owned(),
        }
    }
}

/// Quoted-printable, taken back (RFC 2045 §6.7).
fn unquoted(text: &str) -> String {
    let mut bytes = Vec::new();
    let text = text.replace("=\n", "");
    let mut parts = text.split('=');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (byte, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(byte, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).unwrap()
}

/// What a server has seen so far.
#[derive(Default)]
struct Seen {
    callers: usize,
    heard: String,
    taken: Vec<Taken>,
}

/// A running server; it ends when it is dropped.
pub struct Smtp {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    changes: watch::Receiver<()>,
    task: JoinHandle<()>,
}

impl Smtp {
    /// Starts a server on a free port of 127.0.0.1.
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (changed, changes) = watch::channel(());
        let desk = Desk { manner, seen: Arc::clone(&seen), changed };
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let caller = {
                    let mut seen = desk.seen.lock().unwrap();
                    seen.callers += 1;
                    seen.callers
                };
                let desk = desk.clone();
                tokio::spawn(async move {
                    // A caller who hangs up has said enough.
                    let _ = desk.serve(stream, caller).await;
                });
            }
        });
        Self { port, seen, changes, task }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many have called.
    pub fn callers(&self) -> usize {
        self.seen.lock().unwrap().callers
    }

    /// Every line that was said to it, letters left out.
    pub fn all_heard(&self) -> String {
        self.seen.lock().unwrap().heard.clone()
    }

    /// All letters, once there are `count`.
    pub async fn taken(&self, count: usize) -> Vec<Taken> {
        self.once(|seen| (seen.taken.len() >= count).then(|| seen.taken.clone())).await
    }

    async fn once<T>(&self, look: impl Fn(&Seen) -> Option<T>) -> T {
        let mut changes = self.changes.clone();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look(&self.seen.lock().unwrap()) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("the mail server waited in vain; it heard: {}", self.all_heard()),
        }
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Desk {
    manner: Manner,
    seen: Arc<Mutex<Seen>>,
    changed: watch::Sender<()>,
}

impl Desk {
    async fn serve(&self, stream: TcpStream, caller: usize) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        if self.manner == Manner::Silent {
            // Until the caller hangs up.
            return stream.read_line(&mut String::new()).await.map(|_| ());
        }
        let (mut from, mut to) = (String::new(), Vec::new());
        stream.write_all(b"220 mail.test ready\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            self.note(|seen| {
                seen.heard.push_str(line);
                seen.heard.push('\n');
            });
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
                "HELO" | "RSET" | "NOOP" => "250 fine",
                "AUTH" => "235 welcome",
                "MAIL" if self.manner == Manner::BusyAtFirst && caller == 1 => "451 later",
                "MAIL" if self.manner == Manner::Refusing => "550 never",
                "MAIL" => {
                    from = mailbox(line);
                    to.clear();
                    "250 fine"
                }
                "RCPT" => {
                    to.push(mailbox(line));
                    "250 fine"
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let data = letter(&mut stream).await?;
                    let taken = Taken { from: from.clone(), to: to.clone(), data };
                    self.note(|seen| seen.taken.push(taken));
                    "250 taken"
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "502 what",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
        self.changed.send_replace(());
    }
}

/// The address between `<` and `>`.
fn mailbox(line: &str) -> String {
    let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    address.map_or_else(String::new, |(address, _)| address.to_owned())
}

/// A letter, as far as the line that is a dot and nothing else (RFC 5321 §4.5.2).
async fn letter(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line).trim_end_matches(['\r', '\n']));
        data.push('\n');
    }
}
