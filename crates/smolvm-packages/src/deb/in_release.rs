//! The signed table of contents of a suite: `InRelease`.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use miette::Diagnostic;
use sha2::{Digest as _, Sha256};
use smolvm_manifest::{Arch, LockedIndex};

use super::date::{format_date, parse_date};
use super::openpgp::{CLOCK_SKEW, Keyring, Refusal, SignatureError, verify_clear_signed};

/// A suite's table of contents, its signature verified.
#[derive(Debug, Clone)]
pub struct SignedRelease {
    /// The archive's name in the lock.
    pub archive: String,
    /// The suite that was asked for: its folder below `dists`.
    pub suite: String,
    /// When it was made, seconds since 1970.
    pub date: i64,
    /// Until when it may be used, seconds since 1970.
    pub valid_until: Option<i64>,
    /// sha256 of the `InRelease` file, hex.
    pub sha256: String,
    acquire_by_hash: bool,
    architectures: Vec<String>,
    components: Vec<String>,
    all_apart: bool,
    files: HashMap<String, (u64, [u8; 32])>,
}

/// A `Packages` file of a [`SignedRelease`], in the best compression on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Where it is, below the archive's address: by its hash where the archive offers that, so that a mirror that is being
    /// updated still has it.
    pub path: String,
    /// Where it is under its own name.
    pub plain_path: String,
    /// How to read it.
    pub compression: Compression,
    /// Bytes.
    pub size: u64,
    /// sha256 of the file as it is served.
    pub sha256: [u8; 32],
    /// What it decompresses to, where the release names that too.
    pub text: Option<IndexText>,
}

/// The text of an index that is served compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexText {
    /// Bytes.
    pub size: u64,
    /// Its sha256.
    pub sha256: [u8; 32],
}

/// How an index is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// xz.
    Xz,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Not at all.
    None,
}

impl Compression {
    /// Best first: the smallest download.
    const BY_PREFERENCE: [(Self, &'static str); 4] =
        [(Self::Xz, ".xz"), (Self::Zstd, ".zst"), (Self::Gzip, ".gz"), (Self::None, "")];
}

/// An `InRelease` that must not be used, or lacks what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum InReleaseError {
    /// The signature is not good.
    #[error("the index of {name} cannot be trusted: {source}")]
    #[diagnostic(code(smolvm::packages::signature), help("{}", signature_help(source)))]
    Signature {
        /// Archive and suite.
        name: String,
        /// Why.
        source: SignatureError,
    },
    /// It is signed, but not written as such files are.
    #[error("the index of {name} has no usable `{field}` field")]
    #[diagnostic(
        code(smolvm::packages::release_file),
        help("the archive is not laid out as apt expects; tell whoever runs it, or use another one")
    )]
    Field {
        /// Archive and suite.
        name: String,
        /// Which.
        field: &'static str,
    },
    /// It is dated in the future.
    #[error("the index of {name} was made on {}, which is {} ahead of this machine's clock", format_date(*.date), ahead(*.date - *.now))]
    #[diagnostic(
        code(smolvm::packages::clock),
        help("set this machine's clock (`date -u` shows it), then build again")
    )]
    FromTheFuture {
        /// Archive and suite.
        name: String,
        /// Its date.
        date: i64,
        /// Ours.
        now: i64,
    },
    /// It is past its date.
    #[error("the index of {name} expired on {}, {} ago", format_date(*.valid_until), ahead(*.now - *.valid_until))]
    #[diagnostic(
        code(smolvm::packages::expired),
        help(
            "the mirror is stale, or this machine's clock is wrong (`date -u` shows it): use another mirror, or set the clock"
        )
    )]
    Expired {
        /// Archive and suite.
        name: String,
        /// Its last moment.
        valid_until: i64,
        /// Now.
        now: i64,
    },
    /// It is another suite's.
    #[error("asked {archive} for `{suite}`, got the index of {found}")]
    #[diagnostic(
        code(smolvm::packages::wrong_suite),
        help(
            "the mirror serves another suite under this name: use another mirror; for an entry of `repositories`, name the suite as its release file does"
        )
    )]
    WrongSuite {
        /// The archive.
        archive: String,
        /// The suite asked for.
        suite: String,
        /// What it says it is.
        found: String,
    },
    /// There is no such component.
    #[error("{name} has no component `{component}`")]
    #[diagnostic(code(smolvm::packages::component), help("it has: {available}"))]
    NoComponent {
        /// Archive and suite.
        name: String,
        /// Asked for.
        component: String,
        /// What there is.
        available: String,
    },
    /// It has nothing for this architecture.
    #[error("{name} has no packages for {arch}")]
    #[diagnostic(code(smolvm::packages::architecture), help("it has: {available}"))]
    NoArchitecture {
        /// Archive and suite.
        name: String,
        /// Asked for.
        arch: Arch,
        /// What there is.
        available: String,
    },
}

/// Verifies an `InRelease` file: a good signature of a key in `keyring`, dated neither in the future nor past its end, and of the
/// suite that was asked for. `now` is in seconds since 1970.
pub fn verify_in_release(
    bytes: &[u8],
    keyring: &Keyring,
    archive: &str,
    suite: &str,
    now: i64,
) -> Result<SignedRelease, InReleaseError> {
    let name = || format!("{archive} {suite}");
    let text = verify_clear_signed(bytes, keyring, now)
        .map_err(|source| InReleaseError::Signature { name: name(), source })?;
    let fields = Fields::parse(&text);
    let missing = |field| InReleaseError::Field { name: name(), field };

    check_suite(&fields, archive, suite)?;
    let date = fields.get("Date").and_then(parse_date).ok_or_else(|| missing("Date"))?;
    if date > now + CLOCK_SKEW {
        return Err(InReleaseError::FromTheFuture { name: name(), date, now });
    }
    let valid_until = match fields.get("Valid-Until") {
        Some(text) => Some(parse_date(text).ok_or_else(|| missing("Valid-Until"))?),
        None => None,
    };
    if let Some(valid_until) = valid_until
        && valid_until < now
    {
        return Err(InReleaseError::Expired { name: name(), valid_until, now });
    }
    let files = fields.get("SHA256").and_then(parse_files).ok_or_else(|| missing("SHA256"))?;
    let words = |field| -> Vec<String> {
        fields.get(field).unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
    };
    let architectures = words("Architectures");
    let all_is_included = words("No-Support-for-Architecture-all").iter().any(|word| word == "Packages");
    Ok(SignedRelease {
        archive: archive.to_owned(),
        suite: suite.to_owned(),
        date,
        valid_until,
        sha256: hex::encode(Sha256::digest(bytes)),
        acquire_by_hash: fields.get("Acquire-By-Hash") == Some("yes"),
        all_apart: !all_is_included && architectures.iter().any(|arch| arch == "all"),
        architectures,
        // The security archive writes its components below a folder that its index paths do not have.
        components: words("Components").iter().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned()).collect(),
        files,
    })
}

impl SignedRelease {
    /// The `Packages` files of a component: that of the architecture, and that of `all` where the archive keeps it apart.
    pub fn package_indexes(&self, component: &str, arch: Arch) -> Result<Vec<IndexFile>, InReleaseError> {
        let name = || format!("{} {}", self.archive, self.suite);
        let of_arch = self.best(component, arch.as_str());
        let of_all = if self.all_apart { self.best(component, "all") } else { None };
        if of_arch.is_some() || of_all.is_some() {
            return Ok(of_arch.into_iter().chain(of_all).collect());
        }
        if self.components.iter().any(|known| known == component) {
            let available = self.architectures.join(", ");
            return Err(InReleaseError::NoArchitecture { name: name(), arch, available });
        }
        Err(InReleaseError::NoComponent {
            name: name(),
            component: component.to_owned(),
            available: self.components.join(", "),
        })
    }

    /// What the lock records of it.
    pub fn locked(&self) -> LockedIndex {
        LockedIndex {
            archive: self.archive.clone(),
            suite: self.suite.clone(),
            date: self.date,
            sha256: self.sha256.clone(),
        }
    }

    fn best(&self, component: &str, arch: &str) -> Option<IndexFile> {
        let folder = format!("{component}/binary-{arch}");
        Compression::BY_PREFERENCE.iter().find_map(|(compression, extension)| {
            let name = format!("{folder}/Packages{extension}");
            let (size, sha256) = *self.files.get(&name)?;
            let dists = format!("dists/{}", self.suite);
            let plain_path = format!("{dists}/{name}");
            let path = if self.acquire_by_hash {
                format!("{dists}/{folder}/by-hash/SHA256/{}", hex::encode(sha256))
            } else {
                plain_path.clone()
            };
            let of_text = || self.files.get(&format!("{folder}/Packages")).copied();
            let text = if *compression == Compression::None { None } else { of_text() };
            let text = text.map(|(size, sha256)| IndexText { size, sha256 });
            Some(IndexFile { path, plain_path, compression: *compression, size, sha256, text })
        })
    }
}

/// A suite is known by its suite name or its codename. Ubuntu's updates and security suites share the codename of the release, so
/// a codename only counts among suites of one kind: else a mirror could pass off the release as its own security updates.
fn check_suite(fields: &Fields<'_>, archive: &str, asked: &str) -> Result<(), InReleaseError> {
    let asked = asked.trim_end_matches('/');
    let (suite, codename) = (fields.get("Suite"), fields.get("Codename"));
    let same_kind = suite.is_none_or(|suite| pocket(suite) == pocket(asked));
    if suite == Some(asked) || (codename == Some(asked) && same_kind) || (suite.is_none() && codename.is_none()) {
        return Ok(());
    }
    let found = match (suite, codename) {
        (Some(suite), Some(codename)) if suite != codename => format!("`{suite}` (codename `{codename}`)"),
        (Some(name), _) | (None, Some(name)) => format!("`{name}`"),
        (None, None) => "nothing".into(),
    };
    Err(InReleaseError::WrongSuite { archive: archive.to_owned(), suite: asked.to_owned(), found })
}

/// The part of a suite's name that sets it apart from the release: `-updates`, `-security`.
fn pocket(suite: &str) -> &str {
    const POCKETS: [&str; 6] =
        ["-proposed-updates", "-updates", "-security", "-backports-sloppy", "-backports", "-proposed"];
    POCKETS.into_iter().find(|pocket| suite.ends_with(pocket)).unwrap_or_default()
}

/// The fields of the one stanza that a release file is; the first of two equal ones counts, as for apt.
struct Fields<'a>(HashMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Self {
        let mut fields = HashMap::new();
        let mut start = 0;
        while start < text.len() {
            let mut end = line_end(text, start);
            while text[end..].starts_with([' ', '\t']) {
                end = line_end(text, end);
            }
            if let Some((name, value)) = text[start..end].split_once(':') {
                fields.entry(name).or_insert(value.trim());
            }
            start = end;
        }
        Self(fields)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }
}

fn line_end(text: &str, start: usize) -> usize {
    text[start..].find('\n').map_or(text.len(), |length| start + length + 1)
}

fn parse_files(text: &str) -> Option<HashMap<String, (u64, [u8; 32])>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let mut sha256 = [0; 32];
            hex::decode_to_slice(words.next()?, &mut sha256).ok()?;
            let size = words.next()?.parse().ok()?;
            Some((words.next()?.to_owned(), (size, sha256)))
        })
        .collect()
}

fn signature_help(error: &SignatureError) -> &'static str {
    match error {
        SignatureError::Malformed(_) => {
            "the mirror, or something between it and here, serves another file in its place: use another mirror"
        }
        SignatureError::NoGoodSignature(refusals)
            if refusals.iter().all(|refusal| matches!(refusal, Refusal::UnknownKey(_))) =>
        {
            "for an entry of `repositories`, `signed_by` must hold the key named above; for the base's own archives, this smolvm \
             is older than the archive's keys: update it, or the mirror serves an altered index"
        }
        SignatureError::NoGoodSignature(_) => {
            "the mirror may serve an altered index: use another one; for an entry of `repositories`, get its present key for \
             `signed_by`"
        }
    }
}

/// A span of time for people.
fn ahead(seconds: i64) -> String {
    let duration = Duration::from_secs(seconds.unsigned_abs());
    match duration.as_secs() {
        short @ ..7_200 => format!("{} minutes", short / 60),
        medium @ ..172_800 => format!("{} hours", medium / 3_600),
        long => format!("{} days", long / 86_400),
    }
}
