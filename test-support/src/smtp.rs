//! A mail server: takes what it is sent and keeps it (RFC 5321), without TLS, with TLS from the first
//! byte, or with TLS once it is asked for that (RFC 3207).

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::authority::Identity;

/// How long a test waits for mail.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a caller is told first.
const GREETING: &str = "220 mail.test ready";

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

/// When a server speaks TLS.
#[derive(Clone)]
enum Tls {
    Never,
    AtOnce(TlsAcceptor),
    OnceAsked(TlsAcceptor),
}

/// What a server has seen so far.
#[derive(Default)]
struct Seen {
    callers: usize,
    heard: String,
    overheard: String,
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
        Self::start_with(manner, Tls::Never).await
    }

    /// Starts a polite one that speaks TLS from the first byte, and proves that it is `identity`.
    pub async fn start_with_tls(identity: &Identity) -> Self {
        Self::start_with(Manner::Polite, Tls::AtOnce(identity.server().into())).await
    }

    /// Starts a polite one that speaks TLS once it is told STARTTLS.
    pub async fn start_with_starttls(identity: &Identity) -> Self {
        Self::start_with(Manner::Polite, Tls::OnceAsked(identity.server().into())).await
    }

    async fn start_with(manner: Manner, tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (changed, changes) = watch::channel(());
        let desk = Desk { manner, tls, seen: Arc::clone(&seen), changed };
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

    /// Every line of these that anybody on the way could read: what was said without TLS.
    pub fn overheard(&self) -> String {
        self.seen.lock().unwrap().overheard.clone()
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
    tls: Tls,
    seen: Arc<Mutex<Seen>>,
    changed: watch::Sender<()>,
}

/// Who can read what is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Clear,
    Encrypted,
}

/// What a caller wants next.
enum Next {
    Nothing,
    Tls,
}

impl Desk {
    async fn serve(&self, mut stream: TcpStream, caller: usize) -> std::io::Result<()> {
        match &self.tls {
            Tls::AtOnce(tls) => {
                let mut stream = BufReader::new(tls.accept(stream).await?);
                say(&mut stream, GREETING).await?;
                self.converse(&mut stream, caller, Line::Encrypted).await?;
            }
            Tls::Never | Tls::OnceAsked(_) => {
                let mut clear = BufReader::new(&mut stream);
                if self.manner == Manner::Silent {
                    // Until the caller hangs up.
                    return clear.read_line(&mut String::new()).await.map(|_| ());
                }
                say(&mut clear, GREETING).await?;
                let next = self.converse(&mut clear, caller, Line::Clear).await?;
                if let (Next::Tls, Tls::OnceAsked(tls)) = (next, &self.tls) {
                    // What was sent ahead in the clear is not read (RFC 3207 §4.2).
                    let mut stream = BufReader::new(tls.accept(stream).await?);
                    self.converse(&mut stream, caller, Line::Encrypted).await?;
                }
            }
        }
        Ok(())
    }

    async fn converse(
        &self,
        stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
        caller: usize,
        line: Line,
    ) -> std::io::Result<Next> {
        let offers_tls = line == Line::Clear && matches!(self.tls, Tls::OnceAsked(_));
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let mut said = String::new();
            if stream.read_line(&mut said).await? == 0 {
                return Ok(Next::Nothing);
            }
            let said = said.trim_end();
            self.hear(said, line);
            let verb = said.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" if offers_tls => {
                    "250-mail.test\r\n250-STARTTLS\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"
                }
                "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
                "STARTTLS" if offers_tls => {
                    say(stream, "220 go on").await?;
                    return Ok(Next::Tls);
                }
                "HELO" | "RSET" | "NOOP" => "250 fine",
                "AUTH" => "235 welcome",
                "MAIL" if self.manner == Manner::BusyAtFirst && caller == 1 => "451 later",
                "MAIL" if self.manner == Manner::Refusing => "550 never",
                "MAIL" => {
                    from = mailbox(said);
                    to.clear();
                    "250 fine"
                }
                "RCPT" => {
                    to.push(mailbox(said));
                    "250 fine"
                }
                "DATA" => {
                    say(stream, "354 go on").await?;
                    let data = letter(stream).await?;
                    let taken = Taken { from: from.clone(), to: to.clone(), data };
                    self.note(|seen| seen.taken.push(taken));
                    "250 taken"
                }
                "QUIT" => {
                    say(stream, "221 bye").await?;
                    return Ok(Next::Nothing);
                }
                _ => "502 what",
            };
            say(stream, reply).await?;
        }
    }

    fn hear(&self, said: &str, line: Line) {
        self.note(|seen| {
            seen.heard += &format!("{said}\n");
            if line == Line::Clear {
                seen.overheard += &format!("{said}\n");
            }
        });
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
        self.changed.send_replace(());
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), reply: &str) -> std::io::Result<()> {
    stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    stream.flush().await
}

/// The address between `<` and `>`.
fn mailbox(line: &str) -> String {
    let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    address.map_or_else(String::new, |(address, _)| address.to_owned())
}

/// A letter, as far as the line that is a dot and nothing else (RFC 5321 §4.5.2).
async fn letter(stream: &mut BufReader<impl AsyncRead + Unpin>) -> std::io::Result<String> {
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
