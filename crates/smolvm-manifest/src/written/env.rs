//! `env`: a map, or a list of `NAME=value`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{AnyAssignment, AnyText, Assignment, List, OneLine, VariableName};

/// The guest's environment, which ends up in files of one line each.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct GuestEnv(pub(crate) Env);

/// The environment of one step or service, which is handed to it as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct OwnEnv(pub(crate) Env);

/// An environment in either of its shapes.
#[derive(Debug)]
pub(crate) enum Env {
    Map(BTreeMap<String, String>),
    List(List<String>),
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

impl JsonSchema for GuestEnv {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GuestEnv".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        either_shape::<OneLine, Assignment>(generator)
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
        either_shape::<AnyText, AnyAssignment>(generator)
    }
}

fn either_shape<V: JsonSchema, A: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "oneOf": [
            {
                "title": "a map of variables",
                "type": ["object", "null"],
                "propertyNames": generator.subschema_for::<VariableName>(),
                "additionalProperties": generator.subschema_for::<V>()
            },
            {
                "title": "a list of NAME=value",
                "type": "array",
                "items": generator.subschema_for::<A>()
            }
        ]
    })
}
