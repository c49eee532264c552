//! The host's apt sources, in both formats.

use smolvm_manifest::Arch;

use crate::address::Address;

/// One place that the host's apt fetches binary packages from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// Where it is.
    pub address: Address,
    /// Its suites.
    pub suites: Vec<String>,
    /// Its components.
    pub components: Vec<String>,
    /// The architectures that it is restricted to; empty if to none.
    pub architectures: Vec<String>,
    /// `signed-by`: file names of keyrings, fingerprints, or a whole key.
    pub signed_by: Option<String>,
}

/// How a sources file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcesFormat {
    /// `sources.list` and `*.list`.
    OneLine,
    /// `*.sources`.
    Deb822,
}

impl SourcesFormat {
    /// The format of a file in `/etc/apt` or `/etc/apt/sources.list.d`; `None` for one that apt does not read either.
    pub fn of_file(name: &str) -> Option<Self> {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        match name.rsplit_once('.') {
            Some((_, "list")) if is_plain => Some(Self::OneLine),
            Some((_, "sources")) if is_plain => Some(Self::Deb822),
            _ => None,
        }
    }
}

/// The sources in a file. What smolvm cannot fetch from (`cdrom:`, `file:`, `mirror+file:` …), sources of source packages,
/// disabled and unreadable entries are left out: they are apt's business, and no reason to refuse a build.
pub fn apt_sources(format: SourcesFormat, text: &str) -> Vec<AptSource> {
    match format {
        SourcesFormat::OneLine => text.lines().filter_map(one_line).collect(),
        SourcesFormat::Deb822 => stanzas(text).iter().flat_map(deb822).collect(),
    }
}

impl AptSource {
    /// Whether this can be a mirror of a distribution's own archive, as far as can be told without asking it. If it turns out
    /// to be something else, its index fails the signature check, and the next mirror is asked.
    pub(crate) fn could_hold(&self, archive: &str, arch: Arch) -> bool {
        let distribution = archive.split('-').next().unwrap_or(archive);
        let has_main = self.components.iter().any(|component| component == "main");
        let has_arch = self.architectures.is_empty() || self.architectures.iter().any(|name| name == arch.as_str());
        // Third parties use the distribution's suite names, but sign with keys of their own.
        let own_key = match &self.signed_by {
            Some(keys) if keys.starts_with('/') => {
                keys.rsplit('/').next().is_some_and(|file| file.contains(distribution))
            }
            _ => true,
        };
        has_main && has_arch && own_key
    }
}

/// `deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://host/debian bookworm main contrib`
fn one_line(line: &str) -> Option<AptSource> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    // `deb-src` and anything else that only begins like it.
    let rest = rest.strip_prefix(|c: char| c.is_whitespace() || c == '[').map(|_| rest.trim_start())?;
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let address = words.next()?.parse().ok()?;
    let suite = words.next()?;
    let mut source = AptSource {
        address,
        suites: suites([suite]),
        components: words.map(str::to_owned).collect(),
        architectures: Vec::new(),
        signed_by: None,
    };
    for option in options.split_whitespace() {
        match option.split_once('=') {
            Some(("arch", value)) => source.architectures = value.split(',').map(str::to_owned).collect(),
            Some(("signed-by", value)) => source.signed_by = Some(value.to_owned()),
            _ => {}
        }
    }
    (!source.suites.is_empty()).then_some(source)
}

/// A stanza can name several addresses.
fn deb822(stanza: &Stanza) -> Vec<AptSource> {
    let words =
        |name: &str| stanza.get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let is_disabled = stanza.get("enabled").is_some_and(|value| {
        matches!(value.trim().to_ascii_lowercase().as_str(), "no" | "false" | "without" | "off" | "disable" | "0")
    });
    let suites = suites(words("suites").iter().map(String::as_str));
    if is_disabled || suites.is_empty() || !words("types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    let source = |address| AptSource {
        address,
        suites: suites.clone(),
        components: words("components"),
        architectures: words("architectures"),
        signed_by: stanza.get("signed-by").map(|value| value.trim().to_owned()),
    };
    words("uris").iter().filter_map(|uri| uri.parse().ok()).map(source).collect()
}

/// Suites that are of a distribution: one that ends in a slash is a plain folder of packages.
fn suites<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().filter(|name| !name.ends_with('/')).map(|name| name.trim_matches('"').to_owned()).collect()
}

/// Fields of one stanza, names in small letters.
#[derive(Default)]
struct Stanza(Vec<(String, String)>);

impl Stanza {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

fn stanzas(text: &str) -> Vec<Stanza> {
    let mut stanzas = vec![Stanza::default()];
    for line in text.lines() {
        // A comment may stand in the middle of a field that goes over several lines.
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            stanzas.push(Stanza::default());
            continue;
        }
        let Some(Stanza(fields)) = stanzas.last_mut() else { continue };
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    stanzas
}

#[cfg(test)]
mod tests;
