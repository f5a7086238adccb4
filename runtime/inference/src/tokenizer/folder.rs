//! The folder of a model as Hugging Face keeps it: `tokenizer.json`, and beside it the settings of the tokenizer
//! (`tokenizer_config.json`), of generation (`generation_config.json`) and the chat template (a setting, or
//! `chat_template.jinja`).

use super::{Model, Tokenizer, TokenizerError, guard::Control, library::Library, vocabulary::Special};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Bytes of `tokenizer.json`: the largest known ones have 35 MB.
const TOKENIZER_BYTES_MAX: u64 = 128 << 20;
/// Bytes of each other file: the largest known settings list a thousand added tokens.
const SETTINGS_BYTES_MAX: u64 = 8 << 20;
/// The template that conversations without tools get, where a file names several.
const DEFAULT_TEMPLATE: &str = "default";

/// What matters of `tokenizer_config.json`.
#[derive(Debug, Default, Deserialize)]
struct TokenizerSettings {
    bos_token: Option<TokenName>,
    eos_token: Option<TokenName>,
    pad_token: Option<TokenName>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    chat_template: Option<Templates>,
}

/// A token's text, alone or with its flags.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TokenName {
    Text(String),
    Flagged { content: String },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// What matters of `generation_config.json`.
#[derive(Debug, Default, Deserialize)]
struct GenerationSettings {
    bos_token_id: Option<Ids>,
    eos_token_id: Option<Ids>,
    pad_token_id: Option<Ids>,
}

/// Ids, of which some files make one that is not there -1.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ids {
    One(i64),
    Many(Vec<i64>),
}

impl Ids {
    fn list(ids: Option<&Self>) -> Vec<u32> {
        let ids = match ids {
            None => &[],
            Some(Self::One(id)) => std::slice::from_ref(id),
            Some(Self::Many(ids)) => ids.as_slice(),
        };
        ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect()
    }
}

impl Tokenizer {
    /// Builds the tokenizer of a folder.
    ///
    /// # Errors
    /// [`TokenizerError`], where a file is missing, too large, damaged or impossible.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        let path = folder.join("tokenizer.json");
        let json = read(&path, TOKENIZER_BYTES_MAX)?;
        let settings: TokenizerSettings = settings(&folder.join("tokenizer_config.json"))?;
        let generation: GenerationSettings = self::settings(&folder.join("generation_config.json"))?;
        Self::described(&json, &settings, &generation).map_err(|why| TokenizerError::Json { path, why })
    }

    /// Builds the tokenizer of a `tokenizer.json` that has nothing beside it.
    ///
    /// # Errors
    /// [`TokenizerError::Json`], where it is damaged or impossible.
    pub fn from_json(json: &[u8]) -> Result<Self, TokenizerError> {
        let described = Self::described(json, &TokenizerSettings::default(), &GenerationSettings::default());
        described.map_err(|why| TokenizerError::Json { path: "tokenizer.json".into(), why })
    }

    fn described(json: &[u8], settings: &TokenizerSettings, generation: &GenerationSettings) -> Result<Self, String> {
        let (library, bytes, mut special) = Library::new(json)?;
        apply(&mut special, settings, generation);
        special.ends.retain(|end| (*end as usize) < bytes.count());
        special.complete_ends();
        Ok(Self { model: Model::Library(Box::new(library)), bytes, control: Control::new(&special), special })
    }
}

/// The source of a folder's chat template; none where it has none.
///
/// # Errors
/// [`TokenizerError`], where a file cannot be read or does not make sense.
pub fn chat_template_of(folder: &Path) -> Result<Option<String>, TokenizerError> {
    let path = folder.join("chat_template.jinja");
    if let Some(bytes) = found(read(&path, SETTINGS_BYTES_MAX))? {
        let text = String::from_utf8(bytes);
        return text.map(Some).map_err(|error| TokenizerError::Json { path, why: error.to_string() });
    }
    let settings: TokenizerSettings = settings(&folder.join("tokenizer_config.json"))?;
    Ok(settings.chat_template.and_then(|templates| match templates {
        Templates::One(template) => Some(template),
        Templates::Named(mut templates) => {
            let default = templates.iter().position(|template| template.name == DEFAULT_TEMPLATE);
            (!templates.is_empty()).then(|| templates.swap_remove(default.unwrap_or(0)).template)
        }
    }))
}

/// What the settings say goes before what `tokenizer.json` says.
fn apply(special: &mut Special, settings: &TokenizerSettings, generation: &GenerationSettings) {
    let token = |name: &Option<TokenName>| {
        let (TokenName::Text(wanted) | TokenName::Flagged { content: wanted }) = name.as_ref()?;
        special.control.iter().find(|(_, text)| ***text == **wanted).map(|(id, _)| *id)
    };
    let known = |ids: &Option<Ids>| {
        let first = Ids::list(ids.as_ref()).first().copied();
        first.filter(|id| special.control.contains_key(id))
    };
    let begin = token(&settings.bos_token).or(known(&generation.bos_token_id)).or(special.begin);
    let end = token(&settings.eos_token).or(known(&generation.eos_token_id)).or(special.end);
    let padding = token(&settings.pad_token).or(known(&generation.pad_token_id));
    let ends = Ids::list(generation.eos_token_id.as_ref());
    special.adds_begin = settings.add_bos_token.unwrap_or(special.adds_begin);
    special.adds_end = settings.add_eos_token.unwrap_or(special.adds_end);
    (special.begin, special.end, special.padding, special.ends) = (begin, end, padding, ends);
}

/// The settings in a file; the defaults where there is none.
fn settings<T: DeserializeOwned + Default>(path: &Path) -> Result<T, TokenizerError> {
    let Some(bytes) = found(read(path, SETTINGS_BYTES_MAX))? else { return Ok(T::default()) };
    serde_json::from_slice(&bytes)
        .map_err(|error| TokenizerError::Json { path: path.to_owned(), why: error.to_string() })
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, TokenizerError> {
    let failed = |source| TokenizerError::Read { path: PathBuf::from(path), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(TokenizerError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Turns a missing file into `None`; any other error stays one.
fn found(read: Result<Vec<u8>, TokenizerError>) -> Result<Option<Vec<u8>>, TokenizerError> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TokenizerError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
