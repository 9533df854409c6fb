use crate::figure::{Dash, Hue, Radar, RadarAxis, RadarSeries, number};
use crate::study::Results;

/// Colour and dash of each line, in the order of the rows.
const LOOKS: [(Hue, Dash); 8] = [
    (Hue::Grey, Dash::Long),
    (Hue::Vermilion, Dash::Solid),
    (Hue::Blue, Dash::Solid),
    (Hue::Green, Dash::Solid),
    (Hue::Purple, Dash::Solid),
    (Hue::Sky, Dash::Solid),
    (Hue::Ink, Dash::Short),
    (Hue::Vermilion, Dash::Long),
];

/// The means as a radar chart (Figure 1(b) of the paper); `None` for fewer than
/// three metrics, or fewer than two rows with all of them.
pub fn radar(results: &Results) -> Option<Radar> {
    let rows: Vec<(&str, Vec<f64>)> = results
        .rows
        .iter()
        .filter(|row| row.chart)
        .filter_map(|row| {
            let means = row.cells.iter().map(|cell| Some(cell.summary?.mean));
            Some((row.name.as_str(), means.collect::<Option<Vec<f64>>>()?))
        })
        .collect();
    if results.columns.len() < 3 || rows.len() < 2 {
        return None;
    }
    let axes: Vec<RadarAxis> = results
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let values = || rows.iter().map(|(_, means)| means[index]);
            let (low, high) = (
                values().fold(f64::INFINITY, f64::min),
                values().fold(f64::NEG_INFINITY, f64::max),
            );
            let [worst, best] = if column.lower_is_better { [high, low] } else { [low, high] };
            let range = format!("{} to {}", number(worst), number(best));
            RadarAxis { label: column.name.clone(), range, worst, best }
        })
        .collect();
    let series = rows
        .into_iter()
        .zip(LOOKS.iter().cycle())
        .map(|((name, values), &(hue, dash))| RadarSeries {
            name: name.to_owned(),
            values,
            hue,
            dash,
        })
        .collect();
    Some(Radar { axes, series })
}
