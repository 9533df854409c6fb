use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The style that pages of tables and charts share.
pub(super) const STYLE: &str = include_str!("page.css");

/// A page that needs no other file. With `refresh`, a browser loads it anew after so many seconds.
pub(super) fn document(title: &str, style: &str, refresh: Option<u32>, body: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(seconds) = refresh {
                    meta http-equiv="refresh" content=(seconds);
                }
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    markup.into_string()
}
