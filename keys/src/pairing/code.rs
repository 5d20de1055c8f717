//! The pairing code that one person reads to another: `17-orbit-velvet`.

use std::fmt;
use std::str::FromStr;

use bip39::Language;
use rand_core::CryptoRng;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// A nameplate from 10 to 99, which says which offer is meant, and two words of the English BIP-39 list, 22
/// bits of secret: enough for three tries in ten minutes against a PAKE, which gives one guess a run.
#[derive(Clone, ZeroizeOnDrop)]
pub struct PairingCode {
    nameplate: u8,
    words: [u16; 2],
}

const NAMEPLATES: std::ops::RangeInclusive<u8> = 10..=99;
/// `99-` and two words of at most eight letters, with room for stray spaces.
const MAX_TEXT_BYTES: usize = 64;

impl PairingCode {
    /// Draws a code, each as likely as any other.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let nameplate = loop {
            // Seven bits reach 127; what lies outside is drawn again, so that none is favoured.
            let drawn = (rng.next_u32() & 0x7f) as u8;
            if NAMEPLATES.contains(&drawn) {
                break drawn;
            }
        };
        let mut word = || (rng.next_u32() & 0x7ff) as u16;
        Self { nameplate, words: [word(), word()] }
    }

    /// The number before the words. Not secret.
    pub const fn nameplate(&self) -> u8 {
        self.nameplate
    }

    /// What goes into the PAKE.
    pub(super) fn password(&self) -> Zeroizing<[u8; 32]> {
        let text = Zeroizing::new(self.to_string());
        Zeroizing::new(blake3::derive_key("metaclinic 2026 pairing code", text.as_bytes()))
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = Language::English.word_list();
        let [first, second] = self.words.map(|word| list[usize::from(word) % list.len()]);
        write!(f, "{}-{first}-{second}", self.nameplate)
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairingCode({}-…)", self.nameplate)
    }
}

/// Capital letters, and spaces for hyphens, are forgiven.
impl FromStr for PairingCode {
    type Err = ParseCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(ParseCodeError::Shape);
        }
        let text = Zeroizing::new(text.to_ascii_lowercase());
        let mut parts = text.split(|c: char| c == '-' || c.is_whitespace()).filter(|part| !part.is_empty());
        let (Some(number), Some(first), Some(second), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseCodeError::Shape);
        };
        let digits = number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit());
        let nameplate = number.parse().ok().filter(|n| digits && NAMEPLATES.contains(n));
        let nameplate = nameplate.ok_or(ParseCodeError::Shape)?;
        let word = |text: &str| {
            let place = Language::English.word_list().binary_search(&text).ok();
            place.and_then(|place| u16::try_from(place).ok()).ok_or(ParseCodeError::Word)
        };
        Ok(Self { nameplate, words: [word(first)?, word(second)?] })
    }
}

/// A text is no pairing code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCodeError {
    /// Not a number and two words.
    #[error("not a pairing code: expected a number from 10 to 99 and two words, such as 17-orbit-velvet")]
    Shape,
    /// A word that is on no code, most likely misheard.
    #[error("a word of the pairing code is misspelt or misheard")]
    Word,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn codes_read_back_what_they_print() {
        let mut rng = ChaCha20Rng::seed_from_u64(8);
        for _ in 0..500 {
            let code = PairingCode::generate(&mut rng);
            assert!(NAMEPLATES.contains(&code.nameplate()));
            let again: PairingCode = code.to_string().parse().expect("reads back");
            assert_eq!(again.to_string(), code.to_string());
            assert_eq!(*again.password(), *code.password());
        }
    }

    #[test]
    fn spelling_is_forgiving_and_meaning_is_not() {
        let spelt = |text: &str| text.parse::<PairingCode>().map(|code| code.to_string());
        let told = Ok("17-orbit-velvet".to_owned());
        assert_eq!(spelt("17-orbit-velvet"), told);
        assert_eq!(spelt("  17 Orbit VELVET\n"), told);
        assert_eq!(spelt("17 - orbit - velvet"), told);
        for wrong in [
            "",
            "17",
            "17-orbit",
            "17-orbit-velvet-x",
            "9-orbit-velvet",
            "100-orbit-velvet",
            "+1-orbit-velvet",
        ] {
            assert_eq!(spelt(wrong), Err(ParseCodeError::Shape), "{wrong}");
        }
        assert_eq!(spelt("17-orbit-velvett"), Err(ParseCodeError::Word));
        assert_eq!(spelt(&"1".repeat(10_000)), Err(ParseCodeError::Shape));
    }

    #[test]
    fn debug_shows_only_the_nameplate() {
        let code: PairingCode = "17-orbit-velvet".parse().unwrap();
        assert_eq!(format!("{code:?}"), "PairingCode(17-…)");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<PairingCode>();
        }
    }
}
