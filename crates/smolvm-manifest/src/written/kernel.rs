//! `kernel`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::text::words;
use super::{HostPath, Sha256, TextOr, WebAddress};

words!(KernelWord, "auto, smolvm, distro or debian", ["auto", "smolvm", "distro", "debian"]);
words!(ModulesWord, "chosen or all", ["chosen", "all"]);

/// A word, or a map with the details.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kernel(pub(crate) TextOr<KernelWord, KernelMap>);

/// The three maps in one: the schema sees to it that only the keys of one of them are given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KernelMap {
    #[serde(default)]
    pub(crate) distro: Option<DistroKernel>,
    #[serde(default)]
    pub(crate) url: Option<WebAddress>,
    #[serde(default)]
    pub(crate) sha256: Option<Sha256>,
    #[serde(default)]
    pub(crate) path: Option<HostPath>,
}

/// Settings of the distribution's kernel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map with `modules`", inline)]
pub(crate) struct DistroKernel {
    /// Which of its modules go into the image: a chosen set, or all.
    #[serde(default)]
    #[schemars(with = "ModulesWord", extend("examples" = ["all"]))]
    pub(crate) modules: Option<ModulesWord>,
}

impl JsonSchema for Kernel {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kernel".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                generator.subschema_for::<KernelWord>(),
                {
                    "title": "{distro: {modules: all}}",
                    "type": "object",
                    "properties": { "distro": generator.subschema_for::<DistroKernel>() },
                    "additionalProperties": false,
                    "required": ["distro"]
                },
                {
                    "title": "{url: …, sha256: …}",
                    "type": "object",
                    "properties": {
                        "url": generator.subschema_for::<WebAddress>(),
                        "sha256": generator.subschema_for::<Sha256>()
                    },
                    "additionalProperties": false,
                    "required": ["url", "sha256"]
                },
                {
                    "title": "{path: …}",
                    "type": "object",
                    "properties": { "path": generator.subschema_for::<HostPath>() },
                    "additionalProperties": false,
                    "required": ["path"]
                }
            ]
        })
    }
}
