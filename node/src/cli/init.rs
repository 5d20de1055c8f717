//! `metaclinic init`

use clap::{Args, ValueEnum};
use keys::IdentityKind;
use serde_json::json;

use super::{Context, output, passphrase};
use crate::service::problem::Problem;
use crate::service::{self, home_problem};

/// Who the home is for.
#[derive(Args)]
pub(super) struct InitArgs {
    /// What this home is
    #[arg(long)]
    role: Role,
    /// Name that paired peers see
    #[arg(long)]
    name: String,
    /// Name of this device
    #[arg(long, default_value = "home device", value_name = "NAME")]
    device_name: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    Clinic,
    Patient,
    Researcher,
}

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<(), Problem> {
    let kind = match args.role {
        Role::Clinic => IdentityKind::Clinic,
        Role::Patient => IdentityKind::Patient,
        Role::Researcher => IdentityKind::Researcher,
    };
    if context.home.is_made().map_err(home_problem)? {
        return Err(home_problem(crate::home::HomeError::Exists(context.home.root().to_path_buf())));
    }
    let passphrase = passphrase::choose(&context.global)?;
    let made = service::init(&context.home, kind, &args.name, &args.device_name, &passphrase)?;
    let home = context.home.root().display().to_string();
    if context.global.json {
        output::json(
            &json!({ "identity": made.identity, "device": made.device, "home": home, "role": kind }),
        );
    } else {
        output::facts([
            ("home", home),
            ("identity", made.identity.to_string()),
            ("device", made.device.to_string()),
        ]);
        output::note(
            "The home is sealed with your passphrase: nobody can open it without, and nobody can reset it.",
        );
        output::note("Start it with: metaclinic run");
    }
    Ok(())
}
