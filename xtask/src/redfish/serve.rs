//! The image, for a BMC that reads it: an HTTP server of one file, which nobody can change, and of which pieces can be read.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tiny_http::{Header, Method, Request, Response, Server};

use crate::exit::usage;

/// Serves until it is dropped.
pub struct Serving {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    /// Where the image is.
    pub url: String,
    is_copied: Arc<AtomicBool>,
}

/// An address of this host, `IP` or `IP:PORT`.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let address =
        text.parse().or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)));
    match address {
        Ok(address) if !address.ip().is_unspecified() => Ok(address),
        Ok(_) => Err("name the one address at which the BMC reaches this host".to_owned()),
        Err(_) => Err("want IP or IP:PORT, as in 192.0.2.7 or [2001:db8::7]:8080".to_owned()),
    }
}

/// Where it is served unless something else is said: nobody else's business.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Serving {
    /// Begins to serve `image` as `/name`.
    ///
    /// # Errors
    /// The address is not this host's, or its port is taken.
    pub fn begin(at: SocketAddr, name: &str, image: Vec<u8>) -> anyhow::Result<Self> {
        let server = Server::http(at).map_err(|error| usage(format!("cannot serve the image at {at}: {error}")))?;
        let server = Arc::new(server);
        let url = format!("http://{}/{name}", server.server_addr());
        let is_copied = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (server, is_copied) = (Arc::clone(&server), Arc::clone(&is_copied));
            let path = format!("/{name}");
            move || {
                while let Ok(request) = server.recv() {
                    // One reader that goes away is no fault of the next.
                    if let Ok(true) = answer(request, &path, &image) {
                        is_copied.store(true, Ordering::Relaxed);
                    }
                }
            }
        });
        Ok(Self { server, thread: Some(thread), url, is_copied })
    }

    /// Somebody has read all of it at once, and needs it no more.
    pub fn is_copied(&self) -> bool {
        self.is_copied.load(Ordering::Relaxed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}

/// Answers a request; true where all of the image was sent.
fn answer(request: Request, path: &str, image: &[u8]) -> std::io::Result<bool> {
    if request.url() != path {
        return request.respond(Response::empty(404)).map(|()| false);
    }
    if !matches!(request.method(), Method::Get | Method::Head) {
        return request.respond(Response::empty(405)).map(|()| false);
    }
    let asked = request.headers().iter().find(|header| header.field.equiv("Range")).map(|it| it.value.as_str());
    let (range, status) = match asked.map(|asked| range(asked, image.len())) {
        // Not understood, or more than one: all of it, as RFC 9110, 14.2 allows.
        None | Some(None) => (0..image.len(), 200),
        Some(Some(range)) if range.is_empty() => {
            let size = format!("bytes */{}", image.len());
            return request.respond(Response::empty(416).with_header(header("Content-Range", &size))).map(|()| false);
        }
        Some(Some(range)) => (range, 206),
    };
    let is_all = status == 200 && *request.method() == Method::Get;
    let part = image[range.clone()].to_vec();
    let length = part.len();
    let mut response = Response::new(status.into(), Vec::new(), Cursor::new(part), Some(length), None)
        // A BMC's reader needs a length, not chunks.
        .with_chunked_threshold(usize::MAX)
        .with_header(header("Accept-Ranges", "bytes"))
        .with_header(header("Content-Type", "application/octet-stream"));
    if status == 206 {
        let place = format!("bytes {}-{}/{}", range.start, range.end - 1, image.len());
        response.add_header(header("Content-Range", &place));
    }
    request.respond(response).map(|()| is_all)
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
        let serving = Serving::begin(LOOPBACK, "inflight-b.img", image.clone()).unwrap();
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut piece = agent.get(&serving.url).header("Range", "bytes=65530-65545").call().unwrap();
        assert_eq!(piece.status(), 206);
        assert_eq!(piece.headers()["Content-Range"], "bytes 65530-65545/100000");
        assert_eq!(piece.body_mut().read_to_vec().unwrap(), image[65_530..65_546]);
        let head = agent.head(&serving.url).call().unwrap();
        assert_eq!((head.headers()["Content-Length"].to_str().unwrap(), head.status().as_u16()), ("100000", 200));
        assert!(!serving.is_copied());
        for wrong in ["/", "/../etc/passwd", "/inflight-b.img/", "/inflight-b.imgx"] {
            let url = serving.url.replace("/inflight-b.img", wrong);
            assert_eq!(agent.get(&url).call().unwrap().status(), 404, "{wrong}");
        }
        assert_eq!(agent.put(&serving.url).send("x").unwrap().status(), 405);
        assert_eq!(agent.get(&serving.url).call().unwrap().body_mut().read_to_vec().unwrap(), image);
        // The answer is complete here before it is counted there.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !serving.is_copied() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(serving.is_copied());
    }

    #[test]
    fn an_address_is_one_that_a_bmc_can_reach() {
        assert_eq!(address("192.0.2.7").unwrap().to_string(), "192.0.2.7:0");
        assert_eq!(address("[2001:db8::7]:8080").unwrap().to_string(), "[2001:db8::7]:8080");
        assert_eq!(address("2001:db8::7").unwrap().to_string(), "[2001:db8::7]:0");
        assert!(address("0.0.0.0").unwrap_err().contains("the one address"));
        assert!(address("host").unwrap_err().contains("want IP"));
    }
}
