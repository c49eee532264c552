//! Text with a spelling: one pattern each, and the words that say what it wants.
//!
//! `patternErrorMessage` is what editors with the YAML language server show, and what our own errors say.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// Text that has to match a pattern. Whoever reads the value may rely on it: the schema was checked before.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $title:literal, $pattern:expr, $wants:literal $(, max = $max:literal)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) String);

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "title": $title,
                    "type": "string",
                    $("maxLength": $max,)?
                    "pattern": $pattern,
                    "patternErrorMessage": $wants
                })
            }
        }
    };
}

/// One of a closed set of words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $title:literal, [$($word:literal),+ $(,)?]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) String);

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "title": $title, "type": "string", "enum": [$($word),+] })
            }
        }
    };
}

pub(super) use words;

text!(
    ImageName,
    "an image name",
    "^[a-z0-9][a-z0-9._-]*$",
    "must be lower-case letters, digits and `.` `_` `-`, and begin with a letter or digit",
    max = 64
);
words!(ArchName, "an architecture", ["amd64", "arm64"]);
text!(
    SizeText,
    "a size",
    r"^(auto|[1-9][0-9]{0,6}([KMGT]i?B|[KMGT]))$",
    "must be a whole number with a unit, such as 512MiB, 4GiB, 4G or 1500MB, or the word auto"
);
text!(
    ByteSize,
    "a size",
    r"^[1-9][0-9]{0,6}([KMGT]i?B|[KMGT])$",
    "must be a whole number with a unit, such as 64MiB, 512MiB or 1GiB"
);
text!(
    PackageText,
    "a package",
    r"^[a-z0-9][a-z0-9+._-]*(:[a-z0-9]+)?(=[0-9A-Za-z.+:~*_-]+)?$",
    "must be the name of a package, or name=version: lower-case letters, digits and `+` `-` `.`"
);
text!(
    ArchiveName,
    "an archive name",
    "^[a-z0-9][a-z0-9.-]*$",
    "must be lower-case letters, digits and `.` `-`, and begin with a letter or digit",
    max = 64
);
text!(
    WebAddress,
    "an address",
    r"^https?://[!\x22$-.0-9:->@-~]+(/[!\x22$->@-~]*)?$",
    "must be an http:// or https:// address without spaces, `?` and `#`"
);
text!(
    SuiteName,
    "a name",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$",
    "must be a name such as bookworm or bookworm-backports: letters, digits and `.` `_` `-`"
);
text!(/// A path on the machine that builds.
    HostPath, "a path", r"^[^\x00-\x1f\x7f]+$", "must be a path without line breaks");
text!(/// A path on the machine that builds, or the key itself.
    KeyText, "a key, or the path of a file with keys", r"^[^\x00]+$", "must be a public key or a path");
text!(
    HostName,
    "a host name",
    r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
    "must be letters, digits and `-`, in parts of at most 63 joined by dots, and no part begins or ends with `-`",
    max = 64
);
text!(
    AccountName,
    "a user name",
    "^[a-z_][a-z0-9_-]*$",
    "must be lower-case letters, digits, `_` and `-`, and begin with a letter or `_`",
    max = 32
);
text!(/// A path in the guest: absolute, every part a real name.
    GuestPath, "an absolute path in the guest",
    r"^(/([^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.\.[^/\x00-\x1f\x7f]+))+$",
    "must be an absolute path such as /etc/app.conf, without `.`, `..`, empty parts or line breaks", max = 1024);
text!(/// A folder in the guest, which may be `/`.
    GuestFolder, "an absolute path in the guest",
    r"^(/|(/([^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.\.[^/\x00-\x1f\x7f]+))+)$",
    "must be an absolute path such as /srv/app, without `.`, `..`, empty parts or line breaks", max = 1024);
text!(/// A path that becomes a field of `/etc/passwd`.
    PasswdPath, "an absolute path in the guest",
    r"^(/([^/.:\x00-\x1f\x7f][^/:\x00-\x1f\x7f]*|\.[^/.:\x00-\x1f\x7f][^/:\x00-\x1f\x7f]*|\.\.[^/:\x00-\x1f\x7f]+))+$",
    "must be an absolute path such as /bin/bash, without `.`, `..`, `:`, empty parts or line breaks", max = 255);
text!(ModeText, "a mode", "^0?[0-7]{3,4}$", "must be three or four octal digits in quotes, such as \"0644\"");
text!(
    OwnerText,
    "an owner",
    "^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,5}):([a-z_][a-z0-9_-]{0,31}|[0-9]{1,5})$",
    "must be user:group, each a name or a number, such as root:root or 1000:1000"
);
text!(
    VariableName,
    "a variable name",
    "^[A-Za-z_][A-Za-z0-9_]*$",
    "must be letters, digits and `_`, and not begin with a digit",
    max = 128
);
text!(/// What may stand on one line of a file.
    OneLine, "text on one line", r"^[^\x00-\x08\x0a-\x1f\x7f]*$",
    "must be on one line: a line break or control character would break the files that hold it");
text!(/// What may stand in an environment at all.
    AnyText, "text", r"^[^\x00]*$", "must not hold a NUL character");
text!(/// `NAME=value` for the guest.
    Assignment, "NAME=value", r"^[A-Za-z_][A-Za-z0-9_]*=[^\x00-\x08\x0a-\x1f\x7f]*$",
    "must be NAME=value on one line, the name of letters, digits and `_`");
text!(
    /// `NAME=value` for a step or service.
    AnyAssignment,
    "NAME=value",
    r"^[A-Za-z_][A-Za-z0-9_]*=[^\x00]*$",
    "must be NAME=value, the name of letters, digits and `_`"
);
text!(ShellLine, "a command", r"^[^\x00]*[^\x00-\x20\x7f][^\x00]*$", "must be a command line for /bin/sh");
text!(
    ServiceName,
    "a service name",
    "^[a-z0-9][a-z0-9_.-]*$",
    "must be lower-case letters, digits and `.` `_` `-`, and begin with a letter or digit",
    max = 64
);
words!(RestartWord, "a restart rule", ["never", "on-failure", "always"]);
words!(StageWord, "a stage of the boot", ["network"]);
words!(TmpWord, "disk or tmpfs", ["disk", "tmpfs"]);
text!(
    BootArgument,
    "a boot argument",
    "^[!#-&(-~]+$",
    "must be one word of plain characters, without spaces and quotes",
    max = 256
);
text!(
    CryptHash,
    "a crypt hash",
    r"^\$6\$(rounds=[1-9][0-9]{3,6}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}$",
    "must be a SHA-512 crypt hash: it begins with $6$ and is 90 or more characters long"
);
text!(Sha256, "a sha256", "^[0-9a-f]{64}$", "must be 64 characters of 0-9 and a-f");
text!(
    ImageReference,
    "an image reference",
    r"^[a-z0-9][A-Za-z0-9._/:@-]*$",
    "must be the name of a Docker image, such as node:22-bookworm-slim",
    max = 255
);

/// The version of the format: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct FormatVersion(u32);

impl JsonSchema for FormatVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FormatVersion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "the number 1", "type": "integer", "enum": [1] })
    }
}

/// An IP address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct NetworkAddress(pub(crate) std::net::IpAddr);

impl JsonSchema for NetworkAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NetworkAddress".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "an IP address",
            "type": "string",
            "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }],
            "errorMessage": "must be an IP address, such as 8.8.8.8 or 2001:4860:4860::8888"
        })
    }
}

/// A user id that no distribution gives away by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct UserId(pub(crate) u32);

impl JsonSchema for UserId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UserId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "a whole number from 1000 to 60000", "type": "integer", "minimum": 1000, "maximum": 60000 })
    }
}
