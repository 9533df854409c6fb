use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `src` with their row in the table of CONTRIBUTING.md, leaves first.
fn rows() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let layout = text.split("## Layout").nth(1).unwrap().split("\n## ").next().unwrap();
    let table = layout.lines().filter_map(|line| line.strip_prefix("| `"));
    let folders = table.enumerate().flat_map(|(row, line)| {
        let cell = line.split(" |").next().unwrap();
        cell.split(", ").map(move |name| (name.trim_matches('`').to_owned(), row))
    });
    folders.collect()
}

fn root() -> &'static Path {
    // Where cargo runs tests: a path from build time would name the checkout that was built.
    Path::new(".")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The names after `crate::` in a file's code.
fn imports(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split("crate::").skip(1)).map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    })
}

#[test]
fn imports_point_one_way_through_the_table_of_contributing() {
    let rows = rows();
    let mut checked = 0;
    for file in sources(&root().join("src")) {
        let inside = file.strip_prefix(root().join("src")).unwrap();
        let folder = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(folder, "lib" | "main") {
            continue;
        }
        let own = rows.get(folder).unwrap_or_else(|| panic!("the table lacks {folder}"));
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let row = rows.get(import).unwrap_or_else(|| {
                panic!("{}: crate::{import} is no folder of the table", inside.display())
            });
            assert!(row <= own, "{}: {folder} imports {import}", inside.display());
            checked += 1;
        }
    }
    assert!(checked > 300, "{checked} imports");
}
