//! Composes the text of a shader from its file, the snippets of `shaders/shared` and the
//! host's constants. Four directives, each on a line of its own:
//!
//! - `#import name`: the text of `shaders/shared/name.wgsl`, once.
//! - `#host NAME`: `const NAME: u32 = ...;` with the value of the host's constant.
//! - `#ifdef flag`, `#else`, `#endif`: lines of one variant of the shader.

use std::collections::BTreeSet;

use super::shader::Field;
use crate::error::{Error, Result};

macro_rules! snippets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../shaders/shared/", $name, ".wgsl")))),*]
    };
}

/// What `#import` finds.
static SNIPPETS: &[(&str, &str)] =
    snippets!["activation", "block", "reduce", "spread", "tiles", "token_batch", "values",];

/// A shader before it is composed.
#[derive(Debug)]
pub(super) struct Source {
    /// File, entry point and flags; unique.
    pub(super) label: &'static str,
    pub(super) file: &'static str,
    pub(super) text: &'static str,
    pub(super) entry: &'static str,
    pub(super) flags: &'static [&'static str],
    pub(super) constants: &'static [(&'static str, u32)],
    pub(super) params: &'static [Field],
}

/// WGSL, and where each of its lines comes from.
#[derive(Debug, Default)]
pub(super) struct Composed {
    pub(super) wgsl: String,
    /// File and line, counted from 1.
    pub(super) origins: Vec<(String, usize)>,
}

impl Source {
    /// # Errors
    /// [`Error::Gpu`], which names file and line, for a directive that does not work
    /// out, and for a flag or a constant that the text never asks for.
    pub(super) fn compose(&self) -> Result<Composed> {
        let mut composer = Composer::new(self);
        composer.file(self.file, self.text)?;
        let unused = |what: &str, name: &str| {
            self.failed(format!("{} does not ask for the {what} {name}", self.file))
        };
        for flag in self.flags {
            if !composer.asked.contains(flag) {
                return Err(unused("flag", flag));
            }
        }
        for (constant, _) in self.constants {
            if !composer.asked.contains(constant) {
                return Err(unused("constant", constant));
            }
        }
        Ok(composer.composed)
    }

    fn failed(&self, reason: String) -> Error {
        Error::Gpu { doing: format!("composing {}", self.label), reason }
    }
}

struct Composer<'a> {
    source: &'a Source,
    composed: Composed,
    imported: BTreeSet<&'static str>,
    /// Flags and constants that some line asked for.
    asked: BTreeSet<&'static str>,
}

impl<'a> Composer<'a> {
    fn new(source: &'a Source) -> Self {
        let (composed, imported, asked) = Default::default();
        Self { source, composed, imported, asked }
    }

    fn file(&mut self, file: &str, text: &'static str) -> Result<()> {
        let source = self.source;
        // Whether each `#ifdef` around a line lets it through.
        let mut open: Vec<bool> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let failed =
                |reason: &str| source.failed(format!("{file}:{}: {reason}: {line}", index + 1));
            let Some(directive) = line.strip_prefix('#') else {
                if open.iter().all(|&passes| passes) {
                    self.line(line, file, index);
                }
                continue;
            };
            let (word, name) = directive.split_once(' ').unwrap_or((directive, ""));
            match (word, name.trim()) {
                ("ifdef", flag) if !flag.is_empty() => {
                    self.asked.insert(flag);
                    open.push(source.flags.contains(&flag));
                }
                ("else", "") => match open.last_mut() {
                    Some(passes) => *passes = !*passes,
                    None => return Err(failed("there is no #ifdef before")),
                },
                ("endif", "") => {
                    if open.pop().is_none() {
                        return Err(failed("there is no #ifdef before"));
                    }
                }
                _ if open.contains(&false) => {}
                ("import", name) => match SNIPPETS.iter().find(|(snippet, _)| *snippet == name) {
                    Some(&(name, text)) => {
                        if self.imported.insert(name) {
                            self.file(&format!("shaders/shared/{name}.wgsl"), text)?;
                        }
                    }
                    None => return Err(failed("there is no such file in shaders/shared")),
                },
                ("host", name) => {
                    match source.constants.iter().find(|(constant, _)| *constant == name) {
                        Some((name, value)) => {
                            self.asked.insert(name);
                            self.line(&format!("const {name}: u32 = {value}u;"), file, index);
                        }
                        None => return Err(failed("the host gives no such constant")),
                    }
                }
                _ => return Err(failed("unknown directive")),
            }
        }
        match open.is_empty() {
            true => Ok(()),
            false => Err(source.failed(format!("{file}: an #ifdef has no #endif"))),
        }
    }

    fn line(&mut self, line: &str, file: &str, index: usize) {
        self.composed.wgsl.push_str(line);
        self.composed.wgsl.push('\n');
        self.composed.origins.push((file.to_owned(), index + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(text: &'static str) -> std::result::Result<String, String> {
        let source = Source {
            label: "test",
            file: "shaders/test.wgsl",
            text,
            entry: "main",
            flags: &["wide"],
            constants: &[("ROWS", 8)],
            params: &[],
        };
        source.compose().map(|composed| composed.wgsl).map_err(|error| error.to_string())
    }

    #[test]
    fn directives_choose_lines_insert_constants_and_import_once() {
        let text = "#host ROWS\n#ifdef wide\nwide\n#else\nnarrow\n#endif\n#import spread\n#import spread\n";
        let wgsl = compose(text).unwrap();
        assert!(wgsl.starts_with("const ROWS: u32 = 8u;\nwide\n//"), "{wgsl}");
        assert_eq!(wgsl.matches("fn piece_of").count(), 1);
    }

    #[test]
    fn a_directive_that_does_not_work_out_is_named_by_file_and_line() {
        for (text, reason) in [
            ("\n#import nothing\n", "shaders/test.wgsl:2: there is no such file"),
            ("#host COLUMNS\n", "shaders/test.wgsl:1: the host gives no such constant"),
            ("#endif\n", "shaders/test.wgsl:1: there is no #ifdef before"),
            ("#else\n", "shaders/test.wgsl:1: there is no #ifdef before"),
            ("#ifdef wide\n", "shaders/test.wgsl: an #ifdef has no #endif"),
            ("#define A\n", "shaders/test.wgsl:1: unknown directive"),
            ("#host ROWS\n", "does not ask for the flag wide"),
            ("#ifdef wide\n#endif\n", "does not ask for the constant ROWS"),
        ] {
            let error = compose(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
