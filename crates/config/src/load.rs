//! Reads a file whole: syntax, then each section, then what they say about each other.

use crate::{
    ContentHash, Problems,
    error::{Place, Report},
    file, resolve,
    syntax::Syntax,
    walk::Section,
};
use evenkeel_model::Config;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use toml::de::DeTable;

/// Bytes of a configuration file. Ten thousand endpoints take less than one MiB; above this it is some other file, and reading on would
/// only take memory.
pub const FILE_MAX: u64 = 64 << 20;

/// A configuration as it was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// What is probably not meant, though it is accepted.
    pub warnings: Problems,
    /// The identity of what was read.
    pub hash: ContentHash,
    /// What was read.
    pub source: String,
}

/// Reads and checks a file. Blocks; it takes milliseconds.
///
/// # Errors
/// Everything that is wrong with the file, warnings among it, or the one thing that kept it from being read.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let bytes = read(path).map_err(|error| unreadable(&name, &error))?;
    let hash = ContentHash::of(&bytes);
    let source = String::from_utf8(bytes).map_err(|error| not_text(&name, &error))?;
    let (config, problems) = parse(&source, &name);
    match config {
        Some(config) => Ok(Loaded { config, warnings: problems, hash, source }),
        None => Err(problems),
    }
}

/// Checks the text of a file. `name` is its path, as problems show it; relative paths in it begin at its folder. Reads no file.
///
/// The configuration is there unless one of the problems is an error.
#[must_use]
pub fn parse(source: &str, name: &str) -> (Option<Config>, Problems) {
    let (root, faults) = DeTable::parse_recoverable(source);
    let report = Report::new(Syntax::of(source, root.get_ref(), &faults));
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    let section = Section::open(root.get_ref(), Place::default(), &file::ROOT, &report);
    let draft = file::read(&section, folder);
    // Where the text is not TOML, what one section says about another is not known.
    let config = if report.is_toml() { resolve::resolve(draft, &report) } else { None };
    let config = config.filter(|_| !report.refuses());
    (config, report.into_problems(name, source, root.get_ref()))
}

/// The bytes of a file, [`FILE_MAX`] at most.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a configuration file has 64 MiB at most"));
    }
    Ok(bytes)
}

fn unreadable(name: &str, error: &io::Error) -> Problems {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => Some("name another file with --config".to_owned()),
        io::ErrorKind::PermissionDenied => Some("the user that runs evenkeel must be able to read it".to_owned()),
        _ => None,
    };
    Problems::whole_file(name, format!("the file cannot be read: {error}"), hint)
}

fn not_text(name: &str, error: &std::string::FromUtf8Error) -> Problems {
    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
    Problems::whole_file(name, format!("line {line} is not UTF-8 text"), Some("save the file as UTF-8".to_owned()))
}
