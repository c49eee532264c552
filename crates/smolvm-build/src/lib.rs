//! From a Smolfile to a bootable image in the store: [`build()`], and what it says on the way.

mod build;
mod commit;
mod engine;
mod error;
mod explain;
mod files;
mod full_disk;
mod host;
mod ignore;
mod indexes;
mod kernel;
mod locking;
mod options;
mod output;
mod prune;
mod refresh;
mod resolve;
mod steps;
mod surroundings;
mod unsupported;
mod vendor;
mod verify;
mod vm_image;
mod work;

pub use build::{build, check, load, resolve};
pub use error::{BuildError, FailureClass};
pub use explain::{ExplainedLayer, Explanation, Fate, explain};
pub use host::Host;
pub use locking::{LockReport, LockUpdate, check_lock, lock};
pub use options::{BuildOptions, BuiltImage, BuiltLayer, CacheUse, EngineChoice};
pub use output::deliver;
pub use prune::{Pruned, prune};
pub use smolvm_engine::{Event, Events, Stage};
pub use smolvm_fetch::{Retries, Timeouts};
pub use vendor::{VendorReport, vendor};
pub use vm_image::vm_image;
