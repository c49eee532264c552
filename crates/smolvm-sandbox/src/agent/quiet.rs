//! The seccomp filter of commands: writing things through to the disk does nothing, and the host's key rings are shut.

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long, sock_filter};

use crate::sys;

/// They answer 0 without doing anything. The folder is scratch: if the machine stops, the build starts over, so that
/// waiting for the disk protects nothing; and dpkg spends most of its time there.
const WITHOUT_EFFECT: [c_long; 6] = [
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_msync,
];

/// They answer `EPERM`: no namespace separates the building user's keys from those inside.
const REFUSED: [c_long; 3] = [libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl];

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xC000_00B7;

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Puts the filter on this process, and all that it becomes.
pub(super) fn install() -> std::io::Result<()> {
    sys::install_seccomp(&program())
}

/// "Of the native architecture, and one of these calls? Then this answer; else go ahead." Programs of a second
/// architecture (32-bit ones) run unfiltered, only slower.
fn program() -> Vec<sock_filter> {
    let answers = |calls: &[c_long], errno: i32| -> Vec<sock_filter> {
        let answer = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        calls
            .iter()
            .flat_map(|&call| {
                let number = u32::try_from(call).unwrap_or(u32::MAX);
                [jump_if_equal(number, 0, 1), statement(BPF_RET | BPF_K, answer)]
            })
            .collect()
    };
    let mut program = vec![
        statement(BPF_LD | BPF_W | BPF_ABS, ARCH),
        jump_if_equal(AUDIT_ARCH, 1, 0),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(BPF_LD | BPF_W | BPF_ABS, NUMBER),
    ];
    program.extend(answers(&WITHOUT_EFFECT, 0));
    program.extend(answers(&REFUSED, libc::EPERM));
    program.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW));
    program
}

fn statement(code: u32, k: u32) -> sock_filter {
    instruction(code, 0, 0, k)
}

fn jump_if_equal(k: u32, jt: u8, jf: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JEQ | BPF_K, jt, jf, k)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    // Every code is a sum of 16-bit constants.
    sock_filter { code: u16::try_from(code).unwrap_or(u16::MAX), jt, jf, k }
}
