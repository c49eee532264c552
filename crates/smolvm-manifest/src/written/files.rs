//! `files`, `run` and `services`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::env::OwnEnv;
use super::{
    AccountName, AnyText, GuestFolder, GuestPath, HostPath, List, ModeText, OwnerText, RestartWord, ServiceName,
    ShellLine, StageWord, TextOr, VariableName,
};

/// A file or folder to place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a file", inline)]
#[schemars(extend("oneOf" = [{"required": ["source"]}, {"required": ["content"]}]))]
#[schemars(extend("examples" = [
    {"source": "conf/app", "target": "/etc/app", "mode": "0644", "owner": "root:root"},
    {"target": "/etc/motd", "content": "hello\n"}
]))]
pub(crate) struct Entry {
    /// File or folder beside the Smolfile, relative to its folder.
    #[serde(default)]
    #[schemars(with = "HostPath", extend("examples" = ["conf/app"]))]
    pub(crate) source: Option<HostPath>,
    /// The file's text.
    #[serde(default)]
    #[schemars(with = "String", extend("examples" = ["hello\n"]))]
    pub(crate) content: Option<String>,
    /// Where it goes in the guest.
    #[schemars(extend("examples" = ["/etc/app"]))]
    pub(crate) target: GuestPath,
    /// Permissions, in octal and in quotes. Default: "0755" for an executable source, else "0644".
    #[serde(default)]
    #[schemars(with = "ModeText", extend("examples" = ["0644"]))]
    pub(crate) mode: Option<ModeText>,
    /// Owner as user:group, names or numbers. Default: root:root.
    #[serde(default)]
    #[schemars(with = "OwnerText", extend("examples" = ["root:root"]))]
    pub(crate) owner: Option<OwnerText>,
}

/// A line for the shell, or a map with the details.
pub(crate) type RunStep = TextOr<ShellLine, RunMap>;

/// A run step with its details.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map with `command`", inline)]
pub(crate) struct RunMap {
    /// A line for `/bin/sh -ec`.
    #[schemars(extend("examples" = ["make install"]))]
    pub(crate) command: ShellLine,
    /// Working folder. Default: /
    #[serde(default)]
    #[schemars(with = "GuestFolder", extend("examples" = ["/src"]))]
    pub(crate) workdir: Option<GuestFolder>,
    /// Who runs it. Default: root.
    #[serde(default)]
    #[schemars(with = "AccountName", extend("examples" = ["dev"]))]
    pub(crate) user: Option<AccountName>,
    /// Environment of this step alone.
    #[serde(default)]
    #[schemars(extend("examples" = [{"V": "1"}]))]
    pub(crate) env: OwnEnv,
    /// Whether it may use the network. Default: true; an image whose steps all say false is reproducible.
    #[serde(default)]
    #[schemars(with = "bool", extend("examples" = [false]))]
    pub(crate) network: Option<bool>,
    /// Names of secrets that it may read under /run/secrets.
    #[serde(default)]
    #[schemars(extend("examples" = [["NPM_TOKEN"]]))]
    pub(crate) secrets: List<VariableName>,
}

/// A program that is started at boot and watched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a service", inline)]
#[schemars(extend("examples" = [{"name": "app", "command": ["/usr/bin/app", "--port", "80"], "restart": "on-failure"}]))]
pub(crate) struct Service {
    /// Name of the service.
    #[schemars(extend("examples" = ["app"]))]
    pub(crate) name: ServiceName,
    /// Program, as an absolute path, and its arguments.
    #[schemars(extend("examples" = [["/usr/bin/app", "--port", "80"]]))]
    pub(crate) command: CommandWords,
    /// Who runs it. Default: root.
    #[serde(default)]
    #[schemars(with = "AccountName", extend("examples" = ["dev"]))]
    pub(crate) user: Option<AccountName>,
    /// Working folder. Default: /
    #[serde(default)]
    #[schemars(with = "GuestFolder", extend("examples" = ["/srv/app"]))]
    pub(crate) workdir: Option<GuestFolder>,
    /// Environment of this service, over the guest's.
    #[serde(default)]
    #[schemars(extend("examples" = [{"V": "1"}]))]
    pub(crate) env: OwnEnv,
    /// When to start it again after it ended. Default: on-failure.
    #[serde(default)]
    #[schemars(with = "RestartWord", extend("examples" = ["always"]))]
    pub(crate) restart: Option<RestartWord>,
    /// What must be up before it is started.
    #[serde(default)]
    #[schemars(extend("examples" = [["network"]]))]
    pub(crate) after: List<StageWord>,
}

/// A program, absolute, and its arguments.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct CommandWords(pub(crate) List<String>);

impl JsonSchema for CommandWords {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommandWords".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a list: program and arguments",
            "type": "array",
            "minItems": 1,
            "items": [generator.subschema_for::<GuestPath>()],
            "additionalItems": generator.subschema_for::<AnyText>()
        })
    }
}
