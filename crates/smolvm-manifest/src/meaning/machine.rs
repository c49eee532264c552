//! The machine around the file system: sizes, kernel, boot arguments, name servers.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{Meaning, below, names};
use crate::finding::Finding;
use crate::manifest::{KernelChoice, Modules, Size, Tmp};
use crate::size::bytes_of;
use crate::written::{self, Boot, DistroKernel, Kernel, Network, SizeText, TextOr};

/// No Linux fits into less.
const SMALLEST_ROOT: u64 = 32 << 20;
/// What ext4 with blocks of 4 KiB can hold.
const LARGEST_ROOT: u64 = 16 << 40;
/// ext4 counts in these.
const BLOCK: u64 = 4096;
/// Less cannot hold a socket and a lock file side by side.
const SMALLEST_TMP: u64 = 1 << 20;
/// The kernel's command line has 2048 bytes, and smolvm and `ip=` need their part.
const LONGEST_BOOT_ARGUMENTS: usize = 1024;

/// What smolvm puts on the command line itself. A second one would win or clash.
const OWN_BOOT_ARGUMENTS: [&str; 14] = [
    "root",
    "rootfstype",
    "rootflags",
    "init",
    "rdinit",
    "rw",
    "ro",
    "console",
    "reboot",
    "panic",
    "pci",
    "ip",
    "initrd",
    "nfsroot",
];

impl Meaning<'_> {
    pub(super) fn size(&mut self, written: Option<SizeText>) -> Option<Size> {
        let text = match written {
            None => return Some(Size::Auto),
            Some(SizeText(text)) if text == "auto" => return Some(Size::Auto),
            Some(SizeText(text)) => text,
        };
        let bytes = bytes_of(&text)?;
        let (fault, help) = if bytes < SMALLEST_ROOT {
            ("too small", "no system fits into less than 32MiB; `auto` makes it as large as its content needs")
        } else if bytes > LARGEST_ROOT {
            ("too large", "ext4 ends at 16TiB; `auto` makes it as large as its content needs")
        } else {
            return Some(Size::Bytes(bytes.next_multiple_of(BLOCK)));
        };
        let message = format!("a root file system of {text} is {fault}");
        self.add(Finding::at("size", "/size", message).label(fault).help(help));
        None
    }

    pub(super) fn tmp(&mut self, written: Option<written::Tmp>) -> Option<Tmp> {
        let text = match written {
            None => return Some(Tmp::Disk),
            Some(TextOr::Text(word)) if word.0 == "disk" => return Some(Tmp::Disk),
            Some(TextOr::Text(_)) => return Some(Tmp::Tmpfs(None)),
            Some(TextOr::Map(map)) => map.tmpfs.0,
        };
        let bytes = bytes_of(&text)?;
        if bytes < SMALLEST_TMP {
            self.add(
                Finding::at("size", "/tmp/tmpfs", format!("a /tmp of {text} is too small"))
                    .label("too small")
                    .help("give it 1MiB or more, or leave the size out: `tmp: tmpfs`"),
            );
            return None;
        }
        Some(Tmp::Tmpfs(Some(bytes)))
    }

    pub(super) fn kernel(&mut self, written: Option<Kernel>) -> Option<KernelChoice> {
        let map = match written {
            None => return Some(KernelChoice::Auto),
            Some(Kernel(TextOr::Text(word))) => {
                return Some(match word.0.as_str() {
                    "smolvm" => KernelChoice::Smolvm,
                    "distro" => KernelChoice::Distro { modules: Modules::Chosen },
                    "debian" => KernelChoice::Debian,
                    _ => KernelChoice::Auto,
                });
            }
            Some(Kernel(TextOr::Map(map))) => map,
        };
        if let Some(DistroKernel { modules }) = map.distro {
            let all = modules.is_some_and(|word| word.0 == "all");
            return Some(KernelChoice::Distro { modules: if all { Modules::All } else { Modules::Chosen } });
        }
        if let (Some(url), Some(sha256)) = (map.url, map.sha256) {
            let url = self.web_address(&below("/kernel", "url"), &url.0)?;
            return Some(KernelChoice::Url { url: url.to_string(), sha256: sha256.0 });
        }
        let path = map.path?.0;
        let bytes = self.read("/kernel/path", &path, "the kernel")?;
        if bytes.is_empty() {
            self.add(
                Finding::at("kernel", "/kernel/path", format!("the kernel `{path}` is an empty file"))
                    .help("name a vmlinux or bzImage file"),
            );
            return None;
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let path = names::expand_home(&path, self.surroundings.home()).unwrap_or_else(|_| PathBuf::from(path));
        Some(KernelChoice::Path { path, sha256 })
    }

    pub(super) fn boot_args(&mut self, written: Boot) -> Vec<String> {
        let mut args = Vec::new();
        for (index, argument) in written.0.args.entries() {
            let argument = argument.0;
            let name = argument.split('=').next().unwrap_or_default();
            if OWN_BOOT_ARGUMENTS.contains(&name) || name.starts_with("smolvm.") {
                self.add(
                    Finding::at("clash", format!("/boot/args/{index}"), format!("`{name}` is set by smolvm itself"))
                        .label("this would take its place")
                        .help("remove it; `smolvm build` prints the arguments that an image boots with"),
                );
            }
            args.push(argument);
        }
        let length: usize = args.iter().map(|argument| argument.len() + 1).sum();
        if length > LONGEST_BOOT_ARGUMENTS {
            self.add(
                Finding::at("range", "/boot/args", format!("the boot arguments are {length} characters long"))
                    .label("too long")
                    .help(format!("the kernel's command line leaves {LONGEST_BOOT_ARGUMENTS} for them")),
            );
        }
        args
    }
}

/// Google's, as in SmolVM's own images.
pub(super) fn dns(written: Network) -> Vec<IpAddr> {
    let servers: Vec<IpAddr> = written.0.dns.entries().map(|(_, address)| address.0).collect();
    if servers.is_empty() {
        return vec![Ipv4Addr::new(8, 8, 8, 8).into(), Ipv4Addr::new(8, 8, 4, 4).into()];
    }
    servers
}
