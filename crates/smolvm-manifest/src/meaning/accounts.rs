//! Accounts that exist without being declared.

/// Those of Debian's and Ubuntu's `base-passwd`, in every image from the start.
const BASE: [&str; 19] = [
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data",
    "backup", "list", "irc", "_apt", "nobody", "gnats",
];

/// Groups of Debian's and Ubuntu's `base-passwd` beside those of the users of [`BASE`].
const BASE_GROUPS: [&str; 23] = [
    "adm", "tty", "disk", "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip",
    "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "users", "nogroup",
];

/// Those that well-known packages create, so that a step or service may name them.
const FROM_PACKAGES: [&str; 41] = [
    "avahi",
    "bind",
    "caddy",
    "clamav",
    "colord",
    "couchdb",
    "dnsmasq",
    "docker",
    "dovecot",
    "elasticsearch",
    "ftp",
    "gdm",
    "git",
    "grafana",
    "haproxy",
    "influxdb",
    "jenkins",
    "lxd",
    "memcache",
    "messagebus",
    "minecraft",
    "mongodb",
    "mosquitto",
    "mysql",
    "nginx",
    "node",
    "ntp",
    "openldap",
    "postfix",
    "postgres",
    "prometheus",
    "rabbitmq",
    "redis",
    "rtkit",
    "saned",
    "sshd",
    "statd",
    "tomcat",
    "unbound",
    "uuidd",
    "zookeeper",
];

/// Whether a step or service may run as this user although the Smolfile does not create it.
pub(super) fn may_exist(name: &str) -> bool {
    BASE.contains(&name) || FROM_PACKAGES.contains(&name) || name.starts_with("systemd-") || name.starts_with('_')
}

/// Why a user of this name cannot be created.
pub(super) fn taken(name: &str) -> Option<&'static str> {
    if name == "root" {
        Some("every system has it")
    } else if BASE.contains(&name) || name == "sshd" {
        Some("the distribution has it")
    } else if is_group(name) {
        Some("the distribution has a group of that name")
    } else {
        None
    }
}

/// What to do instead.
pub(super) fn advice(name: &str) -> String {
    if name == "root" {
        "root's keys and password stand under `ssh`".to_owned()
    } else if is_group(name) {
        format!("choose another name; who should be in that group says so: `groups: [{name}]`")
    } else {
        "choose another name; a step or service may run as this user without it being listed here".to_owned()
    }
}

/// A user has a group of its own, of the same name: it cannot be one that others are in too.
fn is_group(name: &str) -> bool {
    BASE_GROUPS.contains(&name)
}
