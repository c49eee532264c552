//! Medians and ratios.

/// The middle of these values; of an even number, the mean of the middle two. `None` of none.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[middle - 1], upper))
}

/// The median of the ratios within each pair: what disturbs both of a pair, such as a busy machine, leaves it as it is.
pub(super) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        let table: [(&[f64], Option<f64>); 4] =
            [(&[], None), (&[3.0], Some(3.0)), (&[9.0, 1.0, 2.0], Some(2.0)), (&[4.0, 1.0, 2.0, 9.0], Some(3.0))];
        for (values, expected) in table {
            assert_eq!(median(values), expected, "{values:?}");
        }
        // Of the medians it would be 2/4; of the pairs it is the middle of 1/4, 2/2 and 6/20.
        assert_eq!(ratio(&[1.0, 2.0, 6.0], &[4.0, 2.0, 20.0]), Some(0.3));
        assert_eq!(ratio(&[], &[]), None);
    }
}
