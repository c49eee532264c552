//! Accounts that exist without being declared.

/// Those of Debian's and Ubuntu's `base-passwd`, in every image from the start.
const BASE: [&str; 19] = [
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data",
    "backup", "list", "irc", "_apt", "nobody", "gnats",
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
    } else {
        None
    }
}

/// What to do instead.
pub(super) fn advice(name: &str) -> &'static str {
    if name == "root" {
        "root's keys and password stand under `ssh`"
    } else {
        "choose another name; a step or service may run as this user without it being listed here"
    }
}
