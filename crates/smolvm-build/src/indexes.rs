//! The signed indexes of a base and of the Smolfile's repositories.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use smolvm_fetch::{Fetcher, Making, Mirror, Mirrors, VerifiedFile, Wanted, WantedIndex};
use smolvm_manifest::{Arch, Repository};
use smolvm_packages::deb::in_release::{IndexFile, SignedRelease, verify_in_release};
use smolvm_packages::deb::index::{IndexError, PackageIndex, read_and_copy, read_text};
use smolvm_packages::deb::openpgp::Keyring;
use smolvm_packages::deb::release::Release;
use tokio::task::{JoinSet, spawn_blocking};

use crate::BuildError;

/// A signed index is some hundred kilobytes; far above that it is something else.
const LARGEST_IN_RELEASE: u64 = 16 << 20;

/// A suite to read, and who may sign it.
#[derive(Debug, Clone)]
pub(crate) struct SuiteSource {
    archive: String,
    suite: String,
    components: Vec<String>,
    keyring: Arc<Keyring>,
}

/// The suites of a release and of the Smolfile's repositories. A repository that names one of the release's archives
/// stands for it: what it leaves out (suites, components, key) is the release's.
pub(crate) fn sources(release: &Release, repositories: &[Repository]) -> Result<Vec<SuiteSource>, BuildError> {
    let built_in = Arc::new(Keyring::parse(release.keyring).map_err(BuildError::input)?);
    let mut sources = Vec::new();
    for suite in release.suites {
        let replaced = repositories.iter().find(|repository| repository.name == suite.archive);
        let own_suites = replaced.is_some_and(|repository| !repository.suites.is_empty());
        if own_suites {
            continue;
        }
        sources.push(SuiteSource {
            archive: suite.archive.to_owned(),
            suite: suite.suite.to_owned(),
            components: match replaced {
                Some(repository) if !repository.components.is_empty() => repository.components.clone(),
                _ => suite.components.iter().map(|&component| component.to_owned()).collect(),
            },
            keyring: match replaced {
                Some(repository) if !repository.signed_by.is_empty() => own_keyring(repository)?,
                _ => Arc::clone(&built_in),
            },
        });
    }
    for repository in repositories {
        let keyring = if repository.signed_by.is_empty() { Arc::clone(&built_in) } else { own_keyring(repository)? };
        let components = if repository.components.is_empty() {
            release.suites[0].components.iter().map(|&component| component.to_owned()).collect()
        } else {
            repository.components.clone()
        };
        sources.extend(repository.suites.iter().map(|suite| SuiteSource {
            archive: repository.name.clone(),
            suite: suite.clone(),
            components: components.clone(),
            keyring: Arc::clone(&keyring),
        }));
    }
    Ok(sources)
}

fn own_keyring(repository: &Repository) -> Result<Arc<Keyring>, BuildError> {
    Ok(Arc::new(Keyring::parse(&repository.signed_by).map_err(BuildError::input)?))
}

/// A suite whose signed table of contents was verified, and what is to be read of it.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    pub(crate) release: SignedRelease,
    pub(crate) files: Vec<IndexFile>,
}

/// Fetches and verifies the tables of contents of all sources, at the same time; the result is in their order.
pub(crate) async fn verify(
    sources: Vec<SuiteSource>,
    arch: Arch,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    now: i64,
) -> Result<Vec<Suite>, BuildError> {
    let verifying = sources.into_iter().map(|source| {
        let (fetcher, mirrors) = (fetcher.clone(), mirrors.clone());
        async move { verify_suite(source, arch, &fetcher, &mirrors, now).await }
    });
    in_order(verifying).await
}

async fn verify_suite(
    source: SuiteSource,
    arch: Arch,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    now: i64,
) -> Result<Suite, BuildError> {
    let SuiteSource { archive, suite, components, keyring } = source;
    let wanted = WantedIndex {
        name: format!("{archive} {suite} InRelease").into(),
        path: format!("dists/{suite}/InRelease"),
        max_size: LARGEST_IN_RELEASE,
    };
    let accept = |bytes: &[u8]| verify_in_release(bytes, &keyring, &archive, &suite, now);
    let release = fetcher.fetch_index(&wanted, mirrors.of(&archive), accept).await?;
    let mut files = Vec::new();
    for component in components.iter().collect::<BTreeSet<_>>() {
        files.extend(release.package_indexes(component, arch).map_err(BuildError::build)?);
    }
    Ok(Suite { release, files })
}

/// Reads the packages of suites, all at the same time; the result is in the order of suites and of the files of each.
pub(crate) async fn read(
    suites: &[Suite],
    arch: Arch,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
) -> Result<Vec<PackageIndex>, BuildError> {
    let files = suites.iter().flat_map(|suite| suite.files.iter().map(move |file| (suite, file)));
    let reading = files.map(|(suite, file)| {
        let SignedRelease { archive, suite, .. } = &suite.release;
        let (archive, suite, file) = (archive.clone(), suite.clone(), file.clone());
        let (fetcher, mirrors) = (fetcher.clone(), mirrors.of(&archive).to_vec());
        async move { Packages { archive, suite, file, arch }.read(&fetcher, &mirrors).await }
    });
    Ok(in_order(reading).await?.into_iter().flatten().collect())
}

/// Does all at the same time.
async fn in_order<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = Result<T, BuildError>> + Send + 'static>,
) -> Result<Vec<T>, BuildError> {
    let mut under_way = JoinSet::new();
    for (number, work) in work.enumerate() {
        under_way.spawn(async move { work.await.map(|done| (number, done)) });
    }
    let mut all = Vec::new();
    while let Some(joined) = under_way.join_next().await {
        all.push(joined.map_err(BuildError::panicked)??);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

/// One `Packages` file.
#[derive(Debug)]
struct Packages {
    archive: String,
    suite: String,
    file: IndexFile,
    arch: Arch,
}

impl Packages {
    /// Reads it. Decompressing takes most of the time that resolving does: the text, whose digest is signed too, is kept.
    async fn read(self, fetcher: &Fetcher, mirrors: &[Mirror]) -> Result<Vec<PackageIndex>, BuildError> {
        // Without the digest: a new text takes the place of the old one, so that the cache does not grow with every day.
        let folder = self.file.plain_path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let name = format!("{} {folder}/Packages", self.archive);
        if let Some(text) = &self.file.text
            && let Some(text) = fetcher.find_made(&name, text.size, text.sha256).await
        {
            return self
                .blocking(move |this| read_text(&text, text.size(), &this.archive, &this.suite, this.arch))
                .await;
        }
        let compressed = self.fetch(fetcher, mirrors).await?;
        let fetcher = fetcher.clone();
        let reading = move |this: &Self| {
            let mut making = this.file.text.and_then(|_| fetcher.make(&name));
            let mut nowhere = std::io::sink();
            let copy: &mut dyn Write = making.as_mut().map_or(&mut nowhere, |making| making);
            let Self { archive, suite, file, arch } = this;
            let index = read_and_copy(compressed, file.compression, archive, suite, *arch, copy)?;
            making.into_iter().for_each(Making::keep);
            Ok(vec![index])
        };
        self.blocking(reading).await
    }

    /// Asks for it by its hash, or under its own name from a mirror that keeps none by hash.
    async fn fetch(&self, fetcher: &Fetcher, mirrors: &[Mirror]) -> Result<VerifiedFile, BuildError> {
        let Self { archive, suite, file, .. } = self;
        let name = format!("{archive} {suite} package index");
        let wanted = |path: &str| {
            Wanted::new(&name, path, Some(file.size), &hex::encode(file.sha256)).map_err(BuildError::build)
        };
        let by_hash = fetcher.fetch(&wanted(&file.path)?, mirrors).await;
        Ok(match by_hash {
            Err(_) if file.path != file.plain_path => fetcher.fetch(&wanted(&file.plain_path)?, mirrors).await,
            outcome => outcome,
        }?)
    }

    async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, BuildError> {
        spawn_blocking(move || work(&self)).await.map_err(BuildError::panicked)?.map_err(BuildError::build)
    }
}
