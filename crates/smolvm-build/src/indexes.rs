//! The signed indexes of a base and of the Smolfile's repositories.

use std::collections::BTreeSet;
use std::sync::Arc;

use smolvm_fetch::{Fetcher, Mirrors, Wanted, WantedIndex};
use smolvm_manifest::{Arch, Repository};
use smolvm_packages::deb::in_release::{IndexFile, SignedRelease, verify_in_release};
use smolvm_packages::deb::index::{PackageIndex, read_index};
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

/// Fetches and verifies the indexes of all sources, at the same time; the result is in their order.
pub(crate) async fn read(
    sources: Vec<SuiteSource>,
    arch: Arch,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    now: i64,
) -> Result<Vec<(SignedRelease, Vec<PackageIndex>)>, BuildError> {
    let mut under_way = JoinSet::new();
    for (number, source) in sources.into_iter().enumerate() {
        let (fetcher, mirrors) = (fetcher.clone(), mirrors.clone());
        under_way.spawn(async move {
            let outcome = read_suite(&source, arch, &fetcher, &mirrors, now).await;
            outcome.map(|suite| (number, suite))
        });
    }
    let mut suites = Vec::new();
    while let Some(joined) = under_way.join_next().await {
        suites.push(joined.map_err(BuildError::panicked)??);
    }
    suites.sort_by_key(|(number, _)| *number);
    Ok(suites.into_iter().map(|(_, suite)| suite).collect())
}

async fn read_suite(
    source: &SuiteSource,
    arch: Arch,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
    now: i64,
) -> Result<(SignedRelease, Vec<PackageIndex>), BuildError> {
    let SuiteSource { archive, suite, components, keyring } = source;
    let wanted = WantedIndex {
        name: format!("{archive} {suite} InRelease").into(),
        path: format!("dists/{suite}/InRelease"),
        max_size: LARGEST_IN_RELEASE,
    };
    let accept = |bytes: &[u8]| verify_in_release(bytes, keyring, archive, suite, now);
    let release = fetcher.fetch_index(&wanted, mirrors.of(archive), accept).await?;
    let mut files = Vec::new();
    for component in components.iter().collect::<BTreeSet<_>>() {
        files.extend(release.package_indexes(component, arch).map_err(BuildError::build)?);
    }
    let mut indexes = Vec::new();
    for file in files {
        indexes.push(read_packages(source, file, arch, fetcher, mirrors).await?);
    }
    Ok((release, indexes))
}

/// One `Packages` file: asked for by its hash, or under its own name from a mirror that keeps none by hash.
async fn read_packages(
    source: &SuiteSource,
    file: IndexFile,
    arch: Arch,
    fetcher: &Fetcher,
    mirrors: &Mirrors,
) -> Result<PackageIndex, BuildError> {
    let SuiteSource { archive, suite, .. } = source;
    let name = format!("{archive} {suite} package index");
    let wanted =
        |path: &str| Wanted::new(&name, path, Some(file.size), &hex::encode(file.sha256)).map_err(BuildError::build);
    let by_hash = fetcher.fetch(&wanted(&file.path)?, mirrors.of(archive)).await;
    let verified = match by_hash {
        Err(_) if file.path != file.plain_path => fetcher.fetch(&wanted(&file.plain_path)?, mirrors.of(archive)).await,
        outcome => outcome,
    }?;
    let (archive, suite, compression) = (archive.clone(), suite.clone(), file.compression);
    spawn_blocking(move || read_index(verified, compression, &archive, &suite, arch))
        .await
        .map_err(BuildError::panicked)?
        .map_err(BuildError::build)
}
