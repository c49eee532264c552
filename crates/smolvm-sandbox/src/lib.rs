//! Namespaces in which maintainer scripts and run steps see the image and nothing of the host.
