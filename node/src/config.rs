//! `config.toml` of a home: typed, every default documented, unknown fields refused.

use std::net::SocketAddr;
use std::path::PathBuf;

use keys::IdentityKind;
use serde::{Deserialize, Serialize};

use crate::home::Home;

/// The file does not say what a configuration may say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not valid.
    #[error("{} is not a valid configuration", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
}

/// What a daemon listens on. All fields have defaults, so an empty file is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Multiaddresses for other nodes (TCP). Default: any interface, a free port.
    pub listen: Vec<String>,
    /// UDP address for attachments (QUIC). Default: any interface, a free port.
    pub blobs: SocketAddr,
    /// TCP address of the local API. Default: loopback, a free port.
    pub http: SocketAddr,
    /// Whether this node tells its LAN who and where it is, and looks for its peers there. Default: no, so that
    /// nothing is told that the file does not say; `init` writes yes for clinics and researchers.
    pub mdns: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/0.0.0.0/tcp/0".to_owned()],
            blobs: SocketAddr::from(([0, 0, 0, 0], 0)),
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            mdns: false,
        }
    }
}

impl Config {
    /// Reads the home's file; a missing file means the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] when it exists but cannot be read or is not valid.
    pub(crate) fn load(home: &Home) -> Result<Self, ConfigError> {
        let path = home.config();
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|source| ConfigError::Parse { path, source }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }
}

/// The commented file that `init` writes for a home of this kind.
///
/// A clinic or a researcher wants to be found; that a patient's machine is here is nobody's business.
pub(crate) fn example(kind: IdentityKind) -> String {
    let mdns = !matches!(kind, IdentityKind::Patient);
    EXAMPLE.replace(SILENT, &format!("mdns = {mdns}"))
}

/// The line of [`EXAMPLE`] that differs from home to home.
const SILENT: &str = "mdns = false";

/// The commented defaults.
pub(crate) const EXAMPLE: &str = r#"# metaclinic configuration; every line may be left out.

# Where other nodes reach this one: TCP multiaddresses. Port 0 takes a free port at each start.
listen = ["/ip4/0.0.0.0/tcp/0"]

# Where attachments are fetched from: a UDP address (QUIC).
blobs = "0.0.0.0:0"

# The local API for this machine's own programs; guarded by the token in run/token.
http = "127.0.0.1:0"

# Whether this node says on the local network (mDNS) who and where it is, and looks for its peers there. Everybody on
# that network can then see that this node is here: its peer id, which stays the same, and its addresses.
mdns = false
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_says_the_defaults() {
        assert_eq!(toml::from_str::<Config>(EXAMPLE).expect("valid"), Config::default());
    }

    #[test]
    fn only_homes_of_patients_keep_silent_on_the_lan() {
        let mdns = |kind| toml::from_str::<Config>(&example(kind)).expect("valid").mdns;
        assert!(mdns(IdentityKind::Clinic) && mdns(IdentityKind::Researcher) && !mdns(IdentityKind::Patient));
        assert!(!toml::from_str::<Config>("").expect("valid").mdns, "a file that does not say it means no");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(toml::from_str::<Config>("lissten = []").is_err());
    }
}
