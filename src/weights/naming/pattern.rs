//! Names with gaps: `#` stands for a number, a `*` at the end for the rest.

/// What stood in a pattern's gaps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gaps<'n> {
    /// The last number.
    number: &'n str,
    rest: &'n str,
}

/// The gaps' content, where the name fits the pattern.
pub(super) fn fit<'n>(mut pattern: &str, mut name: &'n str) -> Option<Gaps<'n>> {
    let mut number = "";
    loop {
        let Some(at) = pattern.find(['#', '*']) else {
            return (name == pattern).then_some(Gaps { number, rest: "" });
        };
        name = name.strip_prefix(&pattern[..at])?;
        if pattern[at..].starts_with('*') {
            return Some(Gaps { number, rest: name });
        }
        let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
        if end == 0 {
            return None;
        }
        (number, name) = name.split_at(end);
        pattern = &pattern[at + 1..];
    }
}

impl Gaps<'_> {
    /// A pattern with these in its gaps.
    pub(super) fn fill(self, pattern: &str) -> String {
        pattern.replace('#', self.number).replace('*', self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    fn renamed(pattern: &str, target: &str, name: &str) -> Option<String> {
        fit(pattern, name).map(|gaps| gaps.fill(target))
    }

    #[test]
    fn gaps_keep_the_last_number_and_the_rest() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(renamed("a.#.b.*", "x.#.y.*", "a.12.b.weight"), some("x.12.y.weight"));
        assert_eq!(renamed("a.#.#.*", "a.#.*", "a.0.7.q.bias"), some("a.7.q.bias"));
        assert_eq!(renamed("token", "cls", "token"), some("cls"));
        assert_eq!(renamed("decoder_*", "*", "decoder_embed.bias"), some("embed.bias"));
    }

    #[test]
    fn other_names_do_not_fit() {
        for (pattern, name) in
            [("a.#.b", "a.x.b"), ("a.#.b", "a..b"), ("a.b", "a.b.c"), ("a.b.*", "a.b"), ("a", "b")]
        {
            assert_eq!(fit(pattern, name), None, "{pattern} {name}");
        }
    }
}
