//! The image store: finished images under the hash of everything that decided their bytes.
//!
//! ```text
//! <root>/
//!   VERSION                      "smolvm-store 1": who reads another number stops
//!   images/<key>/                one finished image; a folder that is here is whole (its files are 0444)
//!     image.json                 what it is: sizes and hashes of the files beside it, and how to boot them
//!     kernel
//!     initrd                     where the kernel needs one
//!     rootfs.ext4
//!   layers/<key>/                one cached layer, whole like an image (its files are 0444)
//!     layer.json                 sizes, hashes, and the layers below whose contents it uses
//!     listing                    every path with its owner, mode, time and the place of its content
//!     inputs                     what it was made of: by this a build finds a layer that it only has to add to
//!     content                    the bytes of all files that no layer below has, one after the other
//!   index/<name>                 which key a name means, and since when; written last
//!   staging/<key>.<pid>.<n>/     an image or layer being put together or taken apart; renamed to or from its place
//!   scratch/<pid>.<n>/           an engine's work folder, in use while scratch/<pid>.<n>.lock is locked
//!   locks/<key>                  locked by the one process that builds this image or layer
//!   locks/index                  locked for the moment in which a name changes
//! ```
//!
//! Rules, each of which a test guards:
//! - An image appears by one rename, after its files are on disk. So it is there whole or not at all, whenever the power goes.
//! - Who uses an image holds a shared lock on its folder (the *lease*), taken before looking what is in it. Who removes an
//!   image needs that lock alone.
//! - A file that is missing or of another size than `image.json` says makes the whole image a miss, and the next build
//!   of that key replaces it. Content is hashed only by [`Store::verify`].
//! - All locks are of the kind that ends with the process.
//!
//! `docs/store.md` explains the same to users.

mod durable;
mod error;
mod image;
mod layer;
mod lock;
mod names;
mod record;
mod remove;
mod scratch;
mod staging;
mod store;

pub use error::StoreError;
pub use image::{Damage, Image};
pub use layer::{CachedLayer, LayerContent, LayerStaging, RemovedLayers};
pub use record::{BlobRecord, ImageRecord, LayerRecord, Reproducible};
pub use remove::Removed;
pub use scratch::{Scratch, Swept};
pub use smolvm_manifest::BuildKey;
pub use staging::Staging;
pub use store::{BuildLock, ListedImage, Store};
