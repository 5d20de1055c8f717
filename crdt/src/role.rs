//! What a member of a room may write.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a member of a room is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Founded the room and alone changes who is in it; writes everything. Exactly one, for ever.
    Owner,
    /// Writes annotations, notes and chat.
    Clinician,
    /// Adds annotations, changes its own ones, and chats.
    Patient,
    /// Reads only.
    Observer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Clinician, Self::Patient, Self::Observer];

    /// The word a person would use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Clinician => "clinician",
            Self::Patient => "patient",
            Self::Observer => "observer",
        }
    }

    /// Whether this role may write anything at all.
    pub fn may_write(self) -> bool {
        self.rights() != Rights::NONE
    }

    /// What this role may write.
    pub(crate) const fn rights(self) -> Rights {
        match self {
            Self::Owner | Self::Clinician => Rights(0b1111),
            Self::Patient => Rights(Rights::ANNOTATE.0 | Rights::CHAT.0),
            Self::Observer => Rights::NONE,
        }
    }

    /// The role that allows what both allow; rights of roles are nested, so it is one of the two.
    pub(crate) fn stricter(self, other: Self) -> Self {
        self.max(other)
    }
}

/// A set of things that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights(u8);

impl Rights {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);
    /// Add annotations and change one's own.
    pub(crate) const ANNOTATE: Self = Self(0b0001);
    /// Change annotations of others.
    pub(crate) const ANNOTATE_OTHERS: Self = Self(0b0010);
    /// Add and change notes.
    pub(crate) const NOTE: Self = Self(0b0100);
    /// Add chat lines.
    pub(crate) const CHAT: Self = Self(0b1000);

    /// Both sets.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `needed` is inside.
    pub(crate) const fn covers(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// Whether something of `other` is inside.
    pub(crate) const fn touches(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = text.trim();
        Self::ALL.into_iter().find(|role| role.word().eq_ignore_ascii_case(word)).ok_or(ParseRoleError)
    }
}

/// A text names no [`Role`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role: expected owner, clinician, patient or observer")]
pub struct ParseRoleError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_read_back_what_they_print() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(role.to_string().to_ascii_uppercase().parse(), Ok(role));
            assert_eq!(keys::codec::encode(&role), keys::codec::encode(&role.word()));
        }
        assert_eq!("nurse".parse::<Role>(), Err(ParseRoleError));
    }

    #[test]
    fn rights_of_a_later_role_lie_within_those_of_an_earlier_one() {
        for (more, less) in Role::ALL.into_iter().zip(Role::ALL.into_iter().skip(1)) {
            assert!(more.rights().covers(less.rights()), "{more} {less}");
            assert_eq!(more.stricter(less), less);
        }
        assert!(!Role::Observer.may_write());
        assert!(!Role::Patient.rights().covers(Rights::NOTE));
        assert!(!Role::Patient.rights().covers(Rights::ANNOTATE_OTHERS));
    }
}
