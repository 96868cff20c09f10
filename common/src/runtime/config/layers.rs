//! The layers and their order; who wins is decided here and nowhere else.

use std::path::{Path, PathBuf};

use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::ConfigError;

/// Where the settings of one service come from, the weakest first.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The service's short name, `transmitter`: its file is `./ssf-transmitter.toml`, its variables begin with
    /// `SSF_TRANSMITTER__`.
    pub name: &'static str,
    /// The compiled-in defaults, TOML.
    pub defaults: &'static str,
    /// The file named on the command line, which must exist.
    pub file: Option<PathBuf>,
    /// Whether `./ssf-<name>.toml` is read, if it is there and no file is named.
    pub usual_file: bool,
    /// The environment: [`Layers::new`] takes the process's own.
    pub environment: Vec<(String, String)>,
    /// What the command line overrides: `("server.listen", "127.0.0.1:9000")`.
    pub overrides: Vec<(String, String)>,
}

impl Layers {
    /// The layers of the running process, without command line.
    pub fn new(name: &'static str, defaults: &'static str) -> Self {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment = environment.collect();
        Self { name, defaults, file: None, usual_file: true, environment, overrides: Vec::new() }
    }

    /// The prefix of the service's variables; sections and keys follow, separated by `__`.
    pub(super) fn prefix(&self) -> String {
        format!("SSF_{}__", self.name.to_uppercase().replace('-', "_"))
    }

    /// A variable with one underscore too few would be ignored, and its writer would believe that it is in force.
    fn refuse_lost_variables(&self) -> Result<(), ConfigError> {
        let prefix = self.prefix();
        let near = prefix.strip_suffix('_').unwrap_or(&prefix);
        let lost = self.environment.iter().find_map(|(name, _)| {
            let rest = name.strip_prefix(near).filter(|rest| !rest.starts_with('_') && *rest != COMPILE_TIME)?;
            Some((name.clone(), rest))
        });
        let Some((variable, rest)) = lost else { return Ok(()) };
        Err(ConfigError::LostVariable { variable, instead: format!("{prefix}{}", self.spelling(rest)) })
    }

    /// How the key that `written` seems to mean is spelled after the prefix: as a setting with a default, else with the
    /// first word as the section.
    fn spelling(&self, written: &str) -> String {
        let plain = |text: &str| text.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
        let defaults = toml::from_str(self.defaults).unwrap_or_default();
        let known = leaves("", &defaults).into_iter().find(|known| plain(known) == plain(written));
        known.unwrap_or_else(
            || {
                if written.contains("__") { written.to_owned() } else { written.replacen('_', "__", 1) }
            },
        )
    }

    /// The file that is read, if any.
    fn settings_file(&self) -> Result<Option<PathBuf>, ConfigError> {
        match &self.file {
            Some(path) if path.is_file() => Ok(Some(path.clone())),
            Some(path) => Err(ConfigError::NoSuchFile { path: path.clone() }),
            None if !self.usual_file => Ok(None),
            None => {
                let usual = PathBuf::from(format!("ssf-{}.toml", self.name));
                Ok(usual.is_file().then_some(usual))
            }
        }
    }

    fn figment(&self) -> Result<Figment, ConfigError> {
        let defaults = Toml::string(self.defaults);
        let mut figment = Figment::from(Named { name: "the compiled-in defaults", inner: defaults });
        if let Some(path) = self.settings_file()? {
            check_readable(&path)?;
            figment = figment.merge(Toml::file_exact(path));
        }
        let prefix = self.prefix();
        let variables = self.environment.iter().filter_map(|(name, value)| {
            let key = name.strip_prefix(&prefix)?.to_lowercase().replace("__", ".");
            Some((key, value.clone()))
        });
        let variables = Pairs::new("environment", variables.collect(), &figment);
        figment = figment.merge(variables);
        let overrides = Pairs::new("command line", self.overrides.clone(), &figment);
        Ok(figment.merge(overrides))
    }
}

/// Reads the settings. Unknown keys, missing keys, values of the wrong kind and variables that are almost ours are
/// one-sentence errors.
pub fn load<T: DeserializeOwned>(layers: &Layers) -> Result<T, ConfigError> {
    layers.refuse_lost_variables()?;
    let figment = layers.figment()?;
    figment.extract().map_err(|error| ConfigError::of(error, &figment, layers))
}

/// The settings in force as TOML; every [`Secret`](super::Secret) is shown as `"***"`. For settings that serialize the
/// way they are read.
pub fn effective<T: Serialize>(settings: &T) -> Result<String, ConfigError> {
    toml::to_string(settings).map_err(ConfigError::Print)
}

/// The keys of a table as variables spell them: `SERVER__LISTEN`.
fn leaves(above: &str, table: &toml::Table) -> Vec<String> {
    let below = |(key, value): (&String, &toml::Value)| {
        let path = format!("{above}{}", key.to_uppercase());
        match value {
            toml::Value::Table(inner) => leaves(&format!("{path}__"), inner),
            _ => vec![path],
        }
    };
    table.iter().flat_map(below).collect()
}

fn check_readable(path: &Path) -> Result<(), ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

/// A provider under a name of our own.
struct Named<P> {
    name: &'static str,
    inner: P,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        self.inner.data()
    }
}

/// Keys with text values, from the environment or the command line.
struct Pairs {
    name: &'static str,
    pairs: Vec<(String, Value)>,
}

impl Pairs {
    /// A value is a text where a lower layer has a text, and a number where it has one; otherwise what it looks like (`true`, `12`, `[a, b]`), so that
    /// a password of digits is not read as a number.
    fn new(name: &'static str, pairs: Vec<(String, String)>, below: &Figment) -> Self {
        let typed = pairs.into_iter().map(|(key, text)| {
            let value = match below.find_value(&key) {
                Ok(Value::String(..)) => Value::from(text),
                Ok(Value::Num(..)) => number(&text).unwrap_or_else(|| Value::from(text)),
                _ => looks_like(text),
            };
            (key, value)
        });
        Self { name, pairs: typed.collect() }
    }
}

impl Provider for Pairs {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut data = Dict::new();
        for (key, value) in &self.pairs {
            let nested = figment::util::nest(key, value.clone()).into_dict().unwrap_or_default();
            merge(&mut data, nested);
        }
        Ok(Profile::Default.collect(data))
    }
}

fn merge(into: &mut Dict, from: Dict) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Dict(_, inner)), Value::Dict(_, more)) => merge(inner, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Numbers only where they print the same again: `007` stays a text.
fn looks_like(text: String) -> Value {
    let parsed: Value = text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {});
    match &parsed {
        Value::Num(_, number) if number.to_actual().to_string().contains(&format!("`{text}`")) => parsed,
        Value::Num(..) | Value::Char(..) => Value::from(text),
        _ => parsed,
    }
}

/// A number, whole or not, however it is written.
fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    let whole = text.parse::<i64>().map(Value::from).ok();
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from))
}

/// `SSF_<NAME>_SCHEMA_URL` is the database that the compiler asks, no setting.
const COMPILE_TIME: &str = "SCHEMA_URL";

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{Secret, Span};
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        server: Server,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Server {
        listen: String,
        body_limit: u32,
        patience: Span,
        token: Option<Secret>,
        share: f64,
        names: Vec<String>,
    }

    const DEFAULTS: &str = r#"
        [server]
        listen = "127.0.0.1:8701"
        body_limit = 1000
        patience = "30s"
        share = 1.0
        names = []
    "#;

    fn layers() -> Layers {
        Layers { environment: Vec::new(), ..Layers::new("sample", DEFAULTS) }
    }

    /// A settings file that goes away with the test.
    struct Written(PathBuf);

    impl Drop for Written {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn file(content: &str) -> Written {
        let name = format!("ssf-config-{}-{:?}.toml", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Written(path)
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn the_command_line_wins_over_the_environment_over_the_file_over_the_defaults() {
        let path = file("[server]\nbody_limit = 1\npatience = \"1m\"\nlisten = \"file\"");
        let layers = Layers {
            file: Some(path.0.clone()),
            environment: vec![
                pair("SSF_SAMPLE__SERVER__LISTEN", "env"),
                pair("SSF_SAMPLE__SERVER__BODY_LIMIT", "2"),
                pair("SSF_SAMPLE_SCHEMA_URL", "not ours"),
            ],
            overrides: vec![pair("server.body_limit", "3"), pair("server.names", "[a, b]")],
            ..layers()
        };
        let Settings { server } = load(&layers).unwrap();
        assert_eq!((server.listen.as_str(), server.body_limit), ("env", 3));
        assert_eq!(server.patience, Span::from_secs(60));
        assert_eq!(server.names, ["a", "b"]);
    }

    #[test]
    fn a_text_that_looks_like_a_number_stays_a_text_and_a_number_is_one_in_any_notation() {
        let environment = vec![pair("SSF_SAMPLE__SERVER__LISTEN", "8701"), pair("SSF_SAMPLE__SERVER__TOKEN", "007")];
        let Settings { server } = load(&Layers { environment, ..layers() }).unwrap();
        assert_eq!((server.listen.as_str(), server.token.unwrap().expose()), ("8701", "007"));
        for (text, share) in [("0.5", 0.5), ("0.50", 0.5), ("1", 1.0), ("2e-1", 0.2)] {
            let overrides = vec![pair("server.share", text)];
            let Settings { server } = load(&Layers { overrides, ..layers() }).unwrap();
            assert!((server.share - share).abs() < f64::EPSILON, "{text}: {}", server.share);
        }
        let environment = vec![pair("SSF_SAMPLE__SERVER__TOKEN", "1.50")];
        let Settings { server } = load(&Layers { environment, ..layers() }).unwrap();
        assert_eq!(server.token.unwrap().expose(), "1.50");
        let environment = vec![pair("SSF_SAMPLE__SERVER__TOKEN", "12345678")];
        let Settings { server } = load(&Layers { environment, ..layers() }).unwrap();
        assert_eq!(server.token.unwrap().expose(), "12345678");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_origin_and_a_remedy() {
        let environment = vec![pair("SSF_SAMPLE__SERVER__LISTNE", "x")];
        let error = load::<Settings>(&Layers { environment, ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r"server.listne (from the variable SSF_SAMPLE__SERVER__LISTNE) is not a setting; remove it or correct its name (known here: listen, body_limit, patience, token, share, names)");

        let path = file("[server]\nlistne = 'x'\n");
        let shown = path.0.display().to_string();
        let error = load::<Settings>(&Layers { file: Some(path.0.clone()), ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error.replace(&shown, "<file>"), @r"server.listne (in <file>) is not a setting; remove it or correct its name (known here: listen, body_limit, patience, token, share, names)");

        let overrides = vec![pair("sevrer.listen", "x")];
        let error = load::<Settings>(&Layers { overrides, ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r"sevrer (on the command line) is not a setting; remove it or correct its name (known here: server)");
    }

    #[test]
    fn a_variable_with_an_underscore_too_few_is_refused_with_the_right_spelling() {
        let sentence = |name: &str| {
            let environment = vec![pair("SSF_SAMPLE__SERVER__LISTEN", "env"), pair(name, "a secret")];
            load::<Settings>(&Layers { environment, ..layers() }).unwrap_err().to_string()
        };
        insta::assert_snapshot!(sentence("SSF_SAMPLE_SERVER_LISTEN"), @"the variable SSF_SAMPLE_SERVER_LISTEN is not read; write SSF_SAMPLE__SERVER__LISTEN instead (two underscores after the service and after each section), or unset it");
        for (written, right) in [
            ("SSF_SAMPLE_SERVER__LISTEN", "SSF_SAMPLE__SERVER__LISTEN"),
            ("SSF_SAMPLE_SERVER_BODY_LIMIT", "SSF_SAMPLE__SERVER__BODY_LIMIT"),
            ("SSF_SAMPLE_SERVER_TOKEN", "SSF_SAMPLE__SERVER__TOKEN"),
            ("SSF_SAMPLE_UPSTREAMS__IDP__CLIENT_ID", "SSF_SAMPLE__UPSTREAMS__IDP__CLIENT_ID"),
        ] {
            let sentence = sentence(written);
            assert!(sentence.starts_with(&format!("the variable {written} ")), "{sentence}");
            assert!(sentence.contains(&format!(" {right} ")) && !sentence.contains("secret"), "{sentence}");
        }
        let others = ["SSF_SAMPLE_SCHEMA_URL", "SSF_SAMPLER_SERVER", "SSF_SAMPLE"].map(|name| pair(name, "x"));
        assert!(load::<Settings>(&Layers { environment: others.into(), ..layers() }).is_ok());
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_its_origin() {
        let environment = vec![pair("SSF_SAMPLE__SERVER__BODY_LIMIT", "many")];
        let error = load::<Settings>(&Layers { environment, ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r"server.body_limit (from the variable SSF_SAMPLE__SERVER__BODY_LIMIT) must be a whole number from 0 upwards, not a text");

        let environment = vec![pair("SSF_SAMPLE__SERVER__PATIENCE", "30")];
        let error = load::<Settings>(&Layers { environment, ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r#"server.patience (from the variable SSF_SAMPLE__SERVER__PATIENCE): not a length of time; write a number with its unit (ms, s, m, h, d), for example "30s" or "1h30m""#);
    }

    #[test]
    fn a_missing_key_and_broken_toml_and_a_missing_file_say_what_to_do() {
        let defaults = "[server]\nlisten = 'x'\nbody_limit = 1\nnames = []";
        let error = load::<Settings>(&Layers { defaults, ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r"server.patience has no value; set it in ssf-sample.toml or as SSF_SAMPLE__SERVER__PATIENCE");

        let path = file("[server\n");
        let shown = path.0.display().to_string();
        let error = load::<Settings>(&Layers { file: Some(path.0.clone()), ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error.replace(&shown, "<file>"), @r"in <file>: TOML parse error at line 1, column 8 1 [server invalid table header expected `.`, `]`");

        let file = Some(PathBuf::from("/nowhere/ssf.toml"));
        let error = load::<Settings>(&Layers { file, ..layers() }).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r"the settings file /nowhere/ssf.toml does not exist; correct the path or leave it out to use the defaults");
    }

    #[test]
    fn the_effective_settings_mask_secrets_and_can_be_read_again() {
        let environment = vec![pair("SSF_SAMPLE__SERVER__TOKEN", "hunter2")];
        let settings: Settings = load(&Layers { environment, ..layers() }).unwrap();
        let text = effective(&settings).unwrap();
        insta::assert_snapshot!(text, @r#"
        [server]
        listen = "127.0.0.1:8701"
        body_limit = 1000
        patience = "30s"
        token = "***"
        share = 1.0
        names = []
        "#);
        assert!(toml::from_str::<Settings>(&text).is_ok());
    }
}
