use std::collections::HashSet;

/// Every file system accepts names of this many characters.
const LONGEST: usize = 80;

/// File names for images of any name: no separators or other letters that a
/// system might refuse, and all different, also where case does not count.
pub(super) fn file_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    names
        .into_iter()
        .map(|name| {
            let stem = safe_stem(name);
            let numbered = |count: usize| match count {
                1 => format!("{stem}.png"),
                _ => format!("{stem}-{count}.png"),
            };
            let mut count = 1;
            while !taken.insert(numbered(count).to_lowercase()) {
                count += 1;
            }
            numbered(count)
        })
        .collect()
}

fn safe_stem(name: &str) -> String {
    let lower = name.to_lowercase();
    let known = [".jpg", ".jpeg", ".png"].into_iter().find(|ending| lower.ends_with(ending));
    // Lowering may change the length of other letters; the ending itself is ASCII.
    let stem = &name[..name.len() - known.map_or(0, str::len)];
    let plain: String = stem
        .chars()
        .map(|letter| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '-' })
        .collect();
    let plain: String = plain.trim_matches(['.', '-']).chars().take(LONGEST).collect();
    if plain.is_empty() { "image".into() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_unique() {
        let long = "x".repeat(300);
        let names =
            ["../../etc/passwd", "a/b.JPG", "A-b.jpg", "a-b.png", "", "<i>.png", "ß.jpeg", &long];
        let files = file_names(names);
        assert_eq!(
            files[..7],
            ["etc-passwd.png", "a-b.png", "A-b-2.png", "a-b-3.png", "image.png", "i.png", "ß.png"]
                .map(str::to_owned)
        );
        assert_eq!(files[7].len(), LONGEST + 4);
        assert_ne!(file_names(["K.png", "k.png"])[1], "k.png");
    }
}
