//! `ssh`, `users` and `secrets`: who gets in, and what must not be seen.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::{AccountName, CryptHash, HostPath, KeyText, List, PasswdPath, TextOr, UserId, VariableName};
use crate::secret::Secret;

/// `ssh`: on with details, on (`true`, or nothing), or off.
#[derive(Debug)]
pub(crate) enum Ssh {
    Off,
    On(SshAccess),
}

impl Default for Ssh {
    fn default() -> Self {
        Self::On(SshAccess::default())
    }
}

impl<'de> Deserialize<'de> for Ssh {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SshVisitor;

        impl<'de> Visitor<'de> for SshVisitor {
            type Value = Ssh;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a map")
            }

            fn visit_unit<E: Error>(self) -> Result<Ssh, E> {
                Ok(Ssh::default())
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Ssh, E> {
                Ok(if on { Ssh::default() } else { Ssh::Off })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ssh, A::Error> {
                SshAccess::deserialize(MapAccessDeserializer::new(map)).map(Ssh::On)
            }
        }

        deserializer.deserialize_any(SshVisitor)
    }
}

impl JsonSchema for Ssh {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ssh".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "title": "true or false", "type": ["boolean", "null"] },
                generator.subschema_for::<SshAccess>()
            ]
        })
    }
}

/// How root gets in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map with `authorized_keys` and `password`", inline)]
pub(crate) struct SshAccess {
    /// Keys that may log in as root: lines as in `~/.ssh/authorized_keys`, or paths of files with such lines.
    #[serde(default)]
    #[schemars(extend("examples" = [["~/.ssh/id_ed25519.pub"]]))]
    pub(crate) authorized_keys: List<KeyText>,
    /// Root's password. Only its crypt hash enters the image.
    #[serde(default)]
    #[schemars(with = "Password", extend("examples" = [{"from_env": "ROOT_PASSWORD"}]))]
    pub(crate) password: Option<Password>,
}

/// A password in the text, or where it comes from.
pub(crate) type Password = TextOr<PasswordText, PasswordSource>;

/// A password that stands in the Smolfile.
#[derive(Debug)]
pub(crate) struct PasswordText(pub(crate) Secret);

impl<'de> Deserialize<'de> for PasswordText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Secret::new(String::deserialize(deserializer)?)))
    }
}

impl JsonSchema for PasswordText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PasswordText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "the password itself",
            "type": "string",
            "pattern": r"^[^\x00-\x1f\x7f]+$",
            "patternErrorMessage": "must not be empty, and not hold line breaks or control characters"
        })
    }
}

/// Where a password comes from: one of three.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "{from_env: NAME}, {from_file: PATH} or {hash: $6$…}", inline)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct PasswordSource {
    /// Environment variable that holds the password when the image is built.
    #[serde(default)]
    #[schemars(with = "VariableName", extend("examples" = ["ROOT_PASSWORD"]))]
    pub(crate) from_env: Option<VariableName>,
    /// File that holds the password.
    #[serde(default)]
    #[schemars(with = "HostPath", extend("examples" = ["root-password.txt"]))]
    pub(crate) from_file: Option<HostPath>,
    /// The password's SHA-512 crypt hash, as `openssl passwd -6` prints it.
    #[serde(default)]
    #[schemars(with = "CryptHash")]
    pub(crate) hash: Option<CryptHash>,
}

/// Where a build secret comes from: one of two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "{from_env: NAME} or {from_file: PATH}", inline)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1, "examples" = [{"from_env": "NPM_TOKEN"}]))]
pub(crate) struct SecretFrom {
    /// Environment variable that holds the secret when the image is built.
    #[serde(default)]
    #[schemars(with = "VariableName", extend("examples" = ["NPM_TOKEN"]))]
    pub(crate) from_env: Option<VariableName>,
    /// File that holds the secret.
    #[serde(default)]
    #[schemars(with = "HostPath", extend("examples" = ["npm-token.txt"]))]
    pub(crate) from_file: Option<HostPath>,
}

/// `secrets`.
#[derive(Debug, Default)]
pub(crate) struct Secrets(pub(crate) BTreeMap<String, SecretFrom>);

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

impl JsonSchema for Secrets {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secrets".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a map of secrets",
            "type": ["object", "null"],
            "propertyNames": generator.subschema_for::<VariableName>(),
            "additionalProperties": generator.subschema_for::<SecretFrom>()
        })
    }
}

/// A user to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a user", inline)]
#[schemars(extend("examples" = [{"name": "dev", "uid": 1000, "groups": ["sudo"], "shell": "/bin/bash"}]))]
pub(crate) struct User {
    /// Login name.
    #[schemars(extend("examples" = ["dev"]))]
    pub(crate) name: AccountName,
    /// User id, and id of the group of the same name. Default: the next free one from 1000 on.
    #[serde(default)]
    #[schemars(with = "UserId", extend("examples" = [1000]))]
    pub(crate) uid: Option<UserId>,
    /// Further groups, which must exist.
    #[serde(default)]
    #[schemars(extend("examples" = [["sudo"]]))]
    pub(crate) groups: List<AccountName>,
    /// Login shell. Default: /bin/sh
    #[serde(default)]
    #[schemars(with = "PasswdPath", extend("examples" = ["/bin/bash"]))]
    pub(crate) shell: Option<PasswdPath>,
    /// Home folder. Default: /home/NAME
    #[serde(default)]
    #[schemars(with = "PasswdPath", extend("examples" = ["/home/dev"]))]
    pub(crate) home: Option<PasswdPath>,
    /// Keys that may log in as this user: lines as in `~/.ssh/authorized_keys`, or paths of files with such lines.
    #[serde(default)]
    #[schemars(extend("examples" = [["keys/dev.pub"]]))]
    pub(crate) authorized_keys: List<KeyText>,
    /// The user's password. Default: none.
    #[serde(default)]
    #[schemars(with = "Password", extend("examples" = [{"from_env": "DEV_PASSWORD"}]))]
    pub(crate) password: Option<Password>,
}
