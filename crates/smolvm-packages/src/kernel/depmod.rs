//! The modules in the image, and what `depmod` would write beside them.
//!
//! kmod's `modprobe` reads only the binary indexes, busybox's only the texts: both are written, so that neither `depmod` nor
//! the sandbox is needed, whatever the image holds.

use std::fmt::Write as _;

use smolvm_rootfs::{Content, Inode, Kind, RootTree};

use super::closure::Closure;
use super::index::Index;
use super::modinfo::builtin_aliases;
use super::{AddedModules, Kernel, KernelError, Module, normal_name};

pub(super) fn add(
    kernel: &Kernel,
    closure: &Closure,
    tree: &mut RootTree,
    epoch: i64,
) -> Result<AddedModules, KernelError> {
    // Through `/lib`, which is a link in most images.
    let folder = tree.place(&format!("lib/modules/{}", kernel.release))?;
    let mut added = AddedModules { modules: 0, bytes: 0 };
    for name in closure.order() {
        let Module { path, source } = &kernel.modules[name];
        let path = format!("{folder}/{path}");
        tree.create_parents(&path, epoch)?;
        let content = Content::File { path: source.content.clone(), size: source.size };
        tree.insert(&path, Inode::new(Kind::File(content), 0o644, 0, 0, source.mtime.min(epoch)))?;
        added.modules += 1;
        added.bytes += source.size;
    }
    for (name, bytes) in texts_and_indexes(kernel, closure) {
        tree.write_file(&format!("{folder}/{name}"), bytes, 0o644, 0, 0, epoch)?;
    }
    Ok(added)
}

/// Every file of `lib/modules/<release>` that is no module.
pub(super) fn texts_and_indexes(kernel: &Kernel, closure: &Closure) -> Vec<(&'static str, Vec<u8>)> {
    let names = sorted(kernel, closure);
    let mut texts = Texts::default();
    let mut dependencies = Index::default();
    let mut aliases = Index::default();
    for (priority, name) in (0..).zip(&names) {
        let Module { path, .. } = &kernel.modules[*name];
        let needed = closure.hard_dependencies(kernel, name);
        let mut line = format!("{path}:");
        for needed in needed.iter().rev() {
            line.push(' ');
            line.push_str(&kernel.modules[needed].path);
        }
        dependencies.insert(name, &line, priority);
        texts.dependencies.push_str(&line);
        texts.dependencies.push('\n');
        texts.add(name, closure);
        for alias in &closure.info(name).aliases {
            aliases.insert(&index_key(alias), name, priority);
        }
    }

    let mut builtin = Index::default();
    for name in &kernel.builtin.modules {
        builtin.insert(name, "", 0);
    }
    let mut builtin_alias = Index::default();
    for (module, alias) in builtin_aliases(&kernel.builtin.modinfo) {
        builtin_alias.insert(&index_key(&alias), &normal_name(&module), 0);
    }
    vec![
        ("modules.alias", texts.aliases.into_bytes()),
        ("modules.alias.bin", aliases.to_bytes()),
        ("modules.builtin", kernel.builtin.text.clone()),
        ("modules.builtin.alias.bin", builtin_alias.to_bytes()),
        ("modules.builtin.bin", builtin.to_bytes()),
        ("modules.builtin.modinfo", kernel.builtin.modinfo.clone()),
        ("modules.dep", texts.dependencies.into_bytes()),
        ("modules.dep.bin", dependencies.to_bytes()),
        ("modules.devname", texts.devices.into_bytes()),
        (
            "modules.order",
            names.iter().map(|name| kernel.modules[*name].path.clone() + "\n").collect::<String>().into_bytes(),
        ),
        ("modules.softdep", texts.softdeps.into_bytes()),
        // Nothing asks for `symbol:` any more, but kmod warns where the file is missing.
        ("modules.symbols", b"# Aliases for symbols, used by symbol_request().\n".to_vec()),
        ("modules.symbols.bin", Index::default().to_bytes()),
    ]
}

/// In the order of the package's own `modules.order`, which decides between two modules with the same alias.
fn sorted<'a>(kernel: &Kernel, closure: &'a Closure) -> Vec<&'a str> {
    let place: std::collections::HashMap<&str, usize> =
        kernel.order.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut names: Vec<&str> = closure.order().iter().map(String::as_str).collect();
    names.sort_by_key(|name| (place.get(name).copied().unwrap_or(usize::MAX), &kernel.modules[*name].path));
    names
}

struct Texts {
    dependencies: String,
    aliases: String,
    softdeps: String,
    devices: String,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            dependencies: String::new(),
            aliases: "# Aliases extracted from modules themselves.\n".to_owned(),
            softdeps: "# Soft dependencies extracted from modules themselves.\n".to_owned(),
            devices: "# Device nodes to trigger on-demand module loading.\n".to_owned(),
        }
    }
}

impl Texts {
    fn add(&mut self, name: &str, closure: &Closure) {
        let info = closure.info(name);
        for alias in &info.aliases {
            let _ = writeln!(self.aliases, "alias {alias} {name}");
        }
        for softdep in &info.softdeps {
            let _ = writeln!(self.softdeps, "softdep {name} {softdep}");
        }
        let device = info.aliases.iter().find_map(|alias| alias.strip_prefix("devname:"));
        let number = info.aliases.iter().find_map(|alias| {
            let (letter, number) = match alias.strip_prefix("char-major-") {
                Some(number) => ('c', number),
                None => ('b', alias.strip_prefix("block-major-")?),
            };
            let (major, minor) = number.split_once('-')?;
            Some(format!("{letter}{}:{}", major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
        });
        if let (Some(device), Some(number)) = (device, number) {
            let _ = writeln!(self.devices, "{name} {device} {number}");
        }
    }
}

/// kmod counts `-` and `_` as the same in an alias, too, but not inside brackets.
fn index_key(alias: &str) -> String {
    let mut in_brackets = false;
    alias
        .chars()
        .map(|character| {
            match character {
                '[' => in_brackets = true,
                ']' => in_brackets = false,
                _ => {}
            }
            if character == '-' && !in_brackets { '_' } else { character }
        })
        .collect()
}
