/// A value with three significant digits for people to read: `143`, `0.500`,
/// `1.2·10⁻⁷`, `∞`.
pub fn number(value: impl Into<f64>) -> String {
    let value: f64 = value.into();
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞".into() } else { "−∞".into() };
    }
    let size = value.abs();
    let text = if size == 0.0 {
        "0".into()
    } else if !(0.000_995..99_999.5).contains(&size) {
        scientific(value)
    } else {
        // Rounded first, so that 9.996 counts as 10.0 and not as 10.00.
        let magnitude = format!("{size:.2e}");
        let exponent = magnitude.split('e').nth(1).and_then(|digits| digits.parse::<i32>().ok());
        format!("{value:.*}", (2 - exponent.unwrap_or(0)).max(0) as usize)
    };
    text.replace('-', "−")
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}·{}", mantissa.trim_end_matches(".0"), power_of_ten(exponent.parse().unwrap_or(0)))
}

/// `10⁻⁶`, or plainly where that is short.
pub(super) fn power_of_ten(exponent: i32) -> String {
    let raised = |digit: char| match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
        other => other,
    };
    format!("10{}", exponent.to_string().chars().map(raised).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [
            (0.0, "0"),
            (12.345, "12.3"),
            (143.2, "143"),
            (9.996, "10.0"),
            (-0.5, "−0.500"),
            (12_345.0, "12345"),
            (1.2e-7, "1.2·10⁻⁷"),
            (3e12, "3·10¹²"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
