//! The kernel inside a bzImage: an ELF, for virtual machine monitors that boot nothing else.
//!
//! Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header", says where the payload is and how it is packed. Its length, unpacked,
//! follows the packed bytes as four of little-endian (arch/x86/boot/compressed/Makefile); in gzip's own trailer it stands there anyway.

use std::io::{self, Read};

use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};

use super::KernelError;

/// Larger than any kernel, small enough for memory: what a bomb runs into.
const LARGEST: u64 = 512 << 20;

/// The packings that distributions use, by their first bytes.
const PACKINGS: [(&[u8], Unpack); 4] =
    [(b"\x1f\x8b", gzip), (b"\xfd7zXZ\0", xz), (b"\x28\xb5\x2f\xfd", zstd), (LZ4_LEGACY, lz4)];

/// The LZ4 frame format's "legacy frame": blocks of at most 8 MiB, each after its packed length, to the end.
const LZ4_LEGACY: &[u8] = b"\x02\x21\x4c\x18";
const LZ4_BLOCK: usize = 8 << 20;

type Unpack = fn(&[u8]) -> io::Result<Vec<u8>>;

/// The ELF in a bzImage. What the kernel is packed with after its end, to move itself in memory, is left out: whoever loads an ELF does that.
pub fn vmlinux(bz_image: &[u8]) -> Result<Vec<u8>, KernelError> {
    let payload = payload(bz_image).ok_or(KernelError::NoPayload)?;
    let (_, unpack) = PACKINGS
        .iter()
        .find(|(magic, _)| payload.starts_with(magic))
        .ok_or_else(|| KernelError::UnknownPacking { begins: hex::encode(&payload[..payload.len().min(4)]) })?;
    let (packed, length) = payload.split_last_chunk::<4>().ok_or(KernelError::NoPayload)?;
    // gzip's last four bytes are its own; the others would take theirs for the beginning of something more.
    let packed = if payload.starts_with(PACKINGS[0].0) { payload } else { packed };
    let mut kernel = unpack(packed).map_err(KernelError::PayloadUnreadable)?;
    let length = u32::from_le_bytes(*length);
    if kernel.len() as u64 != u64::from(length) {
        let message = format!("it unpacks to {} bytes instead of {length}", kernel.len());
        return Err(KernelError::PayloadUnreadable(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    let end = elf_end(&kernel).ok_or(KernelError::NoElf)?;
    kernel.truncate(end);
    Ok(kernel)
}

/// `payload_offset` and `payload_length`, since version 2.08 of the protocol, count from the end of the real-mode part.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let byte = |at: usize| image.get(at).copied();
    let long = |at: usize| Some(u32::from_le_bytes(*image.get(at..)?.first_chunk()?) as usize);
    if image.get(0x202..0x206)? != b"HdrS" || u16::from_le_bytes([byte(0x206)?, byte(0x207)?]) < 0x208 {
        return None;
    }
    // 0 means 4, for the oldest ones.
    let setup_sectors = match byte(0x1f1)? {
        0 => 4,
        count => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + long(0x248)?;
    image.get(start..start.checked_add(long(0x24c)?)?)
}

/// Where the last thing ends that the headers of an ELF for x86-64 speak of.
fn elf_end(bytes: &[u8]) -> Option<usize> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return None;
    }
    let sections = header.e_shoff(endian) + u64::from(header.e_shentsize(endian)) * u64::from(header.e_shnum(endian));
    let segments = header.program_headers(endian, bytes).ok()?;
    let ends = segments.iter().map(|segment| {
        let (offset, size) = segment.file_range(endian);
        offset.saturating_add(size)
    });
    let end = usize::try_from(ends.chain([sections]).max()?).ok()?;
    (end <= bytes.len()).then_some(end)
}

fn gzip(packed: &[u8]) -> io::Result<Vec<u8>> {
    read_all(flate2::bufread::GzDecoder::new(packed))
}

fn xz(packed: &[u8]) -> io::Result<Vec<u8>> {
    read_all(liblzma::bufread::XzDecoder::new(packed))
}

fn zstd(packed: &[u8]) -> io::Result<Vec<u8>> {
    read_all(::zstd::stream::read::Decoder::with_buffer(packed)?.single_frame())
}

fn lz4(packed: &[u8]) -> io::Result<Vec<u8>> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut rest = &packed[LZ4_LEGACY.len()..];
    let mut kernel = Vec::new();
    let mut block = vec![0; LZ4_BLOCK];
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (one, more) = more.split_at_checked(length).ok_or_else(|| invalid("it ends within a block".to_owned()))?;
        let unpacked = lz4_flex::block::decompress_into(one, &mut block).map_err(|error| invalid(error.to_string()))?;
        if (kernel.len() + unpacked) as u64 > LARGEST {
            return Err(too_large());
        }
        kernel.extend_from_slice(&block[..unpacked]);
        rest = more;
    }
    Ok(kernel)
}

fn read_all(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST { Err(too_large()) } else { Ok(bytes) }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it unpacks to more than {LARGEST} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A small ELF for x86-64 with one segment, and what follows it in a packed kernel.
    fn elf(machine: u16) -> Vec<u8> {
        let content = b"a kernel ".repeat(2000);
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        let mut put = |field: &[u8]| bytes.extend_from_slice(field);
        put(&2u16.to_le_bytes());
        put(&machine.to_le_bytes());
        put(&1u32.to_le_bytes());
        // Entry; program headers; no sections.
        put(&[0x1000u64.to_le_bytes(), 64u64.to_le_bytes(), 0u64.to_le_bytes()].concat());
        put(&0u32.to_le_bytes());
        put(&[64u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
        put(&[1u32, 5].map(u32::to_le_bytes).concat());
        let length = content.len() as u64;
        put(&[120u64, 0x1000, 0x1000, length, length, 8].map(u64::to_le_bytes).concat());
        put(&content);
        bytes
    }

    fn packed(kernel: &[u8], with: &str) -> Vec<u8> {
        let length = u32::try_from(kernel.len()).unwrap().to_le_bytes();
        let mut packed = match with {
            "gzip" => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(kernel).unwrap();
                // Its own last four bytes are the length.
                return writer.finish().unwrap();
            }
            "xz" => {
                let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
                writer.write_all(kernel).unwrap();
                writer.finish().unwrap()
            }
            "zstd" => ::zstd::encode_all(kernel, 1).unwrap(),
            "lz4" => {
                let mut blocks = LZ4_LEGACY.to_vec();
                for block in kernel.chunks(LZ4_BLOCK) {
                    let block = lz4_flex::block::compress(block);
                    blocks.extend_from_slice(&u32::try_from(block.len()).unwrap().to_le_bytes());
                    blocks.extend_from_slice(&block);
                }
                blocks
            }
            _ => b"BZh91AY&SY".to_vec(),
        };
        packed.extend_from_slice(&length);
        packed
    }

    /// With this many sectors of real-mode code, and some code before the payload and after it.
    fn bz_image(payload: &[u8], sectors: u8) -> Vec<u8> {
        let mut image = vec![0; (usize::from(sectors.max(1)) + 1) * 512];
        if sectors == 0 {
            image.resize(5 * 512, 0);
        }
        image[0x1f1] = sectors;
        image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        image[0x248..0x24c].copy_from_slice(&100u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend_from_slice(&[0x90; 100]);
        image.extend_from_slice(payload);
        image.extend_from_slice(&[0x90; 100]);
        image
    }

    #[test]
    fn each_packing_gives_the_elf_without_what_follows_it() {
        let kernel = elf(62);
        let with_relocations = [&*kernel, &[1, 2, 3, 4]].concat();
        for with in ["gzip", "xz", "zstd", "lz4"] {
            for sectors in [0, 1, 39] {
                let image = bz_image(&packed(&with_relocations, with), sectors);
                assert!(vmlinux(&image).unwrap() == kernel, "{with}, {sectors} sectors");
            }
        }
        let mut large = elf(62);
        large.resize(20 << 20, 7);
        assert!(vmlinux(&bz_image(&packed(&large, "lz4"), 1)).unwrap() == kernel, "several blocks");
    }

    #[test]
    fn what_is_no_kernel_or_is_damaged_is_refused_with_the_reason() {
        let refused = |image: &[u8]| vmlinux(image).unwrap_err().to_string();
        let good = packed(&elf(62), "xz");
        let mut old = bz_image(&good, 1);
        old[0x206] = 7;
        let mut short = bz_image(&good, 1);
        short.truncate(1200);
        let mut wrong_length = good.clone();
        *wrong_length.last_mut().unwrap() ^= 1;
        let mut damaged = good.clone();
        damaged[60] ^= 0xff;
        for (image, expected) in [
            (b"MZ".to_vec(), "has no payload"),
            (old, "has no payload"),
            (short, "has no payload"),
            (bz_image(&packed(b"", "bzip2"), 1), "425a6839"),
            (bz_image(&packed(b"#!/bin/sh\n", "zstd"), 1), "no kernel for x86-64"),
            (bz_image(&packed(&elf(183), "zstd"), 1), "no kernel for x86-64"),
            (bz_image(&wrong_length, 1), "cannot be unpacked"),
            (bz_image(&damaged, 1), "cannot be unpacked"),
            (bz_image(&packed(&elf(62), "lz4")[..100], 1), "cannot be unpacked"),
        ] {
            let message = refused(&image);
            assert!(message.contains(expected), "{message}, not {expected}");
        }
    }
}
