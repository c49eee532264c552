//! A locked manifest becomes typed steps, a Dockerfile and an init script.
