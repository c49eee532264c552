//! The functions of init, one table each, in every shell.

use smolvm_manifest::Distro;
use smolvm_render::render;

use crate::fixture::{full, locked};
use crate::shell::Shell;

/// The init that has every function.
fn whole_init(distro: Distro) -> String {
    render(&full(distro)).unwrap().init
}

/// Runs each script of a table and compares what it prints.
#[track_caller]
fn check(rows: &[(&str, &str)]) {
    let init = whole_init(Distro::DebianBookworm);
    let folder = tempfile::tempdir().unwrap();
    for shell in Shell::all() {
        for (script, expected) in rows {
            assert_eq!(shell.prints(folder.path(), &init, script), *expected, "{shell:?}: {script}");
        }
    }
}

#[test]
fn reading_init_starts_nothing() {
    check(&[("echo here", "here\n")]);
    let folder = tempfile::tempdir().unwrap();
    for shell in Shell::all() {
        std::fs::write(folder.path().join("init"), whole_init(Distro::Alpine320)).unwrap();
        let output = shell.command().arg("init").current_dir(folder.path()).output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn masks() {
    let octets = [0, 128, 192, 224, 240, 248, 252, 254, 255];
    let masks: Vec<(String, String)> = (0..=32)
        .map(|prefix: usize| {
            let octet = |index: usize| octets[prefix.saturating_sub(index * 8).min(8)].to_string();
            (format!("prefix_of {} && echo $prefix", [0, 1, 2, 3].map(octet).join(".")), format!("{prefix}\n"))
        })
        .collect();
    assert_eq!(masks[23].0, "prefix_of 255.255.254.0 && echo $prefix");
    check(&masks.iter().map(|(script, expected)| (script.as_str(), expected.as_str())).collect::<Vec<_>>());
    check(&[
        ("prefix_of 24 && echo $prefix", "24\n"),
        ("prefix_of 0 && echo $prefix", "0\n"),
        ("prefix_of 33 || echo no", "no\n"),
        ("prefix_of '' || echo no", "no\n"),
        ("prefix_of 255.0.255.0 || echo no", "no\n"),
        ("prefix_of 255.254.128.0 || echo no", "no\n"),
        ("prefix_of 255.255.255 || echo no", "no\n"),
        ("prefix_of 255.255.255.0.0 || echo no", "no\n"),
        ("prefix_of 255.255.253.0 || echo no", "no\n"),
        ("prefix_of '255.*.0.0' || echo no", "no\n"),
        // The words are split as before.
        ("prefix_of 255.255.0.0; set -- $(echo a.b c); echo $#", "2\n"),
    ]);
}

#[test]
fn the_network_of_the_command_line() {
    const SHOW: &str = r#"; echo "$address|$gateway|$netmask|$host|$device|$dns|$guest_network""#;
    let rows = [
        ("", "172.16.0.2|172.16.0.1|255.255.255.0||eth0| |"),
        ("off", "172.16.0.2|172.16.0.1|255.255.255.0||eth0| |"),
        (
            "10.0.0.5::10.0.0.1:255.255.0.0:box:eth1:off:1.1.1.1:9.9.9.9",
            "10.0.0.5|10.0.0.1|255.255.0.0|box|eth1|1.1.1.1 9.9.9.9|",
        ),
        // The server is for NFS, the last one for time.
        (
            "10.0.0.5:10.0.0.9:10.0.0.1:255.0.0.0::eth0:none:1.1.1.1::10.0.0.7",
            "10.0.0.5|10.0.0.1|255.0.0.0||eth0|1.1.1.1 |",
        ),
        ("10.0.0.5", "10.0.0.5||255.255.255.0||eth0| |"),
        ("10.0.0.5::10.0.0.1", "10.0.0.5|10.0.0.1|255.255.255.0||eth0| |"),
        ("10.0.0.5::::box", "10.0.0.5||255.255.255.0|box|eth0| |"),
        ("::10.0.0.1:::eth1:off", "172.16.0.2|10.0.0.1|255.255.255.0||eth1| |"),
        (":::::eth1:off", "172.16.0.2|172.16.0.1|255.255.255.0||eth1| |"),
        ("10.0.0.5:::::::1.1.1.1", "10.0.0.5||255.255.255.0||eth0|1.1.1.1 |"),
        ("10.0.0.5::::::::1.1.1.1", "10.0.0.5||255.255.255.0||eth0| 1.1.1.1|"),
        ("dhcp", "172.16.0.2|172.16.0.1|255.255.255.0||eth0| |yes"),
        (":::::eth1:dhcp", "172.16.0.2|172.16.0.1|255.255.255.0||eth1| |yes"),
        ("10.0.0.5:::*", "10.0.0.5||*||eth0| |"),
    ];
    let rows: Vec<_> =
        rows.map(|(value, expected)| (format!("split_network '{value}'{SHOW}"), format!("{expected}\n"))).into();
    check(&rows.iter().map(|(script, expected)| (script.as_str(), expected.as_str())).collect::<Vec<_>>());
}

#[test]
fn the_words_of_the_command_line() {
    const SHOW: &str = r#"; echo "$network|$guest_network|$authorized_keys|$power""#;
    let rows = [
        ("", "|||o"),
        ("console=ttyS0 reboot=k panic=1 root=/dev/vda rw init=/init", "|||o"),
        ("console=ttyS0 pci=off root=/dev/vda", "|||b"),
        ("pci=off smolvm.poweroff=off", "|||o"),
        ("smolvm.poweroff=off pci=off", "|||o"),
        ("smolvm.poweroff=reset", "|||b"),
        ("smolvm.poweroff=maybe", "|||o"),
        ("smolvm.network=guest", "|yes||o"),
        ("smolvm.network=host ip=1::2 xip=3", "1::2|||o"),
        // Padding ends in the same sign as a name.
        ("smolvm.authorized_key_b64=QQ== quiet smolvm.authorized_key_b64=Qg==", "|| QQ== Qg==|o"),
        ("a=* ?", "|||o"),
    ];
    let rows: Vec<_> =
        rows.map(|(value, expected)| (format!("read_command_line '{value}'{SHOW}"), format!("{expected}\n"))).into();
    check(&rows.iter().map(|(script, expected)| (script.as_str(), expected.as_str())).collect::<Vec<_>>());
}

#[test]
fn name_servers() {
    const OWN: &str = "nameserver 8.8.8.8\nnameserver 2001:4860:4860::8888\n";
    check(&[
        ("resolv_conf '1.1.1.1 9.9.9.9' 10.0.0.1", "nameserver 1.1.1.1\nnameserver 9.9.9.9\n"),
        ("resolv_conf ' 9.9.9.9' 10.0.0.1", "nameserver 9.9.9.9\n"),
        ("resolv_conf ' ' 10.0.0.1", &format!("nameserver 10.0.0.1\n{OWN}")),
        ("resolv_conf ' ' ''", OWN),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let init = render(&locked(Distro::DebianBookworm)).unwrap().init;
    for shell in Shell::all() {
        assert_eq!(shell.prints(folder.path(), &init, "resolv_conf ' ' 10.0.0.1"), "nameserver 10.0.0.1\n");
        assert_eq!(shell.prints(folder.path(), &init, "resolv_conf ' ' ''"), "");
    }
}

#[test]
fn keys_are_decoded_one_to_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let init = whole_init(Distro::DebianBookworm);
    let keys = "read_command_line 'smolvm.authorized_key_b64=c3NoLWVkMjU1MTkgQUFBQSBtZUBob3N0 smolvm.authorized_key_b64=c3NoLXJzYSBC';\
        rm -f keys; for key in $authorized_keys; do add_key $key keys; done; cat keys";
    let damaged = "rm -f keys; add_key '!!!' keys; add_key QQ== keys; cat keys";
    for shell in Shell::all() {
        assert_eq!(shell.prints(folder.path(), &init, keys), "ssh-ed25519 AAAA me@host\nssh-rsa B\n", "{shell:?}");
        let told = shell.prints(folder.path(), &init, damaged);
        assert!(told.contains("SMOLVM_FAIL stage=authorized-key smolvm.authorized_key_b64 is not base64\n"), "{told}");
        assert!(told.ends_with("\nA\n"), "the next key is not kept: {told}");
    }
}

#[test]
fn host_names() {
    const HOSTS: &str = "printf '127.0.0.1\\tlocalhost\\n127.0.1.1 dev.example.org dev\\n' |";
    let rows = [
        ("dev", "yes\n"),
        ("dev.example.org", "yes\n"),
        ("localhost", "yes\n"),
        ("example", "no\n"),
        ("127.0.0.1", "no\n"),
    ];
    let rows = rows.map(|(name, expected)| (format!("{HOSTS} has_name {name} && echo yes || echo no"), expected));
    check(&rows.iter().map(|(script, expected)| (script.as_str(), *expected)).collect::<Vec<_>>());
}

#[test]
fn a_disk_is_compared_with_what_is_known_of_it() {
    check(&[
        ("echo 2048 | is_larger 2048 || echo no", "no\n"),
        ("echo 2048 | is_larger 2049 && echo yes", "yes\n"),
        ("echo 4096 | is_larger 2049 || echo no", "no\n"),
        // What a render without a build leaves there: nothing is known.
        ("echo 0 | is_larger 2048 && echo yes", "yes\n"),
        ("echo | is_larger 2048 && echo yes", "yes\n"),
        ("echo 12x | is_larger 2048 && echo yes", "yes\n"),
        // More than 32 bits: 4 TiB.
        ("echo 8589934592 | is_larger 8589934593 && echo yes", "yes\n"),
    ]);
}

#[test]
fn pauses_double_up_to_a_minute_and_a_minute_of_life_resets_them() {
    check(&[
        (
            "pause=0; for _ in 1 2 3 4 5 6 7 8; do set_pause $pause 100.50 100.70; echo $pause; done",
            "1\n2\n4\n8\n16\n32\n60\n60\n",
        ),
        ("set_pause 32 100.99 159.01; echo $pause", "60\n"),
        ("set_pause 32 100.99 160.00; echo $pause", "1\n"),
        ("set_pause 0 100.99 100.99; echo $pause", "1\n"),
    ]);
}

/// A stand-in for the `ip` tool: iproute2 is given a list, busybox one command after the other. It is a function, because
/// Debian's busybox prefers its own tools to those in PATH.
const IP: &str = "ip() { if [ \"$1\" = -force ]; then cat; else echo \"$*\"; fi; }\n";

#[test]
fn a_static_network_has_its_gateway_on_the_link() {
    const ROUTED: &str = "link set dev lo up\nlink set dev eth1 up\naddress replace 10.1.2.3/32 dev eth1\n\
        route replace 10.9.9.9 dev eth1\nroute replace default via 10.9.9.9 dev eth1\n";
    const ALONE: &str = "link set dev lo up\nlink set dev eth0 up\naddress replace 10.1.2.3/8 dev eth0\n";
    let folder = tempfile::tempdir().unwrap();
    for distro in [Distro::DebianBookworm, Distro::Alpine322] {
        let init = whole_init(distro);
        for shell in Shell::all() {
            let told = |value: &str| {
                let script = format!("{IP}split_network {value}; static_network || echo refused");
                let text = shell.prints(folder.path(), &init, &script);
                text.split_inclusive('\n').filter(|line| *line != "\n").collect::<String>()
            };
            assert_eq!(told("10.1.2.3::10.9.9.9:255.255.255.255::eth1:off"), ROUTED, "{distro:?} {shell:?}");
            assert_eq!(told("10.1.2.3:::255.0.0.0"), ALONE, "{distro:?} {shell:?}");
            assert_eq!(told("1.2.3.4:::255.0.255.0"), "refused\n", "{distro:?} {shell:?}");
        }
    }
}

#[test]
fn a_guests_own_network_is_tried_in_order() {
    let tools = ["ifup", "udhcpc", "dhclient"];
    let all = ["ifup eth0\n", "udhcpc -q -n -t 5 -i eth0\n", "dhclient -1 eth0\n", "failed\n"];
    for failing in 0..=tools.len() {
        let stand_in = |(index, tool): (usize, &&str)| {
            format!("{tool}() {{ echo {tool} \"$@\"; return {}; }}\n", i32::from(index < failing))
        };
        let stand_ins: String = tools.iter().enumerate().map(stand_in).collect();
        let script = format!("ip() {{ :; }}\n{stand_ins}device=eth0; guest_network || echo failed");
        check(&[(&script, &all[..=failing].concat())]);
    }
}

#[test]
fn a_network_that_was_not_configured_is_told_and_remembered() {
    let told = |shell: Shell, script: &str| {
        let folder = tempfile::tempdir().unwrap();
        shell.prints(folder.path(), &whole_init(Distro::DebianBookworm), &format!("ip() {{ return 1; }}\n{script}"))
    };
    for shell in Shell::all() {
        let script = "split_network :::::none7; configure_network; echo $network_failed";
        assert_eq!(told(shell, script), "SMOLVM_FAIL stage=network there is no device none7\nyes\n");
        let script = "split_network 10.0.0.5:::255.0.0.0::lo; configure_network; echo $network_failed";
        let expected = "SMOLVM_FAIL stage=network lo was not configured with 10.0.0.5/255.0.0.0 via no gateway\nyes\n";
        assert_eq!(told(shell, script), expected);
        let script = "static_network() { :; }; split_network :::::lo; configure_network; echo \"<$network_failed>\"";
        assert_eq!(told(shell, script), "<>\n");
    }
}
