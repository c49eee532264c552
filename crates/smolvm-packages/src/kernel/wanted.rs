//! Which modules smolvm takes out of a kernel package: data, with the reason for each line.

/// One module of the initrd.
pub(super) struct Wanted {
    pub(super) name: &'static str,
    /// Whether a kernel without it can do.
    pub(super) optional: bool,
}

const fn needed(name: &'static str) -> Wanted {
    Wanted { name, optional: false }
}

const fn optional(name: &'static str) -> Wanted {
    Wanted { name, optional: true }
}

/// What stands between the kernel and its root file system, and what `/init` of the image counts on. Loaded in this order, each after what
/// it needs; built-in ones are skipped.
pub(super) const INITRD: [Wanted; 6] = [
    // The bus of QEMU and Cloud Hypervisor.
    needed("virtio_pci"),
    // The bus of Firecracker and of QEMU's microvm.
    optional("virtio_mmio"),
    // The disk.
    needed("virtio_blk"),
    needed("ext4"),
    // The network, which `/init` configures before anything else could load it.
    needed("virtio_net"),
    // Without it a fresh machine waits for entropy before sshd has keys.
    optional("virtio_rng"),
];

/// Aliases by which modules ask for a soft dependency that the initrd needs, and who answers. The real table of aliases is spread over all modules of the kernel,
/// which would all have to be decompressed for it.
pub(super) const ALIASES: [(&str, &str); 4] = [
    // ext4 and jbd2 until Linux 6.14; the generic one is enough to boot with.
    ("crypto_crc32c", "crc32c_generic"),
    ("crc32c", "crc32c_generic"),
    // btrfs and f2fs.
    ("crypto_crc32", "crc32_generic"),
    ("crypto_xxhash64", "xxhash_generic"),
];

/// What goes into the image: the things that people do in a development machine and that the kernel loads on demand. A name that ends in `*` stands for all
/// that begin so. What a kernel does not have is passed over.
const CHOSEN: [&str; 86] = [
    // The devices of the virtual machine, for whoever boots without our initrd.
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_net",
    "virtio_rng",
    "virtio_balloon",
    "virtio_console",
    "virtio_scsi",
    "virtio_mem",
    "virtio_pmem",
    // The clock of the host.
    "ptp_kvm",
    // Talking to the host without a network.
    "vsock",
    "vmw_vsock_virtio_transport",
    "vsock_diag",
    "vsock_loopback",
    // File systems: containers, mounted images, shared folders, the media of cloud-init.
    "ext4",
    "overlay",
    "fuse",
    "virtiofs",
    "erofs",
    "squashfs",
    "isofs",
    "vfat",
    "nls_cp437",
    "nls_iso8859_1",
    "nls_utf8",
    "loop",
    "nbd",
    "zram",
    "dm_mod",
    // What systemd asks for.
    "autofs4",
    "binfmt_misc",
    "configfs",
    "efivarfs",
    // Interfaces of containers and VPNs.
    "bridge",
    "br_netfilter",
    "veth",
    "tun",
    "tap",
    "macvlan",
    "ipvlan",
    "vxlan",
    "dummy",
    "8021q",
    "wireguard",
    "ip_gre",
    "ipip",
    "vrf",
    // nftables.
    "nfnetlink*",
    "nf_tables*",
    "nft_*",
    "nf_conntrack*",
    "nf_nat*",
    "nf_reject*",
    "nf_log*",
    "nf_flow_table*",
    // iptables, by way of nftables and by its own tables: Docker, Kubernetes, firewalls.
    "x_tables",
    "xt_*",
    "ipt_*",
    "ip6t_*",
    "ip_tables",
    "iptable_*",
    "ip6_tables",
    "ip6table_*",
    "ip_set*",
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_sh",
    // Traffic control: the usual queues, and what simulates bad networks.
    "sch_fq",
    "sch_fq_codel",
    "sch_htb",
    "sch_tbf",
    "sch_netem",
    "sch_ingress",
    "cls_u32",
    "cls_bpf",
    "act_mirred",
    "tcp_bbr",
    // `ss`.
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "unix_diag",
    "netlink_diag",
    // Soft dependencies of file systems above.
    "crc32c_generic",
    "crc32c_intel",
];

/// Whether a module, spelt with `_`, is on the list for the image.
pub(super) fn is_chosen(name: &str) -> bool {
    CHOSEN.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *pattern,
    })
}
