//! Packages that the mini root file system does not have.

use super::apk::Apk;

/// All but `openssh`, which is built.
pub(super) fn packages() -> [Apk; 3] {
    [hello(), greeting(), iproute2()]
}

/// Has a dependency, a script that runs after it was installed, and one that runs when a folder changed. Both scripts write
/// what they were called with to `/var/lib/hello/log`.
fn hello() -> Apk {
    let mut hello = Apk::new("hello", "1.2-r3", "Prints a greeting")
        .field('D', "greeting>=1 /bin/sh")
        .field('p', "cmd:hello=1.2-r3")
        .file("usr/bin/hello", 0o755, b"#!/bin/sh\ncat /usr/share/hello.d/*\n")
        .folder("var/lib/hello")
        .script(".post-install", "#!/bin/sh\necho \"post-install $*\" >>/var/lib/hello/log\n")
        .script(".trigger", "#!/bin/sh\necho \"trigger $*\" >>/var/lib/hello/log\n");
    hello.triggers.push("/usr/share/hello.d".to_owned());
    hello
}

/// What `hello` depends on, and whose folder it watches.
fn greeting() -> Apk {
    Apk::new("greeting", "1.0-r0", "What hello prints").file("usr/share/hello.d/greeting", 0o644, b"Hello, world!\n")
}

/// Empty: the `ip` that it promises is busybox's. It stands for Alpine's package in what depends on it by name.
fn iproute2() -> Apk {
    Apk::new("iproute2", "6.9.0-r0", "Stands for iproute2, with the ip of busybox").field('D', "busybox")
}
