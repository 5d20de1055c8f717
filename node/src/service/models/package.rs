//! A model as one file: what its author signed, then the weights.
//!
//! ```text
//! "metaclinic-model1\n" ‖ length of the manifest (u32) ‖ Signed manifest (CBOR) ‖ weights
//! ```
//!
//! Sizes are checked before memory is taken, the signature before anything inside is read, and the weights against
//! what was signed. There is one spelling: what would be written otherwise is refused.

use std::io::Read;
use std::path::Path;

use inference::{ForeignError, MAX_ABOUT_BYTES, MAX_FIGURES_BYTES, Model, ModelError, sha256};
use keys::{IdentityKey, ManifestError, ModelManifest, Signable, Signed, Timestamp, codec};

use crate::service::problem::Problem;

/// The most bytes of a package: ten times the largest model of this program.
pub(crate) const MAX_PACKAGE_BYTES: usize = 16 << 20;
/// The most bytes of a signed manifest: its body, key, signature and their names.
pub(crate) const MAX_MANIFEST_BYTES: usize = ModelManifest::MAX_BYTES + 256;
const MAGIC: &[u8] = b"metaclinic-model1\n";

/// Bytes that should be the package of a model are not to be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PackageError {
    /// Larger than any.
    #[error("the package is larger than 16 MiB")]
    Large,
    /// Another file, or one that is cut.
    #[error("this is no package of a model, or not all of one")]
    Form,
    /// Not signed by the author that it names.
    #[error("the signature on the model does not hold")]
    Manifest(#[from] ManifestError),
    /// Card or weights are not those of a model that can be used.
    #[error("the model cannot be used")]
    Model(#[from] ForeignError),
    /// The weights are others than were signed.
    #[error("the weights are not those that the author signed")]
    Weights,
    /// Name or version on the card are others than were signed.
    #[error("name or version on the card are not those that the author signed")]
    Card,
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
}

/// A model that somebody signed.
pub(crate) struct Package {
    pub(crate) signed: Signed<ModelManifest>,
    pub(crate) manifest: ModelManifest,
    pub(crate) model: Model,
}

impl Package {
    /// Signs a model.
    ///
    /// # Errors
    /// [`PackageError`] as for whoever reads it.
    pub(crate) fn make(
        author: &IdentityKey,
        now: Timestamp,
        (about, figures): (String, String),
        weights: Vec<u8>,
    ) -> Result<Package, PackageError> {
        if about.len() > MAX_ABOUT_BYTES || figures.len() > MAX_FIGURES_BYTES {
            return Err(ForeignError::Large.into());
        }
        let card = Model::of(&about, &figures, weights.clone().into()).map_err(ForeignError::Model)?.card;
        let manifest = ModelManifest {
            version: ModelManifest::VERSION,
            author: author.id(),
            name: card.about.name,
            model_version: card.about.version,
            about,
            figures,
            weights_sha256: hash(&weights),
            weights_bytes: weights.len() as u64,
            time: now,
        };
        let made = Package::of(author.sign(&manifest), weights)?;
        // What nobody will take is not given out.
        if made.bytes().len() > MAX_PACKAGE_BYTES { Err(PackageError::Large) } else { Ok(made) }
    }

    /// Reads a package, and believes it as far as its author is believed.
    ///
    /// # Errors
    /// [`PackageError`] names the first check that fails.
    pub(crate) fn read(bytes: &[u8]) -> Result<Package, PackageError> {
        if bytes.len() > MAX_PACKAGE_BYTES {
            return Err(PackageError::Large);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(PackageError::Form)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(PackageError::Form)?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_MANIFEST_BYTES {
            return Err(PackageError::Form);
        }
        let (signed, weights) = rest.split_at_checked(length).ok_or(PackageError::Form)?;
        let spelled = signed;
        let signed: Signed<ModelManifest> =
            codec::decode("model manifest", signed, MAX_MANIFEST_BYTES).map_err(|_| PackageError::Form)?;
        if codec::encode(&signed) != spelled {
            return Err(PackageError::Form);
        }
        Package::of(signed, weights.to_vec())
    }

    /// Reads a package from a file.
    ///
    /// # Errors
    /// As [`Package::read`].
    pub(crate) fn read_file(path: &Path) -> Result<Package, PackageError> {
        let file = std::fs::File::open(path).map_err(PackageError::File)?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells that there is more, whatever the file claims to be.
        file.take(MAX_PACKAGE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(PackageError::File)?;
        Package::read(&bytes)
    }

    fn of(signed: Signed<ModelManifest>, weights: Vec<u8>) -> Result<Package, PackageError> {
        let manifest = ModelManifest::authentic(&signed)?;
        if manifest.weights_bytes != weights.len() as u64 || manifest.weights_sha256 != hash(&weights) {
            return Err(PackageError::Weights);
        }
        let model = Model::foreign(&manifest.name, &manifest.about, &manifest.figures, weights.into())?;
        if model.card.about.version != manifest.model_version {
            return Err(PackageError::Card);
        }
        Ok(Package { signed, manifest, model })
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let signed = codec::encode(&self.signed);
        let length = u32::try_from(signed.len()).expect("a manifest is bounded");
        [MAGIC, &length.to_be_bytes(), &signed, &self.model.weights].concat()
    }

    /// Loads the network and lets it answer. The readers of weights are others' code: one that panics on hostile bytes
    /// must not end the program.
    ///
    /// # Errors
    /// [`PackageError::Model`] when it does not work.
    pub(crate) fn self_test(&self) -> Result<(), PackageError> {
        let test = std::panic::AssertUnwindSafe(|| self.model.self_test(inference::Backend::default()));
        let tested = std::panic::catch_unwind(test).unwrap_or(Err(ModelError::Weights));
        tested.map_err(|error| ForeignError::Model(error).into())
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let text = sha256(bytes);
    let mut hash = [0; 32];
    let read = data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut hash);
    read.expect("sha256 gives 64 hexadecimal digits");
    hash
}

/// In words, with the next step.
pub(crate) fn refused(error: PackageError) -> Problem {
    Problem::failed("the model is refused")
        .because(error)
        .next("nothing was kept; ask its author for the package again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author() -> IdentityKey {
        IdentityKey::from_seed([5; 32])
    }

    fn package() -> Package {
        let model = Model::named("ecg").expect("compiled in");
        let text = |it: &dyn Fn() -> Result<String, toml::ser::Error>| it().expect("writes");
        let about =
            text(&|| toml::to_string(&model.card.about)).replacen("version = \"1\"", "version = \"2\"", 1);
        let figures = text(&|| toml::to_string(&model.card.figures));
        let now = Timestamp::from_millis(1);
        Package::make(&author(), now, (about, figures), model.weights.into_owned()).expect("made")
    }

    #[test]
    fn a_package_reads_back_and_its_network_works() {
        let made = package();
        let read = Package::read(&made.bytes()).expect("read");
        assert_eq!(read.manifest, made.manifest);
        assert_eq!(read.manifest.author, author().id());
        assert_eq!(read.model.weights, made.model.weights);
        read.self_test().expect("works");
    }

    #[test]
    fn no_changed_byte_and_no_cut_is_read() {
        let made = package();
        let bytes = made.bytes();
        let body = bytes.len() - made.model.weights.len();
        // All of magic, length and manifest; of the weights some.
        for at in (0..body).step_by(7).chain([body - 1, body, body + 1_000, bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Package::read(&changed).is_err(), "byte {at}");
        }
        for end in [0, 5, 18, 22, 200, body, bytes.len() - 1] {
            assert!(Package::read(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(Package::read(&longer), Err(PackageError::Weights)));
    }

    #[test]
    fn another_signer_other_weights_and_a_huge_claim_are_refused() {
        let made = package();
        let other = IdentityKey::from_seed([6; 32]);
        let forged = other.sign(&made.manifest);
        let refused = Package::of(forged, made.model.weights.to_vec());
        assert!(matches!(refused, Err(PackageError::Manifest(ManifestError::OtherAuthor))));
        let moved = Signed::from_parts(
            made.signed.body().to_vec(),
            *made.signed.signer(),
            *other.sign(&made.manifest).signature(),
        );
        let refused = Package::of(moved, made.model.weights.to_vec());
        assert!(matches!(refused, Err(PackageError::Manifest(ManifestError::Signature(_)))));
        let mut weights = made.model.weights.to_vec();
        weights[9] ^= 1;
        assert!(matches!(Package::of(made.signed.clone(), weights), Err(PackageError::Weights)));
        let claim = [MAGIC, &u32::MAX.to_be_bytes(), &[0; 64]].concat();
        assert!(matches!(Package::read(&claim), Err(PackageError::Form)));
        assert!(matches!(Package::read(&vec![0; MAX_PACKAGE_BYTES + 1]), Err(PackageError::Large)));
    }

    #[test]
    fn a_version_that_differs_from_the_card_is_refused() {
        let made = package();
        let mut manifest = made.manifest.clone();
        manifest.model_version = "3".into();
        let refused = Package::of(author().sign(&manifest), made.model.weights.to_vec());
        assert!(matches!(refused, Err(PackageError::Card)));
    }
}
