//! The system calls that need `unsafe`: all of this crate's, and so all of the workspace's.
//!
//! Invariant of everything that runs in a forked child (`agent/`): the parent may have had other threads when it
//! forked, and any lock one of them held stays locked in the child for ever. So the child touches no lock of the
//! program: no `tracing`, no stdout or stderr of `std`, no environment, no thread, no process-wide state of any
//! crate. What it does touch is memory of its own, the system allocator (which glibc and musl make usable again
//! in a forked child) and system calls. A program with another global allocator must make sure of the same.

#![expect(unsafe_code, reason = "fork, signals, seccomp and exec have no safe form")]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::AssertUnwindSafe;
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// The exit code of a child whose body panicked.
const PANICKED: i32 = 70;

/// Forks. The child runs `body`, with every signal's default disposition and none blocked, and ends with the code
/// that it returns. `body` must keep to the invariant of this module.
pub(crate) fn fork(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    // Signals wait while the child still has the parent's handlers, which may write to the parent's descriptors.
    let before = block_all_signals();
    // SAFETY: the child keeps to this module's invariant and never returns from here.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        reset_signals();
        exit(std::panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED));
    }
    let result = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error);
    // SAFETY: `before` is the mask that this thread had.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    result
}

/// Ends a forked child, without the exit handlers and destructors of the program that it is a copy of.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: takes no memory and never returns.
    unsafe { libc::_exit(code) }
}

fn block_all_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset and pthread_sigmask write the sets they are given; neither can fail with these arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// Gives every signal its default disposition and unblocks all. For a process with one thread.
pub(crate) fn reset_signals() {
    /// The kernel's `struct sigaction` of all zeros: the default action without flags or mask, on every architecture.
    static DEFAULT: [u64; 4] = [0; 4];
    /// Signals, and bytes of the kernel's signal set.
    const SIGNALS: [usize; 2] = [64, 8];
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: SIG_DFL is no handler that could be called at a bad time; SIGKILL and SIGSTOP are refused, which is fine.
    // Not through the C library, which does not let go of the two signals that it uses itself. sigemptyset writes the
    // set that sigprocmask reads.
    unsafe {
        for signal in 1..=SIGNALS[0] {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const DEFAULT, ptr::null::<u8>(), SIGNALS[1]);
        }
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// A descriptor that becomes readable when a child ends. Blocks SIGCHLD.
pub(crate) fn child_signal() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written before it is read; the descriptor that signalfd returns belongs to nobody else.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
        let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Kills every process of the pid namespace but the caller, which is its PID 1.
pub(crate) fn kill_all_others() {
    // SAFETY: kill takes no memory. -1 reaches no process outside the caller's pid namespace.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Closes every descriptor but those given. For a forked child that never returns to code that owns the others.
pub(crate) fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut keep = keep.to_vec();
    keep.sort_unstable();
    let mut first = 0;
    for fd in keep.into_iter().chain([RawFd::MAX]) {
        if fd > first {
            // SAFETY: the descriptors belong to objects of the parent that this process never touches again.
            if unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

/// Takes the calling process, which has one thread, into new namespaces.
pub(crate) fn unshare(namespaces: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!namespaces.contains(UnshareFlags::FILES));
    // SAFETY: descriptors are not unshared (see the assertion), which is the one danger.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }
}

/// Overwrites the command line and environment that this process got, as `/proc/1/cmdline` would show them to all.
///
/// For a forked child, in which nobody reads them any more. `bounds` are pairs of addresses from `/proc/self/stat`.
pub(crate) fn erase_start_strings(bounds: &[(usize, usize)]) {
    for &(start, end) in bounds {
        if start != 0 && start < end {
            // SAFETY: the kernel says that the strings it put on the initial stack lie between these addresses; that
            // memory is mapped and writable for the life of the process, and this process is a copy of its own.
            unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(start), 0, end - start) };
        }
    }
}

/// Installs a seccomp filter for this process and all that it becomes. Needs `CAP_SYS_ADMIN` in the user namespace,
/// since `no_new_privs` stays unset: `sudo` in a run step must work.
pub(crate) fn install_seccomp(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    // The kernel only reads through the pointer.
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program and its length describe the slice, which lives through the call; the kernel copies it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes another program. Returns only if that fails.
pub(crate) fn exec(path: &CStr, argv: &[CString], env: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer, and their strings live through the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// A descriptor number that a forked child inherited, as one of its own.
///
/// The parent's owner of it exists in the child too, as dead memory, and is never used or dropped there.
pub(crate) fn inherit(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}
