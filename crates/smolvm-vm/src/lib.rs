//! Boot arguments, running an image under QEMU, waiting for SSH.
