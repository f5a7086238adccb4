//! What an operator declares: the form of `tools.toml`, and what it means.
//!
//! A key that is not known is an error, and so is a program that is not there: what is wrong shows when the host starts, and not when an
//! agent calls.

use crate::folders::DeclaredFolder;
use jsonschema::{Draft, PatternOptions, Validator};
use remit_abi::{Integrity, Tool, is_name, limits};
use remit_kernel::ports::{Effect, FolderFacts, ToolFacts, Uncertain};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;

/// How long a tool may run where nothing is said: a request to a service, and its tries.
const TIMEOUT_SECONDS_DEFAULT: u64 = 60;

/// What a tool does, in so many bytes: a paragraph, which a model reads with each request.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;

/// Arguments of one command, and names of the environment: as many as anybody writes by hand.
const WORDS_MAX: usize = 64;

/// Tools that cannot be had.
#[derive(Debug, Error)]
pub enum ToolsError {
    /// The file cannot be read.
    #[error("the file of tools {} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no file of tools.
    #[error("the tools cannot be read{}: {why}", line.map_or(String::new(), |line| format!(", line {line}")))]
    Form {
        /// Where, from 1 on.
        line: Option<usize>,
        /// In one sentence.
        why: String,
    },
    /// One of them is none.
    #[error("the tool {name} cannot be declared: {why}")]
    Tool {
        /// Which.
        name: String,
        /// In one sentence.
        why: String,
    },
    /// One of the folders is none.
    #[error("the folder {name} cannot be declared: {why}")]
    Folder {
        /// Which.
        name: String,
        /// In one sentence.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    tool: BTreeMap<String, ToolForm>,
    #[serde(default)]
    folder: BTreeMap<String, FolderForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderForm {
    path: PathBuf,
    #[serde(default)]
    integrity: IntegrityForm,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolForm {
    description: String,
    #[serde(default)]
    parameters: toml::Table,
    command: Vec<String>,
    effect: Effect,
    #[serde(default)]
    uncertain: Option<UncertainForm>,
    #[serde(default)]
    desk: Option<String>,
    #[serde(default)]
    timeout_seconds: Option<u64>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    integrity: IntegrityForm,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UncertainForm {
    Fail,
    Retry,
    Ask,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum IntegrityForm {
    Trusted,
    #[default]
    Untrusted,
}

impl From<IntegrityForm> for Integrity {
    fn from(form: IntegrityForm) -> Self {
        match form {
            IntegrityForm::Trusted => Self::Trusted,
            IntegrityForm::Untrusted => Self::Untrusted,
        }
    }
}

/// A tool as it was declared.
#[derive(Clone, Debug)]
pub struct Declared {
    pub(crate) facts: Arc<ToolFacts>,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) environment: Vec<String>,
    /// Of its arguments.
    pub(crate) schema: Validator,
}

impl Declared {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.tool.name
    }

    /// What the kernel and agents know of it.
    #[must_use]
    pub fn facts(&self) -> &ToolFacts {
        &self.facts
    }

    /// The program that does it, and its first arguments.
    pub fn command(&self) -> impl Iterator<Item = &str> {
        self.program.to_str().into_iter().chain(self.arguments.iter().map(String::as_str))
    }

    /// How long it may run.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// All tools and folders of a host, by their names.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    pub(crate) tools: BTreeMap<Box<str>, Arc<Declared>>,
    pub(crate) folders: BTreeMap<Box<str>, DeclaredFolder>,
}

impl Declarations {
    /// Reads a file of tools.
    ///
    /// # Errors
    /// [`ToolsError`].
    pub fn read(path: &Path) -> Result<Self, ToolsError> {
        let failed = |source| ToolsError::Read { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        let path = fs::canonicalize(path).map_err(failed)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("/")))
    }

    /// Reads tools whose programs may lie below a folder.
    ///
    /// # Errors
    /// [`ToolsError`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ToolsError> {
        let form: FileForm = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            ToolsError::Form { line, why: error.message().replace('\n', " ") }
        })?;
        let (count, most) = (form.tool.len(), limits::TOOLS_MAX);
        if count > most {
            return Err(ToolsError::Form {
                line: None,
                why: format!("there are {count} tools, and {most} are the most"),
            });
        }
        let declared = form.tool.into_iter().map(|(name, form)| match declared(&name, form, folder) {
            Ok(declared) => Ok((name.into(), Arc::new(declared))),
            Err(why) => Err(ToolsError::Tool { name, why }),
        });
        let tools = declared.collect::<Result<_, _>>()?;
        let (count, most) = (form.folder.len(), limits::SCOPE_ENTRIES_MAX);
        if count > most {
            let why = format!("there are {count} folders, and {most} are the most");
            return Err(ToolsError::Form { line: None, why });
        }
        let declared = form.folder.into_iter().map(|(name, form)| match declared_folder(&name, form, folder) {
            Ok(declared) => Ok((name.into(), declared)),
            Err(why) => Err(ToolsError::Folder { name, why }),
        });
        Ok(Self { tools, folders: declared.collect::<Result<_, _>>()? })
    }

    /// Each folder, with its name.
    pub fn folders(&self) -> impl Iterator<Item = (&str, &DeclaredFolder)> {
        self.folders.iter().map(|(name, declared)| (&**name, declared))
    }

    /// Each of them, by its name.
    pub fn iter(&self) -> impl Iterator<Item = &Declared> {
        self.tools.values().map(|declared| &**declared)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Declared> {
        self.tools.get(name).map(|declared| &**declared)
    }
}

fn declared(name: &str, form: ToolForm, folder: &Path) -> Result<Declared, String> {
    check_name(name)?;
    let description = form.description.trim();
    if description.is_empty() || description.len() > DESCRIPTION_BYTES_MAX {
        return Err(format!("its description must have 1 to {DESCRIPTION_BYTES_MAX} bytes"));
    }
    let (parameters, schema) = (parameters(&form.parameters)?, schema(&form.parameters)?);
    let seconds = form.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT);
    let most = limits::TOOL_TIME_NS_MAX / 1_000_000_000;
    if !(1..=most).contains(&seconds) {
        return Err(format!("its timeout_seconds must be 1 to {most}"));
    }
    if form.command.len() > WORDS_MAX || form.env.len() > WORDS_MAX {
        return Err(format!("it has more than {WORDS_MAX} arguments, or names of the environment"));
    }
    if let Some(bad) = form.env.iter().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(format!("{bad:?} is no name of the environment"));
    }
    check_tags(&form.tags)?;
    let mut command = form.command.into_iter();
    let program = command.next().filter(|program| !program.is_empty()).ok_or("its command names no program")?;
    let facts = ToolFacts {
        tool: Tool { name: name.into(), description: description.into(), parameters },
        effect: form.effect,
        uncertain: uncertain(form.effect, form.uncertain, form.desk)?,
        integrity: form.integrity.into(),
        tags: form.tags.into_iter().map(Into::into).collect(),
    };
    Ok(Declared {
        facts: Arc::new(facts),
        program: find(&program, folder, env::var_os("PATH"))?,
        arguments: command.collect(),
        timeout: Duration::from_secs(seconds),
        environment: form.env,
        schema,
    })
}

/// The folder itself is found once, through whatever links lead to it; from there on none is followed.
fn declared_folder(name: &str, form: FolderForm, folder: &Path) -> Result<DeclaredFolder, String> {
    check_name(name)?;
    check_tags(&form.tags)?;
    let path = folder.join(&form.path);
    let path = fs::canonicalize(&path).map_err(|error| format!("{} cannot be found: {error}", path.display()))?;
    if !path.is_dir() {
        return Err(format!("{} is no folder", path.display()));
    }
    let tags = form.tags.into_iter().map(Into::into).collect();
    let facts = FolderFacts { integrity: form.integrity.into(), tags };
    Ok(DeclaredFolder { facts: Arc::new(facts), path })
}

fn check_tags(tags: &[String]) -> Result<(), String> {
    match tags.iter().find(|tag| tag.is_empty() || tag.len() > limits::NAME_BYTES_MAX) {
        Some(bad) => Err(format!("{bad:?} is no tag: a tag has 1 to {} bytes", limits::NAME_BYTES_MAX)),
        None => Ok(()),
    }
}

/// A name that grants can have, and that models can write.
fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    match is_name(name) && name.len() <= limits::TOOL_NAME_BYTES_MAX && name.bytes().all(fits) {
        true => Ok(()),
        false => Err(format!("its name must have 1 to {} letters, digits, _, - or .", limits::TOOL_NAME_BYTES_MAX)),
    }
}

fn parameters(schema: &toml::Table) -> Result<Box<str>, String> {
    let text = serde_json::to_string(schema).map_err(|error| format!("its parameters are no JSON: {error}"))?;
    if text.len() > limits::TOOL_BYTES_MAX {
        return Err(format!("its parameters have more than {} bytes", limits::TOOL_BYTES_MAX));
    }
    Ok(if schema.is_empty() { "".into() } else { text.into() })
}

/// What its arguments have to fit, compiled once. Patterns take time that grows with the text alone (RE2's way: no look-around, no
/// back-references), and a reference leads to no other document.
fn schema(parameters: &toml::Table) -> Result<Validator, String> {
    let bad = |error: &dyn std::fmt::Display| {
        format!("its parameters are no JSON Schema (2020-12): {}", error.to_string().replace('\n', " "))
    };
    let schema = serde_json::to_value(parameters).map_err(|error| bad(&error))?;
    let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(PatternOptions::regex());
    options.build(&schema).map_err(|error| bad(&error))
}

/// What becomes of a call that may have been done.
fn uncertain(effect: Effect, uncertain: Option<UncertainForm>, desk: Option<String>) -> Result<Uncertain, String> {
    if effect != Effect::Once && uncertain.is_some() {
        return Err("uncertain is for a tool whose effect is once: any other is done again".to_owned());
    }
    match (uncertain, desk) {
        (Some(UncertainForm::Ask), Some(desk)) if is_name(&desk) => Ok(Uncertain::Ask { desk: desk.into() }),
        (Some(UncertainForm::Ask), _) => Err("where a person is asked, desk must name whom".to_owned()),
        (_, Some(_)) => Err("desk is for a tool whose uncertain is ask: nobody else is asked".to_owned()),
        (Some(UncertainForm::Retry), None) => Ok(Uncertain::Retry),
        (Some(UncertainForm::Fail) | None, None) => Ok(Uncertain::Fail),
    }
}

/// The program's own path.
fn find(program: &str, folder: &Path, search: Option<OsString>) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = folder.join(program);
        return match path.is_file() {
            true => Ok(path),
            false => Err(format!("its program {} is not there", path.display())),
        };
    }
    let folders = search.unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.ok_or_else(|| format!("its program {program} is in no folder of the host's PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tool with these lines besides the least that it needs.
    fn parse(lines: &str) -> Result<Declarations, ToolsError> {
        let least = "[tool.t]\ndescription = 'It is one.'\n";
        Declarations::parse(&format!("{least}{lines}"), Path::new("/"))
    }

    fn check(lines: &str, says: &str) {
        let error = parse(lines).expect_err("it is refused").to_string();
        assert!(error.contains(says), "{lines}: {error}");
    }

    const LEAST: &str = "command = ['/bin/sh']\neffect = 'none'\n";

    #[test]
    fn what_is_not_said_is_what_does_least() {
        let tools = parse(LEAST).expect("it is whole");
        let tool = tools.get("t").expect("it is declared");
        let facts = tool.facts();
        assert_eq!((&*facts.tool.parameters, facts.effect, &facts.uncertain), ("", Effect::None, &Uncertain::Fail));
        assert_eq!(
            (facts.integrity, facts.tags.len(), tool.timeout()),
            (Integrity::Untrusted, 0, Duration::from_secs(60))
        );
        assert_eq!(tool.command().collect::<Vec<_>>(), ["/bin/sh"]);
        assert!(tools.get("u").is_none());
        assert_eq!(Declarations::parse("", Path::new("/")).expect("no tools are some").iter().count(), 0);
    }

    #[test]
    fn a_schema_is_json_and_a_name_is_found() {
        let schema = "parameters = { properties = { n = { type = 'integer' } } }\n";
        let tools = parse(&format!("{schema}command = ['sh', '-c', 'true']\neffect = 'keyed'\n")).expect("it is whole");
        let tool = tools.get("t").expect("it is declared");
        assert_eq!(&*tool.facts().tool.parameters, r#"{"properties":{"n":{"type":"integer"}}}"#);
        assert!(tool.program.is_absolute() && tool.program.ends_with("sh"));
    }

    #[test]
    fn what_does_not_fit_the_parameters_is_not_accepted() {
        let check = |parameters: &str, arguments: &str, expect: bool| {
            let tools = parse(&format!("{LEAST}parameters = {parameters}\n")).expect("it is whole");
            let value = serde_json::from_str(arguments).expect("it is JSON");
            let fits = tools.get("t").expect("it is declared").schema.is_valid(&value);
            assert_eq!(fits, expect, "{parameters} {arguments}");
        };
        check("{}", "{\"anything\": [1]}", true);
        let schema = "{ properties = { n = { type = 'integer', maximum = 3 } }, required = ['n'] }";
        check(schema, "{\"n\": 3}", true);
        check(schema, "{\"n\": 4}", false);
        check(schema, "{\"n\": \"3\"}", false);
        check(schema, "{}", false);
        let within = "{ '$defs' = { n = { type = 'integer' } }, properties = { n = { '$ref' = '#/$defs/n' } } }";
        check(within, "{\"n\": 1}", true);
        check(within, "{\"n\": true}", false);
        // Where an engine goes back and forth this takes for ever.
        let evil = format!("{{\"n\": \"{}!\"}}", "a".repeat(50_000));
        check("{ properties = { n = { pattern = '^(a+)+$' } } }", &evil, false);
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        check("command = ['/bin/sh']\n", "missing field `effect`");
        check(&format!("{LEAST}parameters = {{ type = 'nothing' }}\n"), "no JSON Schema (2020-12)");
        let elsewhere = "{ properties = { n = { '$ref' = 'https://example.com/n.json' } } }";
        check(&format!("{LEAST}parameters = {elsewhere}\n"), "no JSON Schema (2020-12)");
        check(
            &format!("{LEAST}parameters = {{ properties = {{ n = {{ pattern = '(?=a)' }} }} }}\n"),
            "no JSON Schema (2020-12)",
        );
        check("command = ['/bin/sh']\neffect = 'twice'\n", "unknown variant `twice`");
        check(&format!("{LEAST}efect = 'none'\n"), "line 5: unknown field `efect`");
        check("command = []\neffect = 'none'\n", "names no program");
        check("command = ['no/such']\neffect = 'none'\n", "/no/such is not there");
        check("command = ['no-such-program']\neffect = 'none'\n", "in no folder of the host's PATH");
        check(&format!("{LEAST}uncertain = 'retry'\n"), "whose effect is once");
        check(&format!("{LEAST}desk = 'boss'\n"), "whose uncertain is ask");
        check(&format!("{LEAST}timeout_seconds = 0\n"), "must be 1 to 86400");
        check(&format!("{LEAST}env = ['A=B']\n"), "no name of the environment");
        check(&format!("{LEAST}tags = ['']\n"), "no tag");
        let once = "command = ['/bin/sh']\neffect = 'once'\n";
        check(&format!("{once}uncertain = 'ask'\n"), "desk must name whom");
        check(&format!("{once}uncertain = 'ask'\ndesk = 'the boss'\n"), "desk must name whom");
        let named = |name: &str| format!("[tool.\"{name}\"]\ndescription = 'x'\n{LEAST}");
        for name in ["", "a b", "a*", "x/y", &"x".repeat(65)] {
            let error = Declarations::parse(&named(name), Path::new("/")).expect_err("it is no name").to_string();
            assert!(error.contains("its name must have"), "{name}: {error}");
        }
        let many: String = (0..129).map(|number| named(&format!("t{number}"))).collect();
        let error = Declarations::parse(&many, Path::new("/")).expect_err("there are too many").to_string();
        assert!(error.contains("129 tools"), "{error}");
    }

    #[test]
    fn a_policy_is_read() {
        let once = "command = ['/bin/sh']\neffect = 'once'\n";
        for (lines, expect) in [
            ("", Uncertain::Fail),
            ("uncertain = 'fail'", Uncertain::Fail),
            ("uncertain = 'retry'", Uncertain::Retry),
            ("uncertain = 'ask'\ndesk = 'boss'", Uncertain::Ask { desk: "boss".into() }),
        ] {
            let tools = parse(&format!("{once}{lines}\n")).expect("it is whole");
            assert_eq!(tools.get("t").expect("it is declared").facts().uncertain, expect);
        }
    }
}
