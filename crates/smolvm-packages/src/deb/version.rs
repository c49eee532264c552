//! Debian versions: their order, as dpkg has it, and the conditions that dependencies put on them.

use std::cmp::Ordering;
use std::fmt;

/// Compares two versions as `dpkg --compare-versions` does.
///
/// Two versions that are written differently may be equal: digits that are missing count as zero.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a_upstream, a_revision) = parts(a);
    let (b_epoch, b_upstream, b_revision) = parts(b);
    compare_digits(a_epoch, b_epoch)
        .then_with(|| compare_part(a_upstream, b_upstream))
        .then_with(|| compare_part(a_revision, b_revision))
}

/// Whether `version` matches a pattern in which `*` stands for any text.
pub fn matches_pattern(pattern: &str, version: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == version };
    let Some(mut left) = version.strip_prefix(head) else { return false };
    while let Some((piece, after)) = rest.split_once('*') {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
        rest = after;
    }
    left.ends_with(rest)
}

/// How a version must relate to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// A relation and the version that it is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition<'a> {
    /// The relation.
    pub relation: Relation,
    /// The version.
    pub version: &'a str,
}

impl Condition<'_> {
    /// Whether `version` fulfils it.
    pub fn holds_for(&self, version: &str) -> bool {
        let order = compare(version, self.version);
        match self.relation {
            Relation::Earlier => order.is_lt(),
            Relation::EarlierOrEqual => order.is_le(),
            Relation::Equal => order.is_eq(),
            Relation::LaterOrEqual => order.is_ge(),
            Relation::Later => order.is_gt(),
        }
    }
}

impl<'a> Condition<'a> {
    /// What stands in parentheses after a package's name: `>= 1.2`. A lone `<` or `>` is old spelling for `<=` and `>=`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let version_at = text.find(|character| !matches!(character, '<' | '>' | '='))?;
        let (relation, version) = text.split_at(version_at);
        let relation = match relation {
            "<<" => Relation::Earlier,
            "<=" | "<" => Relation::EarlierOrEqual,
            "=" | "==" | "" => Relation::Equal,
            ">=" | ">" => Relation::LaterOrEqual,
            ">>" => Relation::Later,
            _ => return None,
        };
        Some(Self { relation, version: version.trim() })
    }
}

impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = match self.relation {
            Relation::Earlier => "<<",
            Relation::EarlierOrEqual => "<=",
            Relation::Equal => "=",
            Relation::LaterOrEqual => ">=",
            Relation::Later => ">>",
        };
        write!(f, "{relation} {}", self.version)
    }
}

/// Epoch, upstream version and revision, empty where there is none.
fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Runs of other characters and runs of digits in turn.
fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !(a.is_empty() && b.is_empty()) {
        while starts_other(a) || starts_other(b) {
            let order = weight(a).cmp(&weight(b));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[1..], &b[1..]);
        }
        let (a_digits, a_rest) = split_digits(a);
        let (b_digits, b_rest) = split_digits(b);
        let order = compare_digit_bytes(a_digits, b_digits);
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    Ordering::Equal
}

fn starts_other(text: &[u8]) -> bool {
    text.first().is_some_and(|byte| !byte.is_ascii_digit())
}

/// `~` before the end, the end and digits alike, letters before all else.
fn weight(text: &[u8]) -> i32 {
    match text.first() {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn compare_digits(a: &str, b: &str) -> Ordering {
    compare_digit_bytes(a.as_bytes(), b.as_bytes())
}

/// Numbers of any length.
fn compare_digit_bytes(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_as_dpkg_orders_them() {
        for (a, expected, b) in [
            ("1.0", "=", "1.0"),
            ("1.0", "<", "1.0-1"),
            ("1.0", "=", "1.0-0"),
            ("1.1.1+dfsg-1", "=", "1.1.1+dfsg0-1"),
            ("0.9+ds0-3", "<", "0.9+ds-4"),
            ("1.0~rc1", "<", "1.0"),
            ("1.0~~", "<", "1.0~"),
            ("1.0~", "<", "1.0"),
            ("1:0.1", ">", "9.9"),
            ("0:1.0", "=", "1.0"),
            ("1.10", ">", "1.9"),
            ("1.0a", ">", "1.0"),
            ("1.0a", "<", "1.0+"),
            ("1.0-1.1", ">", "1.0-1"),
            ("2.0-1-1", ">", "2.0-1"),
            ("007", "=", "7"),
            ("99999999999999999999999", "<", "100000000000000000000000"),
            ("1.2.3-1~deb12u1", "<", "1.2.3-1"),
            ("5.2.15-2+b7", ">", "5.2.15-2"),
        ] {
            let order = match expected {
                "<" => Ordering::Less,
                ">" => Ordering::Greater,
                _ => Ordering::Equal,
            };
            assert_eq!(compare(a, b), order, "{a} {expected} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} against {a}");
        }
    }

    #[test]
    fn patterns_match_whole_versions() {
        for (pattern, version, expected) in [
            ("3.11.*", "3.11.2-1+b1", true),
            ("3.11.*", "3.1.12-1", false),
            ("1:2.39.*", "1:2.39.5-0+deb12u2", true),
            ("*deb12*", "1:2.39.5-0+deb12u2", true),
            ("*-1", "3.11.2-1+b1", false),
            ("1*2*3", "123", true),
            ("1*2*3", "13", false),
            ("12*21", "121", false),
            ("3.11.2-1+b1", "3.11.2-1+b1", true),
            ("3.11.2", "3.11.2-1+b1", false),
            ("*", "", true),
        ] {
            assert_eq!(matches_pattern(pattern, version), expected, "{pattern} {version}");
        }
    }

    #[test]
    fn conditions_are_read_and_hold() {
        let holds = |text: &str, version: &str| Condition::parse(text).unwrap().holds_for(version);
        assert!(holds(">= 1.2", "1.2") && holds(">=1.2", "1.3") && !holds(">> 1.2", "1.2"));
        assert!(holds("<< 2", "1") && !holds("<< 2", "2") && holds("< 2", "2") && holds("= 1", "1-0"));
        assert_eq!(Condition::parse("!= 1"), Some(Condition { relation: Relation::Equal, version: "!= 1" }));
        assert_eq!(Condition::parse("<>1"), None);
    }
}
