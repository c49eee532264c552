//! `env`: a map, or a list of `NAME=value`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{AnyText, Assignment, List, OneLine, VariableName};

/// The guest's environment.
#[derive(Debug)]
pub(crate) enum Env {
    Map(BTreeMap<String, String>),
    List(List<Assignment>),
}

impl Default for Env {
    fn default() -> Self {
        Self::Map(BTreeMap::new())
    }
}

impl<'de> Deserialize<'de> for Env {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnvVisitor;

        impl<'de> Visitor<'de> for EnvVisitor {
            type Value = Env;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map or a list of NAME=value")
            }

            fn visit_unit<E: Error>(self) -> Result<Env, E> {
                Ok(Env::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Env, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(Env::Map)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Env, A::Error> {
                List::deserialize(SeqAccessDeserializer::new(seq)).map(Env::List)
            }
        }

        deserializer.deserialize_any(EnvVisitor)
    }
}

impl JsonSchema for Env {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Env".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                {
                    "title": "a map of variables",
                    "type": ["object", "null"],
                    "propertyNames": generator.subschema_for::<VariableName>(),
                    "additionalProperties": generator.subschema_for::<OneLine>()
                },
                {
                    "title": "a list of NAME=value",
                    "type": "array",
                    "items": generator.subschema_for::<Assignment>()
                }
            ]
        })
    }
}

/// The environment of one step or service.
#[derive(Debug, Default)]
pub(crate) struct OwnEnv(pub(crate) BTreeMap<String, String>);

/// The same, where something stands in it.
type OwnEnvMap = BTreeMap<String, String>;

impl<'de> Deserialize<'de> for OwnEnv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::<OwnEnvMap>::deserialize(deserializer)?.unwrap_or_default()))
    }
}

impl JsonSchema for OwnEnv {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OwnEnv".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a map of variables",
            "type": ["object", "null"],
            "propertyNames": generator.subschema_for::<VariableName>(),
            "additionalProperties": generator.subschema_for::<AnyText>()
        })
    }
}
