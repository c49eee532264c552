//! Quoting of values that a user wrote, for the places where templates put them.

/// Spells `value` as one word of a POSIX shell.
pub fn shell(value: &str) -> String {
    if is_plain(value) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

/// Spells words as a JSON array: Docker's exec form, in which nothing is expanded.
pub(crate) fn json(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| serde_json::Value::from(word.as_str()).to_string()).collect();
    format!("[{}]", quoted.join(", "))
}

/// Spells `value` as the argument of an instruction that Docker expands variables in (`WORKDIR`, `USER`). The value
/// must not hold a line break.
pub(crate) fn expanded(value: &str) -> String {
    if is_plain(value) {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Spells paths as a JSON array for `COPY`, which expands variables and takes quotes off even there.
pub(crate) fn expanded_json(paths: &[String]) -> String {
    let escaped: Vec<String> = paths
        .iter()
        .map(|path| {
            path.chars().fold(String::new(), |mut escaped, character| {
                if matches!(character, '"' | '\'' | '\\' | '$') {
                    escaped.push('\\');
                }
                escaped.push(character);
                escaped
            })
        })
        .collect();
    json(&escaped)
}

/// Spells `value` as one argument of an `sshd_config` line: inside double quotes a backslash takes the meaning of a
/// backslash and of a quote, and nothing else is special (OpenSSH 8.7 and newer). The value must not hold a line break.
pub(crate) fn sshd(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

/// Whether every shell and Docker read `value` as itself, without quotes.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte))
}

#[cfg(test)]
mod tests;
