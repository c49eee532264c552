//! The key that signs indexes and packages, as `abuild-sign` does: RSA over SHA-1, the only kind that apk's format v2 has.

use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::{Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use sha1::{Digest as _, Sha1};

/// A key made for one test.
pub(super) struct SigningKey {
    private: RsaPrivateKey,
    file_name: String,
}

impl SigningKey {
    pub(super) fn generate() -> Self {
        let private = RsaPrivateKey::new(&mut rand::thread_rng(), 2048).unwrap();
        // As `abuild-keygen` names it: whose it is, and something that tells it from their other keys.
        let file_name = format!("test@example.org-{:08x}.rsa.pub", rand::random::<u32>());
        Self { private, file_name }
    }

    pub(super) fn file_name(&self) -> &str {
        &self.file_name
    }

    pub(super) fn public_pem(&self) -> String {
        RsaPublicKey::from(&self.private).to_public_key_pem(LineEnding::LF).unwrap()
    }

    /// The signature of these bytes, PKCS#1 v1.5.
    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.private.sign(Pkcs1v15Sign::new::<Sha1>(), &sha1(bytes)).unwrap()
    }
}

pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}
