//! Numbers of a lock, refused in our own words: the YAML library speaks of `u64`.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// A size in bytes.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Number { wanted: "a size must be a whole number of bytes" })
}

/// A time in seconds since 1970.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    const WANTED: &str = "a time must be a whole number of seconds since 1970";
    let seconds = deserializer.deserialize_any(Number { wanted: WANTED })?;
    i64::try_from(seconds).map_err(|_| D::Error::custom(WANTED))
}

struct Number {
    wanted: &'static str,
}

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::custom(self.wanted))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<u64, E> {
        Err(E::custom(self.wanted))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<u64, E> {
        Err(E::custom(self.wanted))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<u64, E> {
        Err(E::custom(self.wanted))
    }

    fn visit_unit<E: Error>(self) -> Result<u64, E> {
        Err(E::custom(self.wanted))
    }
}
