//! QEMU: what `smolvm run` starts, with the console on the terminal.

use super::{Wish, command_line};
use crate::accelerator::Accelerator;
use crate::error::VmError;
use crate::hardware::Forward;
use crate::qemu::{CommandLine, Console, Flavour, NETWORK};

/// The port of this machine that leads to the guest's SSH.
const SSH: &str = "2222:22";

pub(super) fn command(wish: &Wish<'_>, accelerator: Accelerator) -> Result<String, VmError> {
    // Words of a command line are text here.
    wish.text(&wish.image.kernel)?;
    wish.text(&wish.image.rootfs)?;
    wish.initrd()?;
    let forward: Forward = SSH.parse().expect("two ports");
    let arguments = CommandLine {
        image: wish.image,
        hardware: wish.hardware,
        accelerator,
        boot_args: &format!("{} {NETWORK}", wish.image.boot_args),
        console: Console::Terminal,
        kept_disk: None,
        forwards: &[forward],
        shares: &[],
    }
    .arguments();
    let options: Vec<Vec<String>> = arguments
        .into_iter()
        .map(|option| option.into_iter().map(|word| word.to_string_lossy().into_owned()).collect())
        .collect();
    Ok(command_line(Flavour::of(wish.image.arch).program, &options))
}
