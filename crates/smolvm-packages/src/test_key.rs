//! A freshly made OpenPGP key that signs the indexes of a [`TestArchive`](crate::test_archive::TestArchive).

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SignedKeyDetails, SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature, SignatureConfig, SignatureType,
    Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    Duration, KeyVersion, PacketHeaderVersion, Password, SecretParams, SignedUser, SigningKey, Tag, Timestamp,
};

/// A signing key whose certificate can be made wrong in the ways that a verifier must notice.
#[derive(Debug, Clone)]
pub struct TestKey {
    primary: SecretKey,
    subkey: Option<SecretSubkey>,
    options: TestKeyOptions,
}

/// What a [`TestKey`]'s certificate says. Times are seconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct TestKeyOptions {
    /// When the key was made.
    pub created: i64,
    /// When it expires.
    pub expires: Option<i64>,
    /// When it was revoked.
    pub revoked: Option<i64>,
    /// Whether a subkey signs, as Debian's archive keys do, and what is wrong with it.
    pub subkey: Option<TestSubkey>,
    /// Whether it is an RSA key of so many bits, as Debian's archive keys are, instead of an Ed25519 one: slower to make, and
    /// the only kind that can be made to sign with a weak hash.
    pub rsa: Option<u32>,
    /// Whether the self-signature is made with SHA-1.
    pub weak_self_signature: bool,
}

/// How a signing subkey is bound to its primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestSubkey {
    /// With the back-signature that proves that the subkey's owner agrees.
    Bound,
    /// Without it.
    WithoutBackSignature,
    /// Bound, then revoked.
    Revoked,
    /// Bound, and already expired when its use begins.
    Expired,
    /// Bound for encryption, not for signing.
    NotForSigning,
}

impl TestKeyOptions {
    fn key_pair(&self, created: Timestamp) -> (PubKeyInner, SecretParams) {
        let kind = self.rsa.map_or(KeyType::Ed25519Legacy, KeyType::Rsa);
        let (public, secret) = kind.generate(rand::thread_rng()).expect("a key pair");
        (PubKeyInner::new(KeyVersion::V4, kind.to_alg(), created, None, public).expect("a public key"), secret)
    }
}

impl TestKey {
    /// A good key, made at `created`.
    pub fn generate(created: i64) -> Self {
        Self::with(TestKeyOptions { created, ..TestKeyOptions::default() })
    }

    /// A key as described.
    ///
    /// # Panics
    /// If no key can be made: this is for tests.
    pub fn with(options: TestKeyOptions) -> Self {
        let created = timestamp(options.created);
        let (key, secret) = options.key_pair(created);
        let primary = PublicKey::from_inner(key).and_then(|public| SecretKey::new(public, secret));
        let subkey = options.subkey.map(|_| {
            let (key, secret) = options.key_pair(created);
            PublicSubkey::from_inner(key).and_then(|public| SecretSubkey::new(public, secret)).expect("a subkey")
        });
        Self { primary: primary.expect("a key"), subkey, options }
    }

    /// The certificate, armoured: what `signed_by` holds.
    ///
    /// # Panics
    /// If signing fails: this is for tests.
    pub fn certificate(&self) -> Vec<u8> {
        let user = UserId::from_str(PacketHeaderVersion::New, "smolvm test archive").expect("a user id");
        let revocations = self.options.revoked.iter().map(|at| self.revocation(*at)).collect();
        let user_signature = self.self_signature(&user);
        let details = SignedKeyDetails::new(
            revocations,
            Vec::new(),
            vec![SignedUser::new(user, vec![user_signature])],
            Vec::new(),
        );
        let subkeys = self.subkey.iter().map(|subkey| self.bound(subkey)).collect();
        SignedPublicKey::new(self.primary.public_key().clone(), details, subkeys)
            .to_armored_bytes(ArmorOptions::default())
            .expect("armour")
    }

    /// `text` as a clear-signed message made at `at`.
    ///
    /// # Panics
    /// If signing fails: this is for tests.
    pub fn clearsign(&self, text: &str, at: i64) -> String {
        self.clearsign_with(text, at, HashAlgorithm::Sha512)
    }

    /// [`Self::clearsign`] with a chosen hash.
    pub(crate) fn clearsign_with(&self, text: &str, at: i64, hash: HashAlgorithm) -> String {
        let message = match &self.subkey {
            Some(subkey) => sign_text(text, at, hash, subkey),
            None => sign_text(text, at, hash, &self.primary),
        };
        message.to_armored_string(ArmorOptions::default()).expect("armour")
    }

    fn self_signature(&self, user: &UserId) -> Signature {
        let hash = if self.options.weak_self_signature { HashAlgorithm::Sha1 } else { HashAlgorithm::Sha512 };
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(self.subkey.is_none());
        let mut config = signature_config(SignatureType::CertPositive, hash, self.options.created, &self.primary);
        config.hashed_subpackets.push(regular(SubpacketData::KeyFlags(flags)));
        if let Some(expires) = self.options.expires {
            config.hashed_subpackets.push(self.lifetime(expires));
        }
        let public = self.primary.public_key();
        config
            .sign_certification(&self.primary, &public, &Password::empty(), Tag::UserId, user)
            .expect("a self-signature")
    }

    fn revocation(&self, at: i64) -> Signature {
        signature_config(SignatureType::KeyRevocation, HashAlgorithm::Sha512, at, &self.primary)
            .sign_key(&self.primary, &Password::empty(), &self.primary.public_key())
            .expect("a revocation")
    }

    fn bound(&self, subkey: &SecretSubkey) -> SignedPublicSubKey {
        let kind = self.options.subkey;
        let public = self.primary.public_key();
        let mut flags = KeyFlags::default();
        flags.set_sign(kind != Some(TestSubkey::NotForSigning));
        flags.set_encrypt_storage(kind == Some(TestSubkey::NotForSigning));
        let mut binding =
            signature_config(SignatureType::SubkeyBinding, HashAlgorithm::Sha512, self.options.created, &self.primary);
        binding.hashed_subpackets.push(regular(SubpacketData::KeyFlags(flags)));
        if kind == Some(TestSubkey::Expired) {
            binding.hashed_subpackets.push(self.lifetime(self.options.created + 1));
        }
        if kind != Some(TestSubkey::WithoutBackSignature) {
            let back = signature_config(SignatureType::KeyBinding, HashAlgorithm::Sha512, self.options.created, subkey)
                .sign_primary_key_binding(subkey, &subkey.public_key(), &Password::empty(), &public)
                .expect("a back-signature");
            binding.hashed_subpackets.push(regular(SubpacketData::EmbeddedSignature(Box::new(back))));
        }
        let sign = |config: SignatureConfig| {
            config
                .sign_subkey_binding(&self.primary, &public, &Password::empty(), &subkey.public_key())
                .expect("a binding signature")
        };
        let mut signatures = vec![sign(binding)];
        if kind == Some(TestSubkey::Revoked) {
            let at = self.options.created + 1;
            let config = signature_config(SignatureType::SubkeyRevocation, HashAlgorithm::Sha512, at, &self.primary);
            signatures.push(sign(config));
        }
        SignedPublicSubKey::new(subkey.public_key().clone(), signatures)
    }

    fn lifetime(&self, expires: i64) -> Subpacket {
        let seconds = u32::try_from(expires - self.options.created).expect("expires after it was made");
        regular(SubpacketData::KeyExpirationTime(Duration::from_secs(seconds)))
    }
}

fn sign_text(text: &str, at: i64, hash: HashAlgorithm, signer: &impl SigningKey) -> CleartextSignedMessage {
    let config = signature_config(SignatureType::Text, hash, at, signer);
    CleartextSignedMessage::new(text, config, signer, &Password::empty()).expect("a signature")
}

fn signature_config(kind: SignatureType, hash: HashAlgorithm, at: i64, signer: &impl SigningKey) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, signer.algorithm(), hash);
    config.hashed_subpackets = vec![
        regular(SubpacketData::SignatureCreationTime(timestamp(at))),
        regular(SubpacketData::IssuerFingerprint(signer.fingerprint())),
    ];
    config
}

fn regular(data: SubpacketData) -> Subpacket {
    Subpacket::regular(data).expect("a subpacket")
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_secs(u32::try_from(seconds).expect("a time between 1970 and 2106"))
}
