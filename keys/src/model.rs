//! What is signed about models: by an author, what a model is; by a home's device, what it answered and what the
//! person who looked thought of that. No health data: of inputs and outputs only keyed hashes.

use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, IdentityId, Timestamp};
use crate::signed::{Signable, SignatureError, Signed};

/// The most bytes of a model's name and of its version.
const MAX_NAME_BYTES: usize = 64;
const VERSION: u8 = 1;

/// What the author of a model vouches for: both texts of its card, and the weights by their hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelManifest {
    /// The version of this message, 1.
    pub version: u8,
    /// Who vouches for it, and signs.
    pub author: IdentityId,
    /// Which model of the program it is to take the place of, at most 64 bytes.
    pub name: String,
    /// Its version, as on its card, at most 64 bytes.
    pub model_version: String,
    /// The card, as people wrote it: TOML.
    pub about: String,
    /// The card, as training wrote it: TOML.
    pub figures: String,
    /// SHA-256 of the weights.
    #[serde(with = "serde_bytes")]
    pub weights_sha256: [u8; 32],
    /// Size of the weights.
    pub weights_bytes: u64,
    /// When it was signed.
    pub time: Timestamp,
}

impl Signable for ModelManifest {
    const DOMAIN: &'static str = "metaclinic/model-manifest/1";
    const MAX_BYTES: usize = 160 * 1024;
}

/// A manifest is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not signed as it should be.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Signed by somebody else than the author that it names.
    #[error("the model is signed by another identity than the author that it names")]
    OtherAuthor,
    /// Of a version that this program does not know.
    #[error("model manifest of unknown version {found}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// A name or version that is empty, too long, or more than a word.
    #[error("the model's name or version is none")]
    Name,
}

impl ModelManifest {
    /// The version this code writes and reads.
    pub const VERSION: u8 = VERSION;

    /// Checks that the author named inside signed it.
    ///
    /// # Errors
    /// [`ManifestError`] names the first check that fails.
    pub fn authentic(signed: &Signed<Self>) -> Result<Self, ManifestError> {
        let manifest = signed.verify(signed.signer())?;
        if manifest.version != VERSION {
            return Err(ManifestError::Version { found: manifest.version });
        }
        if manifest.author.as_bytes() != signed.signer() {
            return Err(ManifestError::OtherAuthor);
        }
        let word = |text: &str| {
            (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !word(&manifest.name) || !word(&manifest.model_version) {
            return Err(ManifestError::Name);
        }
        Ok(manifest)
    }
}

impl std::fmt::Debug for ModelManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelManifest({} bytes of weights)", self.weights_bytes)
    }
}

/// What a model answered in a home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// The version of this message, 1.
    pub version: u8,
    /// The device it ran on, which signs.
    pub device: DeviceId,
    /// The model.
    pub model: String,
    /// Its version.
    pub model_version: String,
    /// SHA-256 of its weights, in hexadecimal.
    pub weights_sha256: String,
    /// Hash of what it read, keyed by the home: it confirms no guess.
    #[serde(with = "serde_bytes")]
    pub input: [u8; 32],
    /// Hash of what it said, keyed by the home.
    #[serde(with = "serde_bytes")]
    pub output: [u8; 32],
    /// When.
    pub time: Timestamp,
}

impl Signable for ModelAnswer {
    const DOMAIN: &'static str = "metaclinic/model-answer/1";
    const MAX_BYTES: usize = 1024;
}

impl ModelAnswer {
    /// The version this code writes and reads.
    pub const VERSION: u8 = VERSION;
}

/// What the person who looked thought of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOpinion {
    /// The version of this message, 1.
    pub version: u8,
    /// The digest of the signed [`ModelAnswer`] that it is about.
    #[serde(with = "serde_bytes")]
    pub answer: [u8; 32],
    /// Whether they agree.
    pub agree: bool,
    /// Why not, in a word of a closed list.
    pub because: Option<String>,
    /// When.
    pub time: Timestamp,
}

impl Signable for ModelOpinion {
    const DOMAIN: &'static str = "metaclinic/model-opinion/1";
    const MAX_BYTES: usize = 512;
}

impl ModelOpinion {
    /// The version this code writes and reads.
    pub const VERSION: u8 = VERSION;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::identity::IdentityKey;

    fn manifest(author: &IdentityKey) -> ModelManifest {
        ModelManifest {
            version: VERSION,
            author: author.id(),
            name: "ecg-beats".into(),
            model_version: "2".into(),
            about: "a".into(),
            figures: "f".into(),
            weights_sha256: [7; 32],
            weights_bytes: 3,
            time: Timestamp::from_millis(1),
        }
    }

    #[test]
    fn a_manifest_is_believed_of_its_author_only() {
        let (author, other) = (IdentityKey::from_seed([1; 32]), IdentityKey::from_seed([2; 32]));
        let good = author.sign(&manifest(&author));
        assert_eq!(ModelManifest::authentic(&good).expect("believed"), manifest(&author));
        assert_eq!(
            ModelManifest::authentic(&other.sign(&manifest(&author))),
            Err(ManifestError::OtherAuthor)
        );
        let mut newer = manifest(&author);
        newer.version = 2;
        assert_eq!(ModelManifest::authentic(&author.sign(&newer)), Err(ManifestError::Version { found: 2 }));
        for name in ["", "two words", "esc\u{1b}[2J", &"x".repeat(65)] {
            let mut wrong = manifest(&author);
            wrong.name = name.to_owned();
            assert_eq!(ModelManifest::authentic(&author.sign(&wrong)), Err(ManifestError::Name), "{name:?}");
        }
    }

    #[test]
    fn no_changed_byte_of_a_signed_manifest_is_believed() {
        let author = IdentityKey::from_seed([1; 32]);
        let bytes = codec::encode(&author.sign(&manifest(&author)));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = codec::decode::<Signed<ModelManifest>>("manifest", &changed, 1 << 20);
            assert!(
                read.is_err() || read.is_ok_and(|it| ModelManifest::authentic(&it).is_err()),
                "byte {at}"
            );
        }
    }
}
