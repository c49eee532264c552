//! A world in memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use smolvm_manifest::{
    Arch, Loaded, LocalEntry, LocalKind, LocalSource, LocalSourceError, Manifest, ManifestErrors, Surroundings, load,
};

/// A public key whose private half nobody has.
pub(crate) const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti me@host";

/// What a private key looks like, with a word to search reports for.
pub(crate) const PRIVATE_KEY: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARYcanaryCANARY\n-----END OPENSSH PRIVATE KEY-----\n";

pub(crate) const CERTIFICATE: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBE\n-----END PGP PUBLIC KEY BLOCK-----\n";

/// Files and variables that a test may name. Every other file is missing.
pub(crate) struct World {
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) folder: Option<String>,
    pub(crate) arch: Option<Arch>,
}

impl Default for World {
    fn default() -> Self {
        let files: [(&str, &[u8]); 14] = [
            ("/home/me/.ssh/id_ed25519.pub", KEY.as_bytes()),
            ("/home/me/.ssh/id_ed25519", PRIVATE_KEY.as_bytes()),
            ("keys/dev.pub", KEY.as_bytes()),
            ("keys/notes.txt", b"remember the milk\n"),
            ("keys/empty.pub", b"# nothing yet\n"),
            ("keys/example.asc", CERTIFICATE.as_bytes()),
            ("keys/apk.pem", b"-----BEGIN PUBLIC KEY-----\n"),
            ("keys/private.asc", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nCANARYcanaryCANARY\n"),
            ("password.txt", b"correct horse\n"),
            ("empty.txt", b"\n"),
            ("two-lines.txt", b"CANARY\nCANARY\n"),
            ("conf/app", b"listen 80\n"),
            ("vmlinux", b"\x7fELF"),
            ("empty-kernel", b""),
        ];
        let variables = [("ROOT_PASSWORD", "correct horse"), ("EMPTY", ""), ("NPM_TOKEN", "CANARY")];
        Self {
            files: files.into_iter().map(|(path, bytes)| (PathBuf::from(path), bytes.to_vec())).collect(),
            variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            home: Some(PathBuf::from("/home/me")),
            folder: Some("Team Dev".to_owned()),
            arch: Some(Arch::Amd64),
        }
    }
}

impl Surroundings for World {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new("keys/locked.pub") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "Permission denied (os error 13)"));
        }
        self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn local_source(&self, path: &Path) -> Result<LocalSource, LocalSourceError> {
        let shown = path.display().to_string();
        let kind = match shown.as_str() {
            "link-out" => return Err(LocalSourceError::Outside),
            "locked" => {
                let reason = io::Error::new(io::ErrorKind::PermissionDenied, "Permission denied (os error 13)");
                return Err(LocalSourceError::Unreadable { path: shown, reason });
            }
            "socket" => return Err(LocalSourceError::Unsupported { path: shown, kind: "socket" }),
            "odd" => return Err(LocalSourceError::Name { path: "odd/caf\u{fffd}".to_owned() }),
            "conf" => LocalKind::Directory,
            _ => {
                let bytes = self.files.get(path).ok_or(LocalSourceError::Missing)?;
                LocalKind::File {
                    blake3: blake3::hash(bytes).to_hex().to_string(),
                    size: bytes.len() as u64,
                    executable: false,
                }
            }
        };
        Ok(LocalSource { root: path.to_owned(), entries: vec![LocalEntry { path: String::new(), kind }] })
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).map(OsString::from)
    }

    fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }

    fn folder_name(&self) -> Option<String> {
        self.folder.clone()
    }

    fn host_arch(&self) -> Option<Arch> {
        self.arch
    }
}

/// Loads a text in the usual world.
pub(crate) fn load_text(text: &str) -> Result<Loaded, ManifestErrors> {
    load("Smolfile.yaml", text, &World::default())
}

/// Loads a text that must be right.
pub(crate) fn manifest(text: &str) -> Manifest {
    match load_text(text) {
        Ok(loaded) => loaded.manifest,
        Err(errors) => panic!("{}", render(&errors)),
    }
}

/// A report as the terminal shows it: without colour, 100 columns wide.
pub(crate) fn render(diagnostic: &dyn miette::Diagnostic) -> String {
    let mut report = String::new();
    let theme = miette::GraphicalTheme::unicode_nocolor();
    miette::GraphicalReportHandler::new_themed(theme)
        .with_width(100)
        .with_links(false)
        .render_report(&mut report, diagnostic)
        .expect("a String takes everything");
    report.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
