//! A line between a client and a server that a test can break, in the ways that networks do.

mod flow;

mod carrier;

use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch;

use self::carrier::Carrier;
use self::flow::Conduct;
use self::flow::Count;
use self::flow::Flow;
use crate::place::HeldPort;

/// A TCP port of 127.0.0.1 that leads to a server; cut on drop.
///
/// It runs on a thread of its own, so that a test that blocks, or that pauses its runtime's clock,
/// leaves it as it is. Whatever a test says of it holds when the call returns: not a byte passes
/// then that must not.
#[derive(Debug)]
pub struct Link {
    port: HeldPort,
    to: watch::Sender<SocketAddr>,
    conduct: watch::Sender<Conduct>,
    count: Count,
    carrier: Mutex<Option<Carrier>>,
}

impl Link {
    /// Listens on a free port, and carries whatever is sent there to the server at `to` and back.
    ///
    /// The server need not be there yet. A client that comes while it cannot be reached is let in,
    /// and sent away at once.
    ///
    /// # Panics
    /// When the machine has no free port left.
    pub fn to(to: SocketAddr) -> Self {
        let (conduct, _) = watch::channel(Conduct::default());
        let (count, carrier) = (Count::default(), Mutex::default());
        let (to, _) = watch::channel(to);
        let link = Self { port: HeldPort::new(), to, conduct, count, carrier };
        link.mend();
        link
    }

    /// Where clients find it.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The port of [`Link::addr`].
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Leads who comes from now on to another server, as a name that is given a new address does;
    /// connections that are there stay where they are.
    pub fn lead_to(&self, to: SocketAddr) {
        self.to.send_replace(to);
    }

    /// Closes all connections, to both sides, and listens no more: who comes is refused
    /// (`ECONNREFUSED`) until [`Link::mend`]. The port stays this link's own.
    pub fn cut(&self) {
        self.carrier().take();
    }

    /// Carries nothing, in either direction, while all connections stay open and new ones are let
    /// in: a host that is gone without a word, or a network that lost its way.
    ///
    /// What was sent meanwhile, and that somebody hung up, is carried once the link is mended.
    pub fn stall(&self) {
        self.flows(Flow::Neither);
    }

    /// Carries what clients send, and throws away what the server answers.
    ///
    /// A connection that so has a hole in it is closed when the link is mended: TCP never delivers
    /// what comes after one.
    pub fn drop_replies(&self) {
        self.flows(Flow::RequestsOnly);
    }

    /// Carries every chunk that much later, in each direction: a round trip takes twice as long.
    ///
    /// Chunks are under way beside each other, as on a long line; connecting takes no longer.
    pub fn delay(&self, delay: Duration) {
        self.conduct.send_modify(|now| now.delay = delay);
    }

    /// Makes it whole: it listens on the same port, and carries all at once in both directions.
    ///
    /// # Panics
    /// When the port cannot be listened on, which no other program can bring about.
    pub fn mend(&self) {
        self.conduct.send_replace(Conduct::default());
        let mut carrier = self.carrier();
        if carrier.is_none() {
            let listener = TcpListener::bind(self.addr()).expect("the port was held");
            let conduct = self.conduct.subscribe();
            *carrier =
                Some(Carrier::start(listener, self.to.subscribe(), conduct, self.count.clone()));
        }
    }

    /// How many connections of clients it has let in, in all.
    pub fn connections(&self) -> u64 {
        self.count.carried().connections
    }

    /// How many bytes the server was sent in all.
    pub fn request_bytes(&self) -> u64 {
        self.count.carried().request_bytes
    }

    /// How many bytes clients were sent in all; what was dropped does not count.
    pub fn reply_bytes(&self) -> u64 {
        self.count.carried().reply_bytes
    }

    fn flows(&self, flow: Flow) {
        self.conduct.send_modify(|now| now.flow = flow);
    }

    fn carrier(&self) -> MutexGuard<'_, Option<Carrier>> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::io::ErrorKind;
    use std::io::Read;
    use std::io::Write;
    use std::net::Shutdown;
    use std::net::TcpStream;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::wait::START_MAX;
    use crate::wait::wait_until;

    /// How long nothing must come, where nothing is to come.
    const SILENCE: Duration = Duration::from_millis(100);

    /// A server that sends back what it gets, to one client after the other, and says how much it
    /// got from each.
    fn echo() -> (SocketAddr, std::sync::mpsc::Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, got) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, tell) = (stream.unwrap(), tell.clone());
                thread::spawn(move || {
                    let mut chunk = [0; 1024];
                    while let Ok(length @ 1..) = stream.read(&mut chunk) {
                        // A test that is over asks no more.
                        let _ = tell.send(length);
                        if stream.write_all(&chunk[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = tell.send(0);
                });
            }
        });
        (addr, got)
    }

    fn client(link: &Link) -> TcpStream {
        let client = TcpStream::connect(link.addr()).unwrap();
        client.set_read_timeout(Some(START_MAX)).unwrap();
        client
    }

    fn read(mut client: &TcpStream) -> io::Result<String> {
        let mut chunk = [0; 1024];
        let length = client.read(&mut chunk)?;
        Ok(String::from_utf8_lossy(&chunk[..length]).into_owned())
    }

    fn ask(mut client: &TcpStream, text: &str) -> io::Result<String> {
        client.write_all(text.as_bytes())?;
        read(client)
    }

    #[track_caller]
    fn assert_silent(client: &TcpStream) {
        client.set_read_timeout(Some(SILENCE)).unwrap();
        assert_eq!(read(client).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.set_read_timeout(Some(START_MAX)).unwrap();
    }

    /// Closed or reset: what was under way decides which.
    #[track_caller]
    fn assert_closed(client: &TcpStream) {
        match read(client) {
            Ok(text) => assert_eq!(text, ""),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }

    #[track_caller]
    fn assert_refused(link: &Link) {
        let refused = TcpStream::connect(link.addr()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_whole_link_carries_and_counts_both_directions() {
        let (server, got) = echo();
        let link = Link::to(server);
        let [one, other] = [client(&link), client(&link)];
        assert_eq!(ask(&one, "hello").unwrap(), "hello");
        assert_eq!(ask(&other, "you").unwrap(), "you");
        assert_eq!(got.iter().take(2).collect::<Vec<_>>(), [5, 3]);
        assert_eq!((link.connections(), link.request_bytes(), link.reply_bytes()), (2, 8, 8));
    }

    #[test]
    fn who_comes_after_it_leads_elsewhere_gets_there_and_who_was_there_stays() {
        let ((old, at_old), (new, at_new)) = (echo(), echo());
        let link = Link::to(old);
        let before = client(&link);
        assert_eq!(ask(&before, "hello").unwrap(), "hello");
        link.lead_to(new);
        let after = client(&link);
        assert_eq!(ask(&after, "you").unwrap(), "you");
        assert_eq!(ask(&before, "again").unwrap(), "again");
        assert_eq!(at_new.recv().unwrap(), 3);
        assert_eq!(at_old.iter().take(2).collect::<Vec<_>>(), [5, 5]);
    }

    #[test]
    fn what_is_longer_than_a_chunk_arrives_in_order() {
        let link = Link::to(echo().0);
        let client = client(&link);
        let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut received = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                (&client).write_all(&sent).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            (&client).read_to_end(&mut received).unwrap();
        });
        assert!(received == sent, "{} bytes came back", received.len());
    }

    #[test]
    fn who_hangs_up_is_gone_for_the_other_side_too() {
        let (server, got) = echo();
        let link = Link::to(server);
        drop(client(&link));
        assert_eq!(got.recv().unwrap(), 0);
    }

    #[test]
    fn a_cut_link_closes_refuses_and_takes_the_same_port_when_mended() {
        let (server, got) = echo();
        let link = Link::to(server);
        let before = client(&link);
        ask(&before, "one").unwrap();
        let addr = link.addr();
        for _ in 0..2 {
            link.cut();
            assert_refused(&link);
        }
        assert_closed(&before);
        assert_eq!(got.iter().take(2).collect::<Vec<_>>(), [3, 0]);
        link.mend();
        assert_eq!(link.addr(), addr);
        assert_eq!(ask(&client(&link), "two").unwrap(), "two");
        assert_eq!(link.connections(), 2);
    }

    #[test]
    fn a_stalled_link_carries_nothing_keeps_all_open_and_catches_up_when_mended() {
        let (server, got) = echo();
        let link = Link::to(server);
        let before = client(&link);
        ask(&before, "one").unwrap();
        link.stall();
        let during = client(&link);
        for client in [&before, &during] {
            (&*client).write_all(b"two").unwrap();
            assert_silent(client);
        }
        assert_eq!(got.try_iter().collect::<Vec<_>>(), [3]);
        assert_eq!((link.request_bytes(), link.reply_bytes()), (3, 3));
        wait_until(START_MAX, || link.connections() == 2);
        link.mend();
        for client in [before, during] {
            assert_eq!(read(&client).unwrap(), "two");
        }
    }

    #[test]
    fn a_server_hears_of_nobody_and_reaches_nobody_over_a_stalled_link() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link::to(server.local_addr().unwrap());
        let before = client(&link);
        let (mut answering, _) = server.accept().unwrap();
        link.stall();
        answering.write_all(b"word").unwrap();
        drop(answering);
        let during = client(&link);
        wait_until(START_MAX, || link.connections() == 2);
        assert_silent(&before);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        link.mend();
        assert_eq!(read(&before).unwrap(), "word");
        assert_closed(&before);
        wait_until(START_MAX, || server.accept().is_ok());
        drop(during);
    }

    #[test]
    fn nobody_learns_over_a_stalled_link_that_the_other_side_hung_up() {
        let (server, got) = echo();
        let link = Link::to(server);
        let client = client(&link);
        ask(&client, "one").unwrap();
        assert_eq!(got.recv().unwrap(), 3);
        link.stall();
        drop(client);
        assert!(got.recv_timeout(SILENCE).is_err());
        link.mend();
        assert_eq!(got.recv().unwrap(), 0);
    }

    #[test]
    fn a_link_that_drops_replies_carries_requests_and_ends_what_has_a_hole_when_mended() {
        let (server, got) = echo();
        let link = Link::to(server);
        let [asked, idle] = [client(&link), client(&link)];
        ask(&asked, "one").unwrap();
        ask(&idle, "one").unwrap();
        link.drop_replies();
        (&asked).write_all(b"three").unwrap();
        assert_eq!(got.iter().take(3).collect::<Vec<_>>(), [3, 3, 5]);
        assert_silent(&asked);
        assert_eq!((link.request_bytes(), link.reply_bytes()), (11, 6));
        link.mend();
        assert_closed(&asked);
        // For the server too, whatever the client does.
        assert_eq!(got.recv().unwrap(), 0);
        assert_eq!(ask(&idle, "two").unwrap(), "two");
    }

    #[test]
    fn a_delay_is_had_in_each_direction_until_the_link_is_mended() {
        let link = Link::to(echo().0);
        let client = client(&link);
        let delay = Duration::from_millis(60);
        link.delay(delay);
        let began = Instant::now();
        assert_eq!(ask(&client, "one").unwrap(), "one");
        assert!(began.elapsed() >= 2 * delay, "after {:?}", began.elapsed());
        link.delay(START_MAX * 2);
        (&client).write_all(b"two").unwrap();
        assert_silent(&client);
        link.mend();
        assert_eq!(read(&client).unwrap(), "two");
    }

    #[test]
    fn a_link_to_where_nobody_is_lets_in_and_sends_away() {
        let nobody = HeldPort::new();
        let link = Link::to(nobody.addr());
        assert_closed(&client(&link));
    }

    #[test]
    fn a_dropped_link_closes_all_it_had_open() {
        let (server, got) = echo();
        let link = Link::to(server);
        let client = client(&link);
        ask(&client, "one").unwrap();
        link.stall();
        drop(link);
        assert_closed(&client);
        assert_eq!(got.iter().take(2).collect::<Vec<_>>(), [3, 0]);
    }
}
