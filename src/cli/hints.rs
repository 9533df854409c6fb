//! How to fix an error: the library says what is wrong, the program which flag or key
//! of the configuration file changes it.

use crate::error::Error;

/// What the user can do about an error, as a clause; none where its message says all.
pub(super) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Setting { setting, .. } => key(setting).map(|key| format!("set {key}")),
        _ => None,
    }
}

/// The key, and the flag where there is one, of a setting.
fn key(setting: &str) -> Option<&'static str> {
    Some(match setting {
        "rank" => "singer.rank or --rank",
        "quantile" => "singer.quantile or --quantile",
        _ => return None,
    })
}
