//! `metaclinic grant …`

use axum::http::Method;
use clap::{Args, Subcommand};

use super::{Context, output};
use crate::api::types::{GrantInfo, GrantList, GrantRequest, RevokeReport, ScopeInfo};
use crate::service::problem::Problem;

#[derive(Subcommand)]
pub(super) enum GrantCommand {
    /// Consent that a paired peer reads records of this home
    Give(GiveArgs),
    /// List consents, given and received
    List,
    /// Revoke a consent for ever; what was read already cannot be taken back
    Revoke {
        /// Id of the consent, or its beginning
        id: String,
    },
}

/// What a consent covers: at least one of --type, --category, --code, --patient, or --all. What is named has to fit
/// together: with --type and --code only resources of that type that have that code are covered.
#[derive(Args)]
pub(super) struct GiveArgs {
    /// Name or id of the peer
    peer: String,
    /// Resource types, e.g. Observation,Condition
    #[arg(long = "type", value_delimiter = ',', value_name = "TYPE")]
    types: Vec<String>,
    /// Categories, e.g. vital-signs
    #[arg(long, value_delimiter = ',', value_name = "CODE")]
    category: Vec<String>,
    /// Codes, e.g. 8867-4 or http://loinc.org|8867-4
    #[arg(long, value_delimiter = ',', value_name = "CODE")]
    code: Vec<String>,
    /// Only this patient's records: FHIR id
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// All records of this home, now and later
    #[arg(long, conflicts_with_all = ["types", "category", "code", "patient"])]
    all: bool,
    /// Purpose of use: treatment, emergency-treatment, research, patient-request, operations
    #[arg(long, default_value = "treatment")]
    purpose: String,
    /// How long it lasts: a number with s, m, h or d
    #[arg(long = "for", default_value = "90d", value_name = "TIME", value_parser = parse_seconds)]
    seconds: u64,
}

pub(super) async fn run(context: &Context, command: GrantCommand) -> Result<(), Problem> {
    match command {
        GrantCommand::Give(args) => give(context, args).await,
        GrantCommand::List => list(context).await,
        GrantCommand::Revoke { id } => revoke(context, &id).await,
    }
}

async fn give(context: &Context, args: GiveArgs) -> Result<(), Problem> {
    let patient = args.patient.map(|p| if p.contains('/') { p } else { format!("Patient/{p}") });
    let request = GrantRequest {
        peer: args.peer,
        resource_types: args.types,
        categories: args.category,
        codes: args.code,
        patient,
        all: args.all,
        purpose: args.purpose,
        seconds: args.seconds,
    };
    let grant: GrantInfo =
        context.with_client(async |client| client.post("/api/v1/grants", &request).await).await?;
    if context.global.json {
        output::json(&grant);
        return Ok(());
    }
    let name = grant.name.clone().unwrap_or_else(|| grant.grantee.clone());
    output::line(&format!(
        "{name} may read {} for {} until {}",
        words(&grant.scope),
        grant.purpose,
        grant.not_after
    ));
    output::note(&format!("Take it back with: metaclinic grant revoke {}", grant.grant));
    Ok(())
}

async fn list(context: &Context) -> Result<(), Problem> {
    let list: GrantList = context.with_client(async |client| client.get("/api/v1/grants").await).await?;
    if context.global.json {
        output::json(&list);
    } else if list.grants.is_empty() {
        output::note("No consents. Give one with: metaclinic grant give PEER --type Observation");
    } else {
        let row = |g: GrantInfo| {
            let name = g.name.unwrap_or(g.grantee);
            let short: String = g.grant.chars().take(12).collect();
            [short, g.direction, name, words(&g.scope), g.purpose, g.not_after, g.state]
        };
        let headers = ["consent", "", "peer", "covers", "purpose", "until", "state"];
        output::table(headers, list.grants.into_iter().map(row));
    }
    Ok(())
}

async fn revoke(context: &Context, id: &str) -> Result<(), Problem> {
    let path = format!("/api/v1/grants/{}", super::segment(id));
    let report: RevokeReport =
        context.with_client(async |client| client.call(Method::DELETE, &path, None::<&()>).await).await?;
    if context.global.json {
        output::json(&report);
        return Ok(());
    }
    let RevokeReport { revoked, holding } = report;
    let name = revoked.name.unwrap_or(revoked.grantee);
    output::line(&format!("Revoked: the consent for {} ({})", words(&revoked.scope), revoked.purpose));
    if holding.is_empty() {
        output::line(&format!("{name} has no other consent and may read nothing here any more"));
    } else {
        output::line(&format!("{name} may still read under {} other consents:", holding.len()));
        let row = |g: GrantInfo| {
            let short: String = g.grant.chars().take(12).collect();
            [short, words(&g.scope), g.purpose, g.not_after]
        };
        output::table(["consent", "covers", "purpose", "until"], holding.into_iter().map(row));
    }
    output::note("What was read before cannot be taken back.");
    Ok(())
}

fn words(scope: &ScopeInfo) -> String {
    let mut parts = Vec::new();
    let mut say = |values: &[String]| {
        if !values.is_empty() {
            parts.push(values.join(", "));
        }
    };
    say(&scope.resource_types);
    say(&scope.categories);
    say(&scope.codes);
    say(scope.patient.as_slice());
    if parts.is_empty() { "all records".to_owned() } else { parts.join("; ") }
}

fn parse_seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("write a number with s, m, h or d, e.g. 90d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write a number with s, m, h or d, e.g. 90d".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_its_unit() {
        assert_eq!(parse_seconds("90d"), Ok(7_776_000));
        assert_eq!(parse_seconds("5s"), Ok(5));
        for wrong in ["", "d", "90", "9.5h", "-1d", "99999999999999999999d", "18446744073709551615d", "1日"]
        {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
