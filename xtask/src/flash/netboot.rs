//! The way `netboot`: the board's firmware fetches the image by HTTP boot (UEFI 2.11, 24.7) or PXE, from servers in this command.
//!
//! What is served holds options and table, too: a network has no volume with files beside the image. Nothing stays on the board.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use board::{Board, Power, Serve, target};
use indicatif::HumanBytes;

use super::payload::{self, Told};
use super::settings::Settings;
use super::uboot::prompt::Prompt;
use super::{serve_at, tftp_port};
use crate::cli::{FlashArgs, PayloadArgs};
use crate::exit::{Exit, stopped, unexpected, usage};
use crate::lock::Lock;
use crate::power;
use crate::redfish::{self, Service};
use crate::report::model::Artifact;
use crate::run::{self, Progress, switch_on};
use crate::serial::Console;
use crate::serve::{File, Http, LOOPBACK, Reads, Tftp};

/// Where HTTP is served unless something else is said: the settings of a DHCP server stay right from one time to the next.
const HTTP_PORT: u16 = 8080;
/// It is served for so long, unless somebody has fetched it or Ctrl-C ends it before.
const SERVED: Duration = Duration::from_secs(1_800);
/// From the last byte to the payload's first word.
const FIRST_WORD: Duration = Duration::from_secs(60);
/// After the last byte was sent it may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// Between two looks.
const TURN: Duration = Duration::from_millis(100);

/// What is served and where, checked before anything is built.
#[derive(Debug)]
pub struct Plan {
    told: Told,
    http: Option<SocketAddr>,
    tftp: Option<SocketAddr>,
}

/// The servers, until they are dropped.
pub struct Serving {
    http: Option<Http>,
    tftp: Option<Tftp>,
    reads: Arc<Reads>,
    /// What is served.
    pub image: Artifact,
}

/// Runs the command.
pub fn run(args: &FlashArgs, board: &Board, to: Option<&str>, lock: Lock) -> anyhow::Result<Exit> {
    if args.restore {
        return Err(usage("--restore: the way netboot leaves nothing on the board; nothing has to be put back"));
    }
    let plan = Plan::of(&args.payload, board, to, args.serve, args.tftp_port)?;
    let progress = Progress::new();
    let serving = plan.begin(board, &progress)?;
    drop(progress);
    crate::exit::say!("{}", serving.settings());
    let progress = Progress::new();
    run::listen()?;
    serving.aim(board, &progress)?;
    let serial = board.serial.as_ref().filter(|_| !args.leave_off);
    let console = serial.map(Console::open).transpose()?;
    if args.leave_off {
        if let Some(power) = &board.power {
            progress.phase("switch the board off");
            power::off(power)?;
        }
        // Others may have the board now: `run`, for one.
        drop(lock);
    } else {
        switch_on(board, console.as_ref(), &progress)?;
    }
    let said = serving.until_it_runs(console.as_ref(), &progress)?;
    drop(progress);
    crate::exit::say!("{}: {said}", board.name);
    Ok(Exit::Pass)
}

impl Plan {
    /// Reads `--to`, `--serve` and the options.
    pub fn of(
        args: &PayloadArgs,
        board: &Board,
        to: Option<&str>,
        serve: Option<Serve>,
        port: Option<u16>,
    ) -> anyhow::Result<Self> {
        super::without_kernel(args, "netboot")?;
        payload::needs_uefi(board)?;
        let (is_http, is_pxe) = match to {
            None => (true, true),
            Some(to) => target::of_netboot(to).map_err(|wrong| usage(format!("--to {to}: {wrong}")))?,
        };
        let at = serve_at(serve, board).unwrap_or(LOOPBACK);
        if at.ip().is_loopback() && board.qemu.is_none() {
            crate::exit::tell!(
                "note: served at {} only, which a board does not reach; give --serve, or `serve` in its [flash], the address of this host that it does",
                at.ip()
            );
        }
        let http = SocketAddr::new(at.ip(), if at.port() == 0 { HTTP_PORT } else { at.port() });
        let tftp = SocketAddr::new(at.ip(), tftp_port(port, board));
        Ok(Self { told: Told::of(args, board)?, http: is_http.then_some(http), tftp: is_pxe.then_some(tftp) })
    }

    /// Builds the image and begins to serve it.
    pub fn begin(&self, board: &Board, progress: &Progress) -> anyhow::Result<Serving> {
        progress.phase("build both images");
        let bytes = payload::whole(&self.told, board)?;
        // A name of its own: only who was told of this board fetches its image.
        let name = format!("inflight-{}.efi", board.name.replace('/', "-"));
        let image = run::artifact(&name, &bytes);
        let files = vec![File { name, bytes }];
        let reads = Arc::new(Reads::default());
        let http = self.http.map(|at| Http::begin(at, files.clone(), &reads)).transpose()?;
        let tftp = self.tftp.map(|at| Tftp::begin(at, files, &reads)).transpose()?;
        Ok(Serving { http, tftp, reads, image })
    }
}

impl Serving {
    /// What the lab's DHCP server, or firmware, has to be told.
    fn settings(&self) -> Settings<'_> {
        let Artifact { name, bytes, sha256 } = &self.image;
        let url = self.http.as_ref().map(|http| http.url(name));
        Settings {
            name,
            what: format!("{}, SHA-256 {sha256}", HumanBytes(*bytes)),
            url,
            tftp: self.tftp.as_ref().map(|tftp| tftp.at),
        }
    }

    /// Has a BMC that speaks Redfish start the board from the network, the next time only. Others' firmware has an order of its own.
    pub fn aim(&self, board: &Board, progress: &Progress) -> anyhow::Result<()> {
        let Some(Power::Redfish(bmc)) = &board.power else { return Ok(()) };
        progress.phase("have the BMC start the board from the network");
        let service = Service::open(bmc)?;
        let url = self.http.as_ref().map(|http| http.url(&self.image.name));
        let target = redfish::start_once_from_network(&service.system()?, url.as_deref(), self.tftp.is_some())?;
        progress.line(&match target {
            Some(target) => format!("the BMC has the board start by {target}, once"),
            None => "the BMC knows no way to a network; firmware's own order decides".to_owned(),
        });
        Ok(())
    }

    /// Tells who fetches what, while something else is done, until the sender of `over` is dropped.
    pub fn tell_until(&self, over: &Receiver<()>, progress: &Progress) {
        while over.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
            self.reads.tell(progress);
        }
        self.reads.tell(progress);
    }

    /// Why a board may be silent: nobody has fetched the image. With a semicolon before.
    pub fn excuse(&self) -> String {
        match self.reads.who_has_pieces(&self.image.name) {
            Some(_) => String::new(),
            None => {
                let last = self.reads.last_refusal().map_or_else(String::new, |line| format!("; {line}"));
                format!("; nobody has fetched {}{last}", self.image.name)
            }
        }
    }

    /// Waits until the image was fetched and, where a console shows it, says its first word. What can be said of it.
    fn until_it_runs(&self, console: Option<&Console>, progress: &Progress) -> anyhow::Result<String> {
        let mut prompt = console.map(Prompt::new);
        let has_spoken = |text: &str| text.contains(wire::PREFIX);
        progress.phase(&format!("wait until {} is fetched", self.image.name));
        let begin = Instant::now();
        let who = loop {
            self.reads.tell(progress);
            if let Some(who) = self.reads.who_has_pieces(&self.image.name) {
                break who;
            }
            if begin.elapsed() >= SERVED {
                let last = prompt.as_ref().map(Prompt::last_line).unwrap_or_default();
                let minutes = SERVED.as_secs() / 60;
                return Err(unexpected(format!("it was served for {minutes} min{}{last}", self.excuse())));
            }
            self.wait(prompt.as_mut(), TURN, &|_| false)?;
        };
        let fetched = format!("fetched by {} by {}", who.from, who.by);
        let Some(mut prompt) = prompt else {
            self.wait(None, ON_ITS_WAY, &has_spoken)?;
            self.reads.tell(progress);
            return Ok(format!("{fetched}; `run` shows whether it runs"));
        };
        progress.phase("wait for the payload's first word");
        if has_spoken(&String::from_utf8_lossy(prompt.heard()))
            || self.wait(Some(&mut prompt), FIRST_WORD, &has_spoken)?
        {
            return Ok(format!("{fetched}, and the payload runs; `run` instead of `flash` captures what it tells"));
        }
        let (seconds, last) = (FIRST_WORD.as_secs(), prompt.last_line());
        Err(unexpected(format!("{fetched}, and then the payload said nothing within {seconds} s{last}")))
    }

    /// Listens where there is somebody to listen to, and waits otherwise. Whether what was waited for came.
    fn wait(
        &self,
        prompt: Option<&mut Prompt<'_>>,
        time: Duration,
        is_there: &dyn Fn(&str) -> bool,
    ) -> anyhow::Result<bool> {
        match prompt {
            Some(prompt) => prompt.until(time, is_there).map(|said| said.is_some()),
            None => {
                std::thread::sleep(time);
                if run::is_stopped() { Err(stopped()) } else { Ok(false) }
            }
        }
    }
}
