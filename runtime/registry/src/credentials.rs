//! Who one is at a registry, from where `docker login` put it.
//!
//! `config.json` has `credHelpers` (a program for one registry), `credsStore` (a program for all) and `auths` (Base64, readable by
//! anybody who reads the file), looked at in this order. A program is `docker-credential-NAME`, which is told a registry on its input
//! and says `Username` and `Secret` as JSON (docker-credential-helpers).

use crate::{
    Error,
    documents::shown,
    limits::{DOCKER_CONFIG_BYTES_MAX, HELPER_BYTES_MAX, HELPER_TIME},
};
use base64ct::{Base64, Encoding as _};
use remit_egress::SecretText;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};
use zeroize::Zeroizing;

/// Who one is.
#[derive(Clone, Debug)]
pub enum Login {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: SecretText,
    },
    /// A token that is exchanged for others (OAuth 2, RFC 6749, section 6).
    Identity(SecretText),
}

/// Where logins are found. [`Credentials::default`] knows none.
#[derive(Clone, Default)]
pub struct Credentials {
    given: HashMap<String, Login>,
    config: DockerConfig,
    search: Option<OsString>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<Hidden>,
    username: Option<String>,
    password: Option<Hidden>,
    identitytoken: Option<Hidden>,
}

/// A secret in a document: its memory is wiped.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Hidden(Zeroizing<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Hidden {
    fn text(&self) -> &str {
        &self.0
    }

    pub(crate) fn secret(&self) -> SecretText {
        SecretText::new(self.0.to_string())
    }
}

/// What a credential program says.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: Hidden,
}

/// The name that a program gives with a token instead of a password.
const TOKEN_USER: &str = "<token>";

impl Credentials {
    /// Reads `config.json` in docker's folder (`~/.docker`, or `$DOCKER_CONFIG`). One that is not there holds no logins.
    ///
    /// Credential programs are looked for along `search`, a value of `PATH`; without one, none is run.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Document`].
    pub fn docker(folder: &Path, search: Option<OsString>) -> Result<Self, Error> {
        let path = folder.join("config.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::reading(&path, error)),
        };
        let what = path.display().to_string();
        if bytes.len() as u64 > DOCKER_CONFIG_BYTES_MAX {
            return Err(Error::TooLarge { what, bytes: bytes.len() as u64, most: DOCKER_CONFIG_BYTES_MAX });
        }
        // The reader's own words could repeat what it read.
        let config = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Document { what, reason: format!("line {} is no docker config", error.line()) })?;
        Ok(Self { config, search, ..Self::default() })
    }

    /// Adds a login for one registry, `host` or `host:port`.
    #[must_use]
    pub fn and(mut self, registry: &str, login: Login) -> Self {
        self.given.insert(registry.to_owned(), login);
        self
    }

    /// The login for a registry.
    ///
    /// # Errors
    /// [`Error::Credentials`].
    pub async fn find(&self, registry: &str) -> Result<Option<Login>, Error> {
        if let Some(login) = self.given.get(registry) {
            return Ok(Some(login.clone()));
        }
        let helper = self.config.cred_helpers.iter().find(|(key, _)| host_of(key) == registry).map(|(_, name)| name);
        if let Some(name) = helper.or(self.config.creds_store.as_ref())
            && let Some(login) = self.ask(name, registry).await?
        {
            return Ok(Some(login));
        }
        let auth = self.config.auths.iter().find(|(key, _)| host_of(key) == registry).map(|(_, auth)| auth);
        auth.map_or(Ok(None), |auth| auth.login(registry))
    }

    /// Asks a program; `None`: it knows nothing of this registry.
    async fn ask(&self, name: &str, registry: &str) -> Result<Option<Login>, Error> {
        let failed = |reason: String| Error::Credentials { place: registry.to_owned(), reason };
        let program = self.program(name).map_err(failed)?;
        let mut command = Command::new(&program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|error| failed(format!("{} could not be started: {error}", program.display())))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let talk = async {
            if let Some(mut stdin) = stdin {
                // A program that does not listen is judged by what it says.
                let _ = stdin.write_all(registry.as_bytes()).await;
            }
            let mut said = Zeroizing::new(Vec::new());
            if let Some(stdout) = stdout {
                stdout.take(HELPER_BYTES_MAX).read_to_end(&mut said).await?;
            }
            Ok::<_, std::io::Error>((said, child.wait().await?))
        };
        let (said, status) = tokio::time::timeout(HELPER_TIME, talk)
            .await
            .map_err(|_| failed(format!("{} took longer than {} s", program.display(), HELPER_TIME.as_secs())))?
            .map_err(|error| failed(format!("{}: {error}", program.display())))?;
        if !status.success() {
            // The protocol's one way to say that there is nothing.
            let text = String::from_utf8_lossy(&said).trim().to_owned();
            if text.contains("credentials not found") {
                return Ok(None);
            }
            return Err(failed(format!("{} said: {}", program.display(), shown(&text))));
        }
        let said: Said = serde_json::from_slice(&said)
            .map_err(|_| failed(format!("{} said no JSON with Username and Secret", program.display())))?;
        let secret = said.secret.secret();
        Ok(Some(if said.user == TOKEN_USER {
            Login::Identity(secret)
        } else {
            Login::Password { user: said.user, password: secret }
        }))
    }

    fn program(&self, name: &str) -> Result<PathBuf, String> {
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)) {
            return Err(format!("{:?} is no name of a credential program", shown(name)));
        }
        let file = format!("docker-credential-{name}");
        let folders = self.search.iter().flat_map(std::env::split_paths);
        let found = folders.map(|folder| folder.join(&file)).find(|path| path.is_file());
        found.ok_or_else(|| format!("the program {file} of the docker config is not on PATH"))
    }
}

impl Auth {
    fn login(&self, registry: &str) -> Result<Option<Login>, Error> {
        let wrong = |reason: &str| Error::Credentials { place: registry.to_owned(), reason: reason.to_owned() };
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.text().is_empty()) {
            return Ok(Some(Login::Identity(token.secret())));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.text().is_empty()) else {
            let pair = self.username.clone().zip(self.password.as_ref());
            return Ok(pair.map(|(user, password)| Login::Password { user, password: password.secret() }));
        };
        let pair = Base64::decode_vec(auth.text()).map(Zeroizing::new);
        let pair = pair.map_err(|_| wrong("its auth is not Base64"))?;
        let pair = str::from_utf8(&pair).map_err(|_| wrong("its auth is no text"))?;
        // Some versions of docker end it with zeros.
        let (user, word) = pair.trim_end_matches('\0').split_once(':').ok_or_else(|| wrong("its auth has no colon"))?;
        Ok(Some(Login::Password { user: user.to_owned(), password: SecretText::new(word.to_owned()) }))
    }
}

/// `https://registry.example.com/v1/` is `registry.example.com`.
fn host_of(key: &str) -> &str {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    bare.split('/').next().unwrap_or(bare)
}

/// Registries' names alone.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.given.keys().chain(self.config.auths.keys()).chain(self.config.cred_helpers.keys());
        f.debug_set().entries(names).finish()
    }
}
