//! What a package says about itself: the control file, and the stanzas of dpkg's status file.

use miette::Diagnostic;
use thiserror::Error;

/// One package's control file.
///
/// Name, version and architecture are of the forms that dpkg allows, so they can be used in file names and commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture: `amd64`, `all` ….
    pub arch: String,
    paragraph: Paragraph,
}

/// A control file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
#[error("its control file is unusable: {reason}")]
#[diagnostic(code(smolvm::deb::control), help("the package is damaged; take another version, or tell its publisher"))]
pub struct ControlError {
    reason: String,
}

impl Control {
    /// Reads a control file, or the stanza of one package.
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        Self::from_paragraph(Paragraph::parse(text)?)
    }

    /// Takes the fields as they are.
    pub(crate) fn from_paragraph(paragraph: Paragraph) -> Result<Self, ControlError> {
        let field = |name: &str, is_valid: fn(&str) -> bool| match paragraph.get(name) {
            Some(value) if is_valid(value) => Ok(value.to_owned()),
            Some(value) => Err(ControlError { reason: format!("`{name}: {value}` is malformed") }),
            None => Err(ControlError { reason: format!("it has no `{name}`") }),
        };
        Ok(Self {
            name: field("Package", is_package_name)?,
            version: field("Version", is_version)?,
            arch: field("Architecture", is_architecture)?,
            paragraph,
        })
    }

    /// A field's value, by its name in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.paragraph.get(name)
    }

    /// All fields, in their order.
    pub(crate) fn paragraph(&self) -> &Paragraph {
        &self.paragraph
    }

    /// The same package with other fields, of which name, version and architecture are the same.
    pub(crate) fn with_paragraph(&self, paragraph: Paragraph) -> Self {
        Self { paragraph, ..self.clone() }
    }

    /// Whether the package is one that dpkg never removes, and that all others may rely on without saying so.
    pub fn is_essential(&self) -> bool {
        self.field("Essential").is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// Whether it may be installed for several architectures at once.
    pub(crate) fn is_multi_arch_same(&self) -> bool {
        self.field("Multi-Arch").is_some_and(|value| value.eq_ignore_ascii_case("same"))
    }

    /// The name that dpkg gives the package in its database: with the architecture where several may be installed.
    pub(crate) fn database_name(&self) -> String {
        if self.is_multi_arch_same() { format!("{}:{}", self.name, self.arch) } else { self.name.clone() }
    }
}

/// Fields and values, in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paragraph {
    /// A value keeps its line ends and the white space that its further lines begin with.
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// Reads one paragraph. Blank lines are allowed before and after it.
    pub(crate) fn parse(text: &str) -> Result<Self, ControlError> {
        let mut paragraph = Self::default();
        let mut ended = false;
        for line in text.lines() {
            if line.trim().is_empty() {
                ended = !paragraph.fields.is_empty();
                continue;
            }
            if ended {
                return Err(ControlError { reason: "it has more than one paragraph".to_owned() });
            }
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = paragraph.fields.last_mut() else {
                    return Err(ControlError { reason: "it begins with a continued line".to_owned() });
                };
                value.push('\n');
                value.push_str(line.trim_end());
                continue;
            }
            let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_field_name(name)) else {
                let shown: String = line.chars().take(40).collect();
                return Err(ControlError { reason: format!("`{shown}` is no field") });
            };
            if paragraph.get(name).is_some() {
                return Err(ControlError { reason: format!("it has two fields `{name}`") });
            }
            paragraph.fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(paragraph)
    }

    /// A field's value, by its name in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    /// Sets a field; a new one comes last.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.fields.iter_mut().find(|(field, _)| field.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value.into(),
            None => self.fields.push((name.to_owned(), value.into())),
        }
    }

    /// All fields, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether dpkg takes this for a package's name.
pub(crate) fn is_package_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

fn is_version(version: &str) -> bool {
    version.len() <= 256
        && version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+:~-".contains(&byte))
}

fn is_architecture(arch: &str) -> bool {
    arch.len() <= 64
        && arch.starts_with(|first: char| first.is_ascii_alphanumeric())
        && arch.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '-']) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Package: libc6
Source: glibc
Version: 2.36-9+deb12u10
Architecture: amd64
Multi-Arch: same
Description: GNU C Library
 Contains the standard libraries.
 .
 The end.
";

    #[test]
    fn a_control_file_is_read() {
        let control = Control::parse(TEXT).unwrap();
        assert_eq!((control.name.as_str(), control.arch.as_str()), ("libc6", "amd64"));
        assert_eq!(control.database_name(), "libc6:amd64");
        assert_eq!(control.field("source"), Some("glibc"));
        assert_eq!(
            control.field("Description"),
            Some("GNU C Library\n Contains the standard libraries.\n .\n The end.")
        );
        assert!(!control.is_essential());
    }

    #[test]
    fn what_is_no_control_file_is_refused_with_a_reason() {
        let cases = [
            ("", "it has no `Package`"),
            ("Package: ../../etc\nVersion: 1\nArchitecture: all\n", "`Package: ../../etc` is malformed"),
            ("Package: -x\nVersion: 1\nArchitecture: all\n", "`Package: -x` is malformed"),
            ("Package: a\nVersion: 1/2\nArchitecture: all\n", "`Version: 1/2` is malformed"),
            ("Package: a\nVersion: 1\n", "it has no `Architecture`"),
            ("Package: a\nVersion: 1\nArchitecture: ../x\n", "`Architecture: ../x` is malformed"),
            ("Package: a\nPackage: b\n", "it has two fields `Package`"),
            (" Package: a\n", "it begins with a continued line"),
            ("Package a\n", "`Package a` is no field"),
            ("Package: a\n\nPackage: b\n", "it has more than one paragraph"),
        ];
        for (text, expected) in cases {
            assert_eq!(Control::parse(text).unwrap_err().reason, expected, "{text:?}");
        }
    }
}
