//! Passwords become SHA-512 crypt hashes: every libc of every base reads those.

use sha_crypt::password_hash::CustomizedPasswordHasher;
use sha_crypt::{Algorithm, Params, ShaCrypt};

use crate::secret::Secret;

/// crypt(3) reads at most 16 characters of salt; 12 bytes are 16 characters.
const SALT_BYTES: usize = 12;

/// The crypt(3) hash of a password. The salt comes from the image's name and the user's, never from the password: the
/// same input gives the same bytes, and two images do not share a rainbow table.
pub(crate) fn crypt(password: &Secret, image: &str, user: &str) -> String {
    let digest = blake3::derive_key("smolvm 2026-11 password salt v1", format!("{image}\0{user}").as_bytes());
    crypt_with(password, &digest[..SALT_BYTES])
}

fn crypt_with(password: &Secret, salt: &[u8]) -> String {
    let hasher = ShaCrypt::new(Algorithm::Sha512Crypt, Params::RECOMMENDED);
    #[expect(
        clippy::expect_used,
        reason = "algorithm, salt and rounds are constants that the library takes; a test runs them"
    )]
    let hash = hasher
        .hash_password_customized(password.expose(), salt, None, None, Params::RECOMMENDED)
        .expect("SHA-512 crypt takes any password");
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `crypt.crypt("correct horse", "$6$rounds=5000$................")` of glibc.
    #[test]
    fn libc_makes_the_same_hash() {
        assert_eq!(
            crypt_with(&Secret::new("correct horse"), &[0; SALT_BYTES]),
            "$6$rounds=5000$................$ZAgkyzSmhdeVTewwDhFpTrbUsgBItVq1WAwbn5BgOg7hzvmS3kYZnjpL1wAdRUNLVD2u5T0UHmXrY6/F39TDH1"
        );
    }

    #[test]
    fn the_hash_repeats_and_has_a_salt_that_fits() {
        let hash = crypt(&Secret::new("correct horse"), "dev", "root");
        assert_eq!(hash, crypt(&Secret::new("correct horse"), "dev", "root"));
        let parts: Vec<&str> = hash.split('$').collect();
        assert_eq!(parts[1..3], ["6", "rounds=5000"], "{hash}");
        assert_eq!((parts[3].len(), parts[4].len()), (16, 86), "{hash}");
    }

    #[test]
    fn the_salt_depends_on_image_and_user_but_not_on_the_password() {
        let salt = |password: &str, image: &str, user: &str| {
            crypt(&Secret::new(password), image, user).split('$').nth(3).map(str::to_owned)
        };
        let first = salt("a", "dev", "root");
        assert_eq!(first, salt("b", "dev", "root"));
        assert_ne!(first, salt("a", "dev", "me"));
        assert_ne!(first, salt("a", "other", "root"));
        assert_ne!(salt("a", "x", "yz"), salt("a", "xy", "z"));
    }
}
