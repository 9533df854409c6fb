use maud::{PreEscaped, html};

use super::text;
use crate::report::document::{STYLE, document};
use crate::study::Results;

/// The table and the radar chart, an SVG element, as one HTML page that needs no
/// other file.
pub fn page(results: &Results, radar: Option<&str>) -> String {
    let of_runs = text::run_columns(results);
    let body = html! {
        h1 { (results.title) }
        p { (text::legend(results)) }
        div.table { table {
            thead { tr {
                th scope="col" { "" }
                @for column in &results.columns {
                    th scope="col" { (column.name) (text::arrow(column.lower_is_better)) }
                }
                @for column in &of_runs { th scope="col" { (column.name) } }
            } }
            tbody { @for (index, row) in results.rows.iter().enumerate() { tr {
                th scope="row" {
                    (row.name)
                    @if row.baseline { span { "baseline" } }
                    @if row.reports.iter().any(Option::is_some) {
                        span {
                            "report of seed"
                            @for (seed, report) in results.seeds.iter().zip(&row.reports) {
                                @if let Some(report) = report { " " a href=(report) { (seed) } }
                            }
                        }
                    }
                    @if !row.trained { span { "not trained here" } }
                }
                @for (column, cell) in row.cells.iter().enumerate() {
                    td.best[results.best(column) == Some(index)] {
                        (text::value(cell))
                        @if let Some(test) = text::test(cell) { span { (test) } }
                    }
                }
                @for column in &of_runs { td { (column.value(row)) } }
            } } }
        } }
        @if let Some(radar) = radar {
            figure {
                (PreEscaped(radar))
                figcaption {
                    "Each axis runs from the worst of the shown models (inner ring) to the best \
                     (outer ring); it shows ranks and relative gaps, not how large a gap is."
                }
            }
        }
    };
    let style = format!("{STYLE}{}", include_str!("style.css"));
    document(&results.title, &style, None, &body)
}
