//! Sizes with a unit.

/// The bytes that a size such as `512MiB`, `4G` or `1500MB` stands for. `K`, `M`, `G` and `T` alone count in 1024, as
/// every disk tool does.
pub(crate) fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match &text[digits..] {
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::bytes_of;

    #[test]
    fn units() {
        let table = [
            ("512MiB", Some(512 << 20)),
            ("4GiB", Some(4 << 30)),
            ("4G", Some(4 << 30)),
            ("1500MB", Some(1_500_000_000)),
            ("9999999TiB", Some(9_999_999 << 40)),
            ("4", None),
            ("4 GiB", None),
            ("4XB", None),
            ("99999999TiB", None),
        ];
        for (text, expected) in table {
            assert_eq!(bytes_of(text), expected, "{text}");
        }
    }
}
