//! All HTTP: retried, resumed, verified in stream, kept in a download cache.
