//! Who may sign an index: the policy on top of the OpenPGP library's arithmetic.
//!
//! A signature counts if it is not made with a weak hash, is not of the future, is not expired, matches the text, and its key is in
//! the keyring and good at the time of asking: bound to its certificate by a self-signature, meant for signing, neither
//! revoked nor expired; a subkey also by a back-signature of its own. One such signature is enough: archives sign with
//! several keys while they change from one to the next. Third-party certifications say nothing here and are not looked at.

use std::fmt;
use std::io::{BufRead, BufReader};

use miette::Diagnostic;
use pgp::armor::Dearmor;
use pgp::composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, Tag, VerifyingKey};

use super::date::format_date;

/// Certificates that may sign.
#[derive(Debug, Clone)]
pub struct Keyring {
    certificates: Vec<SignedPublicKey>,
}

/// A keyring that cannot be used.
#[derive(Debug, Clone, thiserror::Error, Diagnostic)]
#[error("there is no OpenPGP certificate in the keyring")]
#[diagnostic(
    code(smolvm::packages::keyring),
    help(
        "`signed_by` takes public keys, armoured (`-----BEGIN PGP PUBLIC KEY BLOCK-----`) or as `gpg --export` writes them"
    )
)]
pub struct KeyringError;

/// A signed text that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not one clear-signed text and nothing else.
    #[error("it is not a clear-signed OpenPGP message, from the first byte to the last: {0}")]
    Malformed(String),
    /// No signature of it counts; why, for each.
    #[error("none of its signatures is good: {}", list(.0))]
    NoGoodSignature(Vec<Refusal>),
}

/// Why one signature does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its key is not in the keyring.
    UnknownKey(String),
    /// Its hash algorithm can be forged.
    WeakHash(String),
    /// It does not match the text.
    Mismatch(String),
    /// It says that it was made in the future.
    Future(i64),
    /// It has expired.
    Expired(i64),
    /// It demands something that we do not know.
    Critical,
    /// Its key must not sign.
    Key(String, KeyProblem),
}

/// Why a key must not sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProblem {
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired(i64),
    /// No strong self-signature binds it to its certificate.
    Unbound,
    /// It is a signing subkey without a back-signature.
    NoBackSignature,
    /// It is not meant for signing.
    NotForSigning,
    /// Its algorithm or size is too weak.
    Weak,
}

/// How far another machine's clock may be ahead of ours.
pub(crate) const CLOCK_SKEW: i64 = 600;

impl Keyring {
    /// Certificates, armoured (one or several blocks) or binary.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyringError> {
        const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
        let certificates: Vec<SignedPublicKey> = match str::from_utf8(bytes) {
            Ok(text) => text
                .match_indices(BEGIN)
                .flat_map(|(start, _)| certificates(BufReader::new(Dearmor::new(&bytes[start..]))))
                .collect(),
            Err(_) => certificates(bytes),
        };
        if certificates.is_empty() { Err(KeyringError) } else { Ok(Self { certificates }) }
    }

    /// The fingerprints of its certificates, hex.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(|certificate| key_name(&certificate.primary_key)).collect()
    }
}

/// The certificates in a row of packets, without what cannot be read, and without what a keyring's owner noted for himself, which
/// stands between a certificate's parts in keyrings of old.
fn certificates(packets: impl BufRead) -> Vec<SignedPublicKey> {
    let packets =
        PacketParser::new(packets).filter(|packet| matches!(packet, Ok(packet) if !matches!(packet, Packet::Trust(_))));
    SignedPublicKey::from_packets(packets.peekable()).filter_map(Result::ok).collect()
}

/// The text of a clear-signed message that carries at least one good signature; nothing outside the signed text is looked at.
///
/// `now` is in seconds since 1970.
pub(crate) fn verify_clear_signed(message: &[u8], keyring: &Keyring, now: i64) -> Result<String, SignatureError> {
    let malformed = |why: String| SignatureError::Malformed(why);
    let text = str::from_utf8(message).map_err(|_| malformed("it is not UTF-8".into()))?;
    if !text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----") {
        return Err(malformed("something stands before the signed text".into()));
    }
    let (message, _) = CleartextSignedMessage::from_string(text).map_err(|error| malformed(error.to_string()))?;
    let signed = message.signed_text();
    let mut refusals = Vec::new();
    for signature in message.signatures() {
        match check_signature(signature, signed.as_bytes(), keyring, now) {
            Ok(()) => return Ok(signed),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() {
        return Err(malformed("it carries no signature".into()));
    }
    Err(SignatureError::NoGoodSignature(refusals))
}

fn check_signature(signature: &Signature, text: &[u8], keyring: &Keyring, now: i64) -> Result<(), Refusal> {
    let mut last = Refusal::UnknownKey(issuer(signature));
    for certificate in &keyring.certificates {
        let primary = &certificate.primary_key;
        if made_by(signature, primary) {
            match check_with_key(signature, text, primary, now).and_then(|()| check_primary(certificate, true, now)) {
                Ok(()) => return Ok(()),
                Err(refusal) => last = refusal,
            }
        }
        for subkey in certificate.public_subkeys.iter().filter(|subkey| made_by(signature, &subkey.key)) {
            match check_with_key(signature, text, &subkey.key, now)
                .and_then(|()| check_primary(certificate, false, now))
                .and_then(|()| check_subkey(certificate, subkey, now))
            {
                Ok(()) => return Ok(()),
                Err(refusal) => last = refusal,
            }
        }
    }
    Err(last)
}

/// The signature itself: everything but its key's standing.
fn check_with_key(signature: &Signature, text: &[u8], key: &impl VerifyingKey, now: i64) -> Result<(), Refusal> {
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err(Refusal::Mismatch(key_name(key)));
    }
    if !is_strong(signature) {
        return Err(Refusal::WeakHash(signature.hash_alg().map_or_else(String::new, |hash| hash.to_string())));
    }
    if !is_understood(signature) {
        return Err(Refusal::Critical);
    }
    let created = created(signature);
    if created > now + CLOCK_SKEW {
        return Err(Refusal::Future(created));
    }
    if let Some(end) = end_of(signature)
        && end < now
    {
        return Err(Refusal::Expired(end));
    }
    signature.verify(key, text).map_err(|_| Refusal::Mismatch(key_name(key)))
}

/// Whether a certificate's primary key is good now; `signs` if it makes the signature itself.
fn check_primary(certificate: &SignedPublicKey, signs: bool, now: i64) -> Result<(), Refusal> {
    let key = &certificate.primary_key;
    let refuse = |problem| Refusal::Key(key_name(key), problem);
    if is_weak(key.public_params()) {
        return Err(refuse(KeyProblem::Weak));
    }
    if certificate.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(key).is_ok()) {
        return Err(refuse(KeyProblem::Revoked));
    }
    let own = self_signature(certificate, now).ok_or_else(|| refuse(KeyProblem::Unbound))?;
    if let Some(end) = key_end(key, own)
        && end < now
    {
        return Err(refuse(KeyProblem::Expired(end)));
    }
    // A certificate of old that says nothing about its use may be used for everything.
    let says_its_use = has_key_flags(own);
    if signs && says_its_use && !own.key_flags().sign() {
        return Err(refuse(KeyProblem::NotForSigning));
    }
    Ok(())
}

/// Whether a subkey is bound to its primary key, for signing, and good now.
fn check_subkey(certificate: &SignedPublicKey, subkey: &SignedPublicSubKey, now: i64) -> Result<(), Refusal> {
    let primary = &certificate.primary_key;
    let refuse = |problem| Refusal::Key(key_name(&subkey.key), problem);
    if is_weak(subkey.key.public_params()) {
        return Err(refuse(KeyProblem::Weak));
    }
    let by_primary = |kind| {
        subkey
            .signatures
            .iter()
            .filter(move |signature| signature.typ() == Some(kind))
            .filter(|signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok())
    };
    if by_primary(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(refuse(KeyProblem::Revoked));
    }
    let binding = by_primary(SignatureType::SubkeyBinding)
        .filter(|signature| is_in_force(signature, now))
        .max_by_key(|signature| created(signature))
        .ok_or_else(|| refuse(KeyProblem::Unbound))?;
    if let Some(end) = key_end(&subkey.key, binding)
        && end < now
    {
        return Err(refuse(KeyProblem::Expired(end)));
    }
    if !binding.key_flags().sign() {
        return Err(refuse(KeyProblem::NotForSigning));
    }
    let back = binding.embedded_signature().filter(|back| is_in_force(back, now));
    if back.is_none_or(|back| back.verify_primary_key_binding(&subkey.key, primary).is_err()) {
        return Err(refuse(KeyProblem::NoBackSignature));
    }
    Ok(())
}

/// The newest statement of the primary key about itself.
fn self_signature(certificate: &SignedPublicKey, now: i64) -> Option<&Signature> {
    let key = &certificate.primary_key;
    let direct = certificate
        .details
        .direct_signatures
        .iter()
        .filter(|signature| is_in_force(signature, now) && signature.verify_key(key).is_ok());
    let about_users = certificate.details.users.iter().flat_map(|user| {
        let by_key = |signature: &&Signature| signature.verify_certification(key, Tag::UserId, &user.id).is_ok();
        let revoked = user
            .signatures
            .iter()
            .filter(|signature| signature.typ() == Some(SignatureType::CertRevocation))
            .filter(by_key)
            .map(created)
            .max();
        user.signatures
            .iter()
            .filter(|signature| signature.typ() != Some(SignatureType::CertRevocation))
            .filter(move |signature| revoked.is_none_or(|revoked| revoked < created(signature)))
            .filter(move |signature| is_in_force(signature, now))
            .filter(by_key)
    });
    direct.chain(about_users).max_by_key(|signature| created(signature))
}

/// Strong, understood, made by now and not expired; its arithmetic is another question.
fn is_in_force(signature: &Signature, now: i64) -> bool {
    is_strong(signature)
        && is_understood(signature)
        && created(signature) <= now + CLOCK_SKEW
        && end_of(signature).is_none_or(|end| end >= now)
}

fn is_strong(signature: &Signature) -> bool {
    matches!(signature.hash_alg(), Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512))
}

/// Whether it asks for nothing, as critical, that we do not know.
fn is_understood(signature: &Signature) -> bool {
    signature.config().is_some_and(|config| {
        config.hashed_subpackets().filter(|part| part.is_critical).all(|part| {
            !matches!(
                part.data,
                SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(..)
            )
        })
    })
}

fn is_weak(params: &PublicParams) -> bool {
    match params {
        // Modulus and exponent as they are written; the few bytes beside the modulus do not matter.
        PublicParams::RSA(_) => params.write_len() < 2048 / 8,
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => {
            false
        }
        _ => true,
    }
}

fn has_key_flags(signature: &Signature) -> bool {
    signature
        .config()
        .is_some_and(|config| config.hashed_subpackets().any(|part| matches!(part.data, SubpacketData::KeyFlags(_))))
}

/// Seconds since 1970; a signature without a date was made at no time that could be right.
fn created(signature: &Signature) -> i64 {
    signature.created().map_or(i64::MAX - CLOCK_SKEW, |time| i64::from(time.as_secs()))
}

fn end_of(signature: &Signature) -> Option<i64> {
    let lasts = signature.signature_expiration_time()?.as_secs();
    (lasts != 0).then(|| created(signature).saturating_add(i64::from(lasts)))
}

fn key_end(key: &impl KeyDetails, statement: &Signature) -> Option<i64> {
    let lasts = statement.key_expiration_time()?.as_secs();
    (lasts != 0).then(|| i64::from(key.created_at().as_secs()) + i64::from(lasts))
}

fn made_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        return signature.issuer_key_id().contains(&&key.legacy_key_id());
    }
    fingerprints.contains(&&key.fingerprint())
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|fingerprint| format!("{fingerprint:X}"));
    let id = || signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    fingerprint.or_else(id).unwrap_or_else(|| "unknown".into())
}

fn key_name(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

fn list(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(f, "key {key} is not in the keyring"),
            Self::WeakHash(hash) => write!(f, "a signature uses {hash}, which can be forged"),
            Self::Mismatch(key) => write!(f, "the signature by key {key} does not match the text"),
            Self::Future(at) => write!(f, "a signature says that it was made on {}, in the future", format_date(*at)),
            Self::Expired(at) => write!(f, "a signature expired on {}", format_date(*at)),
            Self::Critical => f.write_str("a signature demands something that is not supported"),
            Self::Key(key, problem) => write!(f, "key {key} {problem}"),
        }
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked => f.write_str("was revoked"),
            Self::Expired(at) => write!(f, "expired on {}", format_date(*at)),
            Self::Unbound => f.write_str("is not bound to its certificate by a strong self-signature"),
            Self::NoBackSignature => {
                f.write_str("is a subkey that never agreed to its certificate (no back-signature)")
            }
            Self::NotForSigning => f.write_str("is not meant for signing"),
            Self::Weak => f.write_str("is too weak to sign"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::release::RELEASES;

    /// Ubuntu's key of 2012 is bound with SHA-1 alone; its releases are signed by the one of 2018.
    #[test]
    fn embedded_keyrings() {
        let midsummer_2026 = 1_782_000_000;
        for release in RELEASES {
            let keyring = Keyring::parse(release.keyring).unwrap();
            let good = |certificate: &&SignedPublicKey| check_primary(certificate, true, midsummer_2026).is_ok();
            let good: Vec<String> = keyring
                .certificates
                .iter()
                .filter(good)
                .map(|certificate| key_name(&certificate.primary_key))
                .collect();
            let (all, expected) = if release.codename.starts_with(['j', 'n']) { (3, 2) } else { (9, 9) };
            assert_eq!((keyring.certificates.len(), good.len()), (all, expected), "{}: {good:?}", release.codename);
        }
    }
}
