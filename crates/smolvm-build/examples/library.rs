//! The library in ten lines: `cargo run --example library -- Smolfile.yaml`. Shown in `docs/library.md`.
#![expect(clippy::print_stdout, reason = "an example program shows its result")]

use smolvm_build::{BuildError, BuildOptions, Events, Host, build};

#[tokio::main]
async fn main() -> Result<(), BuildError> {
    let smolfile = std::env::args().nth(1).unwrap_or_else(|| "Smolfile.yaml".to_owned());
    let host = Host::new(std::env::vars_os(), std::time::SystemTime::now());
    let image = build(&BuildOptions::new(smolfile, host), &Events::silent()).await?;

    println!("kernel  {}", image.kernel.display());
    println!("initrd  {}", image.initrd.map(|path| path.display().to_string()).unwrap_or_default());
    println!("rootfs  {}", image.rootfs.display());
    println!("boot with  {}", image.boot_args);
    Ok(())
}
