//! `base`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{ImageReference, TextOr};
use crate::base::Distro;

/// A release, or a Docker image.
pub(crate) type Base = TextOr<DistroName, BaseMap>;

/// The name of a release.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(crate) struct DistroName(pub(crate) Distro);

impl JsonSchema for DistroName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DistroName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "a release", "type": "string", "enum": Distro::ALL.map(Distro::name) })
    }
}

/// A Docker image to start from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a map such as {image: node:22-bookworm-slim}", inline)]
pub(crate) struct BaseMap {
    /// Docker image to start from.
    #[schemars(extend("examples" = ["node:22-bookworm-slim"]))]
    pub(crate) image: ImageReference,
}
