//! POSIX ACLs, from the form in which the kernel hands them out to the form in which ext4 keeps them.

const KERNEL_VERSION: u32 = 2;
const EXT4_VERSION: u32 = 1;
/// `ACL_USER` and `ACL_GROUP`: the entries that name somebody, and so the only ones that have an id on disk.
const NAMED: [u16; 2] = [0x02, 0x08];
/// `ACL_USER_OBJ`, `ACL_GROUP_OBJ`, `ACL_MASK`, `ACL_OTHER`.
const UNNAMED: [u16; 4] = [0x01, 0x04, 0x10, 0x20];

/// Whether an attribute of this name holds an ACL.
pub(super) fn is_acl(name: &str) -> bool {
    matches!(name, "system.posix_acl_access" | "system.posix_acl_default")
}

/// The value as ext4 keeps it, or nothing for a value that is no ACL of the kernel's.
pub(super) fn to_disk(value: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != KERNEL_VERSION || !rest.is_empty() {
        return None;
    }
    let mut disk = EXT4_VERSION.to_le_bytes().to_vec();
    for entry in entries {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        disk.extend(&entry[..4]);
        if NAMED.contains(&tag) {
            disk.extend(&entry[4..]);
        } else if !UNNAMED.contains(&tag) {
            return None;
        }
    }
    Some(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `setfacl -m u:1000:rw,m::rw` on a 644 file makes the kernel answer.
    const KERNEL: &str = "0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000400ffffffff";

    #[test]
    fn only_named_entries_keep_their_id() {
        let disk = to_disk(&hex::decode(KERNEL).unwrap()).unwrap();
        assert_eq!(hex::encode(disk), "010000000100060002000600e8030000040004001000060020000400");
    }

    #[test]
    fn what_is_no_acl_is_refused() {
        let kernel = hex::decode(KERNEL).unwrap();
        let mut other_version = kernel.clone();
        other_version[0] = 1;
        let mut unknown_tag = kernel.clone();
        unknown_tag[4] = 0x40;
        for bad in [&kernel[..3], &kernel[..kernel.len() - 1], &other_version, &unknown_tag] {
            assert_eq!(to_disk(bad), None, "{}", hex::encode(bad));
        }
    }
}
