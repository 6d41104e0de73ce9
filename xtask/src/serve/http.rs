//! Files over HTTP, whole or by ranges.

use std::io::{Cursor, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tiny_http::{Header, Method, Request, Response, Server};

use super::reads::{By, Reads, Who};
use super::{File, cannot};

/// Requests that are answered at a time; more wait.
const WORKERS: usize = 4;
/// A reader that takes nothing for so long has gone away.
const STUCK: Duration = Duration::from_secs(20);
/// One answer ends within this time: a slow BMC reads a volume in minutes.
const LONGEST: Duration = Duration::from_secs(1_800);

/// Serves until it is dropped.
pub struct Http {
    server: Arc<Server>,
    is_over: Arc<AtomicBool>,
    /// Where.
    pub at: SocketAddr,
}

impl Http {
    /// Begins to serve `files`.
    ///
    /// # Errors
    /// The address is not this host's, or its port is taken or not for everybody.
    pub fn begin(at: SocketAddr, files: Vec<File>, reads: &Arc<Reads>) -> anyhow::Result<Self> {
        // Each connection is a file of this process, and who asks for too many must not end it.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // With the limit that there is it serves, too.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let listener = TcpListener::bind(at).map_err(|error| cannot(By::Http, at, &error))?;
        // Connections have it from the socket that accepts them: a reader that goes away in silence holds no worker.
        set_socket_timeout(&listener, Timeout::Send, Some(STUCK))
            .map_err(|error| cannot(By::Http, at, &error.into()))?;
        let at = listener.local_addr().map_err(|error| cannot(By::Http, at, &error))?;
        let server = Server::from_listener(listener, None);
        let server = Arc::new(server.map_err(|error| cannot(By::Http, at, &std::io::Error::other(error)))?);
        let (files, is_over) = (Arc::new(files), Arc::new(AtomicBool::new(false)));
        for _ in 0..WORKERS {
            let (server, files) = (Arc::clone(&server), Arc::clone(&files));
            let (reads, is_over) = (Arc::clone(reads), Arc::clone(&is_over));
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    // One reader that goes away is no fault of the next.
                    let _ = answer(request, &files, &reads, &is_over);
                }
            });
        }
        Ok(Self { server, is_over, at })
    }

    /// Where a file is.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.at)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        (0..WORKERS).for_each(|_| self.server.unblock());
    }
}

/// Answers a request.
fn answer(request: Request, files: &[File], reads: &Reads, is_over: &AtomicBool) -> std::io::Result<()> {
    let from = request.remote_addr().map_or(IpAddr::from([0, 0, 0, 0]), SocketAddr::ip);
    let refuse = |request: Request, status: u16, why: &str| {
        reads.refused(from, By::Http, request.url(), why);
        request.respond(Response::empty(status))
    };
    let Some(file) = request.url().strip_prefix('/').and_then(|name| files.iter().find(|file| file.name == name))
    else {
        return refuse(request, 404, "there is none");
    };
    if !matches!(request.method(), Method::Get | Method::Head) {
        return refuse(request, 405, "it can only be read");
    }
    let who = Who { from, by: By::Http, name: file.name.clone() };
    let size = file.bytes.len();
    let asked = request.headers().iter().find(|header| header.field.equiv("Range")).map(|it| it.value.as_str());
    let (range, status) = match asked.map(|asked| range(asked, size)) {
        // Not understood, or more than one: all of it, as RFC 9110, 14.2 allows.
        None | Some(None) => (0..size, 200),
        Some(Some(range)) if range.is_empty() => {
            let response = Response::empty(416).with_header(header("Content-Range", &format!("bytes */{size}")));
            return request.respond(response);
        }
        Some(Some(range)) => (range, 206),
    };
    let is_get = *request.method() == Method::Get;
    if is_get && range.start == 0 {
        reads.begins(&who, size);
    }
    let bytes = Cursor::new(&file.bytes[range.clone()]);
    let (begin, took) = (Instant::now(), |done: usize| reads.took(&who, range.start..range.start + done, size));
    let part =
        Counted { bytes, is_wanted: &|| begin.elapsed() < LONGEST && !is_over.load(Ordering::Relaxed), took: &took };
    let mut response = Response::new(status.into(), Vec::new(), part, Some(range.len()), None)
        // A reader in firmware needs a length, not chunks.
        .with_chunked_threshold(usize::MAX)
        .with_header(header("Accept-Ranges", "bytes"))
        .with_header(header("Content-Type", media_type(&file.name)));
    if status == 206 {
        response.add_header(header("Content-Range", &format!("bytes {}-{}/{size}", range.start, range.end - 1)));
    }
    request.respond(response)?;
    if is_get {
        took(range.len());
        if status == 200 {
            reads.has_all(&who, size);
        }
    }
    Ok(())
}

/// What firmware takes a file for (UEFI 2.11, 24.7.7.2). An application needs no name of its own, by its ending.
fn media_type(name: &str) -> &'static str {
    if name.ends_with(".efi") { "application/efi" } else { "application/octet-stream" }
}

/// Bytes of an answer, which tells how many of them have gone.
struct Counted<'a> {
    bytes: Cursor<&'a [u8]>,
    is_wanted: &'a dyn Fn() -> bool,
    took: &'a dyn Fn(usize),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !(self.is_wanted)() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        // Whoever asks for more has sent what it had.
        (self.took)(self.bytes.position() as usize);
        self.bytes.read(buffer)
    }
}

/// One range of bytes (RFC 9110, 14.1.2); an empty one cannot be satisfied.
fn range(text: &str, size: usize) -> Option<Range<usize>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return None,
    };
    Some(if range.start < range.end { range } else { 0..0 })
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("names and values here are ASCII without line ends")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;

    use super::super::LOOPBACK;
    use super::*;

    #[test]
    fn ranges_are_read_and_stay_inside() {
        let of = |text| range(text, 100);
        assert_eq!(of("bytes=0-9"), Some(0..10));
        assert_eq!(of("bytes=90-1000"), Some(90..100));
        assert_eq!(of("bytes=90-"), Some(90..100));
        assert_eq!(of("bytes=-10"), Some(90..100));
        assert_eq!(of("bytes=-1000"), Some(0..100));
        assert_eq!(of("bytes=100-"), Some(0..0));
        assert_eq!(of("bytes=-0"), Some(0..0));
        for wrong in
            ["bytes=9-0", "bytes=0-9,20-29", "lines=0-9", "bytes=-", "bytes=a-b", "bytes=18446744073709551616-"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(of("bytes=0-18446744073709551615"), Some(0..100));
    }

    #[test]
    fn exactly_one_file_is_served_in_whole_and_in_pieces() {
        let image: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let (reads, name) = (Arc::new(Reads::default()), "inflight-b.img");
        let http = Http::begin(LOOPBACK, vec![File { name: name.into(), bytes: image.clone() }], &reads).unwrap();
        let url = http.url(name);
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut piece = agent.get(&url).header("Range", "bytes=65530-65545").call().unwrap();
        assert_eq!(piece.status(), 206);
        assert_eq!(piece.headers()["Content-Range"], "bytes 65530-65545/100000");
        assert_eq!(piece.body_mut().read_to_vec().unwrap(), image[65_530..65_546]);
        let head = agent.head(&url).call().unwrap();
        assert_eq!((head.headers()["Content-Length"].to_str().unwrap(), head.status().as_u16()), ("100000", 200));
        for wrong in ["/", "/../etc/passwd", "/inflight-b.img/", "/inflight-b.imgx", "//inflight-b.img"] {
            let url = url.replace("/inflight-b.img", wrong);
            assert_eq!(agent.get(&url).call().unwrap().status(), 404, "{wrong}");
        }
        assert_eq!(agent.put(&url).send("x").unwrap().status(), 405);
        assert_eq!((reads.who_has(name), reads.who_has_pieces(name)), (None, None));
        assert_eq!(agent.get(&url).call().unwrap().body_mut().read_to_vec().unwrap(), image);
        // The answer is complete here before it is counted there.
        let deadline = Instant::now() + Duration::from_secs(10);
        while reads.who_has(name).is_none() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(reads.who_has(name).is_some_and(|who| who.from.is_loopback() && who.by == By::Http));
    }

    #[test]
    fn readers_that_take_nothing_do_not_keep_others_waiting_and_do_not_count() {
        // More than the sockets' buffers hold.
        let image = vec![7; 64 << 20];
        let reads = Arc::new(Reads::default());
        let http = Http::begin(LOOPBACK, vec![File { name: "a".into(), bytes: image.clone() }], &reads).unwrap();
        let stuck: Vec<_> = (1..WORKERS)
            .map(|_| {
                let mut stream = TcpStream::connect(http.at).unwrap();
                stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                stream
            })
            .collect();
        let head = ureq::head(http.url("a")).call().unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(reads.who_has("a"), None);
        drop(stuck);
    }

    #[test]
    fn what_is_wrong_with_an_address_is_one_line() {
        let reads = Arc::new(Reads::default());
        let begin = |at: &str| Http::begin(at.parse().unwrap(), Vec::new(), &reads);
        let first = begin("127.0.0.1:0").unwrap();
        let error = begin(&first.at.to_string()).err().unwrap();
        assert!(crate::exit::one_line(&error).contains("another program has that port"), "{error}");
        // TEST-NET-1 (RFC 5737) is nobody's.
        let error = begin("192.0.2.1:0").err().unwrap();
        assert!(crate::exit::one_line(&error).contains("no such address"), "{error}");
    }
}
