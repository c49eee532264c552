//! Unpacked packages become a working system: placed, then configured by the image's own dpkg.

mod background;
mod dpkg;
mod error;
mod layout;
mod script;
mod stand_in;

use std::collections::HashMap;
use std::path::PathBuf;

use fs_err as fs;
use smolvm_sandbox::{PlaceOp, Session};

pub use self::background::{Stopper, UnpackJob, Unpacked, Unpacker, Urgency};
pub use self::error::InstallError;

use self::stand_in::{STAND_INS, StandIn};
use super::database::{Database, Installed};
use super::place::place;
use super::plan::Wave;
use super::unpack::{ControlFiles, UnpackError, UnpackedPackage};

/// What installing needs to know beside the packages.
#[derive(Debug, Clone)]
pub struct InstallOptions {
    /// The session's scratch folder, into which the packages were unpacked.
    pub scratch: PathBuf,
    /// The time that files made on the way get, seconds since 1970.
    pub epoch: i64,
}

/// What happens while packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallEvent<'a> {
    /// The files of so many packages are in their places.
    Placed {
        /// How many packages.
        packages: usize,
    },
    /// A maintainer script begins.
    Script {
        /// Whose.
        package: &'a str,
        /// Which: `preinst`, `postinst`, `triggers`.
        script: &'a str,
    },
    /// Something that dpkg or a script wrote, as it came.
    Output(&'a [u8]),
}

/// Installs packages into the session's image, wave by wave, as dpkg would.
///
/// Each wave begins as soon as its own packages have arrived. The image may be empty (then the first wave must be a bootstrap
/// wave), or have been installed into before.
pub fn install<I: Iterator<Item = Result<UnpackedPackage, UnpackError>>>(
    session: &mut Session,
    waves: &[Wave],
    arrivals: &mut Arrivals<I>,
    options: &InstallOptions,
    on_event: &mut dyn FnMut(InstallEvent<'_>),
) -> Result<(), InstallError> {
    let mut installer = Installer::begin(session, options, on_event)?;
    for (number, wave) in waves.iter().enumerate() {
        let packages = arrivals.wait_for(&wave.unpack)?;
        if wave.bootstrap {
            installer.bootstrap(&packages)?;
        } else {
            installer.unpack(&packages)?;
        }
        // Triggers are left for the last run: each would be run once per wave otherwise.
        let is_last = number + 1 == waves.len();
        installer.configure(&wave.configure, is_last)?;
    }
    installer.finish()
}

/// Unpacked packages, which come in any order and are wanted in that of the plan.
#[derive(Debug)]
pub struct Arrivals<I> {
    packages: I,
    waiting: HashMap<String, UnpackedPackage>,
}

impl<I: Iterator<Item = Result<UnpackedPackage, UnpackError>>> Arrivals<I> {
    /// Those that `packages` yields.
    pub fn new(packages: impl IntoIterator<IntoIter = I>) -> Self {
        Self { packages: packages.into_iter(), waiting: HashMap::new() }
    }

    fn wait_for(&mut self, names: &[String]) -> Result<Vec<UnpackedPackage>, InstallError> {
        let mut wanted = Vec::with_capacity(names.len());
        for name in names {
            let package = loop {
                if let Some(package) = self.waiting.remove(name) {
                    break package;
                }
                let Some(package) = self.packages.next() else {
                    return Err(InstallError::Missing { package: name.clone() });
                };
                let package = package?;
                self.waiting.insert(package.control.name.clone(), package);
            };
            wanted.push(package);
        }
        Ok(wanted)
    }
}

/// The image, on its way from one state to the next.
///
/// Changes are collected and made together before anything runs in the image.
struct Installer<'a> {
    session: &'a mut Session,
    database: Database,
    options: &'a InstallOptions,
    on_event: &'a mut dyn FnMut(InstallEvent<'_>),
    /// Changes that are yet to be made.
    ops: Vec<PlaceOp>,
    /// How many files this run has written for the image by itself.
    written: usize,
    /// Whether something ran since the database was read.
    stale: bool,
    /// What was placed for the time of the installing, and has to go again.
    stand_ins: Vec<&'static StandIn>,
}

/// Where files that are not from a package's archive wait to be placed.
const CONTENT: &str = "content/.dpkg";

impl<'a> Installer<'a> {
    fn begin(
        session: &'a mut Session,
        options: &'a InstallOptions,
        on_event: &'a mut dyn FnMut(InstallEvent<'_>),
    ) -> Result<Self, InstallError> {
        let database = Database::load(&mut |path| session.read(path))?;
        let folder = options.scratch.join(CONTENT);
        // Left behind by the layer before this one.
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(InstallError::Write { path: folder, source });
            }
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(|source| InstallError::Write { path: folder, source })?;
        Ok(Self {
            session,
            database,
            options,
            on_event,
            ops: Vec::new(),
            written: 0,
            stale: false,
            stand_ins: Vec::new(),
        })
    }

    /// Fills an empty image. There is no shell before all files are there, so all `preinst` scripts come after that.
    fn bootstrap(&mut self, packages: &[UnpackedPackage]) -> Result<(), InstallError> {
        self.ops.extend(layout::first_folders(packages, self.options.epoch));
        for package in packages {
            self.ops.extend(place(package, &mut self.database)?);
        }
        self.stand_in(packages)?;
        self.flush()?;
        (self.on_event)(InstallEvent::Placed { packages: packages.len() });
        // The script of base-passwd makes the users that all others rely on.
        let (first, others): (Vec<_>, Vec<_>) =
            packages.iter().partition(|package| package.control.name == "base-passwd");
        for package in first.into_iter().chain(others) {
            self.preinst(package)?;
        }
        self.flush()
    }

    /// Unpacks packages into a working image: for each its `preinst`, then its files.
    fn unpack(&mut self, packages: &[UnpackedPackage]) -> Result<(), InstallError> {
        self.stand_in(&[])?;
        for package in packages {
            self.preinst(package)?;
            if std::mem::take(&mut self.stale) {
                self.database.refresh(&mut |path| self.session.read(path))?;
            }
            self.ops.extend(place(package, &mut self.database)?);
        }
        // After the packages' own folders.
        self.stand_in(packages)?;
        self.flush()?;
        (self.on_event)(InstallEvent::Placed { packages: packages.len() });
        Ok(())
    }

    /// Has dpkg configure packages, all of whose needs are unpacked.
    fn configure(&mut self, names: &[String], with_triggers: bool) -> Result<(), InstallError> {
        if names.is_empty() {
            return Ok(());
        }
        dpkg::configure(self.session, names, with_triggers, self.on_event)?;
        self.read_status()?;
        let is_configured = |name: &&String| self.database.get(name).is_some_and(Installed::is_configured);
        let unconfigured: Vec<String> = names.iter().filter(|name| !is_configured(name)).cloned().collect();
        if unconfigured.is_empty() { Ok(()) } else { Err(InstallError::Unconfigured { packages: unconfigured }) }
    }

    /// Leaves no trace of the installing, and every package installed.
    fn finish(mut self) -> Result<(), InstallError> {
        if !self.not_installed().is_empty() {
            dpkg::configure_pending(self.session, self.on_event)?;
            self.read_status()?;
            let left = self.not_installed();
            if !left.is_empty() {
                return Err(InstallError::Unconfigured { packages: left });
            }
        }
        // A package that brings such a file has replaced ours, which its list then shows.
        for StandIn { path, .. } in std::mem::take(&mut self.stand_ins) {
            if !self.database.is_owned(path) {
                self.ops.push(PlaceOp::Remove { path: (*path).to_owned() });
            }
        }
        self.flush()
    }

    fn not_installed(&self) -> Vec<String> {
        let packages = self.database.packages().filter(|package| !package.is_installed());
        packages.map(|package| package.control.name.clone()).collect()
    }

    fn read_status(&mut self) -> Result<(), InstallError> {
        self.stale = false;
        Ok(self.database.refresh_status(&mut |path| self.session.read(path))?)
    }

    /// Runs the `preinst` of a package that has one, with all its control files where dpkg would have them.
    fn preinst(&mut self, package: &UnpackedPackage) -> Result<(), InstallError> {
        if package.control_files.get("preinst").is_none() {
            return Ok(());
        }
        let folder = script::CONTROL_FOLDER;
        let (mode, mtime) = (0o755, self.options.epoch);
        self.ops.push(PlaceOp::Directory { path: folder.to_owned(), mode, uid: 0, gid: 0, mtime });
        let control = package.control_files.control.as_bytes();
        let others = package.control_files.iter().map(|(name, file)| (name, file.content.as_slice()));
        for (name, content) in others.chain([("control", control)]) {
            self.write(format!("{folder}/{name}"), content, ControlFiles::mode(name), mtime)?;
        }
        self.flush()?;
        let dpkg_version = self.database.get("dpkg").map(|dpkg| dpkg.control.version.clone());
        let ran = script::run_preinst(self.session, &package.control, dpkg_version.as_deref(), self.on_event);
        self.stale = true;
        self.ops.push(PlaceOp::Remove { path: folder.to_owned() });
        ran
    }

    /// Places the stand-ins that the scripts of these packages are to meet; a file that is there stays.
    fn stand_in(&mut self, packages: &[UnpackedPackage]) -> Result<(), InstallError> {
        for stand_in in &STAND_INS {
            let is_met = |name| packages.iter().any(|package| package.control.name == name);
            let is_wanted = stand_in.package.is_none_or(is_met) && !self.stand_ins.contains(&stand_in);
            if is_wanted && self.session.read(stand_in.path)?.is_none() {
                self.stand_ins.push(stand_in);
                self.write(stand_in.path.to_owned(), stand_in.content.as_bytes(), stand_in.mode, self.options.epoch)?;
            }
        }
        Ok(())
    }

    /// Makes all changes that have been collected.
    fn flush(&mut self) -> Result<(), InstallError> {
        for (path, file) in self.database.take_changes(&mut |path| self.session.read(path))? {
            let mtime = file.mtime.unwrap_or(self.options.epoch);
            self.write(path, &file.content, file.mode, mtime)?;
        }
        if !self.ops.is_empty() {
            self.session.place(&self.ops)?;
            self.ops.clear();
        }
        Ok(())
    }

    /// Has a file of root's made in the image with the next changes.
    fn write(&mut self, path: String, bytes: &[u8], mode: u32, mtime: i64) -> Result<(), InstallError> {
        let content = format!("{CONTENT}/{}", self.written);
        self.written += 1;
        let on_disk = self.options.scratch.join(&content);
        fs::write(&on_disk, bytes).map_err(|source| InstallError::Write { path: on_disk, source })?;
        let xattrs = std::collections::BTreeMap::new();
        self.ops.push(PlaceOp::File { path, content, mode, uid: 0, gid: 0, mtime, xattrs });
        Ok(())
    }
}
