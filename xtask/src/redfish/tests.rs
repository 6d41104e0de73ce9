//! A BMC of our own, for what the emulator does not do: each answer is planned, and what was asked is kept.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use board::{Bmc, Credentials};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Service, Wanted, drives, start_as_before, start_once, start_once_from_network, tls};
use crate::exit::one_line;

/// Status and body, with headers between.
type Answer = (u16, &'static str, String);
/// What was asked: first line and headers, then the body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

struct Mock {
    bmc: Bmc,
    asked: Asked,
    thread: Option<JoinHandle<()>>,
    login: tempfile::TempDir,
}

const PASSWORD: &str = "s3cret word";

impl Mock {
    /// Answers by method and path; a path that `answer` does not know is not found.
    fn new(answer: impl Fn(&str) -> Option<Answer> + Send + 'static) -> Self {
        let made = rcgen::generate_simple_self_signed(["bmc".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let pin = tls::pin(made.cert.der());
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let login = tempfile::tempdir().unwrap();
        let file = login.path().join("login");
        std::fs::write(&file, format!("user = \"root\"\npassword = \"{PASSWORD}\"\n")).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let bmc = Bmc { url, system: None, pin: Some(pin), credentials: Credentials::File(file) };
        let asked = Asked::default();
        let kept = Arc::clone(&asked);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let connection = ServerConnection::new(Arc::new(config.clone())).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                // A client that does not like the certificate goes away.
                let Ok((head, body)) = request(&mut stream) else { continue };
                let line = head.lines().next().unwrap_or_default().rsplit_once(' ').unwrap().0.to_owned();
                if line == "GET /end" {
                    return;
                }
                kept.lock().unwrap().push((head, body));
                let (status, headers, body) = answer(&line).unwrap_or((404, "", String::new()));
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.get_mut().write_all(text.as_bytes());
                stream.get_mut().conn.send_close_notify();
                let _ = stream.get_mut().flush();
            }
        });
        Self { bmc, asked, thread: Some(thread), login }
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }

    fn error<T>(&self, result: anyhow::Result<T>) -> String {
        let line = one_line(&result.map(drop).unwrap_err());
        assert!(!line.contains(PASSWORD) && !line.contains('\n'), "{line}");
        assert!(self.login.path().exists());
        line
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let client = super::http::Client::new(&self.bmc);
        let _ = client.map(|client| client.get("/end").map(drop));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn request(stream: &mut impl BufRead) -> std::io::Result<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(count) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = count.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head, String::from_utf8(body).unwrap()))
}

/// One system; `more` are further members of it.
fn one(line: &str, more: &str) -> Option<Answer> {
    let body = match line {
        "GET /redfish/v1/" => r#"{"Systems": {"@odata.id": "/redfish/v1/Systems"}}"#.to_owned(),
        "GET /redfish/v1/Systems" => r#"{"Members": [{"@odata.id": "/redfish/v1/Systems/1"}]}"#.to_owned(),
        "GET /redfish/v1/Systems/1" => format!(r#"{{"Id": "1", {more}}}"#),
        _ => return None,
    };
    Some((200, "ETag: W/\"7\"\r\n", body))
}

#[test]
fn another_certificate_than_the_pinned_one_is_refused_and_named_before_the_login_is_sent() {
    let mock = Mock::new(|line| one(line, r#""PowerState": "On""#));
    let seen = mock.bmc.pin.clone().unwrap();
    let upper = Bmc { pin: Some(seen.to_ascii_uppercase()), ..mock.bmc.clone() };
    Service::open(&upper).unwrap().system().unwrap().switch(Wanted::On).unwrap();
    let before = mock.asked().len();
    let wrong = Bmc { pin: Some("0".repeat(64)), ..mock.bmc.clone() };
    let line = mock.error(Service::open(&wrong));
    assert!(line.ends_with(&format!("TLS: its certificate has pin {seen}, not the one wanted")), "{line}");
    let none = Bmc { pin: None, ..mock.bmc.clone() };
    let line = mock.error(Service::open(&none));
    // A host without any authority says that instead.
    assert!(line.contains(&format!("pin = \"{seen}\"")) || line.contains("trusts no certificate authority"), "{line}");
    assert_eq!(mock.asked().len(), before);
}

#[test]
fn a_redirect_is_not_followed_and_a_path_leads_to_no_other_host() {
    let mock = Mock::new(|line| match line {
        "GET /redfish/v1/" => Some((307, "Location: https://elsewhere/redfish/v1/\r\n", String::new())),
        _ => None,
    });
    let line = mock.error(Service::open(&mock.bmc));
    assert!(line.contains("redirect to `https://elsewhere/redfish/v1/`, which is not followed"), "{line}");
    for path in ["//elsewhere/x", "@elsewhere/x", "https://elsewhere/"] {
        let mock = Mock::new(move |_| Some((200, "", format!(r#"{{"Systems": {{"@odata.id": "{path}"}}}}"#))));
        let line = mock.error(Service::open(&mock.bmc).unwrap().system());
        assert!(line.contains("no path of this service"), "{line}");
    }
}

#[test]
fn a_refusal_is_told_in_the_bmcs_words_without_the_password() {
    let more = r##""PowerState": "Off", "Actions": {"#ComputerSystem.Reset": {"target": "/redfish/v1/reset"}}"##;
    let mock = Mock::new(move |line| match line {
        "POST /redfish/v1/reset" => {
            let said = format!("Chassis is open.\\nDid {PASSWORD} ask?");
            let info = format!(r#"{{"error": {{"@Message.ExtendedInfo": [{{"Message": "{said}"}}]}}}}"#);
            Some((409, "", info))
        }
        _ => one(line, more),
    });
    let line = mock.error(Service::open(&mock.bmc).unwrap().system().unwrap().switch(Wanted::On));
    assert!(line.ends_with("POST /redfish/v1/reset: status 409: Chassis is open. Did … ask?"), "{line}");
}

#[test]
fn only_resets_that_the_service_allows_are_asked_for() {
    let more = r##""PowerState": "On", "Actions": {"#ComputerSystem.Reset":
        {"target": "/redfish/v1/reset", "@Redfish.ActionInfo": "/redfish/v1/info"}}"##;
    let mock = Mock::new(move |line| match line {
        "GET /redfish/v1/info" => {
            let body = r#"{"Parameters": [{"Name": "ResetType", "AllowableValues": ["On", "GracefulShutdown"]}]}"#;
            Some((200, "", body.to_owned()))
        }
        _ => one(line, more),
    });
    let line = mock.error(Service::open(&mock.bmc).unwrap().system().unwrap().switch(Wanted::Off));
    assert!(line.contains("it takes no ResetType ForceOff, only On, GracefulShutdown"), "{line}");
    assert!(mock.asked().iter().all(|(head, _)| head.starts_with("GET")));
}

#[test]
fn a_stick_is_taken_before_a_disc_and_others_media_are_left_alone() {
    let more = r#""VirtualMedia": {"@odata.id": "/media"},
        "Boot": {"BootSourceOverrideTarget@Redfish.AllowableValues": ["Usb", "Cd"], "BootSourceOverrideMode": "Legacy"}"#;
    let mock = Mock::new(move |line| {
        let body = match line {
            "GET /media" => {
                r#"{"Members": [{"@odata.id": "/media/1"}, {"@odata.id": "/media/2"}], "Members@odata.nextLink": "/media?2"}"#
            }
            "GET /media?2" => r#"{"Members": [{"@odata.id": "/media/3"}]}"#,
            "GET /media/1" => r#"{"MediaTypes": ["CD", "DVD"], "Inserted": false, "Image": null}"#,
            "GET /media/2" => r#"{"MediaTypes": ["USBStick"], "Inserted": true, "Image": "http://other/their.img"}"#,
            "GET /media/3" => r#"{"MediaTypes": ["Floppy", "USBStick"], "Inserted": false, "Image": ""}"#,
            "PATCH /redfish/v1/Systems/1" => "",
            _ => return one(line, more),
        };
        Some((200, "", body.to_owned()))
    });
    let service = Service::open(&mock.bmc).unwrap();
    let system = service.system().unwrap();
    let found = drives(&system).unwrap();
    let targets: Vec<_> = found.iter().map(|drive| drive.target.as_str()).collect();
    assert_eq!(targets, ["Usb", "Cd"]);
    start_once(&system, &found[0].target).unwrap();
    let (head, body) = mock.asked().pop().unwrap();
    assert!(head.to_ascii_lowercase().contains("if-match: w/\"7\"\r\n"), "{head}");
    let wanted =
        r#"{"BootSourceOverrideEnabled":"Once","BootSourceOverrideMode":"UEFI","BootSourceOverrideTarget":"Usb"}"#;
    assert_eq!(body, format!(r#"{{"Boot":{wanted}}}"#));
}

#[test]
fn a_bmc_without_media_of_use_says_which_it_has() {
    let more = r#""Links": {"ManagedBy": [{"@odata.id": "/bmc"}]}"#;
    let mock = Mock::new(move |line| {
        let body = match line {
            "GET /bmc" => r#"{"VirtualMedia": {"@odata.id": "/media"}}"#,
            "GET /media" => r#"{"Members": [{"@odata.id": "/media/1"}]}"#,
            "GET /media/1" => r#"{"MediaTypes": ["Floppy"], "Inserted": false}"#,
            _ => return one(line, more),
        };
        Some((200, "", body.to_owned()))
    });
    let line = mock.error(drives(&Service::open(&mock.bmc).unwrap().system().unwrap()));
    assert!(
        line.ends_with("no virtual media that are free and can be started from; there: /media/1 (Floppy)"),
        "{line}"
    );
}

/// A BMC with one drive, which holds an older image of this tool; `insert` answers the first request to insert another.
fn with_drive(insert: Answer, task: &'static str) -> Mock {
    let more = r#""VirtualMedia": {"@odata.id": "/media"}, "Boot": {"BootSourceOverrideEnabled": "Once"}"#;
    let (holds, first) = (Mutex::new("http://host/inflight-b.img"), Mutex::new(Some(insert)));
    Mock::new(move |line| {
        let mut holds = holds.lock().unwrap();
        let empty = (204, "", String::new());
        match line {
            "GET /media" => Some((200, "", r#"{"Members": [{"@odata.id": "/media/1"}]}"#.to_owned())),
            "GET /media/1" => {
                let actions = r##"{"#VirtualMedia.InsertMedia": {"target": "/in"}, "#VirtualMedia.EjectMedia": {"target": "/out"}}"##;
                let is_in = !holds.is_empty();
                let body = format!(
                    r#"{{"MediaTypes": ["USBStick"], "Image": "{holds}", "Inserted": {is_in}, "Actions": {actions}}}"#
                );
                Some((200, "", body))
            }
            "POST /out" => {
                *holds = "";
                Some(empty)
            }
            "POST /in" => match first.lock().unwrap().take() {
                Some(answer) => Some(answer),
                None => {
                    *holds = "http://host/inflight-c.img";
                    Some(empty)
                }
            },
            "GET /task" => Some((200, "", task.to_owned())),
            "PATCH /redfish/v1/Systems/1" => Some(empty),
            _ => one(line, more),
        }
    })
}

#[test]
fn an_older_image_is_taken_out_and_a_bmc_that_asks_how_is_told() {
    let asks = r#"{"error": {"@Message.ExtendedInfo": [{"Message": "TransferProtocolType is missing."}]}}"#;
    let mock = with_drive((400, "", asks.to_owned()), "");
    let service = Service::open(&mock.bmc).unwrap();
    let system = service.system().unwrap();
    let drive = drives(&system).unwrap().remove(0);
    assert!(drive.is_ours());
    drive.insert(system.client, "http://host/inflight-c.img").unwrap();
    start_as_before(&system).unwrap();
    let changes: Vec<_> = mock.asked().into_iter().filter(|(head, _)| !head.starts_with("GET")).collect();
    let plain = r#""Image":"http://host/inflight-c.img","Inserted":true"#;
    let wanted = [
        ("POST /out ", "{}".to_owned()),
        ("POST /in ", format!(r#"{{{plain},"WriteProtected":true}}"#)),
        (
            "POST /in ",
            format!(r#"{{{plain},"TransferMethod":"Stream","TransferProtocolType":"HTTP","WriteProtected":true}}"#),
        ),
        (
            "PATCH /redfish/v1/Systems/1 ",
            r#"{"Boot":{"BootSourceOverrideEnabled":"Disabled","BootSourceOverrideTarget":"None"}}"#.to_owned(),
        ),
    ];
    assert_eq!(changes.len(), wanted.len());
    for ((head, body), (line, wanted)) in changes.iter().zip(wanted) {
        assert!(head.starts_with(line) && *body == wanted, "{head}{body}");
    }
}

#[test]
fn a_task_that_fails_is_told_in_its_own_words() {
    let task = r#"{"TaskState": "Exception", "Messages": [{"Message": "The image cannot be read."}]}"#;
    let mock = with_drive((202, "Location: https://bmc/task\r\n", String::new()), task);
    let service = Service::open(&mock.bmc).unwrap();
    let system = service.system().unwrap();
    let drive = drives(&system).unwrap().remove(0);
    let line = mock.error(drive.insert(system.client, "http://host/inflight-c.img"));
    assert!(line.ends_with("/media/1: its task failed: The image cannot be read."), "{line}");
}

#[test]
fn a_system_starts_from_a_network_once_by_what_its_service_has() {
    let asked_of = |boot: &'static str, url: Option<&str>, is_pxe: bool| {
        let mock = Mock::new(move |line| match line {
            "PATCH /redfish/v1/Systems/1" => Some((204, "", String::new())),
            _ => one(line, &format!(r#""Boot": {{{boot}}}"#)),
        });
        let service = Service::open(&mock.bmc).unwrap();
        let target = start_once_from_network(&service.system().unwrap(), url, is_pxe).unwrap();
        let change = mock.asked().into_iter().find(|(head, _)| head.starts_with("PATCH")).map(|(_, body)| body);
        (target, change.unwrap_or_default())
    };
    let url = Some("http://host/a.efi");
    let body = |more: &str| format!(r#"{{"Boot":{{"BootSourceOverrideEnabled":"Once",{more}}}}}"#);
    let (http, pxe) = (r#""BootSourceOverrideTarget":"UefiHttp""#, r#""BootSourceOverrideTarget":"Pxe""#);
    let all = r#""BootSourceOverrideTarget@Redfish.AllowableValues": ["Hdd", "Pxe", "UefiHttp"]"#;
    let with_uri = r#""HttpBootUri": null, "BootSourceOverrideTarget@Redfish.AllowableValues": ["UefiHttp"]"#;
    let uri = format!(r#"{http},"HttpBootUri":"http://host/a.efi""#);
    assert_eq!(asked_of(with_uri, url, true), (Some("UefiHttp"), body(&uri)));
    assert_eq!(asked_of(all, url, true), (Some("UefiHttp"), body(http)));
    assert_eq!(asked_of(all, None, true), (Some("Pxe"), body(pxe)));
    assert_eq!(asked_of("", url, true), (Some("Pxe"), body(pxe)));
    // Nothing that it has is served.
    assert_eq!(asked_of(with_uri, None, true), (None, String::new()));
    assert_eq!(asked_of("", url, false), (None, String::new()));
}
