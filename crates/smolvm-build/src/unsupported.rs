//! Parts of the Smolfile format that an engine cannot carry out yet. They are refused, never ignored in silence.

use smolvm_manifest::{Base, Family, KernelChoice, Manifest, ManifestErrors};

use crate::Host;
use crate::engine::EngineKind;

/// Everything in a manifest that the engine which would build it does not support, as one report.
pub(crate) fn check_supported(manifest: &Manifest, engine: EngineKind) -> Result<(), ManifestErrors> {
    let found = unsupported(manifest, engine);
    if found.is_empty() {
        return Ok(());
    }
    let mistake = |(pointer, what, help): (&str, String, &str)| {
        let message = format!("{what} is not supported yet by this engine ({engine})");
        manifest.document.error(pointer, message, Some(help.to_owned()), "smolvm::engine::not_supported_yet")
    };
    Err(manifest.document.errors(found.into_iter().map(mistake).collect()))
}

fn unsupported(manifest: &Manifest, engine: EngineKind) -> Vec<(&'static str, String, &'static str)> {
    let mut found = Vec::new();
    let needs_docker = needs_docker(&manifest.base);
    if let (Some(what), EngineKind::Embedded) = (&needs_docker, engine) {
        let help = "build it with Docker (`--engine docker`, or no `--engine`), or use a Debian or Ubuntu base";
        found.push(("/base", what.clone(), help));
    }
    if let (Some(what), KernelChoice::Distro { .. }) = (&needs_docker, &manifest.kernel) {
        found.push((
            "/kernel",
            format!("the kernel of {what}"),
            "use `debian` or `auto`: Debian's kernel boots any root file system",
        ));
    }
    if Some(manifest.arch) != Host::arch() {
        let what = format!("building for `{}` on another architecture", manifest.arch);
        found.push(("/arch", what, "build on a machine of that architecture"));
    }
    found
}

/// What a base is that only Docker can start from.
pub(crate) fn needs_docker(base: &Base) -> Option<String> {
    match base {
        Base::Distro(distro) if distro.family() == Family::Alpine => Some(format!("`{}`", distro.name())),
        Base::Distro(_) => None,
        Base::Image(_) => Some("a Docker image as the base".to_owned()),
    }
}
