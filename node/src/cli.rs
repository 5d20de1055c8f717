//! The command line: one file a noun, each parses its arguments, calls the local API, and prints.

mod analyze;
mod audit;
mod demo;
mod diagnose;
mod grant;
mod help;
mod identity;
mod init;
mod models;
mod output;
mod pair;
mod passphrase;
mod pictures;
mod records;
mod room;
mod run;
mod scene;
mod status;
mod triage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::client::Client;
use crate::home::Home;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, home_problem};
use crate::telemetry;

/// A clinic without a central server: sealed health records, consents and exchange between your own devices.
///
/// Research software, not a medical device. In an emergency call your local emergency number.
#[derive(Parser)]
#[command(name = "metaclinic", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options before or after any command.
#[derive(Args, Clone)]
#[command(next_help_heading = "Options everywhere")]
struct Global {
    /// Folder of the home; else METACLINIC_HOME, else the platform's data folder
    #[arg(long, global = true, env = "METACLINIC_HOME", hide_env = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print one JSON object (streams: one a line)
    #[arg(long, global = true)]
    json: bool,
    /// File that holds the passphrase of the home; else METACLINIC_PASSPHRASE_FILE
    #[arg(long, global = true, env = "METACLINIC_PASSPHRASE_FILE", hide_env = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Make a home: an identity, its keys, empty stores
    Init(init::InitArgs),
    /// Run the daemon of the home until it is stopped
    Run(run::RunArgs),
    /// Show the health of the node, its peers and its store
    Status,
    /// Show this home's identity and devices, or compare with another
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Pair with another home by a short code or a ticket
    #[command(subcommand)]
    Pair(pair::PairCommand),
    /// Import, search, read, fetch and check health records
    #[command(subcommand)]
    Records(records::RecordsCommand),
    /// Give, list and revoke consents
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// Meet in rooms: shared documents that every member edits and holds
    #[command(subcommand)]
    Room(room::RoomCommand),
    /// The environments that rooms take place in
    #[command(subcommand)]
    Scene(scene::SceneCommand),
    /// Read signals with models on this device
    #[command(subcommand)]
    Diagnose(diagnose::DiagnoseCommand),
    /// Analyse numbers: groups of patients; trend, changes and forecast of a measurement
    #[command(subcommand)]
    Analyze(analyze::AnalyzeCommand),
    /// Self-check: how soon to get help, in English or Chinese; no diagnosis
    ///
    /// Tell what is wrong with --text, or answer questions on a terminal. Needs no home and no network, and keeps nothing.
    /// If you think it is an emergency, call your local emergency number now.
    Triage(triage::TriageArgs),
    /// The models of this program: cards, checks, measurements
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Show and check the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print completions for a shell
    ///
    /// For instance: metaclinic completions bash > ~/.local/share/bash-completion/completions/metaclinic
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write a page for each command into a folder
    Man {
        /// An existing folder, e.g. ~/.local/share/man/man1
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Show the main job on this machine: a clinic and a patient as separate processes, with real data
    Demo(demo::DemoArgs),
}

/// What every command is given.
struct Context {
    global: Global,
    home: Home,
}

impl Context {
    /// The daemon of the home if one runs, else the home itself, unlocked for this command.
    async fn client(&self) -> Result<Client, Problem> {
        if let Some(client) = Client::daemon(&self.home.socket()).await {
            return Ok(client);
        }
        drop(self.home.lock().map_err(home_problem)?);
        let passphrase = passphrase::ask(&self.global)?;
        Ok(Client::Here(Node::open(self.home.clone(), passphrase, false).await?))
    }

    /// Runs `work` with a client and releases the home whatever it returned.
    async fn with_client<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let client = self.client().await?;
        let result = work(&client).await;
        client.close().await;
        result
    }
}

/// Parses, runs, prints, and returns the exit code: 0 done, 1 failed, 2 wrong use, 3 denied.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.global.json;
    let level = if matches!(cli.command, Command::Run(_)) { "info" } else { "warn" };
    telemetry::start(level, json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.tried("start").and_then(|runtime| {
        let result = runtime.block_on(dispatch(cli));
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            output::problem(json && !problem.shown, &problem);
            ExitCode::from(problem.kind.exit_code())
        }
    }
}

async fn dispatch(cli: Cli) -> Result<(), Problem> {
    let root = cli.global.home.clone().or_else(Home::default_root).ok_or_else(|| {
        Problem::wrong_use("there is no place for a home")
            .next("name a folder with --home DIR or METACLINIC_HOME")
    })?;
    let root = std::path::absolute(&root).tried("find the home")?;
    let context = Context { home: Home::at(root), global: cli.global };
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Run(args) => run::run(&context, args).await,
        Command::Status => status::run(&context).await,
        Command::Identity(command) => identity::run(&context, command).await,
        Command::Pair(command) => pair::run(&context, command).await,
        Command::Records(command) => records::run(&context, command).await,
        Command::Grant(command) => grant::run(&context, command).await,
        Command::Room(command) => room::run(&context, command).await,
        Command::Scene(scene::SceneCommand::List) => {
            scene::list(&context);
            Ok(())
        }
        Command::Diagnose(command) => diagnose::run(&context, command).await,
        Command::Analyze(command) => analyze::run(&context, command).await,
        Command::Triage(args) => triage::run(&context, &args),
        Command::Models(command) => models::run(&context, command).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Completions { shell } => help::completions(shell),
        Command::Man { dir } => help::man(dir.as_deref()),
        Command::Demo(args) => demo::run(&context, args).await,
    }
}

/// What a path segment may not hold as it is.
const SEGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
/// What a query may not hold as it is; its `=`, `&`, `,`, `:` and existing escapes stay.
const QUERY: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'|')
    .add(b'^')
    .add(b'`');

/// `text` as one segment of a path.
fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, SEGMENT).to_string()
}

/// `text` as a query.
fn query(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, QUERY).to_string()
}
