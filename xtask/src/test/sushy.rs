//! A Redfish service that others wrote: OpenStack's `sushy-tools` from PyPI, with its fake systems, over HTTPS with a certificate
//! of its own. What happens to a system it tells, and so an emulator can follow.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::pypi::Environment;
use super::session::Session;
use crate::child;

static ENVIRONMENT: Environment = Environment::new("sushy-tools", &["sushy-tools==2.2.0"]);
/// Everything of it comes within this time.
const SHORT: Duration = Duration::from_secs(30);

pub const USER: &str = "operator";
pub const PASSWORD: &str = "Correct-Horse-7";
/// `Id` of the system, and of the one beside it.
pub const SYSTEM: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
pub const OTHER: &str = "00000000-1111-2222-3333-444444444444";

/// Why it cannot be had.
pub fn lacks() -> Option<String> {
    if child::run(&["openssl", "version"], &[], SHORT).is_err() {
        return Some("no openssl, to make a certificate".to_owned());
    }
    ENVIRONMENT.lacks()
}

/// A running service. Dropped, it is gone.
pub struct Sushy {
    child: Child,
    pub url: String,
    /// SHA-256 of its certificate, as openssl tells it.
    pub pin: String,
    /// File with the login.
    pub login: PathBuf,
    told: Arc<tiny_http::Server>,
    states: Arc<Mutex<Vec<Value>>>,
    listener: Option<JoinHandle<()>>,
}

impl Sushy {
    /// Starts it with more lines for its configuration. `follow` is called with each state of the first system: its power, what it starts from, what is inserted.
    pub fn start(session: &Session<'_>, more: &str, follow: impl Fn(&Value) + Send + 'static) -> Result<Self, String> {
        let folder = session.folder.with_extension("bmc");
        Self::begin(&folder, more, follow).map_err(|error| format!("sushy-emulator: {error:#}"))
    }

    fn begin(folder: &Path, more: &str, follow: impl Fn(&Value) + Send + 'static) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let at = |name: &str| folder.join(name).display().to_string();
        let (certificate, key) = (at("certificate.pem"), at("key.pem"));
        let line = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bmc -keyout";
        child::run(&[&line.split(' ').collect::<Vec<_>>()[..], &[&key, "-out", &certificate]].concat(), &[], SHORT)?;
        let words = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", &certificate];
        let pin = child::run(&words, &[], SHORT)?.rsplit('=').next().unwrap_or_default().trim().replace(':', "");
        let python = ENVIRONMENT.program("python");
        let hash = "import bcrypt, os; print(bcrypt.hashpw(os.environ['WORD'].encode(), bcrypt.gensalt(4)).decode())";
        let hash = child::run(&[&python, "-c", hash], &[("WORD", PASSWORD)], SHORT)?;
        fs::write(at("users"), format!("{USER}:{hash}"))?;
        let login = folder.join("login");
        let mut file = File::create(&login)?;
        fs::set_permissions(&login, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        write!(file, "user = \"{USER}\"\npassword = \"{PASSWORD}\"\n")?;

        let told = tiny_http::Server::http("127.0.0.1:0").map_err(anyhow::Error::from_boxed)?;
        let told = Arc::new(told);
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = format!(
            "import random\n\
             # Power follows after a second, instead of up to eleven.\n\
             random.randint = lambda least, most: least\n\
             SUSHY_EMULATOR_FAKE_DRIVER = True\n\
             SUSHY_EMULATOR_STATE_DIR = '{}'\n\
             SUSHY_EMULATOR_AUTH_FILE = '{}'\n\
             SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\n\
             SUSHY_EMULATOR_LISTEN_PORT = {port}\n\
             SUSHY_EMULATOR_SSL_CERT = '{certificate}'\n\
             SUSHY_EMULATOR_SSL_KEY = '{key}'\n\
             EXTERNAL_NOTIFICATION_URL = 'http://{}'\n\
             SUSHY_EMULATOR_FAKE_SYSTEMS = [{{'uuid': uuid, 'name': name, 'power_state': 'Off',\n\
             \x20   'external_notifier': name == 'board', 'nics': []}}\n\
             \x20   for uuid, name in [('{SYSTEM}', 'board'), ('{OTHER}', 'another')]]\n{more}\n",
            folder.display(),
            at("users"),
            told.server_addr(),
        );
        fs::write(at("config.py"), config)?;
        let states = Arc::new(Mutex::new(Vec::new()));
        let listener = std::thread::spawn({
            let (told, states) = (Arc::clone(&told), Arc::clone(&states));
            move || listen(&told, &states, &follow)
        });
        let log = File::create(folder.join("log"))?;
        let child = Command::new(ENVIRONMENT.program("sushy-emulator"))
            .args(["--config", &at("config.py")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .env("TMPDIR", folder)
            .spawn()?;
        let url = format!("https://127.0.0.1:{port}");
        let service = Self { child, url, pin, login, told, states, listener: Some(listener) };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            anyhow::ensure!(begin.elapsed() < SHORT, "it does not listen; see {}", at("log"));
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(service)
    }

    /// The section of a board file that names it.
    pub fn power(&self) -> String {
        let Self { url, pin, login, .. } = self;
        format!(
            "[power.redfish]\nurl = \"{url}\"\npin = \"{pin}\"\nsystem = \"{SYSTEM}\"\ncredentials = {{ file = \"{}\" }}\n",
            login.display()
        )
    }

    /// All that was told, in order.
    pub fn states(&self) -> Vec<Value> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Sushy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.told.unblock();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn listen(told: &tiny_http::Server, states: &Mutex<Vec<Value>>, follow: &dyn Fn(&Value)) {
    while let Ok(mut request) = told.recv() {
        if let Ok(state) = serde_json::from_reader::<_, Value>(request.as_reader()) {
            follow(&state);
            states.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        }
        // Whoever asked may be gone.
        let _ = request.respond(tiny_http::Response::empty(204));
    }
}
