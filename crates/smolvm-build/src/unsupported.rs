//! Parts of the Smolfile format that the embedded engine cannot carry out yet. They are refused, never ignored in silence.

use smolvm_manifest::{Base, Family, KernelChoice, Manifest, ManifestErrors};

use crate::Host;

/// Everything in a manifest that the embedded engine does not support, as one report.
pub fn check_supported(manifest: &Manifest) -> Result<(), ManifestErrors> {
    let found = unsupported(manifest);
    if found.is_empty() {
        return Ok(());
    }
    let mistake = |(pointer, what, help): (&str, String, &str)| {
        let message = format!("{what} is not supported yet by this engine (embedded)");
        manifest.document.error(pointer, message, Some(help.to_owned()), "smolvm::engine::not_supported_yet")
    };
    Err(manifest.document.errors(found.into_iter().map(mistake).collect()))
}

fn unsupported(manifest: &Manifest) -> Vec<(&'static str, String, &'static str)> {
    let mut found = Vec::new();
    match &manifest.base {
        Base::Distro(distro) if distro.family() == Family::Alpine => {
            found.push(("/base", format!("`{distro}`", distro = distro.name()), "use a Debian or Ubuntu base"));
        }
        Base::Distro(_) => {}
        Base::Image(_) => {
            found.push(("/base", "a Docker image as the base".to_owned(), "use a Debian or Ubuntu base"));
        }
    }
    if Some(manifest.arch) != Host::arch() {
        let what = format!("building for `{}` on another architecture", manifest.arch);
        found.push(("/arch", what, "build on a machine of that architecture"));
    }
    let kernel = match manifest.kernel {
        KernelChoice::Auto | KernelChoice::Distro { .. } | KernelChoice::Debian => None,
        KernelChoice::Smolvm => Some("`kernel: smolvm`"),
        KernelChoice::Url { .. } => Some("a kernel from an address"),
        KernelChoice::Path { .. } => Some("a kernel of your own"),
    };
    if let Some(what) = kernel {
        found.push(("/kernel", what.to_owned(), "use `distro`, `debian` or `auto`"));
    }
    if !manifest.services.is_empty() {
        let help = "start the program over SSH, or from a run of `smolvm run`, and leave `services` out";
        found.push(("/services", "`services`".to_owned(), help));
    }
    found
}
